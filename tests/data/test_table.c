/* SPDX-License-Identifier: Apache-2.0 */
/* Tables from files, whatever their kind, and their columns. */
#include "../base/check.h"

#include "data/table.h"

static void the_name_of_a_file_chooses_its_reader(void **state)
{
    static const struct {
        const char *name, *bytes;
    } files[] = {
        { "t.jsonl", "{\"text\": \"one\"}\n{\"text\": \"two\"}\n" },
        { "t.json", "{\"text\": \"one\"}\n{\"text\": \"two\"}" },
        { "t.csv", "text\none\ntwo\n" },
        { "t.tsv", "n\ttext\n1\tone\n2\ttwo\n" },
        { "t.txt", "one\ntwo\n" },
    };
    for (size_t i = 0; i < N_OF(files); i++) {
        struct firn_table t;
        struct firn_error err = { 0 };
        const char *text;
        size_t size;
        const char *path =
            scratch_file(state, files[i].name, files[i].bytes, strlen(files[i].bytes));
        check_ok(firn_table_load(&t, path, &err), &err);
        assert_int_equal(t.count, 2);
        check_ok(firn_table_text(&t, 1, "text", &text, &size, &err), &err);
        assert_int_equal(size, 3);
        assert_string_equal(text, "two");
        assert_string_equal(t.path, path);
        firn_table_free(&t);
        firn_table_free(&t);
    }
}

static void a_file_without_examples_is_an_error(void **state)
{
    static const struct {
        const char *name, *bytes;
    } files[] = { { "e.jsonl", "" },    { "e.jsonl", "\n  \n\r\n" }, { "e.csv", "" },
                  { "e.csv", "a,b\n" }, { "e.csv", "\xef\xbb\xbf" }, { "e.csv", "\n\n\n" },
                  { "e.txt", "\n\n" } };
    for (size_t i = 0; i < N_OF(files); i++) {
        struct firn_table t;
        struct firn_error err = { 0 };
        const char *path =
            scratch_file(state, files[i].name, files[i].bytes, strlen(files[i].bytes));
        check_fails(firn_table_load(&t, path, &err), FIRN_ERR_FORMAT, &err, ": holds no examples");
        assert_memory_equal(err.text, path, strlen(path));
        assert_null(t.rows);
    }
}

static void a_file_that_is_not_there_or_of_no_known_kind_is_an_error(void **state)
{
    struct firn_table t;
    struct firn_error err = { 0 };
    check_fails(firn_table_load(&t, scratch_path(state, "none.csv"), &err), FIRN_ERR_IO, &err,
                "none.csv: cannot open: No such file or directory");
    check_fails(
        firn_table_load(&t, scratch_file(state, "t.xlsx", BYTES("PK")), &err), FIRN_ERR_USAGE, &err,
        "t.xlsx: expected a name that ends in .jsonl, .json, .csv, .tsv or .txt, got another");
    check_fails(firn_table_load(&t, scratch_file(state, "csv", BYTES("a\n1\n")), &err),
                FIRN_ERR_USAGE, &err, "got another");
}

static void text_lines_keep_their_numbers(void **state)
{
    (void) state;
    struct firn_table t = { 0 };
    struct firn_error err = { 0 };
    const char *text;
    size_t size;
    check_ok(firn_table_parse_text(&t, "t.txt",
                                   BYTES("\xef\xbb\xbf"
                                         "one\r\n\r\n  two \n\n\nth\0ree"),
                                   &err),
             &err);
    assert_int_equal(t.count, 3);
    assert_int_equal(t.rows[1].line, 3);
    assert_int_equal(t.rows[2].line, 6);
    check_ok(firn_table_text(&t, 0, "text", &text, &size, &err), &err);
    assert_string_equal(text, "one");
    check_ok(firn_table_text(&t, 1, "text", &text, &size, &err), &err);
    assert_string_equal(text, "  two ");
    check_ok(firn_table_text(&t, 2, "text", &text, &size, &err), &err);
    assert_int_equal(size, 6);
    firn_table_free(&t);
    check_fails(firn_table_parse_text(&t, "t.txt", BYTES("one\n\ntw\xffo\n"), &err),
                FIRN_ERR_FORMAT, &err, "t.txt: line 3: is not UTF-8");
    firn_table_free(&t);
}

static void a_column_that_is_not_there_is_named_with_those_that_are(void **state)
{
    (void) state;
    struct firn_table t = { 0 };
    struct firn_error err = { 0 };
    const char *text;
    double number;
    size_t size;
    check_ok(firn_table_parse_jsonl(&t, "t.jsonl",
                                    BYTES("{\"id\": 1, \"sentence\": \"a\", \"empty\": null}\n"
                                          "\n{\"id\": \"2.5e1\", \"late\": 1, \"empty\": null}\n"),
                                    &err),
             &err);
    check_ok(firn_table_column(&t, "sentence", &err), &err);
    check_ok(firn_table_column(&t, "late", &err), &err);
    check_fails(firn_table_column(&t, "sentense", &err), FIRN_ERR_FORMAT, &err,
                "t.jsonl: expected a column sentense, got only sentence, id, empty");
    check_fails(firn_table_column(&t, "empty", &err), FIRN_ERR_FORMAT, &err,
                "t.jsonl: empty: is null in every example");
    check_fails(firn_table_text(&t, 1, "sentence", &text, &size, &err), FIRN_ERR_FORMAT, &err,
                "t.jsonl: line 3: expected a column sentence, got only id, late, empty");
    check_fails(firn_table_text(&t, 0, "empty", &text, &size, &err), FIRN_ERR_FORMAT, &err,
                "t.jsonl: line 1: empty: expected a value, got null");
    check_fails(firn_table_text(&t, 0, "id", &text, &size, &err), FIRN_ERR_FORMAT, &err,
                "t.jsonl: line 1: id: expected a text, got a number");
    check_ok(firn_table_number(&t, 0, "id", &number, &err), &err);
    assert_true(number == 1);
    check_ok(firn_table_number(&t, 1, "id", &number, &err), &err);
    assert_true(number == 25);
    check_fails(firn_table_number(&t, 0, "sentence", &number, &err), FIRN_ERR_FORMAT, &err,
                "t.jsonl: line 1: sentence: expected a number, got \"a\"");
    check_fails(firn_table_number(&t, 1, "sentence", &number, &err), FIRN_ERR_FORMAT, &err,
                "got only id, late, empty");
    firn_table_free(&t);
    check_fails(firn_table_column(&t, "x", &err), FIRN_ERR_FORMAT, &err, "holds no examples");
}

static void many_columns_do_not_burst_a_message(void **state)
{
    (void) state;
    struct firn_table t = { 0 };
    struct firn_error err = { 0 };
    json_t *row = json_object();
    char name[300], key[5000];
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "%d_%0250d", i, 0);
        json_object_set_new(row, name, json_integer(i));
    }
    check_ok(firn_table_add(&t, row, 1, &err), &err);
    memset(key, 'k', sizeof key - 1);
    key[sizeof key - 1] = '\0';
    assert_int_equal(firn_table_column(&t, key, &err), FIRN_ERR_FORMAT);
    assert_true(strlen(err.text) < 900);
    firn_table_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_name_of_a_file_chooses_its_reader),
        cmocka_unit_test(a_file_without_examples_is_an_error),
        cmocka_unit_test(a_file_that_is_not_there_or_of_no_known_kind_is_an_error),
        cmocka_unit_test(text_lines_keep_their_numbers),
        cmocka_unit_test(a_column_that_is_not_there_is_named_with_those_that_are),
        cmocka_unit_test(many_columns_do_not_burst_a_message),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
