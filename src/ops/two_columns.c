/* SPDX-License-Identifier: Apache-2.0 */
/* Columns apart and together again: each is the gradient of the other. */
#include "ops/ops.h"

struct widths {
    int64_t of[2];
};

static bool split_shape(struct firn_infer *s)
{
    const struct widths *w = s->attrs;
    if (!firn_infer_rank(s, 0, 2))
        return false;
    if (w->of[0] < 0 || w->of[1] < 0 || w->of[0] + w->of[1] != s->in[0].shape.dim[1])
        return firn_infer_fail(s, "%lld + %lld columns of %lld", (long long) w->of[0], (long long) w->of[1],
                               (long long) s->in[0].shape.dim[1]);
    for (int j = 0; j < 2; j++) {
        s->out[j] = s->in[0];
        s->out[j].shape.dim[1] = w->of[j];
    }
    return true;
}

static void split_ref(const struct firn_call *call)
{
    const struct widths *w = call->attrs;
    const int64_t cols = w->of[0] + w->of[1];
    double *x = firn_ref_in(call, 0), *y[2] = { firn_ref_out(call, 0), firn_ref_out(call, 1) };
    for (int64_t i = 0; i < firn_count(&call->in[0]); i++) {
        const int64_t row = i / cols, c = i % cols;
        const int j = c >= w->of[0];
        y[j][row * w->of[j] + c - (j ? w->of[0] : 0)] = x[i];
    }
    firn_ref_free(x);
    firn_ref_store(call, 0, y[0]);
    firn_ref_store(call, 1, y[1]);
}

static void split_body(void *user, int64_t begin, int64_t end)
{
    const struct firn_call *call = user;
    const struct widths *w = call->attrs;
    for (int64_t m = begin; m < end; m++) {
        const float *x = firn_f32(&call->in[0]) + m * (w->of[0] + w->of[1]);
        for (int j = 0; j < 2; j++)
            memcpy(firn_f32(&call->out[j]) + m * w->of[j], x + (j ? w->of[0] : 0), sizeof *x * (size_t) w->of[j]);
    }
}

static void split_cpu(const struct firn_call *call)
{
    firn_over(call->pool, call->in[0].shape.dim[0], 64, split_body, (void *) call);
}

static const struct firn_op pair_columns;

static void split_grad(struct firn_graph *g, const struct firn_node *n, const firn_val *dy, firn_val *dx)
{
    dx[0] = firn_emit1(g, &pair_columns, dy, n->attrs);
}

static void flat_over(const struct firn_tensor *whole, const struct widths *w, const struct firn_limits *limits,
                      struct firn_dispatch *d)
{
    const int64_t n = firn_count(whole);
    firn_push(d, (uint64_t) n);
    firn_push(d, (uint64_t) w->of[0]);
    firn_push(d, (uint64_t) w->of[1]);
    firn_grid_flat(d, limits, (n + 1023) / 1024);
}

static void split_setup(const struct firn_call *call, const struct firn_limits *limits, struct firn_dispatch *d)
{
    flat_over(&call->in[0], call->attrs, limits, d);
}

static bool are_wide(const struct firn_call *call, const struct firn_limits *limits)
{
    const struct widths *w = call->attrs;
    (void) limits;
    return w->of[0] % 4 == 0 && w->of[1] % 4 == 0;
}

static const struct firn_kernel split_kernels[] = {
    { "part_columns_x4", "part_columns", "WIDE=4", .accepts = are_wide, .setup = split_setup },
    { "part_columns", "part_columns", .setup = split_setup },
    { NULL },
};

static const struct widths odd = { { 3, 28 } }, wide = { { 32, 36 } }, small = { { 1, 1 } };
static const struct firn_case split_cases[] = {
    { .in = { FIRN_DIMS(5, 31) }, &odd },
    { .in = { FIRN_DIMS(33, 68) }, &wide, .no_grad = true },
    { .in = { FIRN_DIMS(1, 2) }, &small },
    { .in = { FIRN_DIMS(0, 31) }, &odd },
};

static const struct firn_op part_columns = {
    .name = "part_columns",
    .math = "[y0, y1] = x",
    .n_in = 1,
    .n_out = 2,
    .cut = FIRN_CUT | 1,
    .attrs_size = sizeof(struct widths),
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
    const struct widths *w = s->attrs;
    const int any = firn_has(&s->in[0]) ? 0 : 1;
    if (!firn_has(&s->in[any]))
        return firn_infer_fail(s, "no part is there");
    for (int i = 0; i < 2; i++)
        if (firn_has(&s->in[i]) &&
            (!firn_infer_rank(s, i, 2) || s->in[i].shape.dim[1] != w->of[i] ||
             s->in[i].shape.dim[0] != s->in[any].shape.dim[0]))
            return firn_infer_fail(s, "part %d is %s, expected [%lld, %lld]", i, FIRN_SHAPE_STR(&s->in[i].shape),
                                   (long long) s->in[any].shape.dim[0], (long long) w->of[i]);
    s->out[0] = s->in[any];
    s->out[0].shape.dim[1] = w->of[0] + w->of[1];
    return true;
}

