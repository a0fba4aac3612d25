/* SPDX-License-Identifier: Apache-2.0 */
/* Frozen matrices that are larger than one binding of the device: their rows in slices, each a view, so that lookups and products
 * need no kernel of their own (builder only: it emits lookups, products, sums and columns side by side). */
#include "ops/ops.h"

/* Slices start at multiples of 256 bytes of the matrix, and of a bias or labels beside it. */
enum { ALIGN = 256, STEP_ROWS = 64 };

int64_t firn_slice_rows(const struct firn_graph *g, firn_val w)
{
    const uint64_t limit = firn_graph_binding_limit(g);
    if (limit == 0 || !firn_is_value(w) || firn_wants(g, w))
        return 0;
    const struct firn_value *v = firn_graph_value(g, w);
    const bool is_plain = v->dtype == FIRN_F32 || v->dtype == FIRN_F16 || v->dtype == FIRN_BF16;
    if (!is_plain || v->shape.rank != 2 || v->node != FIRN_NO_NODE || v->leaf != FIRN_LEAF_WEIGHT)
        return 0;
    const uint64_t row = (uint64_t) v->shape.dim[1] * firn_dtype_size(v->dtype);
    uint64_t step = STEP_ROWS;
    if (row == 0 || row * (uint64_t) v->shape.dim[0] <= limit)
        return 0;
    while (row * step % ALIGN != 0)
        step *= 2;
    return row * step > limit ? 0 : (int64_t) (limit / row / step * step);
}

static int64_t part(int64_t rows, int64_t from, int64_t all)
{
    return from + rows < all ? rows : all - from;
}

firn_val firn_embed_sliced(struct firn_graph *g, firn_val table, firn_val ids, int64_t rows)
{
    const int64_t all = firn_val_shape(g, table).dim[0];
    firn_val y = { 0 };
    for (int64_t from = 0; from < all; from += rows) { /* a row of y is zero in all slices but one */
        const firn_val x = firn_embed_from(g, firn_rows(g, table, from, part(rows, from, all)), ids, from);
        y = firn_is_value(y) ? firn_add(g, y, x) : x;
    }
    return y;
}

/* b [n, k]: each slice gives columns of the result. */
static firn_val by_columns(struct firn_graph *g, firn_val a, firn_val b, const struct firn_matmul_params *p, int64_t rows)
{
    const int64_t all = firn_val_shape(g, b).dim[0];
    firn_val y = { 0 };
    for (int64_t from = 0; from < all; from += rows) {
        const int64_t n = part(rows, from, all);
        struct firn_matmul_params each = { .trans_a = p->trans_a, .trans_b = true, .alpha = p->alpha };
        if (firn_is_value(p->bias))
            each.bias = firn_rows(g, p->bias, from, n);
        const firn_val x = firn_matmul(g, a, firn_rows(g, b, from, n), &each);
        y = firn_is_value(y) ? firn_pair_columns(g, y, x) : x;
    }
    return y;
}

/* b [k, n]: each slice adds to the result. */
static firn_val by_depth(struct firn_graph *g, firn_val a, firn_val b, const struct firn_matmul_params *p, int64_t rows)
{
    const int64_t all = firn_val_shape(g, b).dim[0];
    firn_val y = { 0 };
    for (int64_t from = 0; from < all; from += rows) {
        const int64_t n = part(rows, from, all);
        firn_val parts[2] = { a, { 0 } };
        if (p->trans_a)
            parts[0] = firn_rows(g, a, from, n);
        else if (from + n < all)
            firn_cut_columns(g, a, n, parts);
        y = firn_matmul(g, parts[0], firn_rows(g, b, from, n),
                        firn_matmul_params(.trans_a = p->trans_a, .alpha = p->alpha, .residual = y,
                                           .bias = from == 0 ? p->bias : (firn_val){ 0 }));
        if (!p->trans_a)
            a = parts[1];
    }
    return y;
}

firn_val firn_matmul_sliced(struct firn_graph *g, firn_val a, firn_val b, const struct firn_matmul_params *p, int64_t rows)
{
    firn_val y = p->trans_b ? by_columns(g, a, b, p, rows) : by_depth(g, a, b, p, rows);
    if (firn_is_value(p->u))
        y = firn_add(g, y, firn_matmul(g, p->u, p->v, firn_matmul_params(.trans_b = p->trans_v)));
    return firn_is_value(p->residual) ? firn_add(g, y, p->residual) : y;
}
