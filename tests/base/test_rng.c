/* SPDX-License-Identifier: Apache-2.0 */
/* Philox against its authors' known answers, and the shape of what is drawn from it. */
#include "check.h"

#include "base/rng.h"

#include <math.h>

/* Random123 1.14, tests/kat_vectors: philox 4x32 10. */
static void philox_gives_the_known_answers(void **state)
{
    (void) state;
    static const struct {
        uint32_t counter[4], key[2], words[4];
    } known[] = {
        { { 0, 0, 0, 0 }, { 0, 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
        { { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff },
          { 0xffffffff, 0xffffffff },
          { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
        { { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 },
          { 0xa4093822, 0x299f31d0 },
          { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
    };
    for (size_t i = 0; i < N_OF(known); i++) {
        uint32_t words[4];
        const uint32_t *c = known[i].counter, *k = known[i].key;
        firn_philox((uint64_t) k[1] << 32 | k[0], c[3], c[2], (uint64_t) c[1] << 32 | c[0], words);
        assert_memory_equal(words, known[i].words, sizeof words);
    }
}

static void uniform_numbers_fill_the_interval_evenly(void **state)
{
    (void) state;
    enum { N = 100000 };
    int bins[10] = { 0 };
    double sum = 0;
    for (uint64_t i = 0; i < N; i++) {
        const float u = firn_uniform(42, 1, 2, i);
        assert_true(u >= 0.0f && u < 1.0f);
        bins[(int) (u * 10.0f)]++;
        sum += u;
    }
    /* five standard deviations: of the mean sqrt(1/12/N), of a bin sqrt(N * 0.09) */
    assert_true(fabs(sum / N - 0.5) < 5 * sqrt(1.0 / 12 / N));
    for (int i = 0; i < 10; i++)
        assert_true(fabs(bins[i] - N / 10.0) < 5 * sqrt(N * 0.09));
}

static void normal_numbers_have_their_moments(void **state)
{
    (void) state;
    enum { N = 100000 };
    double m1 = 0, m2 = 0, m4 = 0, pairs = 0;
    for (uint64_t i = 0; i < N; i++) {
        const double x = firn_normal(42, 1, 2, i);
        assert_true(isfinite(x));
        m1 += x / N;
        m2 += x * x / N;
        m4 += x * x * x * x / N;
        pairs += x * firn_normal(42, 1, 2, i ^ 1) / N;
    }
    /* variances of the estimates: 1/N, 2/N, 96/N; of the product of a pair 2/N (each counts twice)
     */
    assert_true(fabs(m1) < 5 * sqrt(1.0 / N));
    assert_true(fabs(m2 - 1) < 5 * sqrt(2.0 / N));
    assert_true(fabs(m4 - 3) < 5 * sqrt(96.0 / N));
    assert_true(fabs(pairs) < 5 * sqrt(2.0 / N));
}

static void each_part_of_the_address_changes_the_number(void **state)
{
    (void) state;
    const float u = firn_uniform(1, 2, 3, 4);
    assert_true(u == firn_uniform(1, 2, 3, 4));
    assert_true(u != firn_uniform(1 + (UINT64_C(1) << 32), 2, 3, 4));
    assert_true(u != firn_uniform(2, 2, 3, 4));
    assert_true(u != firn_uniform(1, 3, 3, 4));
    assert_true(u != firn_uniform(1, 2, 4, 4));
    assert_true(u != firn_uniform(1, 2, 3, 5));
    assert_true(u != firn_uniform(1, 2, 3, 4 + (UINT64_C(1) << 34)));
}

static void a_shuffle_is_a_permutation_of_any_size(void **state)
{
    (void) state;
    for (size_t n = 0; n < 70; n++) {
        uint32_t order[71];
        bool seen[71] = { false };
        order[n] = 0xabcdef;
        firn_shuffle(9, 1, (uint32_t) n, order, n);
        for (size_t i = 0; i < n; i++) {
            assert_true(order[i] < n && !seen[order[i]]);
            seen[order[i]] = true;
        }
        assert_int_equal(order[n], 0xabcdef);
    }
}

static void a_shuffle_puts_each_number_everywhere_equally_often(void **state)
{
    (void) state;
    enum { N = 5, ROUNDS = 20000 };
    int count[N][N] = { { 0 } };
    for (uint32_t step = 0; step < ROUNDS; step++) {
        uint32_t order[N];
        firn_shuffle(11, 1, step, order, N);
        for (int i = 0; i < N; i++)
            count[i][order[i]]++;
    }
    const double p = 1.0 / N;
    for (int i = 0; i < N; i++)
        for (int k = 0; k < N; k++)
            assert_true(fabs(count[i][k] - ROUNDS * p) < 5 * sqrt(ROUNDS * p * (1 - p)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_gives_the_known_answers),
        cmocka_unit_test(uniform_numbers_fill_the_interval_evenly),
        cmocka_unit_test(normal_numbers_have_their_moments),
        cmocka_unit_test(each_part_of_the_address_changes_the_number),
        cmocka_unit_test(a_shuffle_is_a_permutation_of_any_size),
        cmocka_unit_test(a_shuffle_puts_each_number_everywhere_equally_often),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
