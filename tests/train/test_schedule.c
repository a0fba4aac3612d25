/* SPDX-License-Identifier: Apache-2.0 */
/* Learning rates against the formulas of transformers' optimization.py, written here a second time. */
#include "../base/check.h"

#include "train/schedule.h"

#include <math.h>

static double rate(enum firn_schedule_type type, double peak, int64_t warmup, int64_t total, int64_t k)
{
    const struct firn_schedule s = { .type = type, .peak = peak, .warmup = warmup, .total = total };
    return firn_schedule_rate(&s, k);
}

static void near(double got, double want)
{
    if (!(fabs(got - want) <= 1e-12 * fabs(want) + 1e-18))
        fail_msg("got %.17g, want %.17g", got, want);
}

static void a_constant_rate_has_no_warm_up(void **state)
{
    (void) state;
    for (int64_t k = 0; k < 20; k++)
        near(rate(FIRN_SCHEDULE_CONSTANT, 3e-4, 5, 20, k), 3e-4);
}

static void the_first_update_of_a_warm_up_has_rate_zero(void **state)
{
    (void) state;
    const enum firn_schedule_type types[] = { FIRN_SCHEDULE_CONSTANT_WARMUP, FIRN_SCHEDULE_LINEAR,
                                              FIRN_SCHEDULE_COSINE, FIRN_SCHEDULE_INVERSE_SQRT };
    for (size_t i = 0; i < N_OF(types); i++)
        for (int64_t k = 0; k < 4; k++)
            near(rate(types[i], 8e-4, 4, 20, k), 2e-4 * (double) k);
}

static void without_warm_up_the_first_update_has_the_peak_rate(void **state)
{
    (void) state;
    const enum firn_schedule_type types[] = { FIRN_SCHEDULE_CONSTANT, FIRN_SCHEDULE_CONSTANT_WARMUP,
                                              FIRN_SCHEDULE_LINEAR, FIRN_SCHEDULE_COSINE,
                                              FIRN_SCHEDULE_INVERSE_SQRT };
    for (size_t i = 0; i < N_OF(types); i++)
        near(rate(types[i], 5e-5, 0, 10, 0), 5e-5);
}

static void linear_falls_to_zero_at_the_end(void **state)
{
    (void) state;
    for (int64_t warmup = 0; warmup <= 8; warmup += 4)
        for (int64_t k = warmup; k <= 30; k++)
            near(rate(FIRN_SCHEDULE_LINEAR, 1e-3, warmup, 20, k),
                 k < 20 ? 1e-3 * (double) (20 - k) / (double) (20 - warmup) : 0);
}

static void cosine_falls_along_half_a_wave(void **state)
{
    (void) state;
    /* half a wave from 1 to 0: 1, (1 + sqrt(1/2)) / 2, 1/2, (1 - sqrt(1/2)) / 2, 0 at quarters */
    const double want[] = { 1, 0.5 + sqrt(0.125), 0.5, 0.5 - sqrt(0.125), 0 };
    for (int q = 0; q <= 4; q++) {
        const double got = rate(FIRN_SCHEDULE_COSINE, 2.0, 4, 20, 4 + 4 * q);
        if (!(fabs(got - 2 * want[q]) < 1e-15 * 8))
            fail_msg("quarter %d: got %.17g, want %.17g", q, got, 2 * want[q]);
    }
}

static void inverse_sqrt_counts_from_the_warm_up(void **state)
{
    (void) state;
    for (int64_t k = 4; k < 50; k++)
        near(rate(FIRN_SCHEDULE_INVERSE_SQRT, 1e-3, 4, 20, k), 1e-3 * sqrt(4.0 / (double) k));
    for (int64_t k = 0; k < 50; k++) /* transformers takes a time scale of 10000 without warm-up */
        near(rate(FIRN_SCHEDULE_INVERSE_SQRT, 1e-3, 0, 20, k), 1e-3 / sqrt((double) (k + 10000) / 10000.0));
}

static void no_schedule_divides_by_zero(void **state)
{
    (void) state;
    for (int type = FIRN_SCHEDULE_CONSTANT; type <= FIRN_SCHEDULE_INVERSE_SQRT; type++)
        for (int64_t total = 0; total < 4; total++)
            for (int64_t warmup = 0; warmup < 4; warmup++)
                for (int64_t k = 0; k < 6; k++) {
                    const double r = rate((enum firn_schedule_type) type, 1e-3, warmup, total, k);
                    assert_true(isfinite(r) && r >= 0 && r <= 1e-3 * (1 + 1e-12));
                }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_constant_rate_has_no_warm_up),
        cmocka_unit_test(the_first_update_of_a_warm_up_has_rate_zero),
        cmocka_unit_test(without_warm_up_the_first_update_has_the_peak_rate),
        cmocka_unit_test(linear_falls_to_zero_at_the_end),
        cmocka_unit_test(cosine_falls_along_half_a_wave),
        cmocka_unit_test(inverse_sqrt_counts_from_the_warm_up),
        cmocka_unit_test(no_schedule_divides_by_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
