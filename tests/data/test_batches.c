/* SPDX-License-Identifier: Apache-2.0 */
/* Batches: every example once, similar lengths together, the same plan each time. */
#include "../base/check.h"

#include "base/rng.h"
#include "data/batches.h"

enum { N_MAX = 5000 };

static void random_lengths(uint32_t *lengths, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        lengths[i] = 1 + (uint32_t) (firn_uniform(3, 1, 0, i) * 120.0f);
}

/* Checks what holds for every plan; returns how many tokens its batches hold with padding. */
static uint64_t check_plan(const struct firn_batches *plan, const uint32_t *lengths, uint32_t n,
                           const struct firn_batches_params *p)
{
    static bool seen[N_MAX];
    uint32_t covered = 0, n_short = 0;
    uint64_t tokens = 0;
    memset(seen, 0, sizeof seen);
    assert_int_equal(plan->count, (n + p->batch_size - 1) / p->batch_size);
    for (uint32_t b = 0; b < plan->count; b++) {
        const struct firn_batch *batch = &plan->list[b];
        uint32_t longest = 0;
        assert_true(batch->count >= 1 && batch->count <= p->batch_size);
        n_short += batch->count < p->batch_size;
        for (uint32_t i = 0; i < batch->count; i++) {
            const uint32_t row = plan->order[batch->first + i];
            assert_true(row < n && !seen[row]);
            seen[row] = true;
            longest = lengths[row] > longest ? lengths[row] : longest;
        }
        covered += batch->count;
        const uint32_t rounded = (longest + p->multiple - 1) / p->multiple * p->multiple;
        assert_int_equal(batch->length, rounded > p->max_length ? p->max_length : rounded);
        tokens += (uint64_t) batch->length * batch->count;
    }
    assert_int_equal(covered, n);
    assert_int_equal(n_short, n % p->batch_size != 0);
    return tokens;
}

static uint64_t plan_and_check(struct firn_batches *plan, const uint32_t *lengths, uint32_t n,
                               const struct firn_batches_params *p)
{
    struct firn_error err = { 0 };
    check_ok(firn_batches_plan(plan, lengths, n, p, &err), &err);
    return check_plan(plan, lengths, n, p);
}

static void every_example_is_in_one_batch(void **state)
{
    (void) state;
    static uint32_t lengths[N_MAX];
    random_lengths(lengths, N_MAX);
    const uint32_t sizes[] = { 0, 1, 2, 7, 8, 9, 399, 400, 401, 4999, 5000 };
    for (size_t i = 0; i < N_OF(sizes); i++)
        for (int option = 0; option < 4; option++) {
            struct firn_batches plan;
            const struct firn_batches_params p = { .batch_size = 8,
                                                   .multiple = 8,
                                                   .max_length = 100,
                                                   .seed = 1,
                                                   .shuffles = option & 1,
                                                   .groups = option >> 1 };
            plan_and_check(&plan, lengths, sizes[i], &p);
            firn_batches_free(&plan);
            firn_batches_free(&plan);
        }
}

static void a_plan_depends_on_seed_and_epoch_and_on_nothing_else(void **state)
{
    (void) state;
    enum { N = 1000 };
    static uint32_t lengths[N];
    struct firn_batches plans[4];
    random_lengths(lengths, N);
    struct firn_batches_params p = { .batch_size = 8,
                                     .multiple = 8,
                                     .max_length = 128,
                                     .seed = 1,
                                     .shuffles = true,
                                     .groups = true };
    plan_and_check(&plans[0], lengths, N, &p);
    plan_and_check(&plans[1], lengths, N, &p);
    p.epoch = 1;
    plan_and_check(&plans[2], lengths, N, &p);
    p.epoch = 0;
    p.seed = 2;
    plan_and_check(&plans[3], lengths, N, &p);
    assert_memory_equal(plans[0].order, plans[1].order, N * sizeof *lengths);
    assert_memory_equal(plans[0].list, plans[1].list, plans[0].count * sizeof *plans[0].list);
    assert_memory_not_equal(plans[0].order, plans[2].order, N * sizeof *lengths);
    assert_memory_not_equal(plans[0].order, plans[3].order, N * sizeof *lengths);
    for (size_t i = 0; i < N_OF(plans); i++)
        firn_batches_free(&plans[i]);
}

