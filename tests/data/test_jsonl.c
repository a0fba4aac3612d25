/* SPDX-License-Identifier: Apache-2.0 */
/* JSON lines: types are kept, broken lines are named. */
#include "../base/check.h"

#include "data/table.h"

static void values_keep_their_types_and_lines(void **state)
{
    (void) state;
    struct firn_table t = { 0 };
    struct firn_error err = { 0 };
    check_ok(
        firn_table_parse_jsonl(&t, "t.jsonl",
                               BYTES("\xef\xbb\xbf{\"a\": \"x\\ny\", \"b\": 1}\r\n \t\n"
                                     "{\"a\": 1.5, \"b\": true}\n"
                                     "{\"a\": null, \"b\": [\"O\", \"B-PER\"], \"c\": {\"d\": 1}}"),
                               &err),
        &err);
    assert_int_equal(t.count, 3);
    assert_int_equal(t.rows[0].line, 1);
    assert_int_equal(t.rows[1].line, 3);
    assert_int_equal(t.rows[2].line, 4);
    assert_string_equal(json_string_value(firn_table_value(&t, 0, "a")), "x\ny");
    assert_true(json_is_integer(firn_table_value(&t, 0, "b")));
    assert_true(json_is_real(firn_table_value(&t, 1, "a")));
    assert_true(json_is_true(firn_table_value(&t, 1, "b")));
    assert_null(firn_table_value(&t, 2, "a"));
    assert_int_equal(json_array_size(firn_table_value(&t, 2, "b")), 2);
    assert_null(firn_table_value(&t, 2, "none"));
    firn_table_free(&t);
}

static void a_broken_line_is_named(void **state)
{
    (void) state;
    static const struct {
        const char *line;
        size_t n;
        const char *message;
    } cases[] = {
        { BYTES("not json"), "t.jsonl: line 3: invalid token near 'not'" },
        { BYTES("{\"a\": 1"), "t.jsonl: line 3: '}' expected near end of file" },
        { BYTES("{\"a\": 1} {\"a\": 2}"), "t.jsonl: line 3: end of file expected near '{'" },
        { BYTES("{\"a\": 1},"), "t.jsonl: line 3: end of file expected near ','" },
        { BYTES("[1, 2]"), "t.jsonl: line 3: expected a JSON object, got a list" },
        { BYTES("\"text\""), "t.jsonl: line 3: expected a JSON object, got a text" },
        { BYTES("7"), "t.jsonl: line 3: expected a JSON object, got a number" },
        { BYTES("null"), "t.jsonl: line 3: expected a JSON object, got null" },
        { BYTES("true"), "t.jsonl: line 3: expected a JSON object, got a boolean" },
        { BYTES("{\"a\": 1, \"a\": 2}"), "t.jsonl: line 3: duplicate object key near '\"a\"'" },
        { BYTES("{\"a\": \"\xff\"}"), "t.jsonl: line 3: unable to decode byte 0xff near '\"'" },
        { BYTES("{\"a\": \"\\ud800\"}"),
          "t.jsonl: line 3: invalid Unicode '\\uD800' near '\"\\ud800\"'" },
        { BYTES("{\"a\": NaN}"), "t.jsonl: line 3: invalid token near 'NaN'" },
    };
    for (size_t i = 0; i < N_OF(cases); i++) {
        struct firn_table t = { 0 };
        struct firn_error err = { 0 };
        char bytes[200];
        size_t n = (size_t) snprintf(bytes, sizeof bytes, "{\"a\": 1}\n\n");
        memcpy(bytes + n, cases[i].line, cases[i].n);
        n += cases[i].n;
        memcpy(bytes + n, "\n{\"a\": 3}\n", 10);
        check_fails(firn_table_parse_jsonl(&t, "t.jsonl", bytes, n + 10, &err), FIRN_ERR_FORMAT,
                    &err, cases[i].message);
        firn_table_free(&t);
    }
}

static void deep_nesting_in_a_line_is_refused(void **state)
{
    (void) state;
    struct firn_table t = { 0 };
    struct firn_error err = { 0 };
    const size_t n = 100000;
    char *bytes = malloc(n);
    assert_non_null(bytes);
    memset(bytes, '[', n);
    memcpy(bytes, "{\"a\":", 5);
    check_fails(firn_table_parse_jsonl(&t, "t.jsonl", bytes, n, &err), FIRN_ERR_FORMAT, &err,
                "t.jsonl: line 1: nested deeper than 64");
    firn_table_free(&t);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_keep_their_types_and_lines),
        cmocka_unit_test(a_broken_line_is_named),
        cmocka_unit_test(deep_nesting_in_a_line_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
