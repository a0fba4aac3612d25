/* SPDX-License-Identifier: Apache-2.0 */
/* What PyTorch's eager attention gives for a query that sees no key (before the first token of a row padded on the left):
 * adding the smallest float to each of its scores makes them equal, so it takes the mean of all values, later ones and
 * padding too, while the gradient passes through the scores as if nothing had been added. Added to the attention of the
 * other rows where recorded runs need it; never where speed matters, hence the plain loops.
 *
 * With p = 1 / Tk, of such rows i:  y = p sum over keys of v;  ds = p (dy v - dy y) softcap'(scale q k) scale;
 * dq = sum over keys of ds k;  dk = sum over such i of ds q;  dv = sum over such i of p dy. Other rows: zero. */
#include "ops/attention.h"

enum { Q, K, V, MASK, IN };              /* of the forward op */
enum { DY = 3, Y, MASK_B, IN_B };        /* of the backward op, after q, k, v */

static bool is_blind(const struct firn_attention_sizes *s, const int32_t *mask, int64_t b, int64_t i)
{
    for (int64_t j = 0; j < s->tk; j++)
        if (mask[b * s->tk + j] != 0 && firn_attention_sees(s, i, j))
            return false;
    return s->tk > 0;
}

static bool blind_shape(struct firn_infer *s)
{
    const struct firn_attention_attrs *a = s->attrs;
    for (int i = Q; i <= V; i++)
        if (!firn_infer_rank(s, i, 2))
            return false;
    if (a->batch < 1 || a->n_heads < 1 || a->n_kv_heads < 1 || a->n_heads % a->n_kv_heads != 0 ||
        s->in[Q].shape.dim[1] % a->n_heads != 0 || s->in[Q].shape.dim[0] % a->batch != 0 ||
        s->in[K].shape.dim[0] % a->batch != 0 || !firn_shape_eq(&s->in[K].shape, &s->in[V].shape) ||
        s->in[K].shape.dim[1] * a->n_heads != s->in[Q].shape.dim[1] * a->n_kv_heads)
        return firn_infer_fail(s, "queries %s and keys %s do not fit %d rows of %d and %d heads",
                               FIRN_SHAPE_STR(&s->in[Q].shape), FIRN_SHAPE_STR(&s->in[K].shape), a->batch, a->n_heads,
                               a->n_kv_heads);
    if (firn_count(&s->in[s->n_in - 1]) != s->in[K].shape.dim[0])
        return firn_infer_fail(s, "the mask is %s for keys %s", FIRN_SHAPE_STR(&s->in[s->n_in - 1].shape),
                               FIRN_SHAPE_STR(&s->in[K].shape));
    s->out[0] = s->in[Q];
    return true;
}

static bool grad_shape(struct firn_infer *s)
{
    s->out[1] = s->in[K];
    s->out[2] = s->in[V];
    return blind_shape(s);
}

static void blind_ref(const struct firn_call *call)
{
    const struct firn_attention_sizes s = firn_attention_sizes(call);
    const int32_t *mask = firn_i32(&call->in[MASK]);
    double *v = firn_ref_in(call, V), *y = firn_ref_out(call, 0);
    for (int64_t b = 0; b < s.b; b++)
        for (int64_t i = 0; i < s.tq; i++) {
            if (!is_blind(&s, mask, b, i))
                continue;
            for (int64_t c = 0; c < s.h * s.d; c++) {
                const int64_t at = c / s.d / s.group * s.d + c % s.d;
                double sum = 0;
                for (int64_t j = 0; j < s.tk; j++)
                    sum += v[(b * s.tk + j) * s.hkv * s.d + at];
                y[(b * s.tq + i) * s.h * s.d + c] = sum / (double) s.tk;
            }
        }
    firn_ref_free(v);
    firn_ref_store(call, 0, y);
}

/* Sum over the head of x y. */
static double dot(const double *x, const double *y, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i] * y[i];
    return sum;
}