static void grouping_saves_padding(void **state)
{
    (void) state;
    static uint32_t lengths[N_MAX];
    uint64_t needed = 0;
    random_lengths(lengths, N_MAX);
    for (uint32_t i = 0; i < N_MAX; i++)
        needed += lengths[i];
    struct firn_batches plan;
    struct firn_batches_params p = {
        .batch_size = 16, .multiple = 8, .max_length = 128, .shuffles = true
    };
    const uint64_t plain = plan_and_check(&plan, lengths, N_MAX, &p);
    firn_batches_free(&plan);
    p.groups = true;
    const uint64_t grouped = plan_and_check(&plan, lengths, N_MAX, &p);
    firn_batches_free(&plan);
    /* uniform lengths: the longest of 16 is nearly twice the mean; grouped, half a bucket is lost
     */
    assert_true((double) plain > 1.7 * (double) needed);
    assert_true((double) grouped < 1.15 * (double) needed);
}

static void grouped_batches_do_not_come_sorted(void **state)
{
    (void) state;
    static uint32_t lengths[N_MAX];
    struct firn_batches plan;
    uint32_t longer = 0, shorter = 0;
    random_lengths(lengths, N_MAX);
    const struct firn_batches_params p = {
        .batch_size = 16, .multiple = 1, .max_length = 128, .shuffles = true, .groups = true
    };
    plan_and_check(&plan, lengths, N_MAX, &p);
    for (uint32_t b = 1; b < plan.count; b++) {
        longer += plan.list[b].length > plan.list[b - 1].length;
        shorter += plan.list[b].length < plan.list[b - 1].length;
    }
    assert_true(longer > plan.count / 3 && shorter > plan.count / 3);
    firn_batches_free(&plan);
}

static void an_evaluation_goes_from_long_to_short_and_keeps_equal_ones_in_order(void **state)
{
    (void) state;
    const uint32_t lengths[] = { 3, 9, 3, 20, 9, 3 }, want[] = { 3, 1, 4, 0, 2, 5 };
    struct firn_batches plan;
    const struct firn_batches_params p = {
        .batch_size = 4, .multiple = 8, .max_length = 18, .seed = 7
    };
    plan_and_check(&plan, lengths, 6, &p);
    assert_memory_equal(plan.order, want, sizeof want);
    assert_int_equal(plan.list[0].length, 18);
    assert_int_equal(plan.list[1].length, 8);
    assert_int_equal(plan.list[1].count, 2);
    firn_batches_free(&plan);
}

static void second_lengths_are_padded_by_their_own_limit(void **state)
{
    (void) state;
    const uint32_t lengths[] = { 3, 9, 3, 20 }, targets[] = { 5, 1, 11, 0 };
    struct firn_batches plan;
    struct firn_error err = { 0 };
    const struct firn_batches_params p = {
        .batch_size = 2, .multiple = 8, .max_length = 18, .targets = targets, .max_target = 10
    };
    check_ok(firn_batches_plan(&plan, lengths, 4, &p, &err), &err);
    assert_int_equal(plan.list[0].length, 18); /* examples 3 and 1 */
    assert_int_equal(plan.list[0].target, 8);
    assert_int_equal(plan.list[1].length, 8);
    assert_int_equal(plan.list[1].target, 10);
    firn_batches_free(&plan);
}

