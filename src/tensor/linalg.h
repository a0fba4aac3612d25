/* SPDX-License-Identifier: Apache-2.0 */
/* Factors of one row-major matrix w [rows, cols], computed in double or by LAPACK where the build has it. False: no memory,
 * or no convergence (values that are not finite). */
#ifndef FIRN_TENSOR_LINALG_H
#define FIRN_TENSOR_LINALG_H

#include <stdbool.h>
#include <stdint.h>

/* The r largest singular values s and their vectors, r <= min(rows, cols): w ~ u diag(s) vt; u [rows, r], vt [r, cols]. */
bool firn_svd(const float *w, int64_t rows, int64_t cols, int64_t r, float *u, float *s, float *vt);
/* The same by subspace iteration (Halko et al. 2011, alg. 4.4 and 5.1): `start` [cols, r] (or [rows, r] where cols > rows)
 * is random normal, `n_iter` the passes over w. */
bool firn_svd_random(const float *w, int64_t rows, int64_t cols, int64_t r, int n_iter, const float *start, float *u,
                     float *s, float *vt);
/* The first r columns of q and rows of R of w = q R, r <= min(rows, cols): q [rows, r], R [r, cols]. */
bool firn_qr(const float *w, int64_t rows, int64_t cols, int64_t r, float *q, float *R);

#endif
