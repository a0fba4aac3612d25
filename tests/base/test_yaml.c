/* SPDX-License-Identifier: Apache-2.0 */
/* YAML: how scalars are typed, what is refused and where, what is written. */
#include "check.h"

#include "base/json.h"

static json_t *parse(const char *text)
{
    struct firn_error err = { 0 };
    json_t *value = NULL;
    check_ok(firn_yaml_parse(text, strlen(text), "t", &value, &err), &err);
    return value;
}

static void a_recipe_reads_as_its_tree(void **state)
{
    (void) state;
    json_t *got = parse(
        "# a recipe\nmodel: models/minilm   # a folder\ndata:  {train: train.jsonl, text: text}\n"
        "method: {type: lora, r: 8, target_modules: [query, value]}\n"
        "train:\n  learning_rate: 1e-3\n  list:\n  - a\n  - {b: 1}\n");
    json_t *want = json_pack("{s:s, s:{s:s, s:s}, s:{s:s, s:i, s:[s, s]}, s:{s:f, s:[s, {s:i}]}}",
                             "model", "models/minilm", "data", "train", "train.jsonl", "text",
                             "text", "method", "type", "lora", "r", 8, "target_modules", "query",
                             "value", "train", "learning_rate", 1e-3, "list", "a", "b", 1);
    assert_true(json_equal(got, want));
    json_decref(got);
    json_decref(want);
}

static void plain_scalars_are_typed_by_the_core_rules(void **state)
{
    (void) state;
    static const struct {
        const char *text, *json;
    } cases[] = {
        { "", "null" },
        { "~", "null" },
        { "null", "null" },
        { "Null", "null" },
        { "NULL", "null" },
        { "true", "true" },
        { "True", "true" },
        { "TRUE", "true" },
        { "false", "false" },
        { "1", "1" },
        { "-1", "-1" },
        { "+1", "1" },
        { "007", "7" },
        { "0o17", "15" },
        { "0x1F", "31" },
        { "0x0", "0" },
        { "1e-3", "0.001" },
        { "1e-5", "1e-05" },
        { "1.", "1.0" },
        { ".5", "0.5" },
        { "1E+2", "100.0" },
        { "-9223372036854775808", "-9223372036854775808" },
        { "0x7fffffffffffffff", "9223372036854775807" },
        { "yes", "\"yes\"" },
        { "no", "\"no\"" },
        { "on", "\"on\"" },
        { "off", "\"off\"" },
        { "y", "\"y\"" },
        { "tRue", "\"tRue\"" },
        { "1_000", "\"1_000\"" },
        { "0b1", "\"0b1\"" },
        { "1.2.3", "\"1.2.3\"" },
        { "12:30", "\"12:30\"" },
        { "e5", "\"e5\"" },
        { "-", "[null]" },
        { "--", "\"--\"" },
        { "1e", "\"1e\"" },
        { "0x", "\"0x\"" },
        { "0o8", "\"0o8\"" },
        { "2024-01-01", "\"2024-01-01\"" },
        { "a b", "\"a b\"" },
        { "'1'", "\"1\"" },
        { "\"true\"", "\"true\"" },
        { "''", "\"\"" },
        { "|\n  a\n  b\n", "\"a\\nb\\n\"" },
        { "\"\\u00e9\\t\"", "\"é\\t\"" },
    };
    for (size_t i = 0; i < N_OF(cases); i++) {
        struct firn_error err = { 0 };
        json_t *v = NULL;
        check_ok(firn_yaml_parse(cases[i].text, strlen(cases[i].text), "t", &v, &err), &err);
        char *json = firn_json_dump(v, 0, false);
        if (strcmp(json, cases[i].json) != 0)
            fail_msg("%s: got %s, wanted %s", cases[i].text, json, cases[i].json);
        free(json);
        json_decref(v);
    }
}