static void empty_examples_make_a_batch_of_length_one(void **state)
{
    (void) state;
    const uint32_t lengths[] = { 0, 0 };
    struct firn_batches plan;
    struct firn_error err = { 0 };
    const struct firn_batches_params p = { .batch_size = 4, .multiple = 8, .max_length = 18 };
    check_ok(firn_batches_plan(&plan, lengths, 2, &p, &err), &err);
    assert_int_equal(plan.list[0].length, 1);
    firn_batches_free(&plan);
}

static void sizes_of_nothing_and_of_everything_are_safe(void **state)
{
    (void) state;
    const uint32_t lengths[] = { UINT32_MAX, 1, 5 };
    struct firn_batches plan;
    struct firn_error err = { 0 };
    struct firn_batches_params p = { .batch_size = UINT32_MAX,
                                     .multiple = UINT32_MAX - 1,
                                     .max_length = UINT32_MAX,
                                     .shuffles = true,
                                     .groups = true };
    check_ok(firn_batches_plan(&plan, lengths, 3, &p, &err), &err);
    assert_int_equal(plan.count, 1);
    assert_int_equal(plan.list[0].length, UINT32_MAX);
    firn_batches_free(&plan);
    p.batch_size = 0;
    check_fails(firn_batches_plan(&plan, lengths, 3, &p, &err), FIRN_ERR_USAGE, &err,
                "batch size, multiple and largest length: expected at least 1, got 0");
    assert_null(plan.list);
}

static void packed_batches_hold_as_many_tokens_as_fit(void **state)
{
    (void) state;
    static uint32_t lengths[N_MAX], first[N_MAX];
    static bool seen[N_MAX];
    random_lengths(lengths, N_MAX);
    uint32_t count = 0, moved = 0;
    for (uint32_t epoch = 0; epoch < 3; epoch++) {
        struct firn_batches plan;
        struct firn_error err = { 0 };
        const struct firn_batches_params p = { .batch_size = 4, .multiple = 8, .max_length = 128, .seed = 5, .epoch = epoch,
                                               .shuffles = true, .groups = true, .packs = true };
        uint64_t tokens = 0, places = 0;
        check_ok(firn_batches_plan(&plan, lengths, N_MAX, &p, &err), &err);
        memset(seen, 0, sizeof seen);
        for (uint32_t b = 0; b < plan.count; b++) {
            const struct firn_batch *batch = &plan.list[b];
            uint64_t sum = 0;
            for (uint32_t i = 0; i < batch->count; i++) {
                const uint32_t e = plan.order[batch->first + i];
                assert_false(seen[e]);
                seen[e] = true;
                sum += lengths[e];
                assert_true(lengths[e] <= batch->length);
            }
            assert_true(batch->count > 0 && batch->rows >= batch->count && sum <= batch->packed && batch->packed <= 512);
            assert_true((uint64_t) batch->rows * batch->length <= 2 * 512 && batch->length <= 128);
            tokens += sum;
            places += batch->packed;
            moved += epoch > 0 && first[b] != batch->first;
            first[b] = epoch == 0 ? batch->first : first[b];
        }
        for (uint32_t i = 0; i < N_MAX; i++)
            assert_true(seen[i]);
        assert_true(epoch == 0 || plan.count == count); // resuming counts on it
        count = plan.count;
        assert_true(tokens * 10 > places * 9); // little is left empty
        firn_batches_free(&plan);
    }
    assert_true(moved > count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packed_batches_hold_as_many_tokens_as_fit),
        cmocka_unit_test(every_example_is_in_one_batch),
        cmocka_unit_test(a_plan_depends_on_seed_and_epoch_and_on_nothing_else),
        cmocka_unit_test(grouping_saves_padding),
        cmocka_unit_test(grouped_batches_do_not_come_sorted),
        cmocka_unit_test(an_evaluation_goes_from_long_to_short_and_keeps_equal_ones_in_order),
        cmocka_unit_test(second_lengths_are_padded_by_their_own_limit),
        cmocka_unit_test(empty_examples_make_a_batch_of_length_one),
        cmocka_unit_test(sizes_of_nothing_and_of_everything_are_safe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
