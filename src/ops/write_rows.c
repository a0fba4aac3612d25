/* SPDX-License-Identifier: Apache-2.0 */
/* Writes new keys and values into a cache that lives between runs. Each sequence has its own run of
 * rows, so no two rows of x meet in one place. */
#include "ops/ops.h"

struct write_attrs {
    int64_t batch;
};

struct sizes {
    int64_t batch, slots, rows, cols;
};

static struct sizes sizes_of(const struct firn_call *call)
{
    const int64_t batch = ((const struct write_attrs *) call->attrs)->batch;
    return (struct sizes){ batch, call->in[0].shape.dim[0] / batch, call->in[1].shape.dim[0] / batch,
                           firn_cols(&call->in[0]) };
}

static bool write_shape(struct firn_infer *s)
{
    const int64_t batch = ((const struct write_attrs *) s->attrs)->batch;
    if (!firn_infer_rank(s, 0, 2) || !firn_infer_rank(s, 1, 2) || !firn_infer_rank(s, 2, 1))
        return false;
    if (batch < 1 || s->in[0].shape.dim[0] % batch != 0 || s->in[1].shape.dim[0] % batch != 0 ||
        firn_count(&s->in[2]) != batch || firn_cols(&s->in[0]) != firn_cols(&s->in[1]))
        return firn_infer_fail(s, "%s rows cannot be written into %s for %lld sequences",
                               FIRN_SHAPE_STR(&s->in[1].shape), FIRN_SHAPE_STR(&s->in[0].shape),
                               (long long) batch);
    return true;
}

/* The row of the cache for row m of x, or -1 where that lies outside. */
static int64_t slot_of(const struct sizes *n, const int32_t *at, int64_t m)
{
    const int64_t b = m / n->rows, slot = at[b] + m % n->rows;
    return slot >= 0 && slot < n->slots ? b * n->slots + slot : -1;
}

static void write_ref(const struct firn_call *call)
{
    const struct sizes n = sizes_of(call);
    double *cache = firn_ref_in(call, 0), *x = firn_ref_in(call, 1);
    for (int64_t m = 0; m < n.batch * n.rows; m++) {
        const int64_t to = slot_of(&n, firn_i32(&call->in[2]), m);
        if (to >= 0)
            memcpy(cache + to * n.cols, x + m * n.cols, sizeof *x * (size_t) n.cols);
    }
    firn_ref_free(x);
    firn_ref_store_in(call, 0, cache);
}

static void write_cpu(const struct firn_call *call)
{
    const struct sizes n = sizes_of(call);
    const float *x = firn_f32(&call->in[1]);
    for (int64_t m = 0; m < n.batch * n.rows; m++) {
        const int64_t to = slot_of(&n, firn_i32(&call->in[2]), m);
        if (to >= 0)
            memcpy(firn_f32(&call->in[0]) + to * n.cols, x + m * n.cols, sizeof *x * (size_t) n.cols);
    }
}

static void setup(const struct firn_call *call, const struct firn_limits *limits,
                  struct firn_dispatch *d)
{
    const struct sizes n = sizes_of(call);
    const int64_t count = firn_count(&call->in[1]);
    firn_push(d, (uint64_t) count);
    firn_push(d, (uint64_t) n.slots);
    firn_push(d, (uint64_t) n.rows);
    firn_push(d, (uint64_t) n.cols);
    firn_grid_flat(d, limits, (count + 1023) / 1024);
}

static const struct firn_kernel kernels[] = {
    { "write_rows_x4", "write_rows", "WIDE=4", .accepts = firn_is_wide_row, .setup = setup },
    { "write_rows", "write_rows", .setup = setup },
    { NULL },
};

static const struct write_attrs one = { 1 }, two = { 2 }, three = { 3 };
static const struct firn_case cases[] = {
    { .in = { FIRN_DIMS(7, 5), FIRN_DIMS(3, 5), FIRN_DIMS(1) }, &one, .below = { 0, 0, 5 } },
    { .in = { FIRN_DIMS(66, 31), FIRN_DIMS(14, 31), FIRN_DIMS(2) }, &two, .below = { 0, 0, 27 } },
    { .in = { FIRN_DIMS(9, 36), FIRN_DIMS(3, 36), FIRN_DIMS(3) }, &three, .below = { 0, 0, 3 } },
    { .in = { FIRN_DIMS(9, 36), FIRN_DIMS(6, 36), FIRN_DIMS(3) }, &three, .below = { 0, 0, 6 } }, /* some outside */
    { .in = { FIRN_DIMS(4, 3), FIRN_DIMS(0, 3), FIRN_DIMS(2) }, &two },
};

static const struct firn_op write_rows = {
    .name = "write_rows",
    .math = "cache[b, at[b] + t] = x[b, t]",
    .n_in = 3,
    .n_out = 0,
    .integer = 4,
    .updates = 1,
    .attrs_size = sizeof(struct write_attrs),
    .shape = write_shape,
    .ref = write_ref,
    .cpu = write_cpu,
    .kernels = kernels,
    .cases = cases,
    .n_cases = sizeof cases / sizeof cases[0],
};

void firn_write_rows(struct firn_graph *g, firn_val cache, firn_val x, firn_val at)
{
    if (!firn_is_value(at))
        return;
    const struct write_attrs attrs = { firn_val_shape(g, at).dim[0] };
    firn_graph_emit(g, &write_rows, (firn_val[]){ cache, x, at }, &attrs, NULL);
}

const struct firn_op *const firn_family_write_rows[] = { &write_rows, NULL };
