/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of one matrix or of another, by entry: what the adapters of a mixed batch make of their own rows. */
#include "ops/ops.h"

enum { A, B, IDS };

struct choose_attrs {
    int64_t number;
};

static bool choose_shape(struct firn_infer *s)
{
    if (!firn_infer_rank(s, A, 2) || !firn_infer_rank(s, IDS, 1))
        return false;
    const int64_t rows = s->in[A].shape.dim[0], entries = s->in[IDS].shape.dim[0];
    if (!firn_shape_eq(&s->in[A].shape, &s->in[B].shape) || (entries == 0 ? rows != 0 : rows % entries != 0))
        return firn_infer_fail(s, "a is %s, b %s, for %lld entries", FIRN_SHAPE_STR(&s->in[A].shape),
                               FIRN_SHAPE_STR(&s->in[B].shape), (long long) entries);
    s->out[0] = s->in[A];
    return true;
}

static bool is_chosen(const struct firn_call *call, int64_t row)
{
    const int64_t per = firn_n_rows(&call->in[A]) / firn_count(&call->in[IDS]);
    return firn_i32(&call->in[IDS])[row / per] == ((const struct choose_attrs *) call->attrs)->number;
}

static void choose_ref(const struct firn_call *call)
{
    const int64_t cols = firn_cols(&call->in[A]);
    double *a = firn_ref_in(call, A), *b = firn_ref_in(call, B), *y = firn_ref_out(call, 0);
    for (int64_t m = 0; m < firn_n_rows(&call->in[A]); m++)
        memcpy(y + m * cols, (is_chosen(call, m) ? b : a) + m * cols, sizeof *y * (size_t) cols);
    firn_ref_free(a);
    firn_ref_free(b);
    firn_ref_store(call, 0, y);
}

static void body(void *user, int64_t begin, int64_t end)
{
    const struct firn_call *call = user;
    const int64_t cols = firn_cols(&call->in[A]);
    for (int64_t m = begin; m < end; m++) {
        const float *from = firn_f32(&call->in[is_chosen(call, m) ? B : A]) + m * cols;
        float *y = firn_f32(&call->out[0]) + m * cols;
        if (y != from)
            memcpy(y, from, sizeof *y * (size_t) cols);
    }
}

static void choose_cpu(const struct firn_call *call)
{
    firn_over(call->pool, firn_n_rows(&call->in[A]), 32, body, (void *) call);
}

static void choose_grad(struct firn_graph *g, const struct firn_node *n, const firn_val *dy, firn_val *dx)
{
    const int64_t number = ((const struct choose_attrs *) n->attrs)->number;
    const firn_val none = firn_scale(g, dy[0], 0);
    if (firn_wants(g, n->in[A]))
        dx[A] = firn_choose_rows(g, dy[0], none, n->in[IDS], number);
    if (firn_wants(g, n->in[B]))
        dx[B] = firn_choose_rows(g, none, dy[0], n->in[IDS], number);
}

static void setup(const struct firn_call *call, const struct firn_limits *limits, struct firn_dispatch *d)
{
    const int64_t entries = firn_count(&call->in[IDS]);
    firn_setup_flat(call, limits, d);
    firn_push(d, (uint64_t) (entries > 0 ? firn_count(&call->in[A]) / entries : 1));
    firn_push(d, (uint32_t) (int32_t) ((const struct choose_attrs *) call->attrs)->number);
}

static void exact(const struct firn_call *call, int out, double *bound)
{
    memset(bound, 0, sizeof *bound * (size_t) firn_count(&call->out[out]));
}

static const struct firn_kernel kernels[] = {
    { "choose_rows_x4", "choose_rows", "WIDE=4", .accepts = firn_is_wide_row, .setup = setup },
    { "choose_rows", "choose_rows", "", .setup = setup },
    { NULL },
};

static const struct choose_attrs first = { 0 }, second = { 1 };
static const struct firn_case cases[] = {
    { .in = { FIRN_DIMS(1, 1), FIRN_DIMS(1, 1), FIRN_DIMS(1) }, &first },
    { .in = { FIRN_DIMS(9, 7), FIRN_DIMS(9, 7), FIRN_DIMS(3) }, &second },
    { .in = { FIRN_DIMS(5, 12), FIRN_DIMS(5, 12), FIRN_DIMS(5) }, &second, .below = { 0, 0, 3 } },
    { .in = { FIRN_DIMS(0, 5), FIRN_DIMS(0, 5), FIRN_DIMS(0) }, &first },
    { .in = { FIRN_DIMS(66, 33), FIRN_DIMS(66, 33), FIRN_DIMS(6) }, &second, .below = { 0, 0, 3 }, .no_grad = true },
    { .in = { FIRN_DIMS(66, 132), FIRN_DIMS(66, 132), FIRN_DIMS(33) }, &first, .below = { 0, 0, 3 }, .no_grad = true },
};

static const struct firn_op choose_rows = {
    .name = "choose_rows",
    .math = "y[m] = b[m] where its entry has the number, else a[m]",
    .n_in = 3,
    .n_out = 1,
    .integer = 4,
    .inplace = 1,
    .attrs_size = sizeof(struct choose_attrs),
    .shape = choose_shape,
    .ref = choose_ref,
    .cpu = choose_cpu,
    .grad = choose_grad,
    .kernels = kernels,
    .cases = cases,
    .n_cases = sizeof cases / sizeof cases[0],
    .bound = exact,
};

firn_val firn_choose_rows(struct firn_graph *g, firn_val a, firn_val b, firn_val ids, int64_t number)
{
    return firn_emit1(g, &choose_rows, (firn_val[]){ a, b, ids }, &(struct choose_attrs){ number });
}

const struct firn_op *const firn_family_choose_rows[] = { &choose_rows, NULL };