static void join_ref(const struct firn_call *call)
{
    const struct widths *w = call->attrs;
    const int64_t cols = w->of[0] + w->of[1];
    double *x[2] = { firn_ref_in(call, 0), firn_ref_in(call, 1) }, *y = firn_ref_out(call, 0);
    for (int64_t i = 0; i < firn_count(&call->out[0]); i++) {
        const int64_t row = i / cols, c = i % cols;
        const int j = c >= w->of[0];
        y[i] = x[j] != NULL ? x[j][row * w->of[j] + c - (j ? w->of[0] : 0)] : 0;
    }
    firn_ref_free(x[0]);
    firn_ref_free(x[1]);
    firn_ref_store(call, 0, y);
}

static void join_body(void *user, int64_t begin, int64_t end)
{
    const struct firn_call *call = user;
    const struct widths *w = call->attrs;
    for (int64_t m = begin; m < end; m++) {
        float *y = firn_f32(&call->out[0]) + m * (w->of[0] + w->of[1]);
        for (int i = 0; i < 2; i++) {
            float *to = y + (i ? w->of[0] : 0);
            const size_t size = sizeof *to * (size_t) w->of[i];
            if (firn_has(&call->in[i]))
                memcpy(to, firn_f32(&call->in[i]) + m * w->of[i], size);
            else
                memset(to, 0, size);
        }
    }
}

static void join_cpu(const struct firn_call *call)
{
    firn_over(call->pool, call->out[0].shape.dim[0], 64, join_body, (void *) call);
}

static void join_grad(struct firn_graph *g, const struct firn_node *n, const firn_val *dy, firn_val *dx)
{
    firn_val parts[FIRN_MAX_OUT];
    firn_graph_emit(g, &part_columns, dy, n->attrs, parts);
    for (int i = 0; i < 2; i++)
        if (firn_wants(g, n->in[i]))
            dx[i] = parts[i];
}

static void join_setup(const struct firn_call *call, const struct firn_limits *limits, struct firn_dispatch *d)
{
    flat_over(&call->out[0], call->attrs, limits, d);
    for (int i = 0; i < 2; i++)
        firn_spec(d, firn_has(&call->in[i]));
}

static const struct firn_kernel join_kernels[] = {
    { "pair_columns_x4", "pair_columns", "WIDE=4", .accepts = are_wide, .setup = join_setup },
    { "pair_columns", "pair_columns", .setup = join_setup },
    { NULL },
};

static const struct firn_case join_cases[] = {
    { .in = { FIRN_DIMS(5, 3), FIRN_DIMS(5, 28) }, &odd },
    { .in = { FIRN_DIMS(33, 32), FIRN_DIMS(33, 36) }, &wide, .no_grad = true },
    { .in = { FIRN_DIMS(33, 32), { 0 } }, &wide, .no_grad = true },
    { .in = { { 0 }, FIRN_DIMS(5, 28) }, &odd },
    { .in = { FIRN_DIMS(0, 3), FIRN_DIMS(0, 28) }, &odd },
};

static const struct firn_op pair_columns = {
    .name = "pair_columns",
    .math = "y = [x0, x1]; an absent part is zero",
    .n_in = 2,
    .n_out = 1,
    .cut = FIRN_CUT | 3,
    .optional = 3,
    .attrs_size = sizeof(struct widths),
    .shape = join_shape,
    .ref = join_ref,
    .cpu = join_cpu,
    .grad = join_grad,
    .kernels = join_kernels,
    .cases = join_cases,
    .n_cases = sizeof join_cases / sizeof join_cases[0],
};

firn_val firn_pair_columns(struct firn_graph *g, firn_val a, firn_val b)
{
    if (!firn_is_value(a) || !firn_is_value(b))
        return (firn_val){ 0 };
    const struct widths w = { { firn_val_shape(g, a).dim[1], firn_val_shape(g, b).dim[1] } };
    return firn_emit1(g, &pair_columns, (firn_val[]){ a, b }, &w);
}

void firn_cut_columns(struct firn_graph *g, firn_val x, int64_t at, firn_val parts[2])
{
    firn_val out[FIRN_MAX_OUT];
    parts[0] = parts[1] = (firn_val){ 0 };
    if (!firn_is_value(x))
        return;
    const struct widths w = { { at, firn_val_shape(g, x).dim[1] - at } };
    firn_graph_emit(g, &part_columns, &x, &w, out);
    parts[0] = out[0];
    parts[1] = out[1];
}

/* Halves, and halves of those: each element is copied log2(n) times, and so is its gradient. */
void firn_part_columns(struct firn_graph *g, firn_val x, int64_t n, firn_val *parts)
{
    if (n < 1 || !firn_is_value(x))
        return;
    if (n == 1) {
        parts[0] = x;
        return;
    }
    const int64_t cols = firn_val_shape(g, x).dim[1], left = n / 2;
    firn_val half[FIRN_MAX_OUT];
    if (cols % n != 0) {
        firn_graph_fail(g, "part_columns: %lld columns are no %lld parts", (long long) cols, (long long) n);
        return;
    }
    const struct widths w = { { cols / n * left, cols / n * (n - left) } };
    firn_graph_emit(g, &part_columns, &x, &w, half);
    firn_part_columns(g, half[0], left, parts);
    firn_part_columns(g, half[1], n - left, parts + left);
}

const struct firn_op *const firn_family_two_columns[] = { &part_columns, &pair_columns, NULL };
