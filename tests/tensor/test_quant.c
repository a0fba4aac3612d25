/* SPDX-License-Identifier: Apache-2.0 */
/* Quantised matrices: codes by brute force, awkward sizes, what quantised scales cost, and layouts. */
#include "base/rng.h"
#include "tensor/quant.h"

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include <math.h>
#include <stdlib.h>
#include <string.h>

static float *random_matrix(int64_t rows, int64_t cols, uint64_t seed)
{
    float *x = malloc(sizeof *x * (size_t) (rows * cols + 1));
    for (int64_t i = 0; i < rows * cols; i++)
        x[i] = firn_normal(seed, 1, 0, (uint64_t) i) * (1.0f + (float) (i % 17));
    return x;
}

static struct firn_tensor quantise(enum firn_dtype dtype, struct firn_shape shape, float *x, bool is_transposed)
{
    const struct firn_shape held = is_transposed ? firn_dims(shape.dim[1], shape.dim[0]) : shape;
    const struct firn_tensor from = { FIRN_F32, held, x };
    struct firn_tensor t = { dtype, shape, malloc(firn_quant_bytes(dtype, &shape)) };
    memset(t.data, 0xA5, firn_quant_bytes(dtype, &shape));
    assert_int_equal(firn_quant_encode(&t, &from, is_transposed, NULL), FIRN_OK);
    return t;
}

static int brute(float v)
{
    int best = 0;
    for (int k = 1; k < 16; k++)
        if (fabsf(v - firn_nf4_levels[k]) < fabsf(v - firn_nf4_levels[best]))
            best = k;
    return best;
}

static const int64_t sizes[][2] = { { 1, 1 }, { 1, 63 }, { 1, 64 }, { 1, 65 }, { 7, 11 }, { 3, 100 }, { 64, 48 }, { 129, 129 } };
enum { N_SIZES = sizeof sizes / sizeof sizes[0] };

static void nf4_codes_are_the_nearest_levels_in_blocks_of_64(void **state)
{
    (void) state;
    for (int s = 0; s < N_SIZES; s++) {
        const int64_t rows = sizes[s][0], cols = sizes[s][1], n = rows * cols;
        float *x = random_matrix(rows, cols, (uint64_t) s), *back = malloc(sizeof *back * (size_t) n);
        struct firn_tensor t = quantise(FIRN_NF4, firn_dims(rows, cols), x, false);
        assert_int_equal(firn_quant_n_scales(&t), (n + 63) / 64);
        firn_tensor_read_f32(&t, 0, n, back);
        for (int64_t i = 0; i < n; i++) {
            float most = 0;
            for (int64_t k = i / 64 * 64; k < n && k < (i / 64 + 1) * 64; k++)
                most = fabsf(x[k]) > most ? fabsf(x[k]) : most;
            const int code = brute(x[i] / most), byte = ((const uint8_t *) t.data)[i / 2];
            assert_int_equal(i % 2 == 0 ? byte >> 4 : byte & 15, code);
            assert_true(firn_quant_scale(&t, i / 64) == most);
            assert_true(back[i] == firn_nf4_levels[code] * most);
        }
        if (n % 2 == 1)
            assert_int_equal(((const uint8_t *) t.data)[n / 2] & 15, 0);
        for (int64_t start = 0; start < n; start += 5) { /* from anywhere */
            float part[7];
            const int64_t m = n - start < 7 ? n - start : 7;
            firn_tensor_read_f32(&t, start, m, part);
            assert_memory_equal(part, back + start, sizeof *part * (size_t) m);
        }
        free(x);
        free(back);
        free(t.data);
    }
}

static void int8_rounds_half_to_even_with_a_scale_a_row(void **state)
{
    (void) state;
    float x[] = { 127, 0.5f, 1.5f, 2.5f, -0.5f, -126.5f, 0, 0, 0, 0, 0, 0, 2, -1, 0.01f, -2, 1, 0 };
    static const int8_t want[] = { 127, 0, 2, 2, 0, -126, 0, 0, 0, 0, 0, 0, 127, -64, 1, -127, 64, 0 };
    struct firn_tensor t = quantise(FIRN_INT8_ROWS, firn_dims(3, 6), x, false);
    assert_memory_equal(t.data, want, sizeof want);
    assert_true(firn_quant_scale(&t, 0) == 1.0f && firn_quant_scale(&t, 1) == 0.0f);
    assert_true(firn_quant_scale(&t, 2) == 2.0f / 127.0f);
    float back[18];
    firn_tensor_read_f32(&t, 0, 18, back);
    assert_true(back[13] == -64 * (2.0f / 127.0f) && back[7] == 0);
    free(t.data);
}

