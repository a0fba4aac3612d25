/* SPDX-License-Identifier: Apache-2.0 */
/* Columns picked by number. The numbers are a partial permutation that comes with its inverse: each is the gradient of the
 * other, so that nothing is ever added up. */
#include "ops/ops.h"

enum { X, AT, BACK };

static bool pick_shape(struct firn_infer *s)
{
    if (!firn_infer_rank(s, X, 2) || !firn_infer_rank(s, AT, 1) || !firn_infer_rank(s, BACK, 1))
        return false;
    if (s->in[BACK].shape.dim[0] != s->in[X].shape.dim[1])
        return firn_infer_fail(s, "x is %s, the way back %s", FIRN_SHAPE_STR(&s->in[X].shape),
                               FIRN_SHAPE_STR(&s->in[BACK].shape));
    s->out[0].dtype = s->in[X].dtype;
    s->out[0].shape = firn_dims(s->in[X].shape.dim[0], s->in[AT].shape.dim[0]);
    return true;
}

static void pick_ref(const struct firn_call *call)
{
    const int64_t from = firn_cols(&call->in[X]), cols = firn_cols(&call->out[0]);
    const int32_t *at = firn_i32(&call->in[AT]);
    double *x = firn_ref_in(call, X), *y = firn_ref_out(call, 0);
    for (int64_t m = 0; m < firn_n_rows(&call->out[0]); m++)
        for (int64_t k = 0; k < cols; k++)
            y[m * cols + k] = at[k] >= 0 && at[k] < from ? x[m * from + at[k]] : 0;
    firn_ref_free(x);
    firn_ref_store(call, 0, y);
}

static void body(void *user, int64_t begin, int64_t end)
{
    const struct firn_call *call = user;
    const int64_t from = firn_cols(&call->in[X]), cols = firn_cols(&call->out[0]);
    const int32_t *at = firn_i32(&call->in[AT]);
    for (int64_t m = begin; m < end; m++) {
        const float *x = firn_f32(&call->in[X]) + m * from;
        float *y = firn_f32(&call->out[0]) + m * cols;
        for (int64_t k = 0; k < cols; k++)
            y[k] = at[k] >= 0 && at[k] < from ? x[at[k]] : 0;
    }
}

static void pick_cpu(const struct firn_call *call)
{
    firn_over(call->pool, firn_n_rows(&call->out[0]), 8, body, (void *) call);
}

static void pick_grad(struct firn_graph *g, const struct firn_node *n, const firn_val *dy, firn_val *dx)
{
    if (firn_wants(g, n->in[X]))
        dx[X] = firn_pick_columns(g, dy[0], n->in[BACK], n->in[AT]);
}

static void setup(const struct firn_call *call, const struct firn_limits *limits, struct firn_dispatch *d)
{
    firn_setup_flat(call, limits, d);
    firn_push(d, (uint64_t) firn_cols(&call->out[0]));
    firn_push(d, (uint64_t) firn_cols(&call->in[X]));
}

static void exact(const struct firn_call *call, int out, double *bound)
{
    memset(bound, 0, sizeof *bound * (size_t) firn_count(&call->out[out]));
}

static const struct firn_kernel kernels[] = { { "pick_columns", "pick_columns", .setup = setup }, { NULL } };

/* Random numbers are no inverse of each other: only the first is differentiated, its only column. tests/ops/test_losses.c
 * has the rule with a true inverse. */
static const struct firn_case cases[] = {
    { .in = { FIRN_DIMS(5, 1), FIRN_DIMS(1), FIRN_DIMS(1) }, .below = { 0, 1, 1 } },
    { .in = { FIRN_DIMS(7, 11), FIRN_DIMS(3), FIRN_DIMS(11) }, .below = { 0, 11, 3 }, .no_grad = true },
    { .in = { FIRN_DIMS(33, 3), FIRN_DIMS(129), FIRN_DIMS(3) }, .below = { 0, 7, 129 }, .no_grad = true }, /* some outside */
    { .in = { FIRN_DIMS(0, 3), FIRN_DIMS(5), FIRN_DIMS(3) }, .below = { 0, 3, 5 }, .no_grad = true },
};

static const struct firn_op pick_columns = {
    .name = "pick_columns",
    .math = "y[m, k] = x[m, at[k]]; 0 outside",
    .n_in = 3,
    .n_out = 1,
    .integer = 6,
    .by_rows = 1,
    .shape = pick_shape,
    .ref = pick_ref,
    .cpu = pick_cpu,
    .grad = pick_grad,
    .kernels = kernels,
    .cases = cases,
    .n_cases = sizeof cases / sizeof cases[0],
    .bound = exact,
};

firn_val firn_pick_columns(struct firn_graph *g, firn_val x, firn_val at, firn_val back)
{
    return firn_emit1(g, &pick_columns, (firn_val[]){ x, at, back }, NULL);
}

const struct firn_op *const firn_family_pick_columns[] = { &pick_columns, NULL };
