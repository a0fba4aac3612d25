/* SPDX-License-Identifier: Apache-2.0 */
/* Attention: the records of the forward op and of its backward passes, their shape rules, and the
 * builder. T x T is never stored: the forward keeps the log-sum-exp of each row, and the backward
 * passes compute probabilities again from it (Dao et al. 2022). Each backward pass owns its
 * outputs, so sums have one order and no atomics. */
#include "ops/attention.h"

static bool heads_fit(struct firn_infer *s)
{
    const struct firn_attention_attrs *a = s->attrs;
    for (int i = FIRN_ATT_Q; i <= FIRN_ATT_V; i++)
        if (!firn_infer_rank(s, i, 2))
            return false;
    if (a->batch < 1 || a->n_heads < 1 || a->n_kv_heads < 1 || a->n_heads % a->n_kv_heads != 0)
        return firn_infer_fail(s, "batch %d, %d query heads and %d key heads do not fit", a->batch,
                               a->n_heads, a->n_kv_heads);
    const int64_t width = firn_cols(&s->in[FIRN_ATT_Q]), d = width / a->n_heads;
    if (width % a->n_heads != 0 || d < 1 || d > FIRN_ATT_MAX_HEAD)
        return firn_infer_fail(s, "a width of %lld is not %d heads of a size from 1 to %d",
                               (long long) width, a->n_heads, FIRN_ATT_MAX_HEAD);
    if (firn_cols(&s->in[FIRN_ATT_K]) != d * a->n_kv_heads)
        return firn_infer_fail(s, "keys are %s, not %d heads of size %lld",
                               FIRN_SHAPE_STR(&s->in[FIRN_ATT_K].shape), a->n_kv_heads,
                               (long long) d);
    if (!firn_shape_eq(&s->in[FIRN_ATT_K].shape, &s->in[FIRN_ATT_V].shape))
        return firn_infer_fail(s, "keys are %s, values %s",
                               FIRN_SHAPE_STR(&s->in[FIRN_ATT_K].shape),
                               FIRN_SHAPE_STR(&s->in[FIRN_ATT_V].shape));
    for (int i = FIRN_ATT_Q; i <= FIRN_ATT_K; i++)
        if (s->in[i].shape.dim[0] % a->batch != 0)
            return firn_infer_fail(s, "%lld rows are not %d sequences",
                                   (long long) s->in[i].shape.dim[0], a->batch);
    return true;
}

static bool extras_fit(struct firn_infer *s, int mask, int bias, int rng)
{
    const struct firn_attention_attrs *a = s->attrs;
    const int64_t tq = s->in[FIRN_ATT_Q].shape.dim[0] / a->batch;
    const int64_t tk = s->in[FIRN_ATT_K].shape.dim[0] / a->batch;
    const bool by_distance = s->in[bias].shape.rank == 2 && tq + tk > 0;
    const struct firn_shape want_mask = firn_dims(a->batch, tk),
                            want_bias = by_distance ? firn_dims(tq + tk - 1, a->n_heads)
                                                    : firn_dims(a->n_heads, tq, tk);
    if (firn_has(&s->in[mask]) && !firn_shape_eq(&s->in[mask].shape, &want_mask))
        return firn_infer_fail(s, "the mask is %s, not %s", FIRN_SHAPE_STR(&s->in[mask].shape),
                               FIRN_SHAPE_STR(&want_mask));
    if (firn_has(&s->in[bias]) && !firn_shape_eq(&s->in[bias].shape, &want_bias))
        return firn_infer_fail(s, "the bias is %s, not %s", FIRN_SHAPE_STR(&s->in[bias].shape),
                               FIRN_SHAPE_STR(&want_bias));
    if (a->window < 0 || (a->window > 0 && !a->causal))
        return firn_infer_fail(s, "a window of %d needs causal attention", a->window);
    if (!(a->softcap >= 0))
        return firn_infer_fail(s, "the soft cap is %g", (double) a->softcap);
    if (!(a->dropout >= 0 && a->dropout < 1))
        return firn_infer_fail(s, "the dropout is %g, not in [0, 1)", (double) a->dropout);
    if (a->dropout > 0 && firn_count(&s->in[rng]) != 4)
        return firn_infer_fail(s, "dropout needs random state [4]");
    return true;
}

