/* SPDX-License-Identifier: Apache-2.0 */
/* Square root of the sum of squares of all elements, in fixed order. */
#include "base/simd.h"
#include "ops/ops.h"
#include "ops/reduce.h"

#include <math.h>

enum { PIECE = 4096 };

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
        *y += x[i] * x[i];
    *y = sqrt(*y);
    firn_ref_free(x);
    firn_ref_store(call, 0, y);
}

/* Sums of pieces of 4096; the pieces are added in double, in order. */
FIRN_SIMD static void body(void *user, int64_t begin, int64_t end)
{
    const struct firn_call *call = user;
    const float *x = firn_f32(&call->in[0]) + begin;
    ((float *) call->scratch)[begin / PIECE] = firn_dot_f32(x, x, end - begin);
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
    *firn_f32(&call->out[0]) = (float) sqrt(sum);
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

static void lanes_setup(const struct firn_call *call, const struct firn_limits *limits,
                        struct firn_dispatch *d)
{
    firn_push(d, (uint64_t) firn_count(&call->in[0]));
    firn_grid_flat(d, limits, (n_parts(call) + 7) / 8);
}

static void groups_setup(const struct firn_call *call, const struct firn_limits *limits,
                         struct firn_dispatch *d)
{
    firn_push(d, (uint64_t) firn_count(&call->in[0]));
    firn_grid_flat(d, limits, n_parts(call));
}

static void join_setup(const struct firn_call *call, const struct firn_limits *limits,
                       struct firn_dispatch *d)
{
    firn_push(d, (uint64_t) n_parts(call));
    firn_grid_flat(d, limits, 1);
}

static const struct firn_kernel join_subgroup = { "norm2_subgroup_join", "total", "NORM=1 JOIN=1 LANES=64 SUBGROUPS=1",
                                               .setup = join_setup };
static const struct firn_kernel join_group = { "norm2_group_join", "total", "NORM=1 JOIN=1 LANES=64",
                                               .setup = join_setup };
static const struct firn_kernel join_lane = { "norm2_lane_join", "total", "NORM=1 JOIN=1 LANES=1",
                                              .setup = join_setup };
static const struct firn_kernel kernels[] = {
    { "norm2_subgroup", "total", "NORM=1 JOIN=0 LANES=64 SUBGROUPS=1", .needs = FIRN_CAP_SHMEM | FIRN_CAP_SUBGROUP, .setup = groups_setup,
      .scratch = parts_scratch, .then = &join_subgroup },
    { "norm2_group", "total", "NORM=1 JOIN=0 LANES=64", .needs = FIRN_CAP_SHMEM, .setup = groups_setup,
      .scratch = parts_scratch, .then = &join_group },
    { "norm2_lane", "total", "NORM=1 JOIN=0 LANES=1", .setup = lanes_setup, .scratch = parts_scratch,
      .then = &join_lane },
    { NULL },
};

static void total_bound(const struct firn_call *call, int out, double *bound)
{
    double *x = firn_ref_in(call, 0), sum = 0;
    const int64_t n = firn_count(&call->in[0]);
    (void) out;
    for (int64_t i = 0; i < n; i++)
        sum += fabs(x[i] * x[i]);
    bound[0] = (double) (8 + (n < PIECE ? n : PIECE)) * 0x1p-24 * sqrt(sum);
    firn_ref_free(x);
}

static const struct firn_op norm2_dx;

static void norm2_grad(struct firn_graph *g, const struct firn_node *n, const firn_val *dy, firn_val *dx)
{
    dx[0] = firn_emit1(g, &norm2_dx, (firn_val[]){ n->in[0], n->out[0], dy[0] }, NULL);
}

static const struct firn_case cases[] = {
    { .in = { FIRN_DIMS(1) } },
    { .in = { FIRN_DIMS(3, 31) } },
    { .in = { FIRN_DIMS(4097) }, .no_grad = true },
    { .in = { FIRN_DIMS(40000) }, .no_grad = true },
    { .in = { FIRN_DIMS(0, 5) }, .no_grad = true },
};

static const struct firn_op norm2 = {
    .name = "norm2",
    .math = "y = sqrt(sum of x^2)",
    .n_in = 1,
    .n_out = 1,
    .shape = total_shape,
    .ref = total_ref,
    .cpu = total_cpu,
    .cpu_scratch = scratch,
    .grad = norm2_grad,
    .kernels = kernels,
    .cases = cases,
    .n_cases = sizeof cases / sizeof cases[0],
    .bound = total_bound,
};

enum { X, Y, DY };

static bool dx_shape(struct firn_infer *s)
{
    s->out[0] = s->in[X];
    return (firn_count(&s->in[Y]) == 1 && firn_count(&s->in[DY]) == 1) || firn_infer_fail(s, "y and dy are not [1]");
}

static void dx_ref(const struct firn_call *call)
{
    double *x = firn_ref_in(call, X), *y = firn_ref_in(call, Y), *dy = firn_ref_in(call, DY), *dx = firn_ref_out(call, 0);
    for (int64_t i = 0; i < firn_count(&call->in[X]); i++)
        dx[i] = *y > 0 ? x[i] * *dy / *y : 0;
    firn_ref_free(x);
    firn_ref_free(y);
    firn_ref_free(dy);
    firn_ref_store(call, 0, dx);
}

static const struct firn_kernel dx_kernels[] = { { "norm2_dx", "norm2_dx", .setup = firn_setup_flat }, { NULL } };
static const struct firn_case dx_cases[] = {
    { .in = { FIRN_DIMS(1), FIRN_DIMS(1), FIRN_DIMS(1) }, .positive = 1u << Y },
    { .in = { FIRN_DIMS(3, 31), FIRN_DIMS(1), FIRN_DIMS(1) }, .positive = 1u << Y },
    { .in = { FIRN_DIMS(0, 5), FIRN_DIMS(1), FIRN_DIMS(1) }, .positive = 1u << Y },
    { .in = { FIRN_DIMS(33, 129), FIRN_DIMS(1), FIRN_DIMS(1) }, .positive = 1u << Y },
};

static const struct firn_op norm2_dx = {
    .name = "norm2_dx",
    .math = "dx = x dy / y, 0 where y is",
    .n_in = 3,
    .n_out = 1,
    .shape = dx_shape,
    .ref = dx_ref,
    .kernels = dx_kernels,
    .cases = dx_cases,
    .n_cases = sizeof dx_cases / sizeof dx_cases[0],
};

firn_val firn_norm2(struct firn_graph *g, firn_val x)
{
    const firn_val sliced = firn_norm2_sliced(g, x);
    if (firn_is_value(sliced))
        return sliced;
    return firn_emit1(g, &norm2, &x, NULL);
}

const struct firn_op *const firn_family_norm2[] = { &norm2, &norm2_dx, NULL };