/* One blind row of one head: x[] are the tensors at its place, of keys at the head's first key. */
static void add_row(const struct firn_call *call, const struct firn_attention_sizes *s, const double *q, const double *k,
                    const double *v, const double *dy, const double *y, double *dq, double *dk, double *dv)
{
    const struct firn_attention_attrs *a = call->attrs;
    const double p = 1 / (double) s->tk, delta = dot(dy, y, s->d);
    for (int64_t j = 0; j < s->tk; j++) {
        const int64_t at = j * s->hkv * s->d;
        double ds = p * (dot(dy, v + at, s->d) - delta) * (double) a->scale;
        if (a->softcap > 0) {
            const double t = tanh((double) a->scale * dot(q, k + at, s->d) / (double) a->softcap);
            ds *= 1 - t * t;
        }
        for (int64_t c = 0; c < s->d; c++) {
            dq[c] += ds * k[at + c];
            dk[at + c] += ds * q[c];
            dv[at + c] += p * dy[c];
        }
    }
}

static void grad_ref(const struct firn_call *call)
{
    const struct firn_attention_sizes s = firn_attention_sizes(call);
    const int32_t *mask = firn_i32(&call->in[MASK_B]);
    double *x[MASK_B], *dx[3];
    for (int i = 0; i < MASK_B; i++)
        x[i] = firn_ref_in(call, i);
    for (int j = 0; j < 3; j++)
        dx[j] = firn_ref_out(call, j);
    for (int64_t b = 0; b < s.b; b++)
        for (int64_t i = 0; i < s.tq; i++)
            for (int64_t h = 0; h < s.h && is_blind(&s, mask, b, i); h++) {
                const int64_t at = ((b * s.tq + i) * s.h + h) * s.d;
                const int64_t first = (b * s.tk * s.hkv + h / s.group) * s.d;
                add_row(call, &s, x[Q] + at, x[K] + first, x[V] + first, x[DY] + at, x[Y] + at, dx[0] + at,
                        dx[1] + first, dx[2] + first);
            }
    for (int i = 0; i < MASK_B; i++)
        firn_ref_free(x[i]);
    for (int j = 0; j < 3; j++)
        firn_ref_store(call, j, dx[j]);
}

static const struct firn_op attention_blind_grad;

static void blind_grad(struct firn_graph *g, const struct firn_node *n, const firn_val *dy, firn_val *dx)
{
    firn_val out[FIRN_MAX_OUT] = { { 0 } };
    const firn_val in[FIRN_MAX_IN] = { n->in[Q], n->in[K], n->in[V], dy[0], n->out[0], n->in[MASK] };
    firn_graph_emit(g, &attention_blind_grad, in, n->attrs, out);
    for (int i = Q; i <= V; i++)
        dx[i] = firn_wants(g, n->in[i]) ? out[i] : (firn_val){ 0 };
}

/* A lane per element of y, or of the larger of q and k. */
static void setup(const struct firn_call *call, const struct firn_limits *limits, struct firn_dispatch *d)
{
    const struct firn_attention_attrs *a = call->attrs;
    const struct firn_attention_sizes s = firn_attention_sizes(call);
    const int64_t n_q = firn_count(&call->in[Q]), n_k = firn_count(&call->in[K]);
    const int64_t n = firn_has(&call->out[1]) && n_k > n_q ? n_k : n_q;
    firn_push(d, (uint64_t) n);
    firn_push(d, (uint64_t) s.b);
    firn_push(d, (uint64_t) s.h);
    firn_push(d, (uint64_t) s.hkv);
    firn_push(d, (uint64_t) s.tq);
    firn_push(d, (uint64_t) s.tk);
    firn_push(d, (uint64_t) s.d);
    firn_push(d, (uint32_t) (int32_t) s.ahead);
    firn_push(d, (uint64_t) s.window);
    firn_push_f32(d, a->scale);
    firn_push_f32(d, a->softcap);
    firn_grid_flat(d, limits, (n + 1023) / 1024);
}

static const struct firn_kernel kernels[] = { { "attention_blind", "attention_blind", "GRAD=0", .setup = setup },
                                              { NULL } };
static const struct firn_kernel grad_kernels[] = {
    { "attention_blind_grad", "attention_blind", "GRAD=1", .setup = setup }, { NULL } };

static int64_t terms(const struct firn_call *call)
{
    const struct firn_attention_sizes s = firn_attention_sizes(call);
    return (s.tk + s.tq * s.group) * (s.d + 4); /* of the longest sum, whose terms are differences of products */
}

