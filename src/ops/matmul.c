/* SPDX-License-Identifier: Apache-2.0 */
/* Products in all transpositions, with more columns of K (u v), bias and residual: y = alpha a b + u v + bias +
 * residual. Its record, reference and backward rule; matmul_cpu.c and matmul_kernels.c make it fast. */
#include "ops/matmul.h"

#include "base/simd.h"

#include <math.h>
#include <stdlib.h>

static const struct firn_matmul_attrs *attrs_of(const struct firn_call *call)
{
    return call->attrs;
}

struct firn_matmul_sizes firn_matmul_sizes(const struct firn_call *call)
{
    const struct firn_matmul_attrs *t = attrs_of(call);
    const int64_t *a = call->in[FIRN_MATMUL_A].shape.dim, *b = call->in[FIRN_MATMUL_B].shape.dim;
    return (struct firn_matmul_sizes){ .m = a[t->trans_a ? 1 : 0],
                                       .n = b[t->trans_b ? 0 : 1],
                                       .k = a[t->trans_a ? 0 : 1],
                                       .r = firn_has(&call->in[FIRN_MATMUL_U])
                                                ? call->in[FIRN_MATMUL_U].shape.dim[1]
                                                : 0 };
}

static bool check(struct firn_infer *s, int i, const char *name, int64_t rows, int64_t cols)
{
    const struct firn_shape *x = &s->in[i].shape;
    const bool fits = rows < 0 ? x->rank == 1 && x->dim[0] == cols
                               : x->rank == 2 && x->dim[0] == rows && x->dim[1] == cols;
    return !firn_has(&s->in[i]) || fits || firn_infer_fail(s, "%s has the shape %s", name, FIRN_SHAPE_STR(x));
}

static bool matmul_shape(struct firn_infer *s)
{
    const struct firn_matmul_attrs *t = s->attrs;
    if (!firn_infer_rank(s, FIRN_MATMUL_A, 2) || !firn_infer_rank(s, FIRN_MATMUL_B, 2))
        return false;
    const int64_t *a = s->in[FIRN_MATMUL_A].shape.dim, *b = s->in[FIRN_MATMUL_B].shape.dim;
    const int64_t m = a[t->trans_a ? 1 : 0], k = a[t->trans_a ? 0 : 1];
    const int64_t n = b[t->trans_b ? 0 : 1], k_b = b[t->trans_b ? 1 : 0];
    if (k != k_b)
        return firn_infer_fail(s, "inner sizes differ: %lld and %lld", (long long) k, (long long) k_b);
    s->out[0].dtype = s->in[FIRN_MATMUL_A].dtype;
    s->out[0].shape = firn_dims(m, n);
    if (firn_has(&s->in[FIRN_MATMUL_U]) != firn_has(&s->in[FIRN_MATMUL_V]))
        return firn_infer_fail(s, "u and v come together");
    const int64_t r = firn_has(&s->in[FIRN_MATMUL_U]) ? s->in[FIRN_MATMUL_U].shape.dim[1] : 0;
    return check(s, FIRN_MATMUL_BIAS, "the bias", -1, n) && check(s, FIRN_MATMUL_RESIDUAL, "the residual", m, n) &&
           check(s, FIRN_MATMUL_U, "u", m, r) &&
           check(s, FIRN_MATMUL_V, "v", t->trans_v ? n : r, t->trans_v ? r : n);
}

/* A matrix as doubles, [rows, cols] after an optional transposition; free() it. */
static double *load(const struct firn_tensor *t, bool transpose)
{
    const int64_t rows = t->shape.dim[0], cols = t->shape.dim[1];
    double *x = malloc(sizeof *x * (size_t) (rows * cols + 1)), *y;
    if (x == NULL)
        abort();
    firn_tensor_read_f64(t, 0, rows * cols, x);
    if (!transpose)
        return x;
    y = malloc(sizeof *y * (size_t) (rows * cols + 1));
    if (y == NULL)
        abort();
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++)
            y[j * rows + i] = x[i * cols + j];
    free(x);
    return y;
}

struct reference {
    const double *a, *b, *u, *v, *bias, *residual;
    double *y, alpha;
    int64_t n, k, r;
};