static void what_yaml_could_but_firn_does_not_read_is_refused_with_its_line(void **state)
{
    (void) state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        { "a: &x 1\n", "line 1: the anchor &x: anchors are not read" },
        { "a: 1\nb: *x\n", "line 2: aliases are not read" },
        { "a: 1\n*x : 2\n", "line 2: aliases are not read" },
        { "a: 1\n&k b: 2\n", "line 2: the anchor &k: anchors are not read" },
        { "a: !!str 1\n", "line 1: the tag tag:yaml.org,2002:str: tags are not read" },
        { "a: !thing {}\n", "line 1: the tag !thing: tags are not read" },
        { "- &x []\n", "line 1: the anchor &x: anchors are not read" },
        { "a: 1\n---\nb: 2\n", "line 2: a second document starts here" },
        { "a: 1\nb: 2\na: 3\n", "line 3: a: the key is there twice" },
        { "a: {b: 1, b: 2}\n", "line 1: b: the key is there twice" },
        { "? [a]\n: 1\n", "line 1: a key must be a word" },
        { "a: 1\n\"\": 2\n", "line 2: a key is empty" },
        { "a: .inf\n", "line 1: .inf is not a finite number" },
        { "\na: .nan\n", "line 2: .nan is not a finite number" },
        { "a: 9223372036854775808\n", "line 1: 9223372036854775808 is beyond 64 bits" },
        { "a: 0xffffffffffffffff\n", "line 1: 0xffffffffffffffff is beyond 64 bits" },
        { "a: \"x\\0y\"\n", "line 1: a text holds a NUL" },
        { "\"x\\0y\": 1\n", "line 1: a key holds a NUL" },
        { "a: [1\n", "line 2: while parsing a flow sequence: did not find expected ',' or ']'" },
        { "a: b: c\n", "line 1: mapping values are not allowed in this context" },
        { "a:\n\t- 1\n", "line 2: while scanning for the next token: found character that cannot "
                         "start any token" },
        { "a: 'x\n", "line 2: while scanning a quoted scalar: found unexpected end of stream" },
    };
    for (size_t i = 0; i < N_OF(cases); i++) {
        struct firn_error err = { 0 };
        json_t *v = (json_t *) 1;
        check_fails(firn_yaml_parse(cases[i].text, strlen(cases[i].text), "r.yaml", &v, &err),
                    FIRN_ERR_FORMAT, &err, cases[i].message);
        assert_null(v);
        assert_memory_equal(err.text, "r.yaml: ", 8);
    }
}

static void bytes_that_are_no_text_are_refused(void **state)
{
    (void) state;
    struct firn_error err = { 0 };
    json_t *v;
    check_fails(firn_yaml_parse(BYTES("a: \xff\n"), "r.yaml", &v, &err), FIRN_ERR_FORMAT, &err,
                "r.yaml: byte 3: invalid leading UTF-8 octet");
    check_fails(firn_yaml_parse(BYTES("a: \x01\n"), "r.yaml", &v, &err), FIRN_ERR_FORMAT, &err,
                "control characters are not allowed");
    check_fails(firn_yaml_parse(BYTES("a: b\0c\n"), "r.yaml", &v, &err), FIRN_ERR_FORMAT, &err,
                "control characters are not allowed");
}

static void nesting_and_size_are_limited(void **state)
{
    (void) state;
    struct firn_error err = { 0 };
    json_t *v;
    char deep[200];
    memset(deep, '[', 100);
    memset(deep + 100, ']', 100);
    check_fails(firn_yaml_parse(deep, 200, "r.yaml", &v, &err), FIRN_ERR_FORMAT, &err,
                "r.yaml: line 1: nested deeper than 64");
    check_ok(firn_yaml_parse(deep + 36, 128, "r.yaml", &v, &err), &err);
    json_decref(v);
    char *large = malloc((1 << 22) + 1);
    assert_non_null(large);
    memset(large, ' ', (1 << 22) + 1);
    check_fails(firn_yaml_parse(large, (1 << 22) + 1, "r.yaml", &v, &err), FIRN_ERR_FORMAT, &err,
                "r.yaml: is too large: expected at most 4194304 bytes, got 4194305");
    free(large);
}

static void an_empty_text_is_null(void **state)
{
    (void) state;
    static const char *const texts[] = { "", "\n", "# only a comment\n", "---\n", "--- ~\n...\n" };
    for (size_t i = 0; i < N_OF(texts); i++)
        assert_true(json_is_null(parse(texts[i])));
}

