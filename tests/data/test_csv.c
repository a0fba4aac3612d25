/* SPDX-License-Identifier: Apache-2.0 */
/* CSV and TSV as people and spreadsheets write them, and as nobody should. */
#include "../base/check.h"

#include "data/table.h"

struct want {
    size_t line;
    const char *a, *b;
};

static void check_rows(const char *bytes, size_t n, char separator, const struct want *want,
                       size_t count)
{
    struct firn_table t = { 0 };
    struct firn_error err = { 0 };
    check_ok(firn_table_parse_csv(&t, "t.csv", bytes, n, separator, &err), &err);
    assert_int_equal(t.count, count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(t.rows[i].line, want[i].line);
        assert_int_equal(json_object_size(t.rows[i].values), 2);
        assert_string_equal(json_string_value(firn_table_value(&t, i, "a")), want[i].a);
        assert_string_equal(json_string_value(firn_table_value(&t, i, "b")), want[i].b);
    }
    firn_table_free(&t);
}

static void fields_are_texts_named_by_the_header(void **state)
{
    (void) state;
    const struct want want[] = {
        { 2, "1", "two words" }, { 3, "", "x" }, { 4, "y", "" }, { 5, "", "" }
    };
    check_rows(BYTES("a,b\n1,two words\n,x\ny,\n,"), ',', want, 4);
    check_rows(BYTES("\xef\xbb\xbf"
                     "a,b\r\n1,two words\r\n,x\r\ny,\r\n,\r\n"),
               ',', want, 4);
    check_rows(BYTES("a\tb\n1\ttwo words\n\tx\ny\t\n\t\n"), '\t', want, 4);
}

static void quotes_hold_separators_quotes_and_line_feeds(void **state)
{
    (void) state;
    const struct want want[] = { { 2, "x,y", "say \"hi\"" },
                                 { 3, "two\nlines\r\nor three", "1" },
                                 { 6, "", "\"" },
                                 { 7, "in \"side\"", "z" } };
    check_rows(BYTES("\"a\",\"b\"\n\"x,y\",\"say \"\"hi\"\"\"\n\"two\nlines\r\nor "
                     "three\",1\n\"\",\"\"\"\"\r\n"
                     "in \"side\",z"),
               ',', want, 4);
}

static void blank_lines_are_skipped_and_counted(void **state)
{
    (void) state;
    const struct want want[] = { { 4, "1", "2" }, { 7, "3", "4" } };
    check_rows(BYTES("\na,b\n\n1,2\n\r\n\n3,4\n\n"), ',', want, 2);
}

static void a_carriage_return_alone_is_text(void **state)
{
    (void) state;
    const struct want want[] = { { 2, "x\ry", "\rz" } };
    check_rows(BYTES("a,b\nx\ry,\rz\r"), ',', want, 1);
}

static void broken_records_are_named_by_their_line(void **state)
{
    (void) state;
    static const struct {
        const char *bytes;
        size_t n;
        const char *message;
    } cases[] = {
        { BYTES("a,b\n1,2\n3\n"), "t.csv: line 3: expected 2 fields, as in the header, got 1" },
        { BYTES("a,b\n\"1\n\n\",2\n3,4,5\n"),
          "t.csv: line 5: expected 2 fields, as in the header, got 3" },
        { BYTES("a\n1,2\n"), "t.csv: line 2: expected 1 field, as in the header, got 2" },
        { BYTES("a,b\n1,\"2\n3,4\n"), "t.csv: line 2: a quoted field starts here and has no end" },
        { BYTES("a,b\n1,\"2\"x\n"), "t.csv: line 2: text after the quote that ends a field" },
        { BYTES("a,b\n1,\"2\" \n"), "t.csv: line 2: text after the quote that ends a field" },
        { BYTES("a,b\n1,\xc3\n"), "t.csv: line 2: is not UTF-8" },
        { BYTES("a,b\n1,2\n1,\"\xff\"\n"), "t.csv: line 3: is not UTF-8" },
        { BYTES("a,\xff\n1,2\n"), "t.csv: line 1: is not UTF-8" },
        { BYTES("a,b,a\n1,2,3\n"), "t.csv: line 1: column 3 (a) is there twice" },
        { BYTES("a,b\0c\n1,2\n"), "t.csv: line 1: column 2 (b) has a NUL in its name" },
        { BYTES("a,\"\n"), "t.csv: line 1: a quoted field starts here and has no end" },
        { BYTES("\""), "t.csv: line 1: a quoted field starts here and has no end" },
    };
    for (size_t i = 0; i < N_OF(cases); i++) {
        struct firn_table t = { 0 };
        struct firn_error err = { 0 };
        check_fails(firn_table_parse_csv(&t, "t.csv", cases[i].bytes, cases[i].n, ',', &err),
                    FIRN_ERR_FORMAT, &err, cases[i].message);
        firn_table_free(&t);
    }
}

static void a_long_column_name_is_refused_since_each_row_would_repeat_it(void **state)
{
    (void) state;
    struct firn_table t = { 0 };
    struct firn_error err = { 0 };
    char bytes[300];
    memset(bytes, 'n', sizeof bytes);
    memcpy(bytes + 256, "\n1\n", 3);
    check_ok(firn_table_parse_csv(&t, "t.csv", bytes, 259, ',', &err), &err);
    firn_table_free(&t);
    memcpy(bytes + 256, "n\n1\n", 4);
    assert_int_equal(firn_table_parse_csv(&t, "t.csv", bytes, 260, ',', &err), FIRN_ERR_FORMAT);
    assert_non_null(strstr(err.text, "t.csv: line 1: column 1 (nnn"));
    assert_non_null(strstr(err.text, "has too long a name"));
    firn_table_free(&t);
}

static void a_wide_header_is_checked_quickly(void **state)
{
    (void) state;
    enum { COLUMNS = 100000 };
    struct firn_table t = { 0 };
    struct firn_error err = { 0 };
    char *bytes = malloc(COLUMNS * 8 + 2);
    size_t n = 0;
    assert_non_null(bytes);
    for (int i = 0; i < COLUMNS; i++)
        n += (size_t) sprintf(bytes + n, "%sc%d", i > 0 ? "," : "", i);
    for (int i = 0; i < COLUMNS; i++)
        bytes[n++] = i > 0 ? ',' : '\n';
    check_ok(firn_table_parse_csv(&t, "t.csv", bytes, n, ',', &err), &err);
    assert_int_equal(t.count, 1);
    assert_int_equal(json_object_size(t.rows[0].values), COLUMNS);
    firn_table_free(&t);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_texts_named_by_the_header),
        cmocka_unit_test(quotes_hold_separators_quotes_and_line_feeds),
        cmocka_unit_test(blank_lines_are_skipped_and_counted),
        cmocka_unit_test(a_carriage_return_alone_is_text),
        cmocka_unit_test(broken_records_are_named_by_their_line),
        cmocka_unit_test(a_long_column_name_is_refused_since_each_row_would_repeat_it),
        cmocka_unit_test(a_wide_header_is_checked_quickly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
