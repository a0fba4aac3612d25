/* SPDX-License-Identifier: Apache-2.0 */
/* The record and attributes of products, shared by their files and by the rewrite that folds adds into them. */
#ifndef FIRN_OPS_MATMUL_H
#define FIRN_OPS_MATMUL_H

#include "ops/ops.h"

enum { FIRN_MATMUL_A, FIRN_MATMUL_B, FIRN_MATMUL_BIAS, FIRN_MATMUL_RESIDUAL, FIRN_MATMUL_U,
       FIRN_MATMUL_V };

struct firn_matmul_attrs {
    bool trans_a, trans_b, trans_v;
    float alpha;
};

/* y [m, n], inner k; r columns of u. */
struct firn_matmul_sizes {
    int64_t m, n, k, r;
};
struct firn_matmul_sizes firn_matmul_sizes(const struct firn_call *call);

extern const struct firn_op firn_op_matmul;
extern const struct firn_kernel firn_matmul_kernels[];
/* m, n, k, r, alpha; constants: bias, residual, u v. */
void firn_matmul_push(const struct firn_call *call, struct firn_dispatch *dispatch);
/* On matrix units (matmul_coop.c): scales first, then the product in tiles of 64 or 128. */
bool firn_matmul_coop_fits(const struct firn_call *call, const struct firn_limits *limits);
bool firn_matmul_coop_large_fits(const struct firn_call *call, const struct firn_limits *limits);
bool firn_matmul_coop_fast_fits(const struct firn_call *call, const struct firn_limits *limits);
bool firn_matmul_coop_large_fast_fits(const struct firn_call *call, const struct firn_limits *limits);
size_t firn_matmul_coop_scratch(const struct firn_call *call, const struct firn_limits *limits);
void firn_matmul_scale_setup(const struct firn_call *call, const struct firn_limits *limits, struct firn_dispatch *d);
void firn_matmul_coop_setup(const struct firn_call *call, const struct firn_limits *limits, struct firn_dispatch *d);
void firn_matmul_coop_large_setup(const struct firn_call *call, const struct firn_limits *limits, struct firn_dispatch *d);
/* operands as two 16-bit floats each; with a rounded to one (FIRN_CAP_ROUND16) */
void firn_matmul_coop_bound(const struct firn_call *call, int out, double *bound);
void firn_matmul_coop_fast_bound(const struct firn_call *call, int out, double *bound);
/* On multiply-add units (matmul_tile.c): tiles of 64 and 128; sliced along K those of 64, and narrow and low ones. */
bool firn_matmul_tile_fits(const struct firn_call *call, const struct firn_limits *limits);
bool firn_matmul_large_fits(const struct firn_call *call, const struct firn_limits *limits);
void firn_matmul_tile_setup(const struct firn_call *call, const struct firn_limits *limits, struct firn_dispatch *d);
void firn_matmul_large_setup(const struct firn_call *call, const struct firn_limits *limits, struct firn_dispatch *d);
#define FIRN_MATMUL_SLICED(name)                                                                                        \
    bool firn_matmul_##name##_fits(const struct firn_call *call, const struct firn_limits *limits);                     \
    void firn_matmul_##name##_setup(const struct firn_call *call, const struct firn_limits *limits, struct firn_dispatch *d); \
    size_t firn_matmul_##name##_scratch(const struct firn_call *call, const struct firn_limits *limits);                \
    extern const struct firn_kernel firn_matmul_##name##_join;
FIRN_MATMUL_SLICED(slices)
FIRN_MATMUL_SLICED(narrow)
FIRN_MATMUL_SLICED(low)
void firn_matmul_cpu(const struct firn_call *call);
bool firn_matmul_cpu_accepts(const struct firn_call *call);
size_t firn_matmul_cpu_scratch(const struct firn_call *call, int n_threads);

#endif