/* clang-format off */
/* No differences: the rule is that of the scores before the smallest float was added, the values are those after. */
#define CASE(B, H, HKV, TQ, TK, D, ...)                                                                                \
    { .in = { FIRN_DIMS(B * TQ, H * D), FIRN_DIMS(B * TK, HKV * D), FIRN_DIMS(B * TK, HKV * D), FIRN_DIMS(B, TK) },    \
      .attrs = &(const struct firn_attention_attrs){ .batch = B, .n_heads = H, .n_kv_heads = HKV, .scale = 0.3f,       \
                                                     __VA_ARGS__ }, .no_grad = true },
#define CASE_B(B, H, HKV, TQ, TK, D, ...)                                                                              \
    { .in = { FIRN_DIMS(B * TQ, H * D), FIRN_DIMS(B * TK, HKV * D), FIRN_DIMS(B * TK, HKV * D),                        \
              FIRN_DIMS(B * TQ, H * D), FIRN_DIMS(B * TQ, H * D), FIRN_DIMS(B, TK) },                                  \
      .attrs = &(const struct firn_attention_attrs){ .batch = B, .n_heads = H, .n_kv_heads = HKV, .scale = 0.3f,       \
                                                     __VA_ARGS__ }, .no_grad = true },
#define CASES(X)                                                                                                       \
    X(4, 1, 1,  1,  1,  1, .causal = 1)                                                                                \
    X(3, 3, 3,  5,  5,  7, .causal = 1)                                                                                \
    X(5, 4, 2,  3,  6,  3, .causal = 1, .window = 2)                                                                   \
    X(4, 6, 2,  7,  4, 11, .causal = 1, .softcap = 1.5f)                                                               \
    X(9, 2, 1, 21, 21, 33, .causal = 1, .window = 3)
/* clang-format on */
static const struct firn_case cases[] = { CASES(CASE) };
static const struct firn_case grad_cases[] = { CASES(CASE_B) };

static const struct firn_op attention_blind = {
    .name = "attention_blind",
    .math = "y = mean of v for queries that see no key, else 0",
    .n_in = IN,
    .n_out = 1,
    .integer = 1u << MASK,
    .attrs_size = sizeof(struct firn_attention_attrs),
    .shape = blind_shape,
    .ref = blind_ref,
    .grad = blind_grad,
    .kernels = kernels,
    .cases = cases,
    .n_cases = sizeof cases / sizeof cases[0],
    .terms = terms,
};

static const struct firn_op attention_blind_grad = {
    .name = "attention_blind_grad",
    .math = "dq, dk, dv of queries that see no key, as if their scores had not been changed",
    .n_in = IN_B,
    .n_out = 3,
    .integer = 1u << MASK_B,
    .attrs_size = sizeof(struct firn_attention_attrs),
    .shape = grad_shape,
    .ref = grad_ref,
    .kernels = grad_kernels,
    .cases = grad_cases,
    .n_cases = sizeof grad_cases / sizeof grad_cases[0],
    .terms = terms,
};

firn_val firn_attention_blind(struct firn_graph *g, firn_val q, firn_val k, firn_val v,
                              const struct firn_attention_params *p)
{
    const struct firn_shape shape = firn_val_shape(g, q);
    const double d = p->n_heads > 0 && shape.rank == 2 ? (double) (shape.dim[1] / p->n_heads) : 1.0;
    struct firn_attention_attrs attrs;
    memset(&attrs, 0, sizeof attrs); /* attributes are hashed with their padding */
    attrs.batch = p->batch;
    attrs.n_heads = p->n_heads;
    attrs.n_kv_heads = p->n_kv_heads > 0 ? p->n_kv_heads : p->n_heads;
    attrs.causal = p->causal;
    attrs.window = p->window;
    attrs.scale = p->scale != 0 ? p->scale : (float) (1.0 / sqrt(d));
    attrs.softcap = p->softcap;
    return firn_emit1(g, &attention_blind, (firn_val[]){ q, k, v, p->mask }, &attrs);
}

const struct firn_op *const firn_family_attention_blind[] = { &attention_blind, &attention_blind_grad, NULL };
