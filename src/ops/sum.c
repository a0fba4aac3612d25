/* SPDX-License-Identifier: Apache-2.0 */
/* Sum of all elements, in fixed order. */
#include "base/simd.h"
#include "ops/ops.h"

#include <math.h>

enum { PIECE = 4096, LANES = 16 };

static bool total_shape(struct firn_infer *s)
{
    s->out[0].dtype = s->in[0].dtype;
    s->out[0].shape = firn_dims(1);
    return true;
}

static void total_ref(const struct firn_call *call)
{
    double *x = firn_ref_in(call, 0), *y = firn_ref_out(call, 0);
    for (int64_t i = 0; i < firn_count(&call->in[0]); i++)
        *y += x[i];
    *y = *y;
    firn_ref_free(x);
    firn_ref_store(call, 0, y);
}

/* Pieces of 4096 in 16 interleaved parts; the pieces are added in double, in order. */
FIRN_SIMD static void body(void *user, int64_t begin, int64_t end)
{
    const struct firn_call *call = user;
    const float *restrict x = firn_f32(&call->in[0]);
    float part[LANES] = { 0 }, sum = 0;
    int64_t i = begin;
    for (; i + LANES <= end; i += LANES)
        for (int l = 0; l < LANES; l++)
            part[l] += x[i + l];
    for (; i < end; i++)
        sum += x[i];
    for (int l = 0; l < LANES; l++)
        sum += part[l];
    ((float *) call->scratch)[begin / PIECE] = sum;
}

static size_t scratch(const struct firn_call *call, int n_threads)
{
    (void) n_threads;
    return sizeof(float) * (size_t) (firn_count(&call->in[0]) / PIECE + 1);
}

static void total_cpu(const struct firn_call *call)
{
    const int64_t n = firn_count(&call->in[0]);
    double sum = 0;
    firn_over(call->pool, n, PIECE, body, (void *) call);
    for (int64_t p = 0; p * PIECE < n; p++)
        sum += (double) ((float *) call->scratch)[p];
    *firn_f32(&call->out[0]) = (float) (sum);
}

/* dx = dy at every element. */
static bool spread_shape(struct firn_infer *s)
{
    s->out[0].dtype = s->in[0].dtype;
    s->out[0].shape = *(const struct firn_shape *) s->attrs;
    return true;
}

static void spread_ref(const struct firn_call *call)
{
    double *dy = firn_ref_in(call, 0), *dx = firn_ref_out(call, 0);
    for (int64_t i = 0; i < firn_count(&call->out[0]); i++)
        dx[i] = *dy;
    firn_ref_free(dy);
    firn_ref_store(call, 0, dx);
}

static const struct firn_kernel spread_kernels[] = { { "spread", "spread", .setup = firn_setup_flat }, { NULL } };
static const struct firn_shape spread_to = FIRN_DIMS(3, 31);
static const struct firn_case spread_cases[] = { { .in = { FIRN_DIMS(1) }, &spread_to } };
static const struct firn_op spread = {
    .name = "spread",
    .math = "dx[i] = dy",
    .n_in = 1,
    .n_out = 1,
    .attrs_size = sizeof(struct firn_shape),
    .shape = spread_shape,
    .ref = spread_ref,
    .kernels = spread_kernels,
    .cases = spread_cases,
    .n_cases = 1,
};

static void sum_grad(struct firn_graph *g, const struct firn_node *n, const firn_val *dy, firn_val *dx)
{
    const struct firn_shape shape = firn_val_shape(g, n->in[0]);
    dx[0] = firn_emit1(g, &spread, dy, &shape);
}

static int64_t n_parts(const struct firn_call *call)
{
    return (firn_count(&call->in[0]) + PIECE - 1) / PIECE;
}

static size_t parts_scratch(const struct firn_call *call, const struct firn_limits *limits)
{
    (void) limits;
    return sizeof(float) * (size_t) (n_parts(call) + 1);
}

static void parts_setup(const struct firn_call *call, const struct firn_limits *limits,
                        struct firn_dispatch *d)
{
    firn_push(d, (uint64_t) firn_count(&call->in[0]));
    firn_grid_flat(d, limits, (n_parts(call) + 7) / 8);
}

static void join_setup(const struct firn_call *call, const struct firn_limits *limits,
                       struct firn_dispatch *d)
{
    firn_push(d, (uint64_t) n_parts(call));
    firn_grid_flat(d, limits, 1);
}

/* A lane a piece of 4096, then one lane over the pieces, with a compensated sum. */
static const struct firn_kernel join = { "sum_join", "sum", "JOIN=1", .setup = join_setup };
static const struct firn_kernel kernels[] = {
    { "sum", "sum", "JOIN=0", .setup = parts_setup, .scratch = parts_scratch, .then = &join },
    { NULL },
};

static void total_bound(const struct firn_call *call, int out, double *bound)
{
    double *x = firn_ref_in(call, 0), sum = 0;
    const int64_t n = firn_count(&call->in[0]);
    (void) out;
    for (int64_t i = 0; i < n; i++)
        sum += fabs(x[i]);
    bound[0] = (double) (8 + (n < PIECE ? n : PIECE)) * 0x1p-24 * sum;
    firn_ref_free(x);
}

static const struct firn_case cases[] = {
    { .in = { FIRN_DIMS(1) } },
    { .in = { FIRN_DIMS(3, 31) } },
    { .in = { FIRN_DIMS(4097) }, .no_grad = true },
    { .in = { FIRN_DIMS(40000) }, .no_grad = true },
    { .in = { FIRN_DIMS(0, 5) }, .no_grad = true },
};

static const struct firn_op sum = {
    .name = "sum",
    .math = "y = sum of x",
    .n_in = 1,
    .n_out = 1,
    .shape = total_shape,
    .ref = total_ref,
    .cpu = total_cpu,
    .cpu_scratch = scratch,
    .grad = sum_grad,
    .kernels = kernels,
    .cases = cases,
    .n_cases = sizeof cases / sizeof cases[0],
    .bound = total_bound,
};

firn_val firn_sum(struct firn_graph *g, firn_val x)
{
    return firn_emit1(g, &sum, &x, NULL);
}

const struct firn_op *const firn_family_sum[] = { &sum, &spread, NULL };
