/* SPDX-License-Identifier: Apache-2.0 */
/* Decompositions: factors that give the matrix back, by LAPACK and without it. */
#include "tensor/linalg.h"

#include "base/rng.h"

/* the same file without LAPACK, under other names */
bool plain_svd(const float *w, int64_t rows, int64_t cols, int64_t r, float *u, float *s, float *vt);
bool plain_svd_random(const float *w, int64_t rows, int64_t cols, int64_t r, int n_iter, const float *start, float *u,
                      float *s, float *vt);
bool plain_qr(const float *w, int64_t rows, int64_t cols, int64_t r, float *q, float *R);
#undef FIRN_HAVE_LAPACK
#define firn_svd plain_svd
#define firn_svd_random plain_svd_random
#define firn_qr plain_qr
#include "../../src/tensor/linalg.c"
#undef firn_svd
#undef firn_svd_random
#undef firn_qr

#include <cmocka.h>

typedef bool svd_fn(const float *w, int64_t rows, int64_t cols, int64_t r, float *u, float *s, float *vt);
enum { MOST = 64 * 64 };

static void fill(float *w, int64_t n, uint64_t seed)
{
    for (int64_t i = 0; i < n; i++)
        w[i] = firn_normal(seed, 1, 2, (uint64_t) i);
}

/* Columns (of_k 1) or rows of x are orthonormal. */
static void expect_orthonormal(const float *x, int64_t n, int64_t r, int64_t of_i, int64_t of_k)
{
    for (int64_t k = 0; k < r; k++)
        for (int64_t m = 0; m < r; m++) {
            double sum = 0;
            for (int64_t i = 0; i < n; i++)
                sum += (double) x[i * of_i + k * of_k] * (double) x[i * of_i + m * of_k];
            assert_true(fabs(sum - (k == m)) < 1e-5);
        }
}

static void check_svd(svd_fn *svd, int64_t rows, int64_t cols)
{
    static float w[MOST], u[MOST], s[64], vt[MOST];
    const int64_t k = rows < cols ? rows : cols;
    fill(w, rows * cols, (uint64_t) (rows * 100 + cols));
    assert_true(svd(w, rows, cols, k, u, s, vt));
    expect_orthonormal(u, rows, k, k, 1);
    expect_orthonormal(vt, cols, k, 1, cols);
    for (int64_t i = 1; i < k; i++)
        assert_true(s[i] <= s[i - 1] && s[i] >= 0);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++) {
            double sum = 0;
            for (int64_t m = 0; m < k; m++)
                sum += (double) u[i * k + m] * (double) s[m] * (double) vt[m * cols + j];
            assert_true(fabs(sum - (double) w[i * cols + j]) < 2e-5);
        }
    /* the first ones alone are the first ones of all */
    static float u1[MOST], s1[64], vt1[MOST];
    assert_true(svd(w, rows, cols, 1, u1, s1, vt1));
    assert_true(fabsf(s1[0] - s[0]) < 1e-5f * s[0]);
}

static void singular_vectors_give_the_matrix_back(void **state)
{
    (void) state;
    static const int64_t sizes[][2] = { { 1, 1 }, { 1, 7 }, { 7, 1 }, { 7, 11 }, { 11, 7 }, { 33, 64 }, { 64, 33 }, { 31, 31 } };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        check_svd(firn_svd, sizes[i][0], sizes[i][1]);
        check_svd(plain_svd, sizes[i][0], sizes[i][1]);
    }
}

static void a_matrix_of_low_rank_is_found_by_random_vectors(void **state)
{
    (void) state;
    static float left[20 * 3], right[3 * 31], w[MOST], start[64 * 3], u[MOST], s[3], vt[MOST];
    for (int turn = 0; turn < 2; turn++) {
        const int64_t rows = turn ? 31 : 20, cols = turn ? 20 : 31;
        fill(left, rows * 3 < 60 ? rows * 3 : 60, 5);
        fill(right, 3 * 20, 6);
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < cols; j++) {
                w[i * cols + j] = 0;
                for (int k = 0; k < 3; k++)
                    w[i * cols + j] += left[(i * 3 + k) % 60] * right[(k * cols + j) % 60];
            }
        fill(start, 20 * 3, 7);
        assert_true(firn_svd_random(w, rows, cols, 3, 2, start, u, s, vt));
        expect_orthonormal(u, rows, 3, 3, 1);
        for (int64_t i = 0; i < rows * cols; i++) {
            double sum = 0;
            for (int64_t k = 0; k < 3; k++)
                sum += (double) u[i / cols * 3 + k] * (double) s[k] * (double) vt[k * cols + i % cols];
            /* the best of rank 3, and w has no more */
            assert_true(fabs(sum - (double) w[i]) < 1e-4 * (double) s[0]);
        }
    }
}

static void the_first_columns_of_q_and_rows_of_r_are_those_of_the_whole(void **state)
{
    (void) state;
    static float w[MOST], q[MOST], R[MOST], q3[MOST], R3[MOST];
    fill(w, 12 * 9, 3);
    for (int i = 0; i < 12; i++)
        w[i * 9 + 4] = 2 * w[i * 9 + 1]; /* a column that depends on another */
    assert_true(firn_qr(w, 12, 9, 9, q, R));
    assert_true(firn_qr(w, 12, 9, 3, q3, R3));
    expect_orthonormal(q, 12, 9, 9, 1);
    for (int i = 0; i < 12; i++)
        for (int j = 0; j < 9; j++) {
            double sum = 0;
            for (int k = 0; k < 9; k++)
                sum += (double) q[i * 9 + k] * (double) R[k * 9 + j];
            assert_true(fabs(sum - (double) w[i * 9 + j]) < 1e-5);
            assert_true(j >= 3 || fabsf(q3[i * 3 + j] - q[i * 9 + j]) < 1e-6f);
            assert_true(i >= 3 || fabsf(R3[i * 9 + j] - R[i * 9 + j]) < 1e-5f);
        }
    for (int k = 1; k < 9; k++)
        for (int j = 0; j < k; j++)
            assert_true(fabsf(R[k * 9 + j]) < 1e-5f);
}

static void what_is_not_finite_has_no_factors(void **state)
{
    (void) state;
    float w[4] = { 1, NAN, 2, 3 }, u[4], s[2], vt[4];
    assert_false(firn_svd(w, 2, 2, 1, u, s, vt));
    assert_false(plain_svd(w, 2, 2, 1, u, s, vt));
    assert_false(firn_qr(w, 2, 2, 1, u, vt));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(singular_vectors_give_the_matrix_back),
        cmocka_unit_test(a_matrix_of_low_rank_is_found_by_random_vectors),
        cmocka_unit_test(the_first_columns_of_q_and_rows_of_r_are_those_of_the_whole),
        cmocka_unit_test(what_is_not_finite_has_no_factors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
