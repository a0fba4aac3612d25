/* SPDX-License-Identifier: Apache-2.0 */
/* Files that mean harm: each is an error that names its place, and none takes long or much memory.
 */
#include "text.h"

#define MODEL "\"model\": {\"type\": \"WordLevel\", \"unk_token\": \"u\", \"vocab\": {\"u\": 0}}"
#define WITH(stages) "{" stages ", " MODEL "}"

static void what_is_not_json_is_refused_with_its_line(void **state)
{
    (void) state;
    check_refused("", FIRN_ERR_FORMAT, "test.json");
    check_refused("[]", FIRN_ERR_FORMAT, "test.json: line 1");
    check_refused("{\"model\": {\"vocab\": {\"a\": 0}", FIRN_ERR_FORMAT, "the end of the file");
    check_refused("{\n\n\"model\": {\"vocab\": {\"a\" 0}}}", FIRN_ERR_FORMAT, "test.json");
    check_refused("{\"model\": {\"vocab\": {\"a\": 0}, \"vocab\": {\"b\": 0}}}", FIRN_ERR_FORMAT,
                  "vocab");
    check_refused("{\"a\": nonsense, " MODEL "}", FIRN_ERR_FORMAT, "line 1");
}

static void deep_nesting_is_refused(void **state)
{
    (void) state;
    char json[3000] = "{\"x\": ";
    memset(json + 6, '[', 1000);
    memset(json + 1006, ']', 1000);
    strcpy(json + 2006, ", " MODEL "}");
    check_refused(json, FIRN_ERR_FORMAT, "64");
    size_t n = 0;
    n += (size_t) sprintf(json, "{\"normalizer\": ");
    for (int i = 0; i < 25; i++)
        n += (size_t) sprintf(json + n, "{\"type\": \"Sequence\", \"normalizers\": [");
    n += (size_t) sprintf(json + n, "{\"type\": \"NFC\"}");
    for (int i = 0; i < 25; i++)
        n += (size_t) sprintf(json + n, "]}");
    sprintf(json + n, ", " MODEL "}");
    struct firn_tokenizer *tok = parse(json); // deep, but within the limit
    firn_tokenizer_close(&tok);
}

static void a_model_that_makes_no_sense_is_refused(void **state)
{
    (void) state;
    check_refused("{\"model\": 3}", FIRN_ERR_FORMAT, "model: expected an object");
    check_refused("{\"model\": {}}", FIRN_ERR_FORMAT, "model.vocab");
    check_refused("{\"model\": {\"type\": \"Magic\", \"vocab\": {\"a\": 0}}}", FIRN_ERR_UNSUPPORTED,
                  "model.type: expected BPE, WordPiece, Unigram or WordLevel, got 'Magic'");
    check_refused("{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}}}", FIRN_ERR_FORMAT,
                  "model.merges");
    check_refused("{\"model\": {\"type\": \"BPE\", \"vocab\": [], \"merges\": []}}",
                  FIRN_ERR_FORMAT, "model.vocab");
    check_refused("{\"model\": {\"type\": \"Unigram\", \"vocab\": {\"a\": 0}}}", FIRN_ERR_FORMAT,
                  "'['");
    check_refused("{\"version\": \"2.0\", " MODEL "}", FIRN_ERR_UNSUPPORTED,
                  "version: expected 1.0");
}

static void ids_out_of_range_are_refused(void **state)
{
    (void) state;
    check_refused("{\"model\": {\"type\": \"WordLevel\", \"vocab\": {\"a\": -1}}}", FIRN_ERR_FORMAT,
                  "an integer of at least 0");
    check_refused("{\"model\": {\"type\": \"WordLevel\", \"vocab\": {\"a\": 4294967296}}}",
                  FIRN_ERR_FORMAT, "'a': expected an id of 31 bits");
    check_refused(
        "{\"model\": {\"type\": \"WordLevel\", \"vocab\": {\"a\": 99999999999999999999999}}}",
        FIRN_ERR_FORMAT, "an id of 31 bits");
    check_refused("{\"model\": {\"type\": \"WordLevel\", \"vocab\": {\"a\": 1.5}}}",
                  FIRN_ERR_FORMAT, "an integer");
    check_refused("{\"model\": {\"type\": \"WordLevel\", \"vocab\": {\"a\": 1, \"a\": 2}}}",
                  FIRN_ERR_FORMAT, "the token 'a' is there twice");
    check_refused("{\"model\": {\"type\": \"Unigram\", \"unk_id\": 1, \"vocab\": [[\"a\", 0]]}}",
                  FIRN_ERR_FORMAT, "model.unk_id: expected less than 1");
    check_refused("{\"model\": {\"type\": \"Unigram\", \"vocab\": [[\"a\", 1e999]]}}",
                  FIRN_ERR_FORMAT, "a number that fits a double");
}

