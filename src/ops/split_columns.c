/* SPDX-License-Identifier: Apache-2.0 */
/* One product for queries, keys and values (GPT-2's c_attn) cut into its three parts, and the gradients put side by side
 * again. Rows are as wide as the three together, so that a part is no view: its rows do not follow each other. */
#include "ops/ops.h"

enum { PARTS = 3 };

static bool split_shape(struct firn_infer *s)
{
    if (!firn_infer_rank(s, 0, 2) || firn_cols(&s->in[0]) % PARTS != 0)
        return firn_infer_fail(s, "x is %s, its columns no three equal parts", FIRN_SHAPE_STR(&s->in[0].shape));
    for (int j = 0; j < PARTS; j++) {
        s->out[j] = s->in[0];
        s->out[j].shape.dim[1] /= PARTS;
    }
    return true;
}

static void split_ref(const struct firn_call *call)
{
    const int64_t rows = firn_n_rows(&call->out[0]), cols = firn_cols(&call->out[0]);
    double *x = firn_ref_in(call, 0);
    for (int j = 0; j < PARTS; j++) {
        double *y = firn_ref_out(call, j);
        for (int64_t m = 0; m < rows; m++)
            for (int64_t c = 0; c < cols; c++)
                y[m * cols + c] = x[(m * PARTS + j) * cols + c];
        firn_ref_store(call, j, y);
    }
    firn_ref_free(x);
}

static void split_body(void *user, int64_t begin, int64_t end)
{
    const struct firn_call *call = user;
    const size_t cols = (size_t) firn_cols(&call->out[0]);
    const float *x = firn_f32(&call->in[0]);
    for (size_t m = (size_t) begin; m < (size_t) end; m++)
        for (size_t j = 0; j < PARTS; j++)
            memcpy(firn_f32(&call->out[j]) + m * cols, x + (m * PARTS + j) * cols, sizeof *x * cols);
}

static void split_cpu(const struct firn_call *call)
{
    firn_over(call->pool, firn_n_rows(&call->in[0]), 32, split_body, (void *) call);
}

static const struct firn_op join_columns;

static void split_grad(struct firn_graph *g, const struct firn_node *n, const firn_val *dy, firn_val *dx)
{
    firn_val in[FIRN_MAX_IN] = { { 0 } };
    for (int j = 0; j < PARTS; j++) /* a part that nobody uses has a gradient of zero */
        in[j] = firn_is_value(dy[j]) ? dy[j] : firn_scale(g, n->out[j], 0);
    dx[0] = firn_emit1(g, &join_columns, in, NULL);
}

/* Lanes run over the elements of one part. */
static void setup(const struct firn_call *call, const struct firn_limits *limits, struct firn_dispatch *d)
{
    const struct firn_tensor *part = firn_has(&call->out[1]) ? &call->out[0] : &call->in[0];
    const int64_t n = firn_count(part);
    firn_push(d, (uint64_t) n);
    firn_push(d, (uint64_t) firn_cols(part));
    firn_grid_flat(d, limits, (n + 1023) / 1024);
}

static const struct firn_kernel split_kernels[] = {
    { "split_columns_x4", "split_columns", "JOIN=0 WIDE=4", .accepts = firn_is_wide_row, .setup = setup },
    { "split_columns", "split_columns", "JOIN=0", .setup = setup },
    { NULL },
};

static const struct firn_case split_cases[] = {
    { .in = { FIRN_DIMS(1, 3) } },
    { .in = { FIRN_DIMS(5, 21) } },
    { .in = { FIRN_DIMS(0, 9) } },
    { .in = { FIRN_DIMS(7, 12) } },
    { .in = { FIRN_DIMS(33, 99) }, .no_grad = true },
    { .in = { FIRN_DIMS(33, 396) }, .no_grad = true },
};

static const struct firn_op split_columns = {
    .name = "split_columns",
    .math = "y0, y1, y2 = the thirds of x's columns",
    .n_in = 1,
    .n_out = PARTS,
    .shape = split_shape,
    .ref = split_ref,
    .cpu = split_cpu,
    .grad = split_grad,
    .kernels = split_kernels,
    .cases = split_cases,
    .n_cases = sizeof split_cases / sizeof split_cases[0],
};