static void a_dump_is_readable_and_reads_back(void **state)
{
    (void) state;
    json_t *v =
        json_pack("{s:s, s:{s:f, s:i, s:[s, s], s:{}, s:[], s:n}, s:[{s:s, s:{s:b}}, [i], s]}",
                  "model", "models/minilm", "train", "lr", 1e-5, "epochs", 3, "targets", "query",
                  "layer.0", "none", "empty", "best", "list", "a", "x y", "b", "c", 1, 7, "-");
    char *text = firn_yaml_dump(v);
    assert_string_equal(text, "model: models/minilm\ntrain:\n  lr: 1.0e-05\n  epochs: 3\n"
                              "  targets: [query, layer.0]\n  none: {}\n  empty: []\n  best: null\n"
                              "list:\n  - a: x y\n    b:\n      c: true\n  - [7]\n  - \"-\"\n");
    json_t *back = parse(text);
    assert_true(json_equal(v, back));
    free(text);
    json_decref(back);
    json_decref(v);
}

static void any_text_survives_a_dump(void **state)
{
    (void) state;
    static const char *const texts[] = {
        "",
        " ",
        "a",
        "a ",
        " a",
        "true",
        "Yes",
        "no",
        "NULL",
        "~",
        "1",
        "1e5",
        "0x1",
        ".5",
        "-",
        "- a",
        "a: b",
        "a #b",
        "#a",
        "[a]",
        "{a}",
        "a,b",
        "a]",
        "&a",
        "*a",
        "!a",
        "|",
        ">",
        "%a",
        "@a",
        "`a`",
        "'a'",
        "\"a\"",
        "a\\b",
        "a\nb",
        "a\n",
        "\t",
        "a\tb",
        "\x01",
        "\x7f",
        "é",
        "日本語",
        "😀",
        "\xc2\x80",
        "\xc2\x85",
        "\xc2\xa0",
        "\xe2\x80\xa8",
        "\xe2\x80\xa9",
        "\xef\xbb\xbf",
        "\xef\xbf\xbe",
        "\xef\xbf\xbf",
        "\xef\xbf\xbd",
        "\xee\x80\x80",
        "\xed\x9f\xbf",
        "./a",
        "../a/b",
        "/tmp/x",
        "a=b",
        "...",
        "---",
        "?",
        "? a",
        ":",
        "a:",
        "<<",
        "=",
        "\r",
        "\r\n",
        "y",
        "off",
        "layer.0.(query)",
        "a - b",
        "2024-01-01",
        "12:30",
    };
    for (size_t i = 0; i < N_OF(texts); i++) {
        json_t *forms[] = { json_string(texts[i]), json_pack("[s, s]", texts[i], "x"),
                            json_pack("{s:s}", "k", texts[i]), json_pack("[[s]]", texts[i]),
                            json_pack("{s:[{s:s}]}", texts[i][0] != '\0' ? texts[i] : "k", "k",
                                      texts[i]) };
        for (size_t k = 0; k < N_OF(forms); k++) {
            char *text = firn_yaml_dump(forms[k]);
            json_t *back = parse(text);
            if (!json_equal(forms[k], back))
                fail_msg("text %zu, form %zu did not survive: %s", i, k, text);
            free(text);
            json_decref(back);
            json_decref(forms[k]);
        }
    }
}

static void a_file_is_named_in_its_error(void **state)
{
    struct firn_error err = { 0 };
    json_t *v = NULL;
    const char *path = scratch_file(state, "r.yaml", BYTES("a: 1\nb: [2, 3]\n"));
    check_ok(firn_yaml_load(path, &v, &err), &err);
    assert_int_equal(json_object_size(v), 2);
    json_decref(v);
    path = scratch_file(state, "r.yaml", BYTES("a: 1\nb: [2\n"));
    check_fails(firn_yaml_load(path, &v, &err), FIRN_ERR_FORMAT, &err,
                "did not find expected ',' or ']'");
    assert_non_null(strstr(err.text, "r.yaml: line 3"));
    check_fails(firn_yaml_load(scratch_path(state, "none"), &v, &err), FIRN_ERR_IO, &err,
                "No such file or directory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_recipe_reads_as_its_tree),
        cmocka_unit_test(plain_scalars_are_typed_by_the_core_rules),
        cmocka_unit_test(what_yaml_could_but_firn_does_not_read_is_refused_with_its_line),
        cmocka_unit_test(bytes_that_are_no_text_are_refused),
        cmocka_unit_test(nesting_and_size_are_limited),
        cmocka_unit_test(an_empty_text_is_null),
        cmocka_unit_test(a_dump_is_readable_and_reads_back),
        cmocka_unit_test(any_text_survives_a_dump),
        cmocka_unit_test(a_file_is_named_in_its_error),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