static bool attention_shape(struct firn_infer *s)
{
    if (!heads_fit(s) || !extras_fit(s, FIRN_ATT_MASK, FIRN_ATT_BIAS, FIRN_ATT_RNG))
        return false;
    const struct firn_attention_attrs *a = s->attrs;
    s->out[0] = s->out[1] = s->in[FIRN_ATT_Q];
    s->out[1].shape = firn_dims(s->in[FIRN_ATT_Q].shape.dim[0] * a->n_heads);
    return true;
}

static bool stats_shape(struct firn_infer *s)
{
    const struct firn_attention_attrs *a = s->attrs;
    if (!firn_shape_eq(&s->in[0].shape, &s->in[1].shape) ||
        firn_count(&s->in[2]) != s->in[0].shape.dim[0] * a->n_heads)
        return firn_infer_fail(s, "y is %s, dy %s, lse %s", FIRN_SHAPE_STR(&s->in[0].shape),
                               FIRN_SHAPE_STR(&s->in[1].shape), FIRN_SHAPE_STR(&s->in[2].shape));
    s->out[0].dtype = s->in[0].dtype;
    s->out[0].shape = firn_dims(s->in[0].shape.dim[0] * a->n_heads, 2);
    return true;
}

static bool backward_fits(struct firn_infer *s)
{
    const struct firn_attention_attrs *a = s->attrs;
    if (!heads_fit(s) || !extras_fit(s, FIRN_ATT_MASK_B, FIRN_ATT_BIAS_B, FIRN_ATT_RNG_B))
        return false;
    if (!firn_shape_eq(&s->in[FIRN_ATT_DY].shape, &s->in[FIRN_ATT_Q].shape) ||
        firn_count(&s->in[FIRN_ATT_STATS]) != 2 * s->in[FIRN_ATT_Q].shape.dim[0] * a->n_heads)
        return firn_infer_fail(s, "dy is %s, its statistics %s",
                               FIRN_SHAPE_STR(&s->in[FIRN_ATT_DY].shape),
                               FIRN_SHAPE_STR(&s->in[FIRN_ATT_STATS].shape));
    return true;
}

static bool dq_shape(struct firn_infer *s)
{
    s->out[0] = s->in[FIRN_ATT_Q];
    return backward_fits(s);
}

static bool dkv_shape(struct firn_infer *s)
{
    s->out[0] = s->out[1] = s->in[FIRN_ATT_K];
    return backward_fits(s);
}

static bool dbias_shape(struct firn_infer *s)
{
    if (!backward_fits(s))
        return false;
    const struct firn_attention_attrs *a = s->attrs;
    s->out[0].dtype = s->in[FIRN_ATT_Q].dtype;
    s->out[0].shape = s->in[FIRN_ATT_BIAS_B].shape;
    if (s->in[FIRN_ATT_BIAS_B].dtype == FIRN_NONE)
        s->out[0].shape = firn_dims(a->n_heads, s->in[FIRN_ATT_Q].shape.dim[0] / a->batch,
                                    s->in[FIRN_ATT_K].shape.dim[0] / a->batch);
    return true;
}

static const struct firn_op attention_stats, attention_dq, attention_dkv, attention_dbias;

