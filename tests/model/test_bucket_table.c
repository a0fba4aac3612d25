/* SPDX-License-Identifier: Apache-2.0 */
/* Buckets of relative positions against transformers 5.23 (T5Attention._relative_position_bucket). Distances that are
 * powers of two stand on the edge between two buckets: there the rounding in float32 decides. */
#include "scratch.h"

#include "model/bucket_table.h"

enum { N = 21 };
static const int64_t relative[N] = { -200, -128, -64, -32, -20, -16, -12, -8, -5, -3, -1, 0, 1, 2, 7, 8, 16, 32, 90, 128, 500 };
static const struct {
    struct firn_buckets buckets;
    int32_t want[N];
} recorded[] = {
    { { true, 8, 20 }, { 7, 7, 7, 7, 7, 7, 6, 5, 4, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 } },
    { { false, 8, 20 }, { 3, 3, 3, 3, 3, 3, 3, 3, 2, 2, 1, 0, 5, 6, 7, 7, 7, 7, 7, 7, 7 } },
    { { false, 32, 128 }, { 15, 15, 14, 12, 10, 10, 9, 8, 5, 3, 1, 0, 17, 18, 23, 24, 26, 28, 30, 31, 31 } },
    { { true, 32, 128 }, { 31, 31, 26, 21, 17, 16, 12, 8, 5, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 } },
};

static void a_bucket_is_that_of_transformers(void **state)
{
    (void) state;
    for (size_t c = 0; c < sizeof recorded / sizeof recorded[0]; c++)
        for (int i = 0; i < N; i++)
            assert_int_equal(firn_bucket_of(&recorded[c].buckets, relative[i]), recorded[c].want[i]);
}

/* Entry j - i + n_queries - 1; with more keys than queries the first keys lie before the first query (a prefix). */
static void a_row_of_the_table_is_found_by_distance(void **state)
{
    (void) state;
    static const int64_t sizes[][2] = { { 1, 1 }, { 5, 5 }, { 5, 9 }, { 1, 7 } };
    for (size_t c = 0; c < sizeof recorded / sizeof recorded[0]; c++)
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
            const int64_t nq = sizes[s][0], nk = sizes[s][1];
            int32_t ids[16];
            firn_buckets_fill(&recorded[c].buckets, nq, nk, ids);
            for (int64_t i = 0; i < nq; i++)
                for (int64_t j = 0; j < nk; j++)
                    assert_int_equal(ids[j - i + nq - 1],
                                     firn_bucket_of(&recorded[c].buckets, j - (i + nk - nq)));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bucket_is_that_of_transformers),
        cmocka_unit_test(a_row_of_the_table_is_found_by_distance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
