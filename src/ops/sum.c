/* SPDX-License-Identifier: Apache-2.0 */
/* Sum of all elements, in fixed order. */
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
        *y += x[i];
    firn_ref_free(x);
    firn_ref_store(call, 0, y);
}

/* Sums of pieces of 4096; the pieces are added in double, in order. */
FIRN_SIMD static void body(void *user, int64_t begin, int64_t end)
{
    const struct firn_call *call = user;
    const float *x = firn_f32(&call->in[0]) + begin;
    ((float *) call->scratch)[begin / PIECE] = firn_sum_f32(x, end - begin);
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
    *firn_f32(&call->out[0]) = (float) sum;
}

/* dx = dy at every element. */
static bool spread_shape(struct firn_infer *s)
{
    s->out[0].dtype = s->in[0].dtype;
    s->out[0].shape = *(const struct firn_shape *) s->attrs;
    return firn_count(&s->in[0]) == 1 ||
           firn_infer_fail(s, "%s is not one element", FIRN_SHAPE_STR(&s->in[0].shape));
}

static void spread_ref(const struct firn_call *call)
{
    double *dy = firn_ref_in(call, 0), *dx = firn_ref_out(call, 0);
    for (int64_t i = 0; i < firn_count(&call->out[0]); i++)
        dx[i] = *dy;
    firn_ref_free(dy);
    firn_ref_store(call, 0, dx);
}

static void spread_grad(struct firn_graph *g, const struct firn_node *n, const firn_val *dy, firn_val *dx)
{
    (void) n;
    dx[0] = firn_sum(g, dy[0]);
}

static const struct firn_kernel spread_kernels[] = {
    { "spread_x4", "spread", "WIDE=4", .accepts = firn_is_wide, .setup = firn_setup_flat },
    { "spread", "spread", .setup = firn_setup_flat },
    { NULL },
};
static const struct firn_shape odd = FIRN_DIMS(3, 31), wide = FIRN_DIMS(3, 36);
static const struct firn_case spread_cases[] = {
    { .in = { FIRN_DIMS(1) }, &odd },
    { .in = { FIRN_DIMS(1) }, &wide },
};
static const struct firn_op spread = {
    .name = "spread",
    .math = "dx[i] = dy",
    .n_in = 1,
    .n_out = 1,
    .cut = FIRN_CUT,
    .attrs_size = sizeof(struct firn_shape),
    .shape = spread_shape,
    .ref = spread_ref,
    .grad = spread_grad,
    .kernels = spread_kernels,
    .cases = spread_cases,
    .n_cases = sizeof spread_cases / sizeof spread_cases[0],
};

firn_val firn_spread(struct firn_graph *g, firn_val x, struct firn_shape shape)
{
    return firn_emit1(g, &spread, &x, &shape);
}

static void sum_grad(struct firn_graph *g, const struct firn_node *n, const firn_val *dy, firn_val *dx)
{
    dx[0] = firn_spread(g, dy[0], firn_val_shape(g, n->in[0]));
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

static const struct firn_kernel join_subgroup = { "sum_subgroup_join", "total", "NORM=0 JOIN=1 LANES=64 SUBGROUPS=1",
                                               .setup = join_setup };
static const struct firn_kernel join_group = { "sum_group_join", "total", "NORM=0 JOIN=1 LANES=64",
                                               .setup = join_setup };
static const struct firn_kernel join_lane = { "sum_lane_join", "total", "NORM=0 JOIN=1 LANES=1",
                                              .setup = join_setup };
static const struct firn_kernel kernels[] = {
    { "sum_subgroup", "total", "NORM=0 JOIN=0 LANES=64 SUBGROUPS=1", .needs = FIRN_CAP_SHMEM | FIRN_CAP_SUBGROUP, .setup = groups_setup,
      .scratch = parts_scratch, .then = &join_subgroup },
    { "sum_group", "total", "NORM=0 JOIN=0 LANES=64", .needs = FIRN_CAP_SHMEM, .setup = groups_setup,
      .scratch = parts_scratch, .then = &join_group },
    { "sum_lane", "total", "NORM=0 JOIN=0 LANES=1", .setup = lanes_setup, .scratch = parts_scratch,
      .then = &join_lane },
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
