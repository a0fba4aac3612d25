/* SPDX-License-Identifier: Apache-2.0 */
/* `firn tokenize`: JSON strings in, one JSON object a line out. */
#include "text.h"

#include "cli/tokenize.h"

/* Runs the command on `input`; the output is in out[]. */
static firn_status run(const char *input, char *out, size_t size, struct firn_error *err)
{
    FILE *in = tmpfile(), *to = tmpfile();
    assert_non_null(in);
    assert_non_null(to);
    fwrite(input, 1, strlen(input), in);
    rewind(in);
    const firn_status s = firn_cmd_tokenize(in, to, golden_tokenizer("bert-wordpiece"), err);
    rewind(to);
    out[fread(out, 1, size - 1, to)] = '\0';
    fclose(in);
    fclose(to);
    return s;
}

static void each_line_gives_an_object_in_order(void **state)
{
    (void) state;
    char out[4000];
    struct firn_error err = { 0 };
    check_ok(run("\"Snow\"\n\"\"\n\"\\u00c9\\ud83d\\ude00\"", out, sizeof out, &err), &err);
    assert_string_equal(
        out,
        "{\"ids\": [101, 4586, 102], \"ids_no_special\": [4586], \"offsets\": [[0, 0], [0, 4], [0, "
        "0]], "
        "\"decoded\": \"snow\", \"decoded_all\": \"[CLS] snow [SEP]\"}\n"
        "{\"ids\": [101, 102], \"ids_no_special\": [], \"offsets\": [[0, 0], [0, 0]], \"decoded\": "
        "\"\", \"decoded_all\": \"[CLS] [SEP]\"}\n"
        "{\"ids\": [101, 100, 102], \"ids_no_special\": [100], \"offsets\": [[0, 0], [0, 2], [0, "
        "0]], "
        "\"decoded\": \"\", \"decoded_all\": \"[CLS] [UNK] [SEP]\"}\n");
}

static void a_line_that_is_no_string_is_an_error_with_its_number(void **state)
{
    (void) state;
    char out[4000];
    struct firn_error err = { 0 };
    check_fails(run("\"a\"\n42\n", out, sizeof out, &err), FIRN_ERR_FORMAT, &err,
                "line 2: expected a JSON string, got another value");
    assert_non_null(strstr(out, "[101, 1037, 102]")); // the lines before it were answered
    const char *const bad[] = { "\n",    "\"a\n",      "\"a\" \"b\"\n", "\"\\ud800\"\n",
                                "'a'\n", "\"\xFF\"\n", "[\"a\"]\n" };
    for (size_t i = 0; i < N_OF(bad); i++) {
        assert_int_equal(run(bad[i], out, sizeof out, &err), FIRN_ERR_FORMAT);
        assert_non_null(strstr(err.text, "line 1: expected a JSON string"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_line_gives_an_object_in_order),
        cmocka_unit_test(a_line_that_is_no_string_is_an_error_with_its_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
