/* SPDX-License-Identifier: Apache-2.0 */
/* The models on vocabularies of a few tokens: ties, unknown text, fallbacks, long pieces. */
#include "text.h"

static const char *ids_of(const struct firn_tokenizer *tok, const char *text)
{
    static char line[4000];
    struct firn_encoding e = { 0 };
    struct firn_error err = { 0 };
    size_t used = 0;
    check_ok(firn_tokenizer_encode(tok, text, strlen(text), NULL, 0, NULL, &e, &err), &err);
    line[0] = '\0';
    for (size_t i = 0; i < e.n && used < sizeof line - 20; i++)
        used += (size_t) snprintf(line + used, sizeof line - used, "%s%d", i > 0 ? " " : "",
                                  (int) e.ids[i]);
    firn_encoding_free(&e);
    return line;
}

static void check_ids(const char *json, const char *text, const char *want)
{
    struct firn_tokenizer *tok = parse(json);
    assert_string_equal(ids_of(tok, text), want);
    assert_string_equal(ids_of(tok, text), want);
    firn_tokenizer_close(&tok);
}

#define BPE(options, merges)                                                                       \
    "{\"model\": {\"type\": \"BPE\", " options "\"merges\": [" merges "], \"vocab\": {\"a\": 0, "  \
    "\"b\": 1, \"c\": 2, \"ab\": 3, \"bc\": 4, \"abc\": 5, \"?\": 6, \"<0xC3>\": 7, "              \
    "\"<0xA9>\": 8, \"abab\": 9, \"d\": 10, \"\\u2581\": 11}}}"

static void merges_of_the_lowest_rank_come_first(void **state)
{
    (void) state;
    check_ids(BPE("", "\"a b\", \"b c\", \"ab c\""), "abc", "5");
    check_ids(BPE("", "\"b c\", \"a b\", \"ab c\""), "abc", "0 4");
    check_ids(BPE("", "[\"a\", \"b\"], [\"ab\", \"ab\"]"), "ababab", "9 3");
    check_ids(BPE("", "\"#version: 0.2\", \"a b\""), "ab", "3");
}

static void a_piece_may_be_taken_whole(void **state)
{
    (void) state;
    check_ids(BPE("\"ignore_merges\": true, ", ""), "abc", "5");
    check_ids(BPE("\"ignore_merges\": false, ", ""), "abc", "0 1 2");
}

static void unknown_characters_fall_back_fuse_or_vanish(void **state)
{
    (void) state;
    check_ids(BPE("\"byte_fallback\": true, ", ""), "a\xC3\xA9", "0 7 8");
    check_ids(BPE("\"unk_token\": \"?\", ", ""), "xya", "6 6 0");
    check_ids(BPE("\"unk_token\": \"?\", \"fuse_unk\": true, ", ""), "xya", "6 0");
    check_ids(BPE("", ""), "xya", "0");
    check_offsets(BPE("\"unk_token\": \"?\", \"fuse_unk\": true, ", ""), "xya", "0-2 2-3");
}

static void an_unknown_token_that_is_not_there_is_an_error_when_it_is_needed(void **state)
{
    (void) state;
    struct firn_tokenizer *tok = parse(BPE("\"unk_token\": \"nope\", ", ""));
    struct firn_encoding e = { 0 };
    struct firn_error err = { 0 };
    check_ok(firn_tokenizer_encode(tok, "ab", 2, NULL, 0, NULL, &e, &err), &err);
    check_fails(firn_tokenizer_encode(tok, "ax", 2, NULL, 0, NULL, &e, &err), FIRN_ERR_FORMAT, &err,
                "expected a token of the vocabulary, got 'nope'");
    firn_encoding_free(&e);
    firn_tokenizer_close(&tok);
}

static void a_long_piece_gives_what_short_ones_give(void **state)
{
    (void) state;
    // "ababab...": many candidates of one rank, then "abab" pairs from the left; more than a heap's
    // worth
    char text[2001], want[8000] = "";
    for (int i = 0; i < 2000; i++)
        text[i] = "ab"[i % 2];
    text[2000] = '\0';
    size_t used = 0;
    for (int i = 0; i < 500; i++)
        used += (size_t) snprintf(want + used, sizeof want - used, "%s9", i > 0 ? " " : "");
    check_ids(BPE("", "\"a b\", \"ab ab\""), text, want);
}

static void a_text_cut_at_its_spaces_gives_the_same(void **state)
{
    (void) state;
    // the mark joins nothing here, so the text is run in parts; with a merge across it, it is not
    check_ids(BPE("", "\"a b\""),
              "ab\xE2\x96\x81\xE2\x96\x81"
              "ab",
              "3 11 11 3");
    check_offsets(BPE("", "\"a b\""),
                  "ab\xE2\x96\x81\xE2\x96\x81"
                  "ab",
                  "0-2 2-3 3-4 4-6");
    check_ids("{\"model\": {\"type\": \"BPE\", \"merges\": [\"a \\u2581\"], \"vocab\": {\"a\": 0, "
              "\"\\u2581\": 1, \"a\\u2581\": 2}}}",
              "a\xE2\x96\x81"
              "a",
              "2 0");
}