static bool join_shape(struct firn_infer *s)
{
    if (!firn_infer_rank(s, 0, 2) || !firn_shape_same(s))
        return false;
    s->out[0].shape.dim[1] *= PARTS;
    return true;
}

static void join_ref(const struct firn_call *call)
{
    const int64_t rows = firn_n_rows(&call->in[0]), cols = firn_cols(&call->in[0]);
    double *y = firn_ref_out(call, 0);
    for (int j = 0; j < PARTS; j++) {
        double *x = firn_ref_in(call, j);
        for (int64_t m = 0; m < rows; m++)
            for (int64_t c = 0; c < cols; c++)
                y[(m * PARTS + j) * cols + c] = x[m * cols + c];
        firn_ref_free(x);
    }
    firn_ref_store(call, 0, y);
}

static void join_body(void *user, int64_t begin, int64_t end)
{
    const struct firn_call *call = user;
    const size_t cols = (size_t) firn_cols(&call->in[0]);
    float *y = firn_f32(&call->out[0]);
    for (size_t m = (size_t) begin; m < (size_t) end; m++)
        for (size_t j = 0; j < PARTS; j++)
            memcpy(y + (m * PARTS + j) * cols, firn_f32(&call->in[j]) + m * cols, sizeof *y * cols);
}

static void join_cpu(const struct firn_call *call)
{
    firn_over(call->pool, firn_n_rows(&call->in[0]), 32, join_body, (void *) call);
}

static void join_grad(struct firn_graph *g, const struct firn_node *n, const firn_val *dy, firn_val *dx)
{
    firn_val out[FIRN_MAX_OUT] = { { 0 } };
    (void) n;
    firn_split_columns(g, dy[0], out);
    memcpy(dx, out, sizeof *dx * PARTS);
}

static const struct firn_kernel join_kernels[] = {
    { "join_columns_x4", "split_columns", "JOIN=1 WIDE=4", .accepts = firn_is_wide_row, .setup = setup },
    { "join_columns", "split_columns", "JOIN=1", .setup = setup },
    { NULL },
};

static const struct firn_case join_cases[] = {
    { .in = { FIRN_DIMS(1, 1), FIRN_DIMS(1, 1), FIRN_DIMS(1, 1) } },
    { .in = { FIRN_DIMS(5, 7), FIRN_DIMS(5, 7), FIRN_DIMS(5, 7) } },
    { .in = { FIRN_DIMS(0, 3), FIRN_DIMS(0, 3), FIRN_DIMS(0, 3) } },
    { .in = { FIRN_DIMS(7, 4), FIRN_DIMS(7, 4), FIRN_DIMS(7, 4) } },
    { .in = { FIRN_DIMS(33, 33), FIRN_DIMS(33, 33), FIRN_DIMS(33, 33) }, .no_grad = true },
    { .in = { FIRN_DIMS(33, 132), FIRN_DIMS(33, 132), FIRN_DIMS(33, 132) }, .no_grad = true },
};

static const struct firn_op join_columns = {
    .name = "join_columns",
    .math = "y = [x0, x1, x2] side by side",
    .n_in = PARTS,
    .n_out = 1,
    .cut = FIRN_CUT | 1,
    .shape = join_shape,
    .ref = join_ref,
    .cpu = join_cpu,
    .grad = join_grad,
    .kernels = join_kernels,
    .cases = join_cases,
    .n_cases = sizeof join_cases / sizeof join_cases[0],
};

void firn_split_columns(struct firn_graph *g, firn_val x, firn_val part[3])
{
    firn_val out[FIRN_MAX_OUT] = { { 0 } };
    firn_graph_emit(g, &split_columns, &x, NULL, out);
    memcpy(part, out, sizeof *part * PARTS);
}

const struct firn_op *const firn_family_split_columns[] = { &split_columns, &join_columns, NULL };
