/* SPDX-License-Identifier: Apache-2.0 */
/* Matrices that are larger than one binding of the device, where parts of a step (plan/cut.c) are no help: products over slices of
 * an operand's rows, each a view, and norms of long runs (builder only: it emits products, sums and columns side by side). */
#include "ops/ops.h"

/* Slices start at multiples of 256 bytes of the matrix, and of a bias or labels beside it. */
enum { ALIGN = 256, STEP_ROWS = 64 };

/* Rows of so many bytes that one binding takes at once, a multiple of `step` and of what keeps their start aligned; 0: all `n` of
 * them, or not even that many. */
static int64_t rows_at_once(const struct firn_graph *g, uint64_t row, int64_t n, uint64_t step)
{
    const uint64_t limit = firn_graph_binding_limit(g);
    if (limit == 0 || row == 0 || row * (uint64_t) n <= limit)
        return 0;
    while (row * step % ALIGN != 0)
        step *= 2;
    if (step < STEP_ROWS && row * STEP_ROWS <= limit)
        step = STEP_ROWS; /* both are powers of two */
    return row * step > limit ? 0 : (int64_t) (limit / row / step * step);
}

static int64_t slice_rows(const struct firn_graph *g, firn_val w, uint64_t step)
{
    const struct firn_value *v = firn_is_value(w) ? firn_graph_value(g, w) : NULL;
    if (v == NULL || firn_dtype_size(v->dtype) == 0 || v->shape.rank != 2)
        return 0;
    return rows_at_once(g, (uint64_t) v->shape.dim[1] * firn_dtype_size(v->dtype), v->shape.dim[0], step);
}

static int64_t part(int64_t rows, int64_t from, int64_t all)
{
    return from + rows < all ? rows : all - from;
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

/* at b with more rows of the result than a binding takes: a's columns in turn give rows of it. */
static firn_val by_rows(struct firn_graph *g, firn_val a, firn_val b, const struct firn_matmul_params *p, int64_t rows)
{
    enum { MOST = 512 };
    const int64_t all = firn_val_shape(g, a).dim[1];
    firn_val pieces[MOST];
    int n = 0;
    for (int64_t from = 0; from < all; from += rows) {
        firn_val parts[2] = { a, { 0 } };
        if (n == MOST) {
            firn_graph_fail(g, "matmul: %lld rows of a gradient need more than %d slices", (long long) all, MOST);
            return (firn_val){ 0 };
        }
        if (from + rows < all)
            firn_cut_columns(g, a, rows, parts);
        pieces[n++] = firn_matmul(g, parts[0], b, firn_matmul_params(.trans_a = true, .trans_b = p->trans_b, .alpha = p->alpha,
                                                                     .bias = p->bias));
        a = parts[1];
    }
    return firn_join_rows(g, pieces, n);
}

firn_val firn_matmul_sliced(struct firn_graph *g, firn_val a, firn_val b, const struct firn_matmul_params *p)
{
    firn_val y = { 0 };
    if (firn_graph_binding_limit(g) == 0 || !firn_is_value(a) || !firn_is_value(b) || firn_graph_error(g) != NULL)
        return y;
    const struct firn_shape sa = firn_val_shape(g, a), sb = firn_val_shape(g, b);
    const uint64_t step = p->trans_a || firn_is_value(p->bias) ? STEP_ROWS : 1; /* of what goes beside b's rows */
    const int64_t of_b = slice_rows(g, b, step), of_a = p->trans_a ? slice_rows(g, a, step) : 0;
    const int64_t of_y = p->trans_a && sa.rank == 2 && sb.rank == 2
                             ? rows_at_once(g, sizeof(float) * (uint64_t) sb.dim[p->trans_b ? 0 : 1], sa.dim[1], 1)
                             : 0;
    if (of_y > 0)
        y = by_rows(g, a, b, p, of_y);
    else if (of_b > 0 && p->trans_b)
        y = by_columns(g, a, b, p, of_b);
    else if ((of_b > 0 || of_a > 0) && !p->trans_b)
        y = by_depth(g, a, b, p, of_b > 0 && (of_a == 0 || of_b < of_a) ? of_b : of_a);
    else
        return y;
    if (firn_is_value(p->u))
        y = firn_add(g, y, firn_matmul(g, p->u, p->v, firn_matmul_params(.trans_b = p->trans_v)));
    return firn_is_value(p->residual) ? firn_add(g, y, p->residual) : y;
}

/* The norm of the norms of slices. */
firn_val firn_norm2_sliced(struct firn_graph *g, firn_val x)
{
    const int64_t all = firn_is_value(x) ? firn_val_shape(g, x).dim[0] : 0;
    if (all == 0 || firn_val_shape(g, x).rank != 1)
        return (firn_val){ 0 };
    const int64_t rows = rows_at_once(g, sizeof(float), all, STEP_ROWS);
    firn_val norms = { 0 };
    for (int64_t from = 0; rows > 0 && from < all; from += rows) {
        const firn_val one = firn_reshape(g, firn_norm2(g, firn_rows(g, x, from, part(rows, from, all))), firn_dims(1, 1));
        norms = firn_is_value(norms) ? firn_pair_columns(g, norms, one) : one;
    }
    return firn_is_value(norms) ? firn_norm2(g, norms) : norms;
}
