/* SPDX-License-Identifier: Apache-2.0 */
/* A split moves each row to one side, always the same rows. */
#include "../base/check.h"

#include "data/split.h"

static void table_of(struct firn_table *t, size_t n)
{
    *t = (struct firn_table){ 0 };
    assert_int_equal(firn_table_name(t, "t.csv", NULL), FIRN_OK);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(firn_table_add(t, json_pack("{s:i}", "i", (int) i), i + 1, NULL), FIRN_OK);
}

/* The lines of the validation rows, after a check that both sides are whole and in order. */
static size_t split(size_t n, double fraction, uint64_t seed, size_t *lines)
{
    struct firn_table t, v;
    struct firn_error err = { 0 };
    table_of(&t, n);
    check_ok(firn_table_split(&t, fraction, seed, &v, &err), &err);
    assert_int_equal(t.count + v.count, n);
    assert_string_equal(v.path, "t.csv");
    for (size_t line = 1, a = 0, b = 0; line <= n; line++) {
        if (a < t.count && t.rows[a].line == line)
            a++;
        else if (b < v.count && v.rows[b].line == line)
            lines[b++] = line;
        else
            fail_msg("line %zu is on no side or out of order", line);
    }
    const size_t moved = v.count;
    firn_table_free(&t);
    firn_table_free(&v);
    return moved;
}

static void each_row_goes_to_one_side_in_order(void **state)
{
    (void) state;
    size_t lines[100];
    assert_int_equal(split(100, 0.1, 1, lines), 10);
    assert_int_equal(split(100, 0.255, 1, lines), 26);
    assert_int_equal(split(7, 0.5, 1, lines), 4);
    assert_int_equal(split(2, 0.001, 1, lines), 1);
    assert_int_equal(split(2, 0.999, 1, lines), 1);
}

static void the_same_seed_chooses_the_same_rows_and_another_others(void **state)
{
    (void) state;
    size_t first[50], second[50], third[50];
    split(100, 0.5, 1, first);
    split(100, 0.5, 1, second);
    split(100, 0.5, 2, third);
    assert_memory_equal(first, second, sizeof first);
    assert_memory_not_equal(first, third, sizeof first);
}

static void a_smaller_sample_is_part_of_a_larger_one(void **state)
{
    (void) state;
    struct firn_table small, large;
    table_of(&small, 100);
    table_of(&large, 100);
    assert_int_equal(firn_table_sample(&small, 10, 7, NULL), FIRN_OK);
    assert_int_equal(firn_table_sample(&large, 40, 7, NULL), FIRN_OK);
    assert_int_equal(small.count, 10);
    assert_int_equal(large.count, 40);
    for (size_t i = 0, k = 0; i < small.count; i++) {
        while (k < large.count && large.rows[k].line < small.rows[i].line)
            k++;
        assert_true(k < large.count && large.rows[k].line == small.rows[i].line);
    }
    assert_int_equal(firn_table_sample(&small, 11, 7, NULL), FIRN_OK);
    assert_int_equal(small.count, 10);
    firn_table_free(&small);
    firn_table_free(&large);
}

static void what_cannot_be_split_is_left_alone(void **state)
{
    (void) state;
    struct firn_table t, v;
    struct firn_error err = { 0 };
    table_of(&t, 1);
    check_fails(firn_table_split(&t, 0.5, 1, &v, &err), FIRN_ERR_USAGE, &err,
                "t.csv: validation split: expected at least 2 examples, got 1");
    assert_int_equal(t.count, 1);
    assert_int_equal(v.count, 0);
    check_fails(firn_table_split(&t, 1.0, 1, &v, &err), FIRN_ERR_USAGE, &err,
                "t.csv: validation split: expected a fraction between 0 and 1, got 1");
    check_fails(firn_table_split(&t, 0.0, 1, &v, &err), FIRN_ERR_USAGE, &err, "got 0");
    firn_table_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_goes_to_one_side_in_order),
        cmocka_unit_test(the_same_seed_chooses_the_same_rows_and_another_others),
        cmocka_unit_test(a_smaller_sample_is_part_of_a_larger_one),
        cmocka_unit_test(what_cannot_be_split_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
