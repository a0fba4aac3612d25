/* SPDX-License-Identifier: Apache-2.0 */
/* Columns scaled by a vector (or all by one number), columns shifted by a vector, and the scale's gradient. */
#include "ops/ops.h"

#include <math.h>

/* One number for all, or one for each column. */
static bool scale_shape(struct firn_infer *s)
{
    if (!firn_infer_rank(s, 0, 2) || (firn_count(&s->in[1]) != firn_cols(&s->in[0]) && firn_count(&s->in[1]) != 1))
        return firn_infer_fail(s, "x is %s, the vector %s", FIRN_SHAPE_STR(&s->in[0].shape),
                               FIRN_SHAPE_STR(&s->in[1].shape));
    s->out[0] = s->in[0];
    return true;
}

static bool row_shape(struct firn_infer *s)
{
    if (!firn_infer_rank(s, 0, 2) || firn_count(&s->in[1]) != firn_cols(&s->in[0]))
        return firn_infer_fail(s, "x is %s, the vector %s", FIRN_SHAPE_STR(&s->in[0].shape),
                               FIRN_SHAPE_STR(&s->in[1].shape));
    s->out[0] = s->in[0];
    return true;
}

static void mul_ref(const struct firn_call *call)
{
    double *x = firn_ref_in(call, 0), *w = firn_ref_in(call, 1), *y = firn_ref_out(call, 0);
    for (int64_t i = 0; i < firn_count(&call->in[0]); i++)
        y[i] = x[i] * w[i % firn_count(&call->in[1])];
    firn_ref_free(x);
    firn_ref_free(w);
    firn_ref_store(call, 0, y);
}

static void add_ref(const struct firn_call *call)
{
    double *x = firn_ref_in(call, 0), *w = firn_ref_in(call, 1), *y = firn_ref_out(call, 0);
    for (int64_t i = 0; i < firn_count(&call->in[0]); i++)
        y[i] = x[i] + w[i % firn_cols(&call->in[0])];
    firn_ref_free(x);
    firn_ref_free(w);
    firn_ref_store(call, 0, y);
}

static void mul_body(void *user, int64_t begin, int64_t end)
{
    const struct firn_call *call = user;
    const int64_t cols = firn_cols(&call->in[0]);
    const float *w = firn_f32(&call->in[1]), *x = firn_f32(&call->in[0]);
    float *y = firn_f32(&call->out[0]);
    const bool is_one = firn_count(&call->in[1]) == 1;
    for (int64_t i = begin * cols; i < end * cols && is_one; i++)
        y[i] = x[i] * w[0];
    for (int64_t m = begin; m < end && !is_one; m++)
        for (int64_t c = 0; c < cols; c++)
            y[m * cols + c] = x[m * cols + c] * w[c];
}

static void add_body(void *user, int64_t begin, int64_t end)
{
    const struct firn_call *call = user;
    const int64_t cols = firn_cols(&call->in[0]);
    const float *w = firn_f32(&call->in[1]);
    for (int64_t m = begin; m < end; m++)
        for (int64_t c = 0; c < cols; c++)
            firn_f32(&call->out[0])[m * cols + c] = firn_f32(&call->in[0])[m * cols + c] + w[c];
}

static void mul_cpu(const struct firn_call *call)
{
    firn_over(call->pool, firn_n_rows(&call->in[0]), 32, mul_body, (void *) call);
}

static void add_cpu(const struct firn_call *call)
{
    firn_over(call->pool, firn_n_rows(&call->in[0]), 32, add_body, (void *) call);
}

static void mul_grad(struct firn_graph *g, const struct firn_node *n, const firn_val *dy, firn_val *dx)
{
    if (firn_wants(g, n->in[0]))
        dx[0] = firn_mul_row(g, dy[0], n->in[1]);
    if (!firn_wants(g, n->in[1]))
        return;
    const struct firn_shape w = firn_val_shape(g, n->in[1]), x = firn_val_shape(g, n->in[0]);
    const firn_val products = firn_mul(g, dy[0], n->in[0]); /* dw = their column sums */
    dx[1] = firn_shape_count(&w) == 1 && x.dim[1] != 1 ? firn_sum(g, products) : firn_sum_rows(g, products);
}

