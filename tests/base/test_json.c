/* SPDX-License-Identifier: Apache-2.0 */
/* JSON: what is read, what is refused and where, what is written. */
#include "check.h"

#include "base/json.h"

static json_t *parse(const char *text)
{
    struct firn_error err = { 0 };
    json_t *value = NULL;
    check_ok(firn_json_parse(text, strlen(text), "t", &value, &err), &err);
    return value;
}

static void check_refused(const char *text, size_t n, const char *message)
{
    struct firn_error err = { 0 };
    json_t *value = (json_t *) 1;
    check_fails(firn_json_parse(text, n, "t.json", &value, &err), FIRN_ERR_FORMAT, &err, message);
    assert_null(value);
}

static void values_keep_their_types(void **state)
{
    (void) state;
    json_t *v = parse(
        "\xef\xbb\xbf{\"i\": 9223372036854775807, \"r\": 1e-5, \"s\": \"\\u00e9\\ud83d\\ude00\","
        " \"b\": [true, false, null]}\r\n");
    assert_true(json_integer_value(json_object_get(v, "i")) == INT64_MAX);
    assert_true(json_real_value(json_object_get(v, "r")) == 1e-5);
    assert_string_equal(json_string_value(json_object_get(v, "s")), "é😀");
    assert_true(json_is_null(json_array_get(json_object_get(v, "b"), 2)));
    json_decref(v);
}

static void whole_numbers_beyond_64_bits_become_reals(void **state)
{
    (void) state;
    json_t *v = parse("[9223372036854775808, 1000000000000000019884624838656, "
                      "\"1000000000000000019884624838656\", -9223372036854775808, 1.5, "
                      "100000000000000000000e2, 7]");
    assert_true(json_real_value(json_array_get(v, 0)) == 9223372036854775808.0);
    assert_true(json_real_value(json_array_get(v, 1)) == 1e30);
    assert_string_equal(json_string_value(json_array_get(v, 2)), "1000000000000000019884624838656");
    assert_true(json_integer_value(json_array_get(v, 3)) == INT64_MIN);
    assert_true(json_real_value(json_array_get(v, 4)) == 1.5);
    assert_true(json_real_value(json_array_get(v, 5)) == 1e22);
    assert_int_equal(json_integer_value(json_array_get(v, 6)), 7);
    json_decref(v);
}

static void a_nul_is_kept_in_values_and_refused_in_keys(void **state)
{
    (void) state;
    json_t *v = parse("[\"a\\u0000b\"]");
    assert_int_equal(json_string_length(json_array_get(v, 0)), 3);
    json_decref(v);
    check_refused(BYTES("{\"a\\u0000b\": 1}"),
                  "NUL byte in object key not supported near '\"a\\u0000b\"'");
}

static void broken_text_is_refused_with_its_line(void **state)
{
    (void) state;
    static const struct {
        const char *text;
        size_t n;
        const char *message;
    } cases[] = {
        { BYTES(""), "t.json: line 1: '[' or '{' expected near end of file" },
        { BYTES("{"), "t.json: line 1: string or '}' expected near end of file" },
        { BYTES("7"), "t.json: line 1: '[' or '{' expected near '7'" },
        { BYTES("{\"a\": 1,\n\"b\": 2,\n\"a\": 3}"),
          "t.json: line 3: duplicate object key near '\"a\"'" },
        { BYTES("[1,\n2\n3]"), "t.json: line 3: ']' expected near '3'" },
        { BYTES("[1] x"), "t.json: line 1: end of file expected near 'x'" },
        { BYTES("[01]"), "t.json: line 1: invalid token near '0'" },
        { BYTES("[NaN]"), "t.json: line 1: invalid token near 'NaN'" },
        { BYTES("[1e999]"), "t.json: line 1: real number overflow near '1e999'" },
        { BYTES("[\"a\nb\"]"), "t.json: line 1: unexpected newline" },
        { BYTES("[\"\\ud800\"]"), "t.json: line 1: invalid Unicode '\\uD800' near '\"\\ud800\"'" },
        { BYTES("[\"abc"), "t.json: line 1: premature end of input near '\"abc'" },
        { BYTES("['a']"), "t.json: line 1: invalid token near '''" },
        { BYTES("[1,]"), "t.json: line 1: unexpected token near ']'" },
        { BYTES("[\"\\"), "t.json: line 1: invalid escape near '\"\\'" },
    };
    for (size_t i = 0; i < N_OF(cases); i++) {
        struct firn_error err = { 0 };
        json_t *value = NULL;
        if (firn_json_parse(cases[i].text, cases[i].n, "t.json", &value, &err) == FIRN_OK)
            fail_msg("'%s' was read", cases[i].text);
        if (strncmp(err.text, cases[i].message, strlen(cases[i].message)) != 0)
            fail_msg("'%s': the error reads '%s', wanted '%s'", cases[i].text, err.text,
                     cases[i].message);
    }
}