static void attention_grad(struct firn_graph *g, const struct firn_node *n, const firn_val *dy,
                           firn_val *dx)
{
    const firn_val *in = n->in;
    const bool wants_q = firn_wants(g, in[FIRN_ATT_Q]);
    const bool wants_k = firn_wants(g, in[FIRN_ATT_K]), wants_v = firn_wants(g, in[FIRN_ATT_V]);
    const bool wants_bias = firn_is_value(in[FIRN_ATT_BIAS]) && firn_wants(g, in[FIRN_ATT_BIAS]);
    if (!firn_is_value(dy[0]) || !(wants_q || wants_k || wants_v || wants_bias))
        return;
    firn_val both[FIRN_MAX_OUT];
    const firn_val stats =
        firn_emit1(g, &attention_stats, (firn_val[]){ n->out[0], dy[0], n->out[1] }, n->attrs);
    const firn_val back[FIRN_ATT_IN_B] = {
        in[FIRN_ATT_Q], in[FIRN_ATT_K],    in[FIRN_ATT_V],    dy[0],
        stats,          in[FIRN_ATT_MASK], in[FIRN_ATT_BIAS], in[FIRN_ATT_RNG]
    };
    if (wants_q)
        dx[FIRN_ATT_Q] = firn_emit1(g, &attention_dq, back, n->attrs);
    if (wants_k || wants_v) {
        firn_graph_emit(g, &attention_dkv, back, n->attrs, both);
        dx[FIRN_ATT_K] = wants_k ? both[0] : (firn_val){ 0 };
        dx[FIRN_ATT_V] = wants_v ? both[1] : (firn_val){ 0 };
    }
    if (wants_bias)
        dx[FIRN_ATT_BIAS] = firn_emit1(g, &attention_dbias, back, n->attrs);
}

/* Visible pairs, the mask left aside (its values are not known here). */
static double pairs(const struct firn_call *call)
{
    const struct firn_attention_sizes s = firn_attention_sizes(call);
    double sum = 0;
    for (int64_t i = 0; i < s.tq; i++) {
        const int64_t last = i + s.ahead < s.tk ? i + s.ahead : s.tk - 1;
        const int64_t first = i + s.ahead - s.window + 1 > 0 ? i + s.ahead - s.window + 1 : 0;
        sum += last >= first ? (double) (last - first + 1) : 0;
    }
    return sum * (double) (s.b * s.h);
}

static double head_flops(const struct firn_call *call, double products)
{
    return 2 * products * (double) firn_attention_sizes(call).d * pairs(call);
}

static double attention_flops(const struct firn_call *call)
{
    return head_flops(call, 2);
}

static double dq_flops(const struct firn_call *call)
{
    return head_flops(call, 3);
}

static double dkv_flops(const struct firn_call *call)
{
    return head_flops(call, 4);
}

const struct firn_op firn_op_attention = {
    .name = "attention",
    .math = "y = softmax(softcap(scale q k) + bias) v, lse = log sum exp",
    .n_in = FIRN_ATT_IN,
    .n_out = 2,
    .optional = 1u << FIRN_ATT_MASK | 1u << FIRN_ATT_BIAS | 1u << FIRN_ATT_RNG,
    .integer = 1u << FIRN_ATT_MASK | 1u << FIRN_ATT_RNG,
    .attrs_size = sizeof(struct firn_attention_attrs),
    .shape = attention_shape,
    .ref = firn_attention_ref,
    .cpu = firn_attention_cpu,
    .cpu_scratch = firn_attention_scratch,
    .grad = attention_grad,
    .kernels = firn_attention_kernels,
    .flops = attention_flops,
    .cases = firn_attention_cases,
    .n_cases = FIRN_ATT_CASES,
    .bound = firn_attention_bound,
};

static const struct firn_op attention_stats = {
    .name = "attention_stats",
    .math = "stats = (lse, sum over d of dy y)",
    .n_in = 3,
    .n_out = 1,
    .attrs_size = sizeof(struct firn_attention_attrs),
    .shape = stats_shape,
    .ref = firn_attention_stats_ref,
    .cpu = firn_attention_stats_cpu,
    .kernels = firn_attention_stats_kernels,
    .cases = firn_attention_stats_cases,
    .n_cases = FIRN_ATT_STATS_CASES,
    .bound = firn_attention_stats_bound,
};