static void add_grad(struct firn_graph *g, const struct firn_node *n, const firn_val *dy, firn_val *dx)
{
    dx[0] = dy[0];
    if (firn_wants(g, n->in[1]))
        dx[1] = firn_sum_rows(g, dy[0]);
}

static void setup(const struct firn_call *call, const struct firn_limits *limits,
                  struct firn_dispatch *d)
{
    firn_setup_flat(call, limits, d);
    firn_push(d, (uint64_t) firn_count(&call->in[1]));
}

static bool is_wide_vector(const struct firn_call *call, const struct firn_limits *limits)
{
    return firn_count(&call->in[1]) == firn_cols(&call->in[0]) && firn_is_wide_row(call, limits);
}

static const struct firn_kernel mul_kernels[] = {
    { "mul_row_x4", "row_vector", "MUL=1 WIDE=4", .accepts = is_wide_vector, .setup = setup },
    { "mul_row", "row_vector", "MUL=1", .setup = setup },
    { NULL },
};
static const struct firn_kernel add_kernels[] = {
    { "add_row_x4", "row_vector", "MUL=0 WIDE=4", .accepts = firn_is_wide_row, .setup = setup },
    { "add_row", "row_vector", "MUL=0", .setup = setup },
    { NULL },
};

static const struct firn_case cases[] = {
    { .in = { FIRN_DIMS(1, 1), FIRN_DIMS(1) } },
    { .in = { FIRN_DIMS(9, 31), FIRN_DIMS(31) } },
    { .in = { FIRN_DIMS(0, 5), FIRN_DIMS(5) } },
    { .in = { FIRN_DIMS(33, 129), FIRN_DIMS(129) }, .no_grad = true },
    { .in = { FIRN_DIMS(33, 132), FIRN_DIMS(132) }, .no_grad = true },
};

static const struct firn_case scale_cases[] = {
    { .in = { FIRN_DIMS(1, 1), FIRN_DIMS(1) } },
    { .in = { FIRN_DIMS(9, 31), FIRN_DIMS(31) } },
    { .in = { FIRN_DIMS(0, 5), FIRN_DIMS(5) } },
    { .in = { FIRN_DIMS(7, 11), FIRN_DIMS(1) } },
    { .in = { FIRN_DIMS(33, 132), FIRN_DIMS(1) }, .no_grad = true },
    { .in = { FIRN_DIMS(33, 129), FIRN_DIMS(129) }, .no_grad = true },
    { .in = { FIRN_DIMS(33, 132), FIRN_DIMS(132) }, .no_grad = true },
};

static const struct firn_op mul_row = {
    .name = "mul_row",
    .math = "y[m, n] = x[m, n] w[n]",
    .n_in = 2,
    .n_out = 1,
    .cut = FIRN_CUT | 1,
    .by_rows = 1,
    .inplace = 1,
    .shape = scale_shape,
    .ref = mul_ref,
    .cpu = mul_cpu,
    .grad = mul_grad,
    .kernels = mul_kernels,
    .cases = scale_cases,
    .n_cases = sizeof scale_cases / sizeof scale_cases[0],
};

static const struct firn_op add_row = {
    .name = "add_row",
    .math = "y[m, n] = x[m, n] + w[n]",
    .n_in = 2,
    .n_out = 1,
    .cut = FIRN_CUT | 1,
    .by_rows = 1,
    .inplace = 1,
    .shape = row_shape,
    .ref = add_ref,
    .cpu = add_cpu,
    .grad = add_grad,
    .kernels = add_kernels,
    .cases = cases,
    .n_cases = sizeof cases / sizeof cases[0],
};

firn_val firn_mul_row(struct firn_graph *g, firn_val x, firn_val w)
{
    return firn_emit1(g, &mul_row, (firn_val[]){ x, w }, NULL);
}

firn_val firn_add_row(struct firn_graph *g, firn_val x, firn_val w)
{
    return firn_emit1(g, &add_row, (firn_val[]){ x, w }, NULL);
}

const struct firn_op *const firn_family_mul_row[] = { &mul_row, &add_row, NULL };
