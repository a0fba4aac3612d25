/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor/gemm.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Numbers in -1 .. 1, by a linear congruence. */
static float *numbers(int64_t n, uint32_t seed)
{
    float *x = malloc(sizeof *x * (size_t) (n + 1));
    assert_non_null(x);
    for (int64_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float) (seed >> 8) * 0x1p-23f - 1.0f;
    }
    return x;
}

/* Blocks of `rows` and `columns` one after another; guards behind y are checked. */
static void run(struct firn_gemm *g, int64_t rows, int64_t columns, const float *residual, float *y)
{
    const int64_t n = g->m * g->n;
    float *scratch = malloc(sizeof *scratch * firn_gemm_scratch(g, columns));
    assert_non_null(scratch);
    memcpy(y, residual, sizeof *y * (size_t) n);
    y[n] = 12345.0f;
    g->y = y;
    g->residual = y; /* in place */
    for (int64_t i = 0; i < g->m; i += rows)
        for (int64_t j = 0; j < g->n; j += columns)
            firn_gemm_block(g, i, i + rows < g->m ? i + rows : g->m, j, j + columns < g->n ? j + columns : g->n, scratch);
    assert_true(y[n] == 12345.0f);
    free(scratch);
}

static void check(enum firn_gemm_units units, int64_t m, int64_t n, int64_t k, int64_t r, int form)
{
    float *a = numbers(m * k, 1), *b = numbers(k * n, 2), *u = numbers(m * r, 3), *v = numbers(r * n, 4);
    float *bias = numbers(n, 5), *residual = numbers(m * n, 6), *y = numbers(m * n, 7), *z = numbers(m * n, 8);
    const bool ta = form & 1, tb = form & 2, tv = form & 4;
    const struct firn_tensor tensor = { FIRN_F32, { 2, { tb ? n : k, tb ? k : n } }, b };
    struct firn_gemm g = { .units = units, .m = m, .n = n, .k = k, .r = r, .trans_a = ta, .trans_b = tb, .trans_v = tv,
                           .alpha = 0.5f, .a = a, .u = u, .v = v, .bias = bias, .b = &tensor };
    run(&g, m, n, residual, y);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = 0, size = 0;
            for (int64_t l = 0; l < k; l++) {
                const double x = 0.5 * (double) a[ta ? l * m + i : i * k + l] * (double) b[tb ? j * k + l : l * n + j];
                sum += x;
                size += fabs(x);
            }
            for (int64_t l = 0; l < r; l++) {
                const double x = (double) u[i * r + l] * (double) v[tv ? j * r + l : l * n + j];
                sum += x;
                size += fabs(x);
            }
            sum += (double) bias[j] + (double) residual[i * n + j];
            /* gamma_n |a||b| (Higham 2002, eq. 3.5) */
            assert_true(fabs(sum - (double) y[i * n + j]) <= (double) (k + r + 8) * 0x1p-24 * (size + 2));
        }
    static const int64_t cuts[][2] = { { 1, 1000 }, { 5, 7 }, { 12, 64 }, { 17, 33 } };
    for (size_t c = 0; c < sizeof cuts / sizeof cuts[0]; c++) {
        run(&g, cuts[c][0], cuts[c][1] < n ? cuts[c][1] : n, residual, z);
        assert_memory_equal(y, z, sizeof *y * (size_t) (m * n));
    }
    free(a);
    free(b);
    free(u);
    free(v);
    free(bias);
    free(residual);
    free(y);
    free(z);
}

static void each_shape(enum firn_gemm_units units)
{
    static const int64_t shapes[][4] = { { 1, 1, 1, 0 },   { 3, 5, 7, 2 },    { 13, 17, 33, 3 },  { 25, 64, 40, 0 },
                                         { 19, 81, 16, 8 }, { 50, 129, 257, 5 }, { 6, 9, 2051, 2 }, { 49, 31, 530, 1 },
                                         { 7, 11, 0, 3 } };
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (int form = 0; form < 8; form++)
            check(units, shapes[i][0], shapes[i][1], shapes[i][2], shapes[i][3], form);
}

static void a_product_has_the_same_bits_however_it_is_cut(void **state)
{
    (void) state;
    const enum firn_gemm_units best = firn_gemm_units();
    if (best == FIRN_GEMM_NONE)
        skip();
    for (int units = FIRN_GEMM_AVX2; units <= (int) best; units++)
        each_shape((enum firn_gemm_units) units);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(a_product_has_the_same_bits_however_it_is_cut) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