static void words_end_and_go_on_with_marks(void **state)
{
    (void) state;
    check_ids("{\"model\": {\"type\": \"BPE\", \"end_of_word_suffix\": \"</w>\", \"merges\": "
              "[\"a b</w>\"], \"vocab\": {\"a\": 0, \"b</w>\": 1, \"ab</w>\": 2}}}",
              "aab", "0 2");
    check_ids("{\"model\": {\"type\": \"BPE\", \"continuing_subword_prefix\": \"##\", \"merges\": "
              "[\"a ##b\"], \"vocab\": {\"a\": 0, \"##b\": 1, \"ab\": 2}}}",
              "ab", "2");
}

#define WORDPIECE(more)                                                                            \
    "{\"model\": {\"type\": \"WordPiece\", \"unk_token\": \"?\", \"continuing_subword_prefix\": "  \
    "\"##\", \"max_input_chars_per_word\": 6, \"vocab\": {\"?\": 0, \"un\": 1, \"##aff\": 2, "     \
    "\"##able\": 3, \"##a\": 4" more "}}}"

static void wordpiece_takes_the_longest_start(void **state)
{
    (void) state;
    check_ids(WORDPIECE(""), "unaff", "1 2");
    check_ids(WORDPIECE(""), "una", "1 4");
    check_ids(WORDPIECE(", \"unaff\": 5"), "unaff", "5");
}

static void a_word_that_cannot_be_covered_is_unknown_as_a_whole(void **state)
{
    (void) state;
    check_ids(WORDPIECE(""), "unaffx", "0");
    check_ids(WORDPIECE(""), "unaffable", "0"); // nine characters are more than six
    check_offsets(WORDPIECE(""), "unaffx", "0-6");
}

#define UNIGRAM(options, more)                                                                     \
    "{\"model\": {\"type\": \"Unigram\", " options "\"vocab\": [[\"<unk>\", 0.0], [\"a\", -1.0], " \
    "[\"b\", -1.0], [\"ab\", -1.5], [\"bc\", -2.0], [\"c\", -1.0]" more "]}}"

static void unigram_finds_the_largest_sum(void **state)
{
    (void) state;
    check_ids(UNIGRAM("\"unk_id\": 0, ", ""), "ab", "3");
    check_ids(UNIGRAM("\"unk_id\": 0, ", ""), "abc", "3 5");
    check_ids(UNIGRAM("\"unk_id\": 0, ", ", [\"abc\", -2.5]"), "abc",
              "6"); // of equal sums the first found
}

static void unknown_neighbours_are_one_token(void **state)
{
    (void) state;
    check_ids(UNIGRAM("\"unk_id\": 0, ", ""), "axyb", "1 0 2");
    check_offsets(UNIGRAM("\"unk_id\": 0, ", ""), "axyb", "0-1 1-3 3-4");
    check_ids(
        UNIGRAM("\"unk_id\": 0, \"byte_fallback\": true, ", ", [\"<0x78>\", -9], [\"<0x79>\", -9]"),
        "axyb", "1 6 7 2");
}

static void without_an_unknown_token_unknown_text_is_an_error(void **state)
{
    (void) state;
    struct firn_tokenizer *tok = parse(UNIGRAM("", ""));
    struct firn_encoding e = { 0 };
    struct firn_error err = { 0 };
    check_fails(firn_tokenizer_encode(tok, "ax", 2, NULL, 0, NULL, &e, &err), FIRN_ERR_FORMAT, &err,
                "expected a token of the vocabulary, got none");
    firn_encoding_free(&e);
    firn_tokenizer_close(&tok);
}

static void a_model_without_a_type_is_known_by_its_fields(void **state)
{
    (void) state;
    check_ids("{\"model\": {\"vocab\": {\"a\": 0, \"b\": 1, \"ab\": 2}, \"merges\": [\"a b\"]}}",
              "ab", "2");
    check_ids("{\"model\": {\"vocab\": [[\"a\", -1]], \"unk_id\": 0}}", "aa", "0");
}

static void ids_may_have_gaps(void **state)
{
    (void) state;
    struct firn_tokenizer *tok = parse("{\"model\": {\"type\": \"BPE\", \"merges\": [], \"vocab\": "
                                       "{\"b\": 2000000000, \"a\": 7}}}");
    assert_string_equal(ids_of(tok, "ab"), "7 2000000000");
    assert_string_equal(firn_token_text(tok, 2000000000, NULL), "b");
    assert_null(firn_token_text(tok, 0, NULL));
    assert_int_equal(firn_tokenizer_id_limit(tok), 2000000001);
    firn_tokenizer_close(&tok);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merges_of_the_lowest_rank_come_first),
        cmocka_unit_test(a_piece_may_be_taken_whole),
        cmocka_unit_test(unknown_characters_fall_back_fuse_or_vanish),
        cmocka_unit_test(an_unknown_token_that_is_not_there_is_an_error_when_it_is_needed),
        cmocka_unit_test(a_long_piece_gives_what_short_ones_give),
        cmocka_unit_test(a_text_cut_at_its_spaces_gives_the_same),
        cmocka_unit_test(words_end_and_go_on_with_marks),
        cmocka_unit_test(wordpiece_takes_the_longest_start),
        cmocka_unit_test(a_word_that_cannot_be_covered_is_unknown_as_a_whole),
        cmocka_unit_test(unigram_finds_the_largest_sum),
        cmocka_unit_test(unknown_neighbours_are_one_token),
        cmocka_unit_test(without_an_unknown_token_unknown_text_is_an_error),
        cmocka_unit_test(a_model_without_a_type_is_known_by_its_fields),
        cmocka_unit_test(ids_may_have_gaps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
