/* SPDX-License-Identifier: Apache-2.0 */
/* Products in registers for the vector units at hand: y = alpha a b + u v + bias + residual, where b is packed into
 * panels first, decoded from any storage type. Each element of y is a sum over k in order (in runs of a fixed length),
 * then over r: bits depend neither on blocks nor on threads, only on whether the processor has fused multiply-adds. */
#ifndef FIRN_TENSOR_GEMM_H
#define FIRN_TENSOR_GEMM_H

#include "firn/tensor.h"

#include <stdbool.h>
#include <stdint.h>

enum firn_gemm_units { FIRN_GEMM_NONE, FIRN_GEMM_AVX2, FIRN_GEMM_AVX512 };
/* The widest of this processor. */
enum firn_gemm_units firn_gemm_units(void);

struct firn_gemm {
    enum firn_gemm_units units;     /* that it has; not FIRN_GEMM_NONE */
    int64_t m, n, k, r;             /* of y [m, n]; r columns of u */
    bool trans_a, trans_b, trans_v; /* stored transposed */
    float alpha;
    const float *a, *u, *v, *bias, *residual; /* u to residual may be NULL; residual may be y */
    const struct firn_tensor *b;
    float *y;
};

/* Columns of b that are worth packing at once. */
int64_t firn_gemm_columns(const struct firn_gemm *g);
/* Scratch of one call of firn_gemm_block, in floats. */
size_t firn_gemm_scratch(const struct firn_gemm *g, int64_t columns);
/* Rows i0 .. i1 - 1 and columns j0 .. j1 - 1 of y, on the calling thread. */
void firn_gemm_block(const struct firn_gemm *g, int64_t i0, int64_t i1, int64_t j0, int64_t j1, float *scratch);

#endif