/* Rows begin .. end; each sum runs over k, then over r, in order. */
FIRN_SIMD static void ref_rows(void *user, int64_t begin, int64_t end)
{
    const struct reference *x = user;
    for (int64_t i = begin; i < end; i++) {
        double *restrict y = x->y + i * x->n;
        for (int64_t l = 0; l < x->k; l++) {
            const double a = x->a[i * x->k + l];
            const double *restrict b = x->b + l * x->n;
            for (int64_t j = 0; j < x->n; j++)
                y[j] += a * b[j];
        }
        for (int64_t j = 0; j < x->n; j++)
            y[j] *= x->alpha;
        for (int64_t l = 0; l < x->r; l++)
            for (int64_t j = 0; j < x->n; j++)
                y[j] += x->u[i * x->r + l] * x->v[l * x->n + j];
        for (int64_t j = 0; j < x->n && x->bias != NULL; j++)
            y[j] += x->bias[j];
        for (int64_t j = 0; j < x->n && x->residual != NULL; j++)
            y[j] += x->residual[i * x->n + j];
    }
}

/* `magnitude`: with absolute values, for the bound. */
static double *reference(const struct firn_call *call, bool magnitude)
{
    const struct firn_matmul_attrs *t = attrs_of(call);
    const struct firn_matmul_sizes s = firn_matmul_sizes(call);
    double *a = load(&call->in[FIRN_MATMUL_A], t->trans_a), *b = load(&call->in[FIRN_MATMUL_B], t->trans_b);
    double *u = s.r > 0 ? load(&call->in[FIRN_MATMUL_U], false) : NULL;
    double *v = s.r > 0 ? load(&call->in[FIRN_MATMUL_V], t->trans_v) : NULL;
    double *bias = firn_ref_in(call, FIRN_MATMUL_BIAS), *residual = firn_ref_in(call, FIRN_MATMUL_RESIDUAL);
    struct reference x = { a, b, u, v, bias, residual, firn_ref_out(call, 0), (double) t->alpha, s.n, s.k, s.r };
    if (magnitude) {
        double *const all[] = { a, b, u, v, bias, residual };
        const int64_t n[] = { s.m * s.k, s.k * s.n, s.m * s.r, s.r * s.n, s.n, s.m * s.n };
        for (int i = 0; i < 6; i++)
            for (int64_t j = 0; j < n[i] && all[i] != NULL; j++)
                all[i][j] = fabs(all[i][j]);
        x.alpha = fabs(x.alpha);
    }
    firn_over(call->pool, s.m, 16, ref_rows, &x);
    free(a);
    free(b);
    free(u);
    free(v);
    firn_ref_free(bias);
    firn_ref_free(residual);
    return x.y;
}

static void matmul_ref(const struct firn_call *call)
{
    firn_ref_store(call, 0, reference(call, false));
}

/* |error| <= gamma_n (|alpha| |a||b| + |u||v| + |bias| + |residual|), n the additions and roundings of one
 * element (Higham 2002, eq. 3.5); gamma_n ~ n u. */
static void bound_of(const struct firn_call *call, double rounding, double *bound)
{
    const struct firn_matmul_sizes s = firn_matmul_sizes(call);
    double *magnitude = reference(call, true);
    for (int64_t i = 0; i < s.m * s.n; i++)
        bound[i] = ((double) (s.k + s.r + 8) * 0x1p-24 + rounding) * magnitude[i];
    firn_ref_free(magnitude);
}

static void matmul_bound(const struct firn_call *call, int out, double *bound)
{
    (void) out;
    bound_of(call, 0, bound);
}

/* Both operands kept to 21 bits besides. */
void firn_matmul_coop_bound(const struct firn_call *call, int out, double *bound)
{
    (void) out;
    bound_of(call, 0x1p-19, bound);
}

/* One rounded to 11. */
void firn_matmul_coop_fast_bound(const struct firn_call *call, int out, double *bound)
{
    (void) out;
    bound_of(call, 2 * 0x1p-11, bound);
}

