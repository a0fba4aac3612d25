/* SPDX-License-Identifier: Apache-2.0 */
/* The fast functions against libm in double, over floats of every exponent. Errors are in u = 2^-24. */
#include "ops/fastmath.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>

/* Every 521st float, both signs, zero and infinities included; NaN is tested apart. */
enum { STRIDE = 521 };
#define EACH_FLOAT(x)                                                                             \
    for (uint32_t bits_ = 0; bits_ <= 0x7f800000u; bits_ += STRIDE)                               \
        for (float x = firn_f32_of_bits(bits_), sign_ = 1; sign_ >= -1; sign_ -= 2, x = -x)

struct worst {
    double error;
    float at;
};

static void see(struct worst *w, double error, float x)
{
    if (!(error <= w->error)) { /* NaN is the worst */
        w->error = isnan(error) ? INFINITY : error;
        w->at = x;
    }
}

/* Relative where the result is a normal number, absolute (in the smallest one) below. */
static double relative(double got, double want)
{
    return got == want ? 0 : fabs(got - want) / fmax(fabs(want), 0x1p-126) * 0x1p24;
}

static void check(const struct worst *w, double allowed, const char *name)
{
    if (!(w->error <= allowed))
        fail_msg("%s is off by %.3f u at %.9g, allowed %.1f", name, w->error, (double) w->at, allowed);
}

static void exp_is_within_two_units(void **state)
{
    (void) state;
    struct worst w = { 0 };
    EACH_FLOAT(x)
    {
        const double want = exp((double) x);
        if (want < 0x1.fffffep127)
            see(&w, relative((double) firn_expf(x), want), x);
        else if (want > 0x1.ffffffp127)
            assert_true(isinf(firn_expf(x)));
    }
    check(&w, 2, "exp");
}

static void exp_keeps_nan_and_ends_in_zero_and_infinity(void **state)
{
    (void) state;
    assert_true(isnan(firn_expf(NAN)));
    assert_true(firn_expf(-INFINITY) == 0 && firn_expf(-104.5f) == 0);
    assert_true(isinf(firn_expf(INFINITY)) && isinf(firn_expf(88.8f)));
    assert_true(firn_expf(0) == 1);
    assert_true(firn_expf(-100.0f) > 0); /* subnormal, not flushed */
}

static void tanh_is_within_five_units_and_saturates(void **state)
{
    (void) state;
    struct worst w = { 0 };
    EACH_FLOAT(x)
        see(&w, relative((double) firn_tanhf(x), tanh((double) x)), x);
    check(&w, 5, "tanh");
    assert_true(firn_tanhf(INFINITY) == 1 && firn_tanhf(-INFINITY) == -1 && isnan(firn_tanhf(NAN)));
}

static void sigmoid_and_its_rest_are_both_within_four_units(void **state)
{
    (void) state;
    struct worst y = { 0 }, rest = { 0 };
    EACH_FLOAT(x)
    {
        const struct firn_sigmoid s = firn_sigmoidf(x);
        see(&y, relative((double) s.y, 1 / (1 + exp(-(double) x))), x);
        see(&rest, relative((double) s.rest, 1 / (1 + exp((double) x))), x);
    }
    check(&y, 4, "sigmoid");
    check(&rest, 4, "1 - sigmoid");
}

static void the_normal_integral_is_within_1e_7_everywhere(void **state)
{
    (void) state;
    struct worst integral = { 0 }, density = { 0 };
    EACH_FLOAT(x)
    {
        const struct firn_normal_at n = firn_normal_atf(x);
        see(&integral, fabs((double) n.integral - 0.5 * erfc(-(double) x / sqrt(2.0))) * 0x1p24, x);
        see(&density, fabs((double) n.density - exp(-0.5 * (double) x * (double) x) / sqrt(2 * M_PI)) * 0x1p24, x);
    }
    check(&integral, 1.6, "the integral");
    check(&density, 1, "the density");
    assert_true(isnan(firn_normal_atf(NAN).integral));
}

static void the_far_tail_keeps_five_digits(void **state)
{
    (void) state;
    struct worst w = { 0 };
    for (float x = -13; x < 0; x += 0.00317f)
        see(&w, relative((double) firn_normal_atf(x).integral, 0.5 * erfc(-(double) x / sqrt(2.0))), x);
    check(&w, 1e-5 * 0x1p24, "the tail");
}

static void log1p_is_within_three_units_from_zero_to_one(void **state)
{
    (void) state;
    struct worst w = { 0 };
    EACH_FLOAT(x)
        if (x >= 0 && x <= 1)
            see(&w, relative((double) firn_log1pf(x), log1p((double) x)), x);
    check(&w, 3, "log1p");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exp_is_within_two_units),
        cmocka_unit_test(exp_keeps_nan_and_ends_in_zero_and_infinity),
        cmocka_unit_test(tanh_is_within_five_units_and_saturates),
        cmocka_unit_test(sigmoid_and_its_rest_are_both_within_four_units),
        cmocka_unit_test(the_normal_integral_is_within_1e_7_everywhere),
        cmocka_unit_test(the_far_tail_keeps_five_digits),
        cmocka_unit_test(log1p_is_within_three_units_from_zero_to_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