#define BACKWARD_RECORD                                                                            \
    .n_in = FIRN_ATT_IN_B,                                                                         \
    .optional = 1u << FIRN_ATT_MASK_B | 1u << FIRN_ATT_BIAS_B | 1u << FIRN_ATT_RNG_B,              \
    .integer = 1u << FIRN_ATT_MASK_B | 1u << FIRN_ATT_RNG_B,                                       \
    .attrs_size = sizeof(struct firn_attention_attrs), .cpu_scratch = firn_attention_grad_scratch

static const struct firn_op attention_dq = {
    BACKWARD_RECORD,
    .name = "attention_dq",
    .math = "dq = scale sum over keys of ds softcap' k",
    .n_out = 1,
    .shape = dq_shape,
    .ref = firn_attention_dq_ref,
    .cpu = firn_attention_dq_cpu,
    .kernels = firn_attention_dq_kernels,
    .flops = dq_flops,
    .cases = firn_attention_cases_b,
    .n_cases = FIRN_ATT_CASES_B,
    .bound = firn_attention_dq_bound,
};

static const struct firn_op attention_dkv = {
    BACKWARD_RECORD,
    .name = "attention_dkv",
    .math = "dk = scale sum over queries of ds softcap' q, dv = sum of p f dy",
    .n_out = 2,
    .shape = dkv_shape,
    .ref = firn_attention_dkv_ref,
    .cpu = firn_attention_dkv_cpu,
    .kernels = firn_attention_dkv_kernels,
    .flops = dkv_flops,
    .cases = firn_attention_cases_b,
    .n_cases = FIRN_ATT_CASES_B,
    .bound = firn_attention_dkv_bound,
};

static const struct firn_op attention_dbias = {
    BACKWARD_RECORD,
    .name = "attention_dbias",
    .math = "dbias = sum over the batch of ds",
    .n_out = 1,
    .shape = dbias_shape,
    .ref = firn_attention_dbias_ref,
    .cpu = firn_attention_dbias_cpu,
    .kernels = firn_attention_dbias_kernels,
    .flops = attention_flops,
    .cases = firn_attention_dbias_cases,
    .n_cases = FIRN_ATT_DBIAS_CASES,
    .bound = firn_attention_dbias_bound,
};

firn_val firn_attention(struct firn_graph *g, firn_val q, firn_val k, firn_val v,
                        const struct firn_attention_params *p)
{
    const struct firn_shape shape = firn_val_shape(g, q);
    const int64_t width = shape.rank == 2 ? shape.dim[1] : 0;
    const double d = p->n_heads > 0 && width > 0 ? (double) (width / p->n_heads) : 1.0;
    struct firn_attention_attrs attrs;
    memset(&attrs, 0, sizeof attrs); /* attributes are hashed with their padding */
    attrs.batch = p->batch;
    attrs.n_heads = p->n_heads;
    attrs.n_kv_heads = p->n_kv_heads > 0 ? p->n_kv_heads : p->n_heads;
    attrs.causal = p->causal;
    attrs.window = p->window;
    attrs.scale = p->scale != 0 ? p->scale : (float) (1.0 / sqrt(d));
    attrs.softcap = p->softcap;
    attrs.dropout = p->dropout;
    attrs.stream = p->dropout > 0 ? p->stream : 0;
    const firn_val rng = p->dropout > 0 ? p->rng : (firn_val){ 0 };
    return firn_emit1(g, &firn_op_attention, (firn_val[]){ q, k, v, p->mask, p->bias, rng }, &attrs);
}

const struct firn_op *const firn_family_attention[] = { &firn_op_attention,       &attention_stats,
                                                        &attention_dq,    &attention_dkv,
                                                        &attention_dbias, NULL };
