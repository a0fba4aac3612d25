/* SPDX-License-Identifier: Apache-2.0 */
/* Error texts and log lines. */
#include "check.h"

#include "firn/log.h"

static void an_error_names_file_key_expected_and_got(void **state)
{
    (void) state;
    struct firn_error err = { 0 };
    assert_int_equal(firn_fail(&err, FIRN_ERR_SHAPE, .file = "model.safetensors", .key = "w",
                               .expected = FIRN_STR("[%d]", 3), .got = FIRN_STR("[%d]", 4)),
                     FIRN_ERR_SHAPE);
    assert_string_equal(err.text, "model.safetensors: w: expected [3], got [4]");
    assert_int_equal(err.status, FIRN_ERR_SHAPE);
}

static void every_part_of_an_error_may_be_missing(void **state)
{
    (void) state;
    struct firn_error err = { 0 };
    firn_fail(&err, FIRN_ERR_IO, .what = "gone");
    assert_string_equal(err.text, "gone");
    firn_fail(&err, FIRN_ERR_IO, .file = "a");
    assert_string_equal(err.text, "a");
    firn_fail(&err, FIRN_ERR_IO, .expected = "a", .got = "b");
    assert_string_equal(err.text, "expected a, got b");
    assert_int_equal(firn_fail(NULL, FIRN_ERR_IO, .what = "nobody listens"), FIRN_ERR_IO);
}

static void an_error_stays_one_line_and_within_its_buffer(void **state)
{
    (void) state;
    struct firn_error err = { 0 };
    char text[3000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    text[5] = '\n';
    firn_fail(&err, FIRN_ERR_FORMAT, .file = text, .key = text, .got = text);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    assert_null(strpbrk(err.text, "\r\n"));
}

static void every_status_has_its_own_name(void **state)
{
    (void) state;
    for (int i = 0; i <= FIRN_ERR_STOPPED; i++)
        for (int k = 0; k < i; k++)
            assert_string_not_equal(firn_status_name((firn_status) i),
                                    firn_status_name((firn_status) k));
    assert_string_equal(firn_status_name((firn_status) 999), "unknown");
}

static void keep_line(void *user, enum firn_log_level level, const char *text)
{
    snprintf(user, 100, "%d %s", (int) level, text);
}

static void a_log_line_reaches_the_callback_formatted(void **state)
{
    (void) state;
    char kept[100] = "";
    const struct firn_log log = { keep_line, kept };
    firn_log_line(&log, FIRN_LOG_WARN, "step=%d", 7);
    assert_string_equal(kept, "1 step=7");
    firn_log_line(NULL, FIRN_LOG_WARN, "nobody listens");
    firn_log_line(&(const struct firn_log){ 0 }, FIRN_LOG_WARN, "nobody listens");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_error_names_file_key_expected_and_got),
        cmocka_unit_test(every_part_of_an_error_may_be_missing),
        cmocka_unit_test(an_error_stays_one_line_and_within_its_buffer),
        cmocka_unit_test(every_status_has_its_own_name),
        cmocka_unit_test(a_log_line_reaches_the_callback_formatted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
