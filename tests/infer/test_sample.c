/* SPDX-License-Identifier: Apache-2.0 */
/* Sampling: the filters keep what they should, and draws follow the probabilities. */
#include "infer/sample.h"

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include <math.h>
#include <string.h>

enum { V = 7, DRAWS = 20000 };
/* softmax: 0.4, 0.05, 0.25, 0.05, 0.05, 0.2, 0 */
static const double share[V] = { 0.4, 0.05, 0.25, 0.05, 0.05, 0.2, 0 };

static void count(const struct firn_sampling *how, double *part)
{
    struct firn_sampler s;
    float logits[V];
    const uint8_t seen[V] = { 0 };
    memset(part, 0, sizeof *part * V);
    assert_int_equal(firn_sampler_init(&s, V, NULL), FIRN_OK);
    for (int v = 0; v < V; v++)
        logits[v] = (float) log(share[v]); /* the last is -inf */
    for (uint32_t k = 0; k < DRAWS; k++) {
        const int32_t id = firn_sample(&s, how, logits, seen, k % 100, k / 100);
        assert_in_range(id, 0, V - 1);
        part[id] += 1.0 / DRAWS;
    }
    firn_sampler_finish(&s);
}

/* Six deviations of a share of DRAWS. */
static void assert_share(double got, double want)
{
    if (!(fabs(got - want) <= 6 * sqrt(want * (1 - want) / DRAWS) + 1e-12))
        fail_msg("%g of the draws, expected %g", got, want);
}

static void draws_follow_the_probabilities(void **state)
{
    (void) state;
    double part[V], sum = 0;
    count(&(struct firn_sampling){ .temperature = 1, .top_p = 1, .seed = 3 }, part);
    for (int v = 0; v < V; v++)
        assert_share(part[v], share[v]);
    count(&(struct firn_sampling){ .temperature = 0.5, .top_p = 1, .seed = 4 }, part);
    for (int v = 0; v < V; v++)
        sum += share[v] * share[v];
    for (int v = 0; v < V; v++)
        assert_share(part[v], share[v] * share[v] / sum);
}

static void top_k_and_top_p_keep_the_best(void **state)
{
    (void) state;
    double part[V];
    count(&(struct firn_sampling){ .temperature = 1, .top_k = 3, .top_p = 1, .seed = 5 }, part);
    assert_share(part[0], 0.4 / 0.85);
    assert_share(part[2], 0.25 / 0.85);
    assert_share(part[5], 0.2 / 0.85);
    assert_share(part[1] + part[3] + part[4], 0);
    /* 0.4 + 0.25 reach 0.6; a lone one where it reaches the share itself */
    count(&(struct firn_sampling){ .temperature = 1, .top_p = 0.6, .seed = 6 }, part);
    assert_share(part[0], 0.4 / 0.65);
    assert_share(part[2], 0.25 / 0.65);
    count(&(struct firn_sampling){ .temperature = 1, .top_p = 1e-9, .seed = 6 }, part);
    assert_share(part[0], 1);
    /* top-p is a share of what top-k left: 0.4 / 0.65 reaches 0.6 */
    count(&(struct firn_sampling){ .temperature = 1, .top_k = 2, .top_p = 0.6, .seed = 6 }, part);
    assert_share(part[0], 1);
    /* equal ones: the lower ids */
    count(&(struct firn_sampling){ .temperature = 1, .top_k = 4, .top_p = 1, .seed = 9 }, part);
    assert_share(part[1], 0.05 / 0.9);
    assert_share(part[3] + part[4], 0);
}

static void seen_tokens_are_penalised_towards_less_likely(void **state)
{
    (void) state;
    struct firn_sampler s;
    const float logits[V] = { 3, 2.5f, 1, -1, -1.5f, -9, -9 };
    uint8_t seen[V] = { 1 };
    const struct firn_sampling greedy = { .repetition_penalty = 2 };
    assert_int_equal(firn_sampler_init(&s, V, NULL), FIRN_OK);
    assert_int_equal(firn_sample(&s, &greedy, logits, seen, 0, 0), 1);
    seen[1] = 1; /* 1.5, 1.25, 1 */
    assert_int_equal(firn_sample(&s, &greedy, logits, seen, 0, 0), 0);
    const float below[V] = { -1, -1.5f, -9, -9, -9, -9, -9 };
    seen[1] = 0; /* -2, -1.5 */
    assert_int_equal(firn_sample(&s, &greedy, below, seen, 0, 0), 1);
    firn_sampler_finish(&s);
}

static void logits_that_are_no_numbers_are_refused(void **state)
{
    (void) state;
    struct firn_sampler s;
    const uint8_t seen[V] = { 0 };
    const struct firn_sampling how = { .temperature = 1, .top_p = 1 };
    float logits[V] = { 0 };
    assert_int_equal(firn_sampler_init(&s, V, NULL), FIRN_OK);
    logits[4] = NAN;
    assert_int_equal(firn_sample(&s, &how, logits, seen, 0, 0), -1);
    logits[4] = INFINITY;
    assert_int_equal(firn_sample(&s, &how, logits, seen, 0, 0), -1);
    for (int v = 0; v < V; v++)
        logits[v] = -INFINITY;
    assert_int_equal(firn_sample(&s, &how, logits, seen, 0, 0), -1);
    firn_sampler_finish(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_follow_the_probabilities),
        cmocka_unit_test(top_k_and_top_p_keep_the_best),
        cmocka_unit_test(seen_tokens_are_penalised_towards_less_likely),
        cmocka_unit_test(logits_that_are_no_numbers_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
