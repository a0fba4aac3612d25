/* SPDX-License-Identifier: Apache-2.0 */
/* A vector over the norms of the rows of a matrix that changes by a low-rank product, which is never formed:
 * ||W + s B A||^2 of a row = ||W||^2 + (2 s W At + s^2 B A At) . B, with the first term constant. */
#include "ops/ops.h"

#include <math.h>

enum { M, SQUARES, P, B };

static bool over_shape(struct firn_infer *s)
{
    const int64_t n = firn_count(&s->in[M]);
    if (!firn_infer_rank(s, P, 2) || !firn_infer_rank(s, B, 2))
        return false;
    const struct firn_shape *p = &s->in[P].shape, *b = &s->in[B].shape;
    if (firn_count(&s->in[SQUARES]) != n || p->dim[1] != n || b->dim[0] != n || p->dim[0] != b->dim[1])
        return firn_infer_fail(s, "%lld rows, squares of %lld, parts %s and %s", (long long) n,
                               (long long) firn_count(&s->in[SQUARES]), FIRN_SHAPE_STR(p), FIRN_SHAPE_STR(b));
    s->out[0] = s->in[M];
    return true;
}

static void over_ref(const struct firn_call *call)
{
    const int64_t n = firn_count(&call->in[M]), r = firn_cols(&call->in[B]);
    double *m = firn_ref_in(call, M), *squares = firn_ref_in(call, SQUARES), *p = firn_ref_in(call, P);
    double *b = firn_ref_in(call, B), *y = firn_ref_out(call, 0);
    for (int64_t i = 0; i < n; i++) {
        double sum = squares[i];
        for (int64_t k = 0; k < r; k++)
            sum += p[k * n + i] * b[i * r + k];
        y[i] = sum > 0 ? m[i] / sqrt(sum) : 0;
    }
    firn_ref_free(m);
    firn_ref_free(squares);
    firn_ref_free(p);
    firn_ref_free(b);
    firn_ref_store(call, 0, y);
}

static void body(void *user, int64_t begin, int64_t end)
{
    const struct firn_call *call = user;
    const int64_t n = firn_count(&call->in[M]), r = firn_cols(&call->in[B]);
    const float *p = firn_f32(&call->in[P]), *b = firn_f32(&call->in[B]);
    for (int64_t i = begin; i < end; i++) {
        float sum = firn_f32(&call->in[SQUARES])[i];
        for (int64_t k = 0; k < r; k++)
            sum += p[k * n + i] * b[i * r + k];
        firn_f32(&call->out[0])[i] = sum > 0 ? firn_f32(&call->in[M])[i] / sqrtf(sum) : 0;
    }
}

static void over_cpu(const struct firn_call *call)
{
    firn_over(call->pool, firn_count(&call->in[M]), 512, body, (void *) call);
}

/* The norms are constants of the backward pass (Liu et al. 2024, sec. 4.3), so it is linear in m. */
static void over_grad(struct firn_graph *g, const struct firn_node *n, const firn_val *dy, firn_val *dx)
{
    dx[M] = firn_over_norm(g, dy[0], n->in[SQUARES], n->in[P], n->in[B]);
}

/* y = m q^(-1/2): half of q's relative error, which is that of a sum of r + 1 terms, and two roundings. */
static void over_bound(const struct firn_call *call, int out, double *bound)
{
    const int64_t n = firn_count(&call->in[M]), r = firn_cols(&call->in[B]);
    double *m = firn_ref_in(call, M), *squares = firn_ref_in(call, SQUARES), *p = firn_ref_in(call, P);
    double *b = firn_ref_in(call, B);
    (void) out;
    for (int64_t i = 0; i < n; i++) {
        double sum = squares[i], all = fabs(sum);
        for (int64_t k = 0; k < r; k++) {
            sum += p[k * n + i] * b[i * r + k];
            all += fabs(p[k * n + i] * b[i * r + k]);
        }
        bound[i] = sum > 0 ? fabs(m[i]) / sqrt(sum) * 0x1p-24 * (4 + 0.5 * (double) (r + 4) * all / sum) : 0;
    }
    firn_ref_free(m);
    firn_ref_free(squares);
    firn_ref_free(p);
    firn_ref_free(b);
}

static void setup(const struct firn_call *call, const struct firn_limits *limits, struct firn_dispatch *d)
{
    firn_setup_flat(call, limits, d);
    firn_push(d, (uint64_t) firn_cols(&call->in[B]));
}

static const struct firn_kernel kernels[] = { { "over_norm", "over_norm", .setup = setup }, { NULL } };

/* Positive terms: a norm's square is one. */
#define CASE(n, r) { .in = { FIRN_DIMS(n), FIRN_DIMS(n), FIRN_DIMS(r, n), FIRN_DIMS(n, r) }, \
                     .positive = 1u << SQUARES | 1u << P | 1u << B }
static const struct firn_case cases[] = { CASE(1, 1), CASE(31, 3), CASE(0, 2), CASE(1029, 8), CASE(7, 0) };

static const struct firn_op over_norm = {
    .name = "over_norm",
    .math = "y[n] = m[n] / sqrt(squares[n] + sum over r of p[r, n] b[n, r])",
    .n_in = 4,
    .n_out = 1,
    .inplace = 1u << M,
    .shape = over_shape,
    .ref = over_ref,
    .cpu = over_cpu,
    .grad = over_grad,
    .kernels = kernels,
    .cases = cases,
    .n_cases = sizeof cases / sizeof cases[0],
    .bound = over_bound,
};

firn_val firn_over_norm(struct firn_graph *g, firn_val m, firn_val squares, firn_val p, firn_val b)
{
    return firn_emit1(g, &over_norm, (firn_val[]){ m, squares, p, b }, NULL);
}

const struct firn_op *const firn_family_over_norm[] = { &over_norm, NULL };
