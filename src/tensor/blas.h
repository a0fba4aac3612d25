/* SPDX-License-Identifier: Apache-2.0 */
/* Single-precision products of row-major matrices on the calling thread: BLAS where the build has one, else
 * plain loops. Many threads may call it at once. */
#ifndef FIRN_TENSOR_BLAS_H
#define FIRN_TENSOR_BLAS_H

#include <stdbool.h>
#include <stdint.h>

/* c [m, n] = alpha op(a) op(b) + beta c; op(a) is [m, k], op(b) [k, n]; ld*: elements from row to row as stored. */
void firn_sgemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
                int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc);

/* "openblas 0.3.21" or "none (plain loops)". */
const char *firn_blas_name(void);

#endif