static void text_that_is_not_utf8_is_refused(void **state)
{
    (void) state;
    check_refused(BYTES("[\"\xff\"]"), "unable to decode byte 0xff near '\"'");
    check_refused(BYTES("[\"\xc0\x80\"]"), "unable to decode byte 0xc0 near '\"'");
    check_refused(BYTES("[\"\xed\xa0\x80\"]"), "unable to decode byte 0xed near '\"'");
    check_refused(BYTES("[\"\xe2\x82"), "unable to decode byte 0xe2 near '\"'");
}

static void nesting_is_limited(void **state)
{
    (void) state;
    char text[200000];
    memset(text, '[', 64);
    memset(text + 64, ']', 64);
    struct firn_error err = { 0 };
    json_t *value = NULL;
    check_ok(firn_json_parse(text, 128, "t.json", &value, &err), &err);
    json_decref(value);
    memset(text, '[', sizeof text);
    text[10] = '\n';
    check_refused(text, sizeof text, "t.json: line 2: nested deeper than 64");
    /* brackets in texts do not count */
    memset(text + 2, '[', 100);
    memcpy(text, "[\"", 2);
    memcpy(text + 100, "\\\"[\"]", 5);
    check_ok(firn_json_parse(text, 105, "t.json", &value, &err), &err);
    json_decref(value);
}

static void a_line_of_a_larger_file_is_named_by_its_number(void **state)
{
    (void) state;
    struct firn_error err = { 0 };
    json_t *value = NULL;
    check_fails(firn_json_parse_line(BYTES("{\"a\" 1}"), "d.jsonl", 17, &value, &err),
                FIRN_ERR_FORMAT, &err, "d.jsonl: line 17: ':' expected near '1'");
    check_ok(firn_json_parse_line(BYTES("\"x\""), "d.jsonl", 17, &value, &err), &err);
    assert_string_equal(json_string_value(value), "x");
    json_decref(value);
    check_ok(firn_json_parse_any(BYTES(" -12"), "d", &value, &err), &err);
    assert_int_equal(json_integer_value(value), -12);
    json_decref(value);
    check_fails(firn_json_parse_any(BYTES(" "), "d", &value, &err), FIRN_ERR_FORMAT, &err,
                "unexpected token near end of file");
}

static void a_dump_is_short_and_reads_back(void **state)
{
    (void) state;
    json_t *v = parse("{\"lr\": 0.001, \"e\": 1e-5, \"n\": 3, \"b\": {}, \"a\": [1, "
                      "\"q\\\"\\\\\\n\\u0001é\", []]}");
    char *line = firn_json_dump(v, 0, true);
    assert_string_equal(line, "{\"a\": [1, \"q\\\"\\\\\\n\\u0001é\", []], \"b\": {}, \"e\": 1e-05, "
                              "\"lr\": 0.001, \"n\": 3}");
    json_t *back = parse(line);
    assert_true(json_equal(v, back));
    free(line);
    json_decref(back);
    line = firn_json_dump(json_object_get(v, "a"), 2, false);
    assert_string_equal(line, "[\n  1,\n  \"q\\\"\\\\\\n\\u0001é\",\n  []\n]");
    free(line);
    json_decref(v);
}

static void a_saved_file_loads_the_same(void **state)
{
    struct firn_error err = { 0 };
    const char *path = scratch_path(state, "v.json");
    json_t *v = parse("{\"b\": 1, \"a\": [true, null, 0.1]}"), *back = NULL;
    char *text;
    size_t size;
    check_ok(firn_json_save(path, v, false, &err), &err);
    check_ok(firn_file_read(path, 1000, &text, &size, &err), &err);
    assert_string_equal(text,
                        "{\n  \"b\": 1,\n  \"a\": [\n    true,\n    null,\n    0.1\n  ]\n}\n");
    free(text);
    check_ok(firn_json_load(path, &back, &err), &err);
    assert_true(json_equal(v, back));
    json_decref(back);
    json_decref(v);
    path = scratch_file(state, "bad.json", BYTES("{\n\"a\": tru}"));
    check_fails(firn_json_load(path, &back, &err), FIRN_ERR_FORMAT, &err,
                "bad.json: line 2: invalid token near 'tru'");
    check_fails(firn_json_load(scratch_path(state, "none"), &back, &err), FIRN_ERR_IO, &err,
                "No such file or directory");
    assert_null(back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_keep_their_types),
        cmocka_unit_test(whole_numbers_beyond_64_bits_become_reals),
        cmocka_unit_test(a_nul_is_kept_in_values_and_refused_in_keys),
        cmocka_unit_test(broken_text_is_refused_with_its_line),
        cmocka_unit_test(text_that_is_not_utf8_is_refused),
        cmocka_unit_test(nesting_is_limited),
        cmocka_unit_test(a_line_of_a_larger_file_is_named_by_its_number),
        cmocka_unit_test(a_dump_is_short_and_reads_back),
        cmocka_unit_test(a_saved_file_loads_the_same),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