static void matmul_grad(struct firn_graph *g, const struct firn_node *n, const firn_val *dy, firn_val *dx)
{
    const struct firn_matmul_attrs *t = n->attrs;
    const firn_val a = n->in[FIRN_MATMUL_A], b = n->in[FIRN_MATMUL_B];
    const firn_val u = n->in[FIRN_MATMUL_U], v = n->in[FIRN_MATMUL_V];
    if (firn_wants(g, a)) /* dA = alpha dY Bt, or its transpose */
        dx[FIRN_MATMUL_A] = t->trans_a
            ? firn_matmul(g, b, dy[0], firn_matmul_params(.trans_a = t->trans_b, .trans_b = true, .alpha = t->alpha))
            : firn_matmul(g, dy[0], b, firn_matmul_params(.trans_b = !t->trans_b, .alpha = t->alpha));
    if (firn_wants(g, b)) /* dB = alpha At dY, or its transpose */
        dx[FIRN_MATMUL_B] = t->trans_b
            ? firn_matmul(g, dy[0], a, firn_matmul_params(.trans_a = true, .trans_b = t->trans_a, .alpha = t->alpha))
            : firn_matmul(g, a, dy[0], firn_matmul_params(.trans_a = !t->trans_a, .alpha = t->alpha));
    if (firn_wants(g, u))
        dx[FIRN_MATMUL_U] = firn_matmul(g, dy[0], v, firn_matmul_params(.trans_b = !t->trans_v));
    if (firn_wants(g, v))
        dx[FIRN_MATMUL_V] = t->trans_v ? firn_matmul(g, dy[0], u, firn_matmul_params(.trans_a = true))
                                       : firn_matmul(g, u, dy[0], firn_matmul_params(.trans_a = true));
    if (firn_wants(g, n->in[FIRN_MATMUL_BIAS]))
        dx[FIRN_MATMUL_BIAS] = firn_sum_rows(g, dy[0]);
    dx[FIRN_MATMUL_RESIDUAL] = dy[0];
}

static bool cut_at(void *attrs, const struct firn_call *part, int64_t row, bool is_turn)
{
    (void) part;
    (void) row;
    (void) is_turn;
    return !((const struct firn_matmul_attrs *) attrs)->trans_a;
}

static double matmul_flops(const struct firn_call *call)
{
    const struct firn_matmul_sizes s = firn_matmul_sizes(call);
    return 2.0 * (double) s.m * (double) s.n * (double) (s.k + s.r);
}

static const struct firn_matmul_attrs nn = { .alpha = 1 }, nt = { .trans_b = true, .alpha = 1 },
                                      tn = { .trans_a = true, .alpha = 1 },
                                      tt = { .trans_a = true, .trans_b = true, .alpha = 0.5f },
                                      nt_t = { .trans_b = true, .trans_v = true, .alpha = -2 };
// clang-format off
#define D(...) FIRN_DIMS(__VA_ARGS__)
/* Quantised b: forward and backward; whole blocks, blocks across rows, a short last block, an odd count, one element. */
#define QUANTISED(type)                                                                           \
    { .in = { D(1, 1), D(1, 1) }, &nt, .dtype = { 0, type }, .no_grad = true },                   \
    { .in = { D(3, 64), D(5, 64) }, &nt, .dtype = { 0, type }, .no_grad = true },                 \
    { .in = { D(9, 7), D(11, 7), D(11) }, &nt, .dtype = { 0, type }, .no_grad = true },           \
    { .in = { D(9, 11), D(11, 7), D(7), D(9, 7) }, &nn, .dtype = { 0, type }, .no_grad = true },  \
    { .in = { D(5, 48), D(11, 48), D(11), D(5, 11), D(5, 3), D(11, 3) }, &nt_t,                   \
      .dtype = { 0, type }, .no_grad = true },                                                    \
    { .in = { D(33, 100), D(68, 100), D(68), D(33, 68), D(33, 8), D(68, 8) }, &nt_t,              \
      .dtype = { 0, type }, .no_grad = true },                                                    \
    { .in = { D(33, 68), D(68, 100), D(100), D(33, 100), D(33, 8), D(8, 100) }, &nn,              \
      .dtype = { 0, type }, .no_grad = true },                                                    \
    { .in = { D(65, 129), D(67, 129) }, &nt, .dtype = { 0, type }, .no_grad = true },             \
    { .in = { D(65, 67), D(67, 129) }, &nn, .dtype = { 0, type }, .no_grad = true },              \
    { .in = { D(20, 260), D(300, 260) }, &nt, .dtype = { 0, type }, .no_grad = true },            \
    { .in = { D(36, 516), D(44, 516) }, &nt, .dtype = { 0, type }, .no_grad = true },             \
    { .in = { D(1024, 12), D(1028, 12) }, &nt, .dtype = { 0, type }, .no_grad = true },           \
    { .in = { D(0, 7), D(11, 7) }, &nt, .dtype = { 0, type }, .no_grad = true }
