/* SPDX-License-Identifier: Apache-2.0 */
/* What the operation files share: the family table, and helpers for shape rules, references, and
 * kernel set-up. */
#ifndef FIRN_OPS_OPS_H
#define FIRN_OPS_OPS_H

#include "firn/ops.h"
#include "graph/graph.h"

/* Each file of src/ops/ ends with its family: the op and its gradients' ops, NULL at the end. */
#define FIRN_OP_FAMILY(name) extern const struct firn_op *const firn_family_##name[];
#include "ops/families.inc"
#undef FIRN_OP_FAMILY

/* Whole tensors as doubles, for references; firn_ref_in gives NULL for an absent input. free() them all with
 * firn_ref_free. firn_ref_out gives zeroed space; firn_ref_store rounds it into out[j]. */
double *firn_ref_in(const struct firn_call *call, int i);
double *firn_ref_out(const struct firn_call *call, int j);
void firn_ref_store(const struct firn_call *call, int j, double *values); /* frees values */
void firn_ref_store_in(const struct firn_call *call, int i, double *values); /* an updated input; frees */
void firn_ref_free(double *values);

/* Shape rules. */
bool firn_shape_same(struct firn_infer *s); /* out[0] is like in[0]; all float inputs like in[0] */
bool firn_infer_rank(struct firn_infer *s, int i, int rank); /* fails: "input 1 has rank 3, not 2" */

/* Emits and returns output 0. */
firn_val firn_emit1(struct firn_graph *g, const struct firn_op *op, const firn_val *in,
                    const void *attrs);

/* Nodes that rules share: x [1] at every element of `shape` (sum.c); dx = dy act'(x) (activate.c). */
firn_val firn_spread(struct firn_graph *g, firn_val x, struct firn_shape shape);
firn_val firn_activate_dx(struct firn_graph *g, enum firn_activation kind, firn_val x, firn_val dy);

/* A grid of work groups of `lanes` over n elements, folded into y and z where x would be too large; the shader takes
 * the flat index (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x). */
void firn_grid_flat(struct firn_dispatch *d, const struct firn_limits *limits, int64_t n_groups);

/* The first `at` columns of x, and the rest (two_columns.c). */
void firn_cut_columns(struct firn_graph *g, firn_val x, int64_t at, firn_val parts[2]);

/* Products and norms of tensors that are larger than one binding of the device, over slices of them (slices.c). Empty: nothing
 * needs slices. */
firn_val firn_matmul_sliced(struct firn_graph *g, firn_val a, firn_val b, const struct firn_matmul_params *p);
firn_val firn_norm2_sliced(struct firn_graph *g, firn_val x);
/* Rows of x from other places, zeros where `from` is -1; `back` holds for each row of x the place it went to, or -1. */
firn_val firn_move_rows(struct firn_graph *g, firn_val x, firn_val from, firn_val back);

/* Elementwise kernels: pushes the element count of out[0] (of in[0] where there is no output); a work group takes 1024. */
void firn_setup_flat(const struct firn_call *call, const struct firn_limits *limits,
                     struct firn_dispatch *dispatch);
/* Accepts counts that are multiples of 4: of out[0] (of in[0] where there is no output), of in[0]'s columns. For
 * the variants of elementwise kernels with WIDE=4, listed before the plain ones. */
bool firn_is_wide(const struct firn_call *call, const struct firn_limits *limits);
bool firn_is_wide_row(const struct firn_call *call, const struct firn_limits *limits);
/* Row kernels (shaders/include/row.glsl): pushes rows and columns of in[0]. `_lane`: a lane a row, 8 rows a group;
 * `_group`: 64 lanes a row. */
void firn_setup_row_lane(const struct firn_call *call, const struct firn_limits *limits,
                         struct firn_dispatch *dispatch);
void firn_setup_row_group(const struct firn_call *call, const struct firn_limits *limits,
                          struct firn_dispatch *dispatch);
/* Runs body(user, begin, end) over 0..n-1 in pieces whose bounds depend on n and `piece` only. */
void firn_over(struct firn_pool *pool, int64_t n, int64_t piece,
               void (*body)(void *user, int64_t begin, int64_t end), void *user);

static inline int64_t firn_count(const struct firn_tensor *t)
{
    return firn_shape_count(&t->shape);
}
/* Rows = all axes but the last; cols = the last. */
static inline int64_t firn_cols(const struct firn_tensor *t)
{
    return t->shape.rank > 0 ? t->shape.dim[t->shape.rank - 1] : 1;
}
static inline int64_t firn_n_rows(const struct firn_tensor *t)
{
    const int64_t cols = firn_cols(t);
    return cols > 0 ? firn_count(t) / cols : 0;
}
static inline float *firn_f32(const struct firn_tensor *t)
{
    return (float *) t->data;
}
static inline int32_t *firn_i32(const struct firn_tensor *t)
{
    return (int32_t *) t->data;
}

#endif