/* The signed map has 256 values; between 0.1 and 1 they are at most 0.9 / 64 apart, so a scale is off by at most half of that
 * times the largest distance from the mean. */
static void quantised_scales_are_close_and_codes_the_same(void **state)
{
    (void) state;
    for (int s = 0; s < N_SIZES; s++) {
        const int64_t rows = sizes[s][0], cols = sizes[s][1], n = rows * cols;
        float *x = random_matrix(rows, cols, (uint64_t) s);
        struct firn_tensor a = quantise(FIRN_NF4, firn_dims(rows, cols), x, false);
        struct firn_tensor b = quantise(FIRN_NF4_DOUBLE, firn_dims(rows, cols), x, false);
        assert_memory_equal(a.data, b.data, (size_t) ((n + 1) / 2));
        double mean = 0, most = 0;
        const int64_t blocks = firn_quant_n_scales(&a);
        for (int64_t i = 0; i < blocks; i++)
            mean += (double) firn_quant_scale(&a, i) / (double) blocks;
        for (int64_t i = 0; i < blocks; i++)
            most = fmax(most, fabs((double) firn_quant_scale(&a, i) - mean));
        for (int64_t i = 0; i < blocks; i++)
            assert_true(fabs((double) (firn_quant_scale(&a, i) - firn_quant_scale(&b, i))) <= 0.0071 * most + 1e-6 * mean);
        free(x);
        free(a.data);
        free(b.data);
    }
}

static void the_map_is_that_of_bitsandbytes(void **state)
{
    (void) state;
    float x[64] = { 1 }, map[256];
    const struct firn_shape shape = firn_dims(1, 64);
    struct firn_tensor t = quantise(FIRN_NF4_DOUBLE, shape, x, false);
    memcpy(map, (const char *) t.data + firn_quant_bytes(t.dtype, &shape) - sizeof map, sizeof map);
    assert_true(fabsf(map[0] + 0.99296875f) < 1e-7f && map[255] == 1.0f);
    assert_true(map[127] == 0.0f && fabsf(map[254] - 0.99296875f) < 1e-7f);
    assert_true(fabsf(map[128] - 0.55e-6f) < 1e-12f);
    for (int i = 1; i < 256; i++)
        assert_true(map[i] > map[i - 1]);
    free(t.data);
}

static void a_transposed_source_gives_the_same_bytes(void **state)
{
    (void) state;
    static const enum firn_dtype types[] = { FIRN_NF4, FIRN_NF4_DOUBLE, FIRN_INT8_ROWS };
    const struct firn_shape shape = firn_dims(7, 11);
    float *x = random_matrix(7, 11, 3), y[77];
    for (int i = 0; i < 77; i++)
        y[i % 11 * 7 + i / 11] = x[i];
    for (int k = 0; k < 3; k++) {
        struct firn_tensor a = quantise(types[k], shape, x, false), b = quantise(types[k], shape, y, true);
        assert_memory_equal(a.data, b.data, 77 / 2);
        for (int64_t i = 0; i < firn_quant_n_scales(&a); i++)
            assert_true(firn_quant_scale(&a, i) == firn_quant_scale(&b, i));
        free(a.data);
        free(b.data);
    }
    free(x);
}

/* QLoRA, sec. 3: 4 bits, 8 / 64 for scales and 32 / (64 256) for theirs; the map and the mean are beside it. */
static void sizes_are_those_of_the_paper(void **state)
{
    (void) state;
    const struct firn_shape shape = firn_dims(4096, 4096);
    const double n = 4096.0 * 4096.0;
    assert_int_equal(firn_quant_bytes(FIRN_NF4, &shape), (size_t) (n * 4.5 / 8));
    assert_int_equal(firn_quant_bytes(FIRN_NF4_DOUBLE, &shape), (size_t) (n / 2 + n / 64 + n / 64 / 256 * 4) + 4 + 1024);
    assert_int_equal(firn_quant_bytes(FIRN_INT8_ROWS, &shape), (size_t) n + 4096 * 4);
    assert_int_equal(firn_tensor_bytes(FIRN_BF16, &shape), (size_t) n * 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nf4_codes_are_the_nearest_levels_in_blocks_of_64),
        cmocka_unit_test(int8_rounds_half_to_even_with_a_scale_a_row),
        cmocka_unit_test(quantised_scales_are_close_and_codes_the_same),
        cmocka_unit_test(the_map_is_that_of_bitsandbytes),
        cmocka_unit_test(a_transposed_source_gives_the_same_bytes),
        cmocka_unit_test(sizes_are_those_of_the_paper),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