static const struct firn_case cases[] = {
    { .in = { D(1, 1), D(1, 1) }, &nn },
    { .in = { D(3, 5), D(5, 7) }, &nn },
    { .in = { D(3, 5), D(7, 5) }, &nt },
    { .in = { D(5, 3), D(5, 7) }, &tn },
    { .in = { D(5, 3), D(7, 5) }, &tt },
    { .in = { D(3, 0), D(0, 7) }, &nn },
    { .in = { D(0, 5), D(5, 7) }, &nn },
    { .in = { D(3, 5), D(5, 7), D(7), D(3, 7), D(3, 2), D(2, 7) }, &nn },
    { .in = { D(4, 6), D(3, 6), D(3), D(4, 3), D(4, 5), D(3, 5) }, &nt_t },
    { .in = { D(6, 4), D(6, 3), D(3), { 0 }, D(4, 5), D(5, 3) }, &tn },
    { .in = { D(33, 64), D(64, 68), D(68) }, &nn, .no_grad = true },
    { .in = { D(33, 64), D(68, 64), D(68), D(33, 68), D(33, 8), D(68, 8) }, &nt_t, .no_grad = true },
    { .in = { D(64, 36), D(64, 68), { 0 }, D(36, 68) }, &tn, .no_grad = true },
    { .in = { D(65, 129), D(129, 67) }, &nn, .no_grad = true },
    { .in = { D(65, 129), D(67, 129) }, &nt, .no_grad = true },
    { .in = { D(129, 65), D(129, 67) }, &tn, .no_grad = true },
    { .in = { D(129, 65), D(67, 129) }, &tt, .no_grad = true },
    { .in = { D(2048, 8), D(2048, 40) }, &tn, .no_grad = true },
    { .in = { D(2048, 40), D(2048, 7) }, &tn, .no_grad = true },
    { .in = { D(130, 260), D(8, 260) }, &nt, .no_grad = true },
    { .in = { D(33, 20), D(20, 67), D(67), D(33, 67), D(33, 3), D(3, 67) }, &nn, .no_grad = true },
    { .in = { D(70, 20), D(20, 9), D(9), D(70, 9), D(70, 3), D(3, 9) }, &nn, .no_grad = true },
    { .in = { D(33, 36), D(7, 36), D(7), { 0 }, D(33, 5), D(7, 5) }, &nt_t, .no_grad = true },
    { .in = { D(20, 70), D(20, 7), D(7), D(70, 7) }, &tn, .no_grad = true },
    { .in = { D(33, 64), D(64, 68), D(68) }, &nn, .dtype = { 0, FIRN_F16 }, .no_grad = true },
    { .in = { D(33, 64), D(68, 64), D(68) }, &nt, .dtype = { 0, FIRN_F16 }, .no_grad = true },
    { .in = { D(33, 64), D(64, 68), D(68) }, &nn, .dtype = { 0, FIRN_BF16 }, .no_grad = true },
    { .in = { D(33, 64), D(68, 64), D(68) }, &nt, .dtype = { 0, FIRN_BF16 }, .no_grad = true },
    { .in = { D(64, 36), D(64, 68), D(68), D(36, 68), D(36, 5), D(5, 68) }, &tn, .dtype = { 0, FIRN_F16 }, .no_grad = true },
    { .in = { D(64, 36), D(64, 68) }, &tn, .dtype = { 0, FIRN_BF16 }, .no_grad = true },
    { .in = { D(22, 36), D(70, 22), D(70), D(36, 70), D(36, 5), D(5, 70) }, &tt, .no_grad = true },
    { .in = { D(22, 36), D(68, 22) }, &tt, .dtype = { 0, FIRN_F16 }, .no_grad = true },
    { .in = { D(3, 22), D(70, 22), D(70) }, &nt, .dtype = { 0, FIRN_BF16 }, .no_grad = true },
    { .in = { D(2, 22), D(22, 72) }, &nn, .dtype = { 0, FIRN_F16 }, .no_grad = true },
    { .in = { D(12, 68), D(12, 16), D(16), { 0 }, D(68, 3), D(3, 16) }, &tn, .no_grad = true },
    { .in = { D(9, 7), D(11, 7) }, &nt, .dtype = { 0, FIRN_F16 }, .no_grad = true },
    { .in = { D(9, 7), D(7, 11) }, &nn, .dtype = { 0, FIRN_BF16 }, .no_grad = true },
    { .in = { D(70, 100), D(132, 100), D(132), D(70, 132), D(70, 16), D(132, 16) }, &nt_t, .dtype = { 0, FIRN_F16 }, .no_grad = true },
    { .in = { D(70, 100), D(100, 132), D(132), D(70, 132), D(70, 5), D(5, 132) }, &nn, .dtype = { 0, FIRN_BF16 }, .no_grad = true },
    { .in = { D(1024, 36), D(1028, 36), { 0 }, { 0 }, D(1024, 3), D(1028, 3) }, &nt_t, .dtype = { 0, FIRN_BF16 }, .no_grad = true },
    { .in = { D(1028, 36), D(36, 1024) }, &nn, .dtype = { 0, FIRN_F16 }, .no_grad = true },
    { .in = { D(33, 36), D(68, 36), D(68), D(33, 68), D(33, 70), D(68, 70) }, &nt_t, .dtype = { 0, FIRN_BF16 }, .no_grad = true },
    { .in = { D(33, 36), D(36, 68), { 0 }, D(33, 68), D(33, 37), D(37, 68) }, &nn, .dtype = { 0, FIRN_F16 }, .no_grad = true },
    { .in = { D(40, 600), D(600, 36), D(36), D(40, 36), D(40, 3), D(3, 36) }, &nn, .no_grad = true },
    { .in = { D(33, 530), D(35, 530), D(35), { 0 }, D(33, 5), D(35, 5) }, &nt_t, .no_grad = true },
    { .in = { D(600, 33), D(600, 36), { 0 }, D(33, 36) }, &tn, .no_grad = true },
    { .in = { D(600, 36), D(37, 600) }, &tt, .no_grad = true },
    { .in = { D(36, 516), D(516, 44) }, &nn, .dtype = { 0, FIRN_BF16 }, .no_grad = true },
    { .in = { D(36, 514), D(44, 514) }, &nt, .dtype = { 0, FIRN_F16 }, .no_grad = true },
    { .in = { D(7, 516), D(44, 516), D(44), D(7, 44), D(7, 3), D(44, 3) }, &nt_t, .dtype = { 0, FIRN_F16 }, .no_grad = true },
    { .in = { D(1024, 9), D(9, 1028), D(1028) }, &nn, .no_grad = true },
    { .in = { D(1024, 12), D(1028, 12), { 0 }, { 0 }, D(1024, 3), D(1028, 3) }, &nt_t, .no_grad = true },
    { .in = { D(18, 1028), D(18, 1024) }, &tn, .no_grad = true },
    { .in = { D(9, 2100), D(11, 2100), D(11), D(9, 11), D(9, 3), D(11, 3) }, &nt_t, .no_grad = true }, /* a long sum */
    { .in = { D(2100, 50), D(2100, 90), D(90), D(50, 90), D(50, 2), D(2, 90) }, &tn, .no_grad = true },
    { .in = { D(37, 40), D(145, 40), D(145) }, &nt, .no_grad = true },                                /* odd tiles */
    { .in = { D(37, 40), D(40, 97), { 0 }, D(37, 97) }, &nn, .no_grad = true },
    QUANTISED(FIRN_NF4),
    QUANTISED(FIRN_NF4_DOUBLE),
    QUANTISED(FIRN_INT8_ROWS),
};
// clang-format on

