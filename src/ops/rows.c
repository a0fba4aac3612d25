/* SPDX-License-Identifier: Apache-2.0 */
/* A run of rows as a view, and its gradient: the rows put back into zeros. */
#include "ops/ops.h"

struct rows_attrs {
    int64_t start, count, of; /* of: rows of the whole */
};

static bool rows_shape(struct firn_infer *s)
{
    const struct rows_attrs *a = s->attrs;
    if (s->in[0].shape.rank < 1 || a->start < 0 || a->count < 0 || a->start > s->in[0].shape.dim[0] - a->count)
        return firn_infer_fail(s, "rows %lld + %lld of %lld", (long long) a->start,
                               (long long) a->count, (long long) s->in[0].shape.dim[0]);
    s->out[0] = s->in[0];
    s->out[0].shape.dim[0] = a->count;
    return true;
}

static int64_t rows_offset(const struct firn_call *call)
{
    const struct firn_tensor *x = &call->in[0];
    return ((const struct rows_attrs *) call->attrs)->start * (x->shape.rank > 1 ? firn_cols(x) : 1);
}

static void rows_grad(struct firn_graph *g, const struct firn_node *n, const firn_val *dy, firn_val *dx);

static const struct firn_op rows = {
    .name = "rows",
    .math = "y = x[start .. start + count]",
    .n_in = 1,
    .n_out = 1,
    .alias = true,
    .alias_offset = rows_offset,
    .attrs_size = sizeof(struct rows_attrs),
    .shape = rows_shape,
    .grad = rows_grad,
};

static bool put_shape(struct firn_infer *s)
{
    const struct rows_attrs *a = s->attrs;
    s->out[0] = s->in[0];
    s->out[0].shape.dim[0] = a->of;
    return firn_infer_rank(s, 0, 2);
}

static void put_ref(const struct firn_call *call)
{
    const struct rows_attrs *a = call->attrs;
    const int64_t cols = firn_cols(&call->in[0]);
    double *x = firn_ref_in(call, 0), *y = firn_ref_out(call, 0);
    for (int64_t i = 0; i < a->count * cols; i++)
        y[a->start * cols + i] = x[i];
    firn_ref_free(x);
    firn_ref_store(call, 0, y);
}

static void put_cpu(const struct firn_call *call)
{
    const struct rows_attrs *a = call->attrs;
    const int64_t cols = firn_cols(&call->in[0]);
    float *y = firn_f32(&call->out[0]);
    memset(y, 0, sizeof *y * (size_t) (a->start * cols));
    memcpy(y + a->start * cols, call->in[0].data, sizeof *y * (size_t) (a->count * cols));
    memset(y + (a->start + a->count) * cols, 0,
           sizeof *y * (size_t) ((a->of - a->start - a->count) * cols));
}

static void put_grad(struct firn_graph *g, const struct firn_node *n, const firn_val *dy, firn_val *dx)
{
    const struct rows_attrs *a = n->attrs;
    dx[0] = firn_rows(g, dy[0], a->start, a->count);
}

static void put_setup(const struct firn_call *call, const struct firn_limits *limits,
                      struct firn_dispatch *d)
{
    const struct rows_attrs *a = call->attrs;
    const int64_t cols = firn_cols(&call->in[0]);
    firn_setup_flat(call, limits, d);
    firn_push(d, (uint32_t) (a->start * cols)); /* of a part behind them: below zero, which wraps */
    firn_push(d, (uint64_t) (a->count * cols));
}

static bool put_cut_at(void *attrs, const struct firn_call *part, int64_t row, bool is_turn)
{
    struct rows_attrs *a = attrs;
    (void) is_turn;
    a->start -= row;
    a->of = part->out[0].shape.dim[0];
    return true;
}

static const struct firn_kernel put_kernels[] = {
    { "put_rows_x4", "put_rows", "WIDE=4", .accepts = firn_is_wide_row, .setup = put_setup },
    { "put_rows", "put_rows", .setup = put_setup },
    { NULL },
};

static const struct rows_attrs middle = { 2, 3, 7 }, all = { 0, 3, 3 }, none = { 1, 0, 2 };
static const struct firn_case put_cases[] = {
    { .in = { FIRN_DIMS(3, 31) }, &middle },
    { .in = { FIRN_DIMS(3, 5) }, &all },
    { .in = { FIRN_DIMS(3, 36) }, &middle },
    { .in = { FIRN_DIMS(0, 5) }, &none },
};

static const struct firn_op put_rows = {
    .name = "put_rows",
    .math = "y = 0; y[start .. start + count] = x",
    .n_in = 1,
    .n_out = 1,
    .cut = FIRN_CUT,
    .cut_at = put_cut_at,
    .attrs_size = sizeof(struct rows_attrs),
    .shape = put_shape,
    .ref = put_ref,
    .cpu = put_cpu,
    .grad = put_grad,
    .kernels = put_kernels,
    .cases = put_cases,
    .n_cases = sizeof put_cases / sizeof put_cases[0],
};

static void rows_grad(struct firn_graph *g, const struct firn_node *n, const firn_val *dy, firn_val *dx)
{
    dx[0] = firn_emit1(g, &put_rows, dy, n->attrs);
}

firn_val firn_rows(struct firn_graph *g, firn_val x, int64_t start, int64_t count)
{
    if (!firn_is_value(x))
        return x;
    const struct firn_shape shape = firn_val_shape(g, x);
    return firn_emit1(g, &rows, &x, &(struct rows_attrs){ start, count, shape.dim[0] });
}

const struct firn_op *const firn_family_rows[] = { &rows, &put_rows, NULL };