static void merges_of_unknown_tokens_are_refused(void **state)
{
    (void) state;
#define MERGE(m)                                                                                   \
    "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 1, \"ab\": 2}, \"merges\": [" m  \
    "]}}"
    check_refused(MERGE("\"a b\", \"a c\""), FIRN_ERR_FORMAT, "model.merges[1]: expected tokens");
    check_refused(MERGE("\"b a\""), FIRN_ERR_FORMAT, "got 'b' and 'a'");
    check_refused(MERGE("\"ab\""), FIRN_ERR_FORMAT, "two tokens with one space between");
    check_refused(MERGE("\"a  b\""), FIRN_ERR_FORMAT, "two tokens with one space between");
    check_refused(MERGE("[\"a\"]"), FIRN_ERR_FORMAT, "','");
    check_refused(MERGE("3"), FIRN_ERR_FORMAT, "a string");
}

static void patterns_that_cannot_be_said_are_refused(void **state)
{
    (void) state;
#define REGEX(r)                                                                                   \
    WITH(                                                                                          \
        "\"pre_tokenizer\": {\"type\": \"Split\", \"behavior\": \"Isolated\", \"invert\": false, " \
        "\"pattern\": {\"Regex\": \"" r "\"}}")
    check_refused(REGEX("(a"), FIRN_ERR_UNSUPPORTED, "an open group");
    check_refused(REGEX("a)"), FIRN_ERR_UNSUPPORTED, "a closing parenthesis");
    check_refused(REGEX("[a"), FIRN_ERR_UNSUPPORTED, "an open class");
    check_refused(REGEX("(*COMMIT)"), FIRN_ERR_UNSUPPORTED, "a verb");
    check_refused(REGEX("(?{exit})"), FIRN_ERR_UNSUPPORTED, "a group or option");
    check_refused(REGEX("(?R)"), FIRN_ERR_UNSUPPORTED, "a group or option");
    check_refused(REGEX("\\\\C"), FIRN_ERR_UNSUPPORTED, "an escape that is not known");
    check_refused(REGEX("\\\\p{Klingon}"), FIRN_ERR_UNSUPPORTED, "cannot use the pattern");
    check_refused(REGEX("*"), FIRN_ERR_UNSUPPORTED, "a quantifier of nothing");
    check_refused(REGEX("[b-a]"), FIRN_ERR_UNSUPPORTED, "a range that runs backwards");
    check_refused(REGEX("((a{100}){100}){100}"), FIRN_ERR_UNSUPPORTED, "cannot use the pattern");
    check_refused(WITH("\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": \"x\"}"),
                  FIRN_ERR_FORMAT, "pattern: expected");
}

static void a_pattern_that_explodes_is_stopped(void **state)
{
    (void) state;
    struct firn_tokenizer *tok = parse(REGEX("(a+)+(?=[xy])"));
    struct firn_encoding e = { 0 };
    struct firn_error err = { 0 };
    char text[3000];
    memset(text, 'a', sizeof text);
    assert_int_equal(firn_tokenizer_encode(tok, text, sizeof text, NULL, 0, NULL, &e, &err),
                     FIRN_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "a pattern of the tokenizer cannot be matched"));
    firn_encoding_free(&e);
    firn_tokenizer_close(&tok);
}

static void stages_that_are_not_known_are_refused(void **state)
{
    (void) state;
    check_refused(WITH("\"normalizer\": {\"type\": \"Rot13\"}"), FIRN_ERR_UNSUPPORTED,
                  "normalizer.type: expected a known normalizer, got 'Rot13'");
    check_refused(WITH("\"normalizer\": {}"), FIRN_ERR_FORMAT,
                  "normalizer.type: expected a string");
    check_refused(WITH("\"pre_tokenizer\": []"), FIRN_ERR_FORMAT,
                  "pre_tokenizer: expected an object");
    check_refused(WITH("\"pre_tokenizer\": {\"type\": \"Sequence\"}"), FIRN_ERR_FORMAT,
                  "pre_tokenizer.pretokenizers: expected an array");
    check_refused(WITH("\"decoder\": {\"type\": \"x\"}"), FIRN_ERR_UNSUPPORTED, "decoder.type");
    check_refused(WITH("\"decoder\": {\"type\": \"Strip\", \"content\": \"ab\"}"), FIRN_ERR_FORMAT,
                  "decoder.content: expected one character, got ab");
    check_refused(WITH("\"post_processor\": {\"type\": \"x\"}"), FIRN_ERR_UNSUPPORTED,
                  "post_processor.type");
    check_refused(WITH("\"normalizer\": {\"type\": \"Lowercase\", \"x\": \"\\ud800\"}"),
                  FIRN_ERR_FORMAT, "line 1");
}

