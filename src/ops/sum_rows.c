/* SPDX-License-Identifier: Apache-2.0 */
/* Column sums: the gradient of a bias. Rows are added in order. */
#include "base/simd.h"
#include "ops/ops.h"

#include <math.h>

static bool sum_shape(struct firn_infer *s)
{
    s->out[0].dtype = s->in[0].dtype;
    s->out[0].shape = firn_dims(firn_cols(&s->in[0]));
    return firn_infer_rank(s, 0, 2);
}

static void sum_ref(const struct firn_call *call)
{
    const int64_t cols = firn_cols(&call->in[0]);
    double *x = firn_ref_in(call, 0), *y = firn_ref_out(call, 0);
    for (int64_t i = 0; i < firn_count(&call->in[0]); i++)
        y[i % cols] += x[i];
    firn_ref_free(x);
    firn_ref_store(call, 0, y);
}

FIRN_SIMD static void body(void *user, int64_t begin, int64_t end)
{
    const struct firn_call *call = user;
    const int64_t cols = firn_cols(&call->in[0]);
    float *restrict y = firn_f32(&call->out[0]);
    for (int64_t c = begin; c < end; c++)
        y[c] = 0;
    for (int64_t m = 0; m < call->in[0].shape.dim[0]; m++) {
        const float *restrict x = firn_f32(&call->in[0]) + m * cols;
        for (int64_t c = begin; c < end; c++)
            y[c] += x[c];
    }
}

static void sum_cpu(const struct firn_call *call)
{
    firn_over(call->pool, firn_cols(&call->in[0]), 256, body, (void *) call);
}

static void sum_bound(const struct firn_call *call, int out, double *bound)
{
    const int64_t cols = firn_cols(&call->in[0]), rows = call->in[0].shape.dim[0];
    double *x = firn_ref_in(call, 0);
    (void) out;
    memset(bound, 0, sizeof *bound * (size_t) cols);
    for (int64_t i = 0; i < rows * cols; i++)
        bound[i % cols] += (double) (rows + 2) * 0x1p-24 * fabs(x[i]);
    firn_ref_free(x);
}

static void setup(const struct firn_call *call, const struct firn_limits *limits,
                  struct firn_dispatch *d)
{
    firn_push(d, (uint64_t) call->in[0].shape.dim[0]);
    firn_push(d, (uint64_t) firn_cols(&call->in[0]));
    firn_grid_flat(d, limits, (firn_cols(&call->in[0]) + 31) / 32);
}

/* Many rows: a work group for each 64 of them and 64 columns, then one for each 64 columns. */
enum { BLOCK = 64 };

static int64_t n_blocks(const struct firn_call *call)
{
    return (call->in[0].shape.dim[0] + BLOCK - 1) / BLOCK;
}

static bool blocks_fit(const struct firn_call *call, const struct firn_limits *limits)
{
    (void) limits;
    return n_blocks(call) > 2;
}

static size_t blocks_scratch(const struct firn_call *call, const struct firn_limits *limits)
{
    (void) limits;
    return sizeof(float) * (size_t) (n_blocks(call) * firn_count(&call->out[0]) + 1);
}

static void push_blocks(const struct firn_call *call, const struct firn_limits *limits,
                        struct firn_dispatch *d, int64_t blocks)
{
    const int64_t cols = firn_count(&call->out[0]);
    firn_push(d, (uint64_t) call->in[0].shape.dim[0]);
    firn_push(d, (uint64_t) cols);
    firn_grid_flat(d, limits, (cols + BLOCK - 1) / BLOCK * blocks);
}

static void blocks_setup(const struct firn_call *call, const struct firn_limits *limits,
                         struct firn_dispatch *d)
{
    push_blocks(call, limits, d, n_blocks(call));
}

static void join_setup(const struct firn_call *call, const struct firn_limits *limits,
                       struct firn_dispatch *d)
{
    push_blocks(call, limits, d, 1);
}

static const struct firn_kernel join = { "sum_rows_join", "sum_rows_blocks", "JOIN=1", .setup = join_setup };
static const struct firn_kernel kernels[] = {
    { "sum_rows_blocks", "sum_rows_blocks", "JOIN=0", .needs = FIRN_CAP_SHMEM, .accepts = blocks_fit,
      .setup = blocks_setup, .scratch = blocks_scratch, .then = &join },
    { "sum_rows", "sum_rows", .setup = setup },
    { NULL },
};

static const struct firn_op spread_rows;

static void sum_grad(struct firn_graph *g, const struct firn_node *n, const firn_val *dy, firn_val *dx)
{
    const int64_t rows = firn_val_shape(g, n->in[0]).dim[0];
    dx[0] = firn_emit1(g, &spread_rows, dy, &rows);
}

static const struct firn_case cases[] = {
    { .in = { FIRN_DIMS(1, 1) } },
    { .in = { FIRN_DIMS(9, 31) } },
    { .in = { FIRN_DIMS(0, 5) } },
    { .in = { FIRN_DIMS(257, 129) }, .no_grad = true },
};

static const struct firn_op sum_rows = {
    .name = "sum_rows",
    .math = "y[n] = sum over m of x[m, n]",
    .n_in = 1,
    .n_out = 1,
    .shape = sum_shape,
    .ref = sum_ref,
    .cpu = sum_cpu,
    .grad = sum_grad,
    .kernels = kernels,
    .cases = cases,
    .n_cases = sizeof cases / sizeof cases[0],
    .bound = sum_bound,
};

static bool spread_shape(struct firn_infer *s)
{
    s->out[0].dtype = s->in[0].dtype;
    s->out[0].shape = firn_dims(*(const int64_t *) s->attrs, firn_count(&s->in[0]));
    return firn_infer_rank(s, 0, 1);
}

static void spread_ref(const struct firn_call *call)
{
    const int64_t cols = firn_cols(&call->out[0]);
    double *x = firn_ref_in(call, 0), *y = firn_ref_out(call, 0);
    for (int64_t i = 0; i < firn_count(&call->out[0]); i++)
        y[i] = x[i % cols];
    firn_ref_free(x);
    firn_ref_store(call, 0, y);
}

static void spread_setup(const struct firn_call *call, const struct firn_limits *limits,
                         struct firn_dispatch *d)
{
    firn_setup_flat(call, limits, d);
    firn_push(d, (uint64_t) firn_cols(&call->out[0]));
}

static const struct firn_kernel spread_kernels[] = { { "spread_rows", "spread_rows", .setup = spread_setup }, { NULL } };
static const int64_t nine = 9;
static const struct firn_case spread_cases[] = { { .in = { FIRN_DIMS(31) }, &nine } };

static const struct firn_op spread_rows = {
    .name = "spread_rows",
    .math = "y[m, n] = x[n]",
    .n_in = 1,
    .n_out = 1,
    .cut = FIRN_CUT,
    .attrs_size = sizeof(int64_t),
    .shape = spread_shape,
    .ref = spread_ref,
    .kernels = spread_kernels,
    .cases = spread_cases,
    .n_cases = 1,
};

firn_val firn_sum_rows(struct firn_graph *g, firn_val x)
{
    return firn_emit1(g, &sum_rows, &x, NULL);
}

const struct firn_op *const firn_family_sum_rows[] = { &sum_rows, &spread_rows, NULL };
