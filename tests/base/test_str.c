/* SPDX-License-Identifier: Apache-2.0 */
/* Growing texts, numbers as text, nearest words. */
#include "check.h"

#include "base/str.h"

#include <locale.h>
#include <math.h>

static void a_text_grows_by_pieces(void **state)
{
    (void) state;
    struct firn_str s = { 0 };
    firn_str_add(&s, "");
    assert_string_equal(s.data, "");
    for (int i = 0; i < 1000; i++)
        firn_str_addf(&s, "%d,", i);
    firn_str_add_n(&s, "a\0b", 3);
    assert_int_equal(s.size, 3890 + 3);
    assert_memory_equal(s.data + s.size - 7, "999,a\0b", 8);
    assert_false(s.failed);
    firn_str_free(&s);
    assert_null(s.data);
    firn_str_free(&s);
}

static void a_text_without_memory_stays_as_it_was(void **state)
{
    (void) state;
    struct firn_str s = { 0 };
    firn_str_add(&s, "kept");
    firn_str_add_n(&s, "x", SIZE_MAX / 2);
    assert_true(s.failed);
    firn_str_add(&s, "more");
    assert_string_equal(s.data, "kept");
    firn_str_free(&s);
}

static void copies_of_nothing_are_nothing(void **state)
{
    (void) state;
    assert_null(firn_strdup(NULL));
    char *copy = firn_strdup("word");
    assert_string_equal(copy, "word");
    free(copy);
}

static void reals_are_written_short_and_read_back_the_same(void **state)
{
    (void) state;
    static const struct {
        double value;
        const char *text;
    } cases[] = { { 0.001, "0.001" },
                  { 1e-5, "1e-05" },
                  { 3.0, "3.0" },
                  { 0.1, "0.1" },
                  { -2.5, "-2.5" },
                  { 1e300, "1e+300" },
                  { 0.0, "0.0" },
                  { -0.0, "-0.0" },
                  { 5e-324, "4.94065645841247e-324" },
                  { 1e22, "1e+22" },
                  { 0.1 + 0.2, "0.30000000000000004" } };
    char text[FIRN_REAL_TEXT];
    for (size_t i = 0; i < N_OF(cases); i++) {
        double back = 1;
        assert_string_equal(firn_real_text(text, cases[i].value), cases[i].text);
        assert_true(firn_real_parse(text, &back));
        assert_memory_equal(&back, &cases[i].value, sizeof back);
    }
    assert_string_equal(firn_real_text(text, NAN), "nan");
    assert_string_equal(firn_real_text(text, -INFINITY), "-inf");
}

static void only_whole_finite_numbers_are_numbers(void **state)
{
    (void) state;
    static const char *const good[] = {
        "1", "-1", "+1", "1.", ".5", "1e3", "1E-3", "007", "1.5e+2"
    };
    static const char *const bad[] = { "",    "-",     "+",     ".",    "e5",  "1e",
                                       "1e+", "1 ",    " 1",    "0x10", "nan", "inf",
                                       "1,5", "1e999", "1.2.3", "--1",  "1_0" };
    double real;
    int64_t whole;
    for (size_t i = 0; i < N_OF(good); i++)
        if (!firn_real_parse(good[i], &real))
            fail_msg("'%s' is a number", good[i]);
    for (size_t i = 0; i < N_OF(bad); i++)
        if (firn_real_parse(bad[i], &real) || firn_int_parse(bad[i], &whole))
            fail_msg("'%s' is not a number", bad[i]);
    assert_true(firn_int_parse("9223372036854775807", &whole) && whole == INT64_MAX);
    assert_true(firn_int_parse("-9223372036854775808", &whole) && whole == INT64_MIN);
    assert_false(firn_int_parse("9223372036854775808", &whole));
    assert_false(firn_int_parse("1.0", &whole));
}

static void a_locale_with_a_comma_changes_nothing(void **state)
{
    (void) state;
    static const char *const names[] = { "de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "de_DE" };
    char text[FIRN_REAL_TEXT];
    double value;
    for (size_t i = 0; i < N_OF(names); i++)
        if (setlocale(LC_NUMERIC, names[i]) != NULL) {
            assert_string_equal(firn_real_text(text, 1.5), "1.5");
            assert_true(firn_real_parse("1.5e1", &value) && value == 15.0);
            assert_false(firn_real_parse("1,5", &value));
            setlocale(LC_NUMERIC, "C");
            return;
        }
    print_message("skipped: no locale with a decimal comma is installed\n");
    skip();
}

static void a_slip_finds_the_word_that_was_meant(void **state)
{
    (void) state;
    static const char *const words[] = { "learning_rate", "r",          "seed", "text",
                                         "lora_alpha",    "batch_size", NULL };
    assert_string_equal(firn_nearest("lerning_rate", words), "learning_rate");
    assert_string_equal(firn_nearest("tetx", words), "text");
    assert_string_equal(firn_nearest("Seed", words), "seed");
    assert_string_equal(firn_nearest("lora_alhpa", words), "lora_alpha");
    assert_string_equal(firn_nearest("batchsize", words), "batch_size");
}

static void a_word_that_is_far_from_all_has_no_nearest(void **state)
{
    (void) state;
    static const char *const words[] = { "learning_rate", "r", "seed", NULL };
    static const char *const none[] = { NULL };
    char longest[200];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_null(firn_nearest("q", words));
    assert_null(firn_nearest("", words));
    assert_null(firn_nearest("gradient", words));
    assert_null(firn_nearest("seed", none));
    assert_null(firn_nearest(longest, words));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_grows_by_pieces),
        cmocka_unit_test(a_text_without_memory_stays_as_it_was),
        cmocka_unit_test(copies_of_nothing_are_nothing),
        cmocka_unit_test(reals_are_written_short_and_read_back_the_same),
        cmocka_unit_test(only_whole_finite_numbers_are_numbers),
        cmocka_unit_test(a_locale_with_a_comma_changes_nothing),
        cmocka_unit_test(a_slip_finds_the_word_that_was_meant),
        cmocka_unit_test(a_word_that_is_far_from_all_has_no_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
