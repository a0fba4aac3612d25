/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of the large parts of a file: numbers, strings, and leaving parts out. */
#include "text.h"

#include "text/scan.h"

static double number(const char *text)
{
    struct firn_scan s;
    struct firn_error err = { 0 };
    firn_scan_init(&s, "n.json", text, strlen(text), &err);
    const double value = firn_scan_number(&s);
    check_ok(s.status, &err);
    firn_scan_finish(&s);
    return value;
}

static void numbers_are_read_as_the_reference_reads_them(void **state)
{
    (void) state;
    assert_true(number("0") == 0 && number("-1.5") == -1.5 && number("12e3") == 12000);
    assert_true(number("1e-400") == 0 && number("123456789012345678901234567890") > 1.2e29);
    // significant digits, rounded, divided by a power of ten, rounded: not always the nearest
    // double
    assert_true(number("-9.468999862670898") == -(9468999862670898.0 / 1e15));
    assert_true(number("-2.0122928619384766") == -(20122928619384766.0 / 1e16));
}

static void strings_are_unescaped_and_checked(void **state)
{
    (void) state;
    struct firn_scan s;
    struct firn_error err = { 0 };
    const char good[] = "\"a\\n\\u00e9\\ud83d\\ude00\\/\"";
    firn_scan_init(&s, "s.json", good, strlen(good), &err);
    firn_scan_string(&s);
    check_ok(s.status, &err);
    assert_string_equal(s.text.data, "a\n\xC3\xA9\xF0\x9F\x98\x80/");
    firn_scan_finish(&s);
    const char *const bad[] = { "\"\\ud83d\"", "\"\\ude00\"", "\"\\x41\"",          "\"a", "\"\n\"",
                                "\"\xFF\"",    "\"\\u12g4\"", "\"\\ud83d\\u0041\"", "a" };
    for (size_t i = 0; i < N_OF(bad); i++) {
        firn_scan_init(&s, "s.json", bad[i], strlen(bad[i]), &err);
        firn_scan_string(&s);
        assert_int_equal(s.status, FIRN_ERR_FORMAT);
        firn_scan_finish(&s);
    }
}

static void the_large_parts_are_left_out_of_the_rest(void **state)
{
    (void) state;
    const char json[] =
        "{\"a\": [1, {\"vocab\": 2}], \"model\": {\"vocab\": {\n\"}\": 0\n}, \"x\": 1, "
        "\"merges\": [\"]\"]}, \"b\": 2}";
    struct firn_parts parts;
    struct firn_error err = { 0 };
    check_ok(firn_scan_parts(&parts, "f.json", json, strlen(json), &err), &err);
    assert_string_equal(parts.rest.data,
                        "{\"a\": [1, {\"vocab\": 2}], \"model\": {\"vocab\": null\n\n, "
                        "\"x\": 1, \"merges\": null}, \"b\": 2}");
    assert_memory_equal(parts.vocab, "{\n\"}\": 0\n}", 10);
    assert_memory_equal(parts.merges, "[\"]\"]", 5);
    firn_str_free(&parts.rest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_read_as_the_reference_reads_them),
        cmocka_unit_test(strings_are_unescaped_and_checked),
        cmocka_unit_test(the_large_parts_are_left_out_of_the_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