const struct firn_op firn_op_matmul = {
    .name = "matmul",
    .math = "y = alpha a b + u v + bias + residual",
    .n_in = 6,
    .n_out = 1,
    .cut = FIRN_CUT | 1u << FIRN_MATMUL_A | 1u << FIRN_MATMUL_RESIDUAL | 1u << FIRN_MATMUL_U,
    .cut_at = cut_at,
    .optional = 0x3c,
    .by_rows = 1u << FIRN_MATMUL_A | 1u << FIRN_MATMUL_RESIDUAL | 1u << FIRN_MATMUL_U,
    .inplace = 1u << FIRN_MATMUL_RESIDUAL,
    .attrs_size = sizeof(struct firn_matmul_attrs),
    .shape = matmul_shape,
    .ref = matmul_ref,
    .cpu = firn_matmul_cpu,
    .cpu_accepts = firn_matmul_cpu_accepts,
    .cpu_scratch = firn_matmul_cpu_scratch,
    .grad = matmul_grad,
    .kernels = firn_matmul_kernels,
    .flops = matmul_flops,
    .cases = cases,
    .n_cases = sizeof cases / sizeof cases[0],
    .bound = matmul_bound,
};

firn_val firn_matmul(struct firn_graph *g, firn_val a, firn_val b, const struct firn_matmul_params *p)
{
    const firn_val sliced = firn_matmul_sliced(g, a, b, p);
    if (firn_is_value(sliced))
        return sliced;
    const struct firn_matmul_attrs attrs = { p->trans_a, p->trans_b, p->trans_v,
                                             p->alpha != 0 ? p->alpha : 1 };
    return firn_emit1(g, &firn_op_matmul, (firn_val[]){ a, b, p->bias, p->residual, p->u, p->v }, &attrs);
}

const struct firn_op *const firn_family_matmul[] = { &firn_op_matmul, NULL };