static void templates_that_do_not_fit_are_refused(void **state)
{
    (void) state;
#define TEMPLATE(single, pair)                                                                     \
    WITH("\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": [" single             \
         "], \"pair\": [" pair "], \"special_tokens\": {\"s\": {\"id\": \"s\", \"ids\": [0], "     \
         "\"tokens\": [\"s\"]}}}")
#define A "{\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}"
#define B "{\"Sequence\": {\"id\": \"B\", \"type_id\": 0}}"
    check_refused(TEMPLATE(B, A), FIRN_ERR_FORMAT, "single: expected sequence A, got 'B'");
    check_refused(TEMPLATE(A, "{\"SpecialToken\": {\"id\": \"t\", \"type_id\": 0}}"),
                  FIRN_ERR_FORMAT, "special_tokens: expected the ids of 't'");
    check_refused(TEMPLATE("3", A), FIRN_ERR_FORMAT, "single");
    check_refused(TEMPLATE("{\"Sequence\": {\"id\": \"A\", \"type_id\": -1}}", A), FIRN_ERR_FORMAT,
                  "type_id: expected an id of 31 bits, got -1");
}

static void character_maps_are_checked(void **state)
{
    (void) state;
#define MAP(base64)                                                                                \
    WITH("\"normalizer\": {\"type\": \"Precompiled\", \"precompiled_charsmap\": \"" base64 "\"}")
    check_refused(MAP("@@@@"), FIRN_ERR_FORMAT, "precompiled_charsmap: expected a character map");
    check_refused(MAP("AAA="), FIRN_ERR_FORMAT, "a character map");
    check_refused(MAP("/////w=="), FIRN_ERR_FORMAT, "a character map"); // a trie of 4 GiB
    check_refused(MAP("AAAAAP8="), FIRN_ERR_FORMAT, "replacements in UTF-8");
    struct firn_tokenizer *tok = parse(MAP("AAAAAA==")); // no trie at all: changes nothing
    assert_string_equal(offsets_of(tok, "abc"), "0-3");
    firn_tokenizer_close(&tok);
    tok = parse(MAP("BAAAAP///38=")); // one unit that points far out
    assert_string_equal(offsets_of(tok, "abc"), "0-3");
    firn_tokenizer_close(&tok);
}

static void added_tokens_are_checked(void **state)
{
    (void) state;
    check_refused(WITH("\"added_tokens\": {}"), FIRN_ERR_FORMAT, "added_tokens: expected an array");
    check_refused(WITH("\"added_tokens\": [3]"), FIRN_ERR_FORMAT,
                  "added_tokens: expected an object");
    check_refused(WITH("\"added_tokens\": [{\"id\": 1}]"), FIRN_ERR_FORMAT, "added_tokens.content");
    check_refused(WITH("\"added_tokens\": [{\"content\": \"x\", \"lstrip\": 1}]"), FIRN_ERR_FORMAT,
                  "added_tokens.lstrip: expected true or false");
}

static void a_replacement_that_grows_without_end_is_stopped(void **state)
{
    (void) state;
    char json[6000], big[101];
    memset(big, 'a', 100);
    big[100] = '\0';
    size_t n =
        (size_t) sprintf(json, "{\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [");
    for (int i = 0; i < 6; i++) // 100^6 times as much
        n += (size_t) sprintf(json + n,
                              "%s{\"type\": \"Replace\", \"pattern\": {\"String\": \"a\"}, "
                              "\"content\": \"%s\"}",
                              i > 0 ? ", " : "", big);
    sprintf(json + n, "]}, " MODEL "}");
    struct firn_tokenizer *tok = parse(json);
    struct firn_encoding e = { 0 };
    struct firn_error err = { 0 };
    assert_int_equal(firn_tokenizer_encode(tok, "aaaa", 4, NULL, 0, NULL, &e, &err),
                     FIRN_ERR_MEMORY);
    firn_encoding_free(&e);
    firn_tokenizer_close(&tok);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_json_is_refused_with_its_line),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(a_model_that_makes_no_sense_is_refused),
        cmocka_unit_test(ids_out_of_range_are_refused),
        cmocka_unit_test(merges_of_unknown_tokens_are_refused),
        cmocka_unit_test(patterns_that_cannot_be_said_are_refused),
        cmocka_unit_test(a_pattern_that_explodes_is_stopped),
        cmocka_unit_test(stages_that_are_not_known_are_refused),
        cmocka_unit_test(templates_that_do_not_fit_are_refused),
        cmocka_unit_test(character_maps_are_checked),
        cmocka_unit_test(added_tokens_are_checked),
        cmocka_unit_test(a_replacement_that_grows_without_end_is_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
