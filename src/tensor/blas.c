/* SPDX-License-Identifier: Apache-2.0 */
/* The one place that calls BLAS. Threads are firn's own: BLAS runs on the caller's. */
#include "tensor/blas.h"

#ifdef FIRN_HAVE_BLAS
#include <cblas.h>

#ifdef OPENBLAS_VERSION
/* Before main: no thread of the library is ever started. */
__attribute__((constructor)) static void one_thread(void)
{
    openblas_set_num_threads(1);
}
#endif

void firn_sgemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
                int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
    if (m > 0 && n > 0)
        cblas_sgemm(CblasRowMajor, trans_a ? CblasTrans : CblasNoTrans,
                    trans_b ? CblasTrans : CblasNoTrans, (int) m, (int) n, (int) k, alpha, a, (int) lda,
                    b, (int) ldb, beta, c, (int) ldc);
}

const char *firn_blas_name(void)
{
#ifdef OPENBLAS_VERSION
    return OPENBLAS_VERSION;
#else
    return "cblas";
#endif
}
#else

void firn_sgemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
                int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
    for (int64_t i = 0; i < m; i++) {
        float *row = c + i * ldc;
        for (int64_t j = 0; j < n; j++)
            row[j] = beta == 0 ? 0 : beta * row[j];
        for (int64_t l = 0; l < k; l++) {
            const float x = alpha * (trans_a ? a[l * lda + i] : a[i * lda + l]);
            for (int64_t j = 0; j < n; j++)
                row[j] += x * (trans_b ? b[j * ldb + l] : b[l * ldb + j]);
        }
    }
}

const char *firn_blas_name(void)
{
    return "none (plain loops)";
}
#endif
