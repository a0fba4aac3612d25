/* SPDX-License-Identifier: Apache-2.0 */
/* Normalizers, pre-tokenizers, added tokens and decoders one by one, on tokenizers of a few tokens.
 * Expected values are the reference library's. */
#include "text.h"

#define NORMALIZER(json) LETTERS("\"normalizer\": " json ", ")
#define PRE(json) PIECES("\"pre_tokenizer\": " json ", ")

static void normal_forms_keep_track_of_what_they_merge_and_split(void **state)
{
    (void) state;
    check_letters(NORMALIZER("{\"type\": \"NFC\"}"),
                  "ae\xCC\x81"
                  "b",
                  "a\xC3\xA9"
                  "b",
                  "0-1 1-2 3-4");
    check_letters(NORMALIZER("{\"type\": \"NFD\"}"),
                  "a\xC3\xA9"
                  "b",
                  "ae\xCC\x81"
                  "b",
                  "0-1 1-2 1-2 2-3");
    check_letters(NORMALIZER("{\"type\": \"NFKC\"}"), "\xEF\xAC\x81x", "fix", "0-1 0-1 1-2");
}

static void lower_case_of_one_letter_may_be_two(void **state)
{
    (void) state;
    check_letters(NORMALIZER("{\"type\": \"Lowercase\"}"),
                  "A\xC4\xB0"
                  "B",
                  "ai\xCC\x87"
                  "b",
                  "0-1 1-2 1-2 2-3");
}

static void bert_cleans_spaces_out_and_strips_accents(void **state)
{
    (void) state;
    check_letters(NORMALIZER("{\"type\": \"BertNormalizer\", \"clean_text\": true, "
                             "\"handle_chinese_chars\": true, \"strip_accents\": null, "
                             "\"lowercase\": true}"),
                  "\x01"
                  "A\t\xE4\xB8\xAD\xC3\x89",
                  "a  \xE4\xB8\xAD e", "1-2 2-3 3-4 3-4 3-4 4-5");
}

static void replacing_puts_new_text_at_the_end_of_the_old(void **state)
{
    (void) state;
    check_letters(NORMALIZER("{\"type\": \"Replace\", \"pattern\": {\"Regex\": \"b+\"}, "
                             "\"content\": \"xc\"}"),
                  "abba", "axca", "0-1 2-3 2-3 3-4");
    check_letters(NORMALIZER("{\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}, "
                             "\"content\": \"\\u2581\"}"),
                  "a b",
                  "a\xE2\x96\x81"
                  "b",
                  "0-1 1-2 2-3");
    check_letters(NORMALIZER("{\"type\": \"Prepend\", \"prepend\": \"\\u2581\"}"), "ab",
                  "\xE2\x96\x81"
                  "ab",
                  "0-1 0-1 1-2");
    check_letters(NORMALIZER("{\"type\": \"Strip\", \"strip_left\": true, \"strip_right\": true}"),
                  "  ab ", "ab", "2-3 3-4");
}

static void normalizers_run_in_sequence(void **state)
{
    (void) state;
    check_letters(NORMALIZER("{\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"NFD\"}, "
                             "{\"type\": \"StripAccents\"}, {\"type\": \"Lowercase\"}]}"),
                  "\xC3\x89"
                  "A",
                  "ea", "0-1 1-2");
}

static void a_split_does_with_its_matches_what_it_is_told(void **state)
{
    (void) state;
#define SPLIT(behaviour, invert)                                                                   \
    PRE("{\"type\": \"Split\", \"pattern\": {\"String\": \"-\"}, \"behavior\": \"" behaviour       \
        "\", \"invert\": " invert "}")
    const char text[] = "the-final--countdown";
    check_offsets(SPLIT("Removed", "false"), text, "0-3 4-9 11-20");
    check_offsets(SPLIT("Isolated", "false"), text, "0-3 3-4 4-9 9-10 10-11 11-20");
    check_offsets(SPLIT("Contiguous", "false"), text, "0-3 3-4 4-9 9-11 11-20");
    check_offsets(SPLIT("MergedWithPrevious", "false"), text, "0-4 4-10 10-11 11-20");
    check_offsets(SPLIT("MergedWithNext", "false"), text, "0-3 3-9 9-10 10-20");
    check_offsets(SPLIT("Removed", "true"), text, "3-4 9-10 10-11");
}

static void regular_expressions_mean_what_they_mean_to_oniguruma(void **state)
{
    (void) state;
#define MATCHES(regex)                                                                             \
    PRE("{\"type\": \"Split\", \"pattern\": {\"Regex\": \"" regex "\"}, \"behavior\": "            \
        "\"Removed\", \"invert\": true}")
    check_offsets(MATCHES("\\\\h+"), "xyz12afg", "3-7");
    check_offsets(MATCHES("a{2}+"), "aaaaa", "0-4");
    check_offsets(MATCHES("[a-z&&[^aeiou]]+"), "abcde", "1-4");
    check_offsets(MATCHES("x(?i)a|B"), "xAbxb", "0-2 3-5");
    check_offsets(MATCHES("^."), "ab\ncd", "0-1 3-4");
    check_offsets(MATCHES("[\\\\W_]+"), "a_!b", "1-3");
    check_offsets(MATCHES("\\\\s"),
                  "a\xE1\xA0\x8E\xC2\x85"
                  "b",
                  "2-3");
    check_offsets(MATCHES("\\\\p{L}+"), "\xF0\xB1\x8D\x90!", "0-1"); // of Unicode 15
}

static void empty_matches_split_where_they_are(void **state)
{
    (void) state;
    check_offsets(PRE("{\"type\": \"Split\", \"pattern\": {\"Regex\": \"(?=\\\\d)\"}, "
                      "\"behavior\": \"Isolated\", \"invert\": false}"),
                  "ab12c", "0-2 2-3 3-5");
}

static void the_plain_pre_tokenizers_cut_where_they_say(void **state)
{
    (void) state;
    check_offsets(PRE("{\"type\": \"BertPreTokenizer\"}"), "a b,c", "0-1 2-3 3-4 4-5");
    check_offsets(PRE("{\"type\": \"Whitespace\"}"), "ab_1 !?x", "0-4 5-7 7-8");
    check_offsets(PRE("{\"type\": \"WhitespaceSplit\"}"),
                  " ab\xC2\xA0"
                  "c! ",
                  "1-3 4-6");
    check_offsets(PRE("{\"type\": \"Digits\", \"individual_digits\": false}"), "a12b",
                  "0-1 1-3 3-4");
    check_offsets(PRE("{\"type\": \"Digits\", \"individual_digits\": true}"), "a12b",
                  "0-1 1-2 2-3 3-4");
    check_offsets(PRE("{\"type\": \"Punctuation\", \"behavior\": \"MergedWithPrevious\"}"), "a,b.",
                  "0-2 2-4");
    check_offsets(PRE("{\"type\": \"CharDelimiterSplit\", \"delimiter\": \"b\"}"), "abcb",
                  "0-1 2-3");
    check_offsets(PRE("{\"type\": \"FixedLength\", \"length\": 2}"), "abcde", "0-2 2-4 4-5");
}

static void metaspace_marks_each_piece_or_only_the_first(void **state)
{
    (void) state;
#define METASPACE(scheme)                                                                          \
    PIECES("\"added_tokens\": [{\"id\": 1, \"content\": \"|\"}], \"pre_tokenizer\": "              \
           "{\"type\": \"Metaspace\", \"replacement\": \"a\", \"prepend_scheme\": \"" scheme       \
           "\", \"split\": true}, ")
    // a mark that is "a" shows where it was put: before what does not start with it
    check_offsets(METASPACE("always"), "bab|bab", "0-1 1-3 3-4 4-5 5-7");
    check_offsets(METASPACE("first"), " b|b", "0-2 2-3 3-4");
    check_offsets(METASPACE("never"), "b c", "0-1 1-3");
}

static void byte_level_pieces_are_bytes_of_whole_characters(void **state)
{
    (void) state;
    check_offsets(
        PRE("{\"type\": \"ByteLevel\", \"add_prefix_space\": true, \"trim_offsets\": true, "
            "\"use_regex\": true}"),
        "don't \xC3\xA9t\xC3\xA9 12", "0-3 3-5 5-9 9-12");
}

#define ADDED(fields) PIECES("\"added_tokens\": [{\"id\": 1, \"content\": \"[M]\"" fields "}], ")

static void added_tokens_are_cut_out_with_the_spaces_they_want(void **state)
{
    (void) state;
    check_offsets(ADDED(""), "a [M] b", "0-2 2-5 5-7");
    check_offsets(ADDED(", \"lstrip\": true"), "a [M] b", "0-1 1-5 5-7");
    check_offsets(ADDED(", \"rstrip\": true"), "a [M]  b", "0-2 2-7 7-8");
    check_offsets(ADDED(", \"single_word\": true"), "a[M] [M]", "0-5 5-8");
}

static void the_longest_added_token_wins(void **state)
{
    (void) state;
    check_offsets(
        PIECES("\"added_tokens\": [{\"id\": 1, \"content\": \"ab\"}, "
               "{\"id\": 2, \"content\": \"abcd\"}, {\"id\": 3, \"content\": \"bcde\"}], "),
        "xabcdeabc", "0-1 1-5 5-6 6-8 8-9");
}

static void a_normalized_token_is_found_in_normalized_text(void **state)
{
    (void) state;
#define DAY(normalized)                                                                            \
    PIECES(                                                                                        \
        "\"normalizer\": {\"type\": \"Lowercase\"}, \"added_tokens\": [{\"id\": 1, \"content\": "  \
        "\"Day\", \"normalized\": " normalized "}], ")
    check_offsets(DAY("true"), "mondAY", "0-3 3-6");
    check_offsets(DAY("false"), "mondAY", "0-6");
}

static void ids_of_new_tokens_follow_the_vocabulary(void **state)
{
    (void) state;
    struct firn_tokenizer *tok = parse(
        PIECES("\"added_tokens\": [{\"id\": 77, \"content\": \"x\"}, {\"id\": 0, \"content\": "
               "\"u\"}, {\"id\": 99, \"content\": \"y\"}], "));
    assert_int_equal(firn_token_id(tok, "x"), 1);
    assert_int_equal(firn_token_id(tok, "u"), 0);
    assert_int_equal(firn_token_id(tok, "y"), 2);
    assert_int_equal(firn_tokenizer_vocab_size(tok), 3);
    firn_tokenizer_close(&tok);
}

/* Decodes ids of the vocabulary {"a": 0, "##b": 1, "<0xC3>": 2, "<0xA9>": 3, "\u2581c": 4, ".": 5,
 * "n't": 6, "\u0120d": 7}. */
static void check_decoded(const char *decoder, const int32_t *ids, size_t n, const char *want)
{
    char json[2000];
    snprintf(
        json, sizeof json,
        "{\"decoder\": %s, \"model\": {\"type\": \"WordLevel\", \"unk_token\": \"a\", \"vocab\": "
        "{\"a\": 0, \"##b\": 1, \"<0xC3>\": 2, \"<0xA9>\": 3, \"\\u2581c\": 4, \".\": 5, "
        "\"n't\": 6, \"\\u0120d\": 7}}}",
        decoder);
    struct firn_tokenizer *tok = parse(json);
    struct firn_str s = { 0 };
    struct firn_error err = { 0 };
    check_ok(firn_tokenizer_decode(tok, ids, n, false, &s, &err), &err);
    assert_string_equal(s.data != NULL ? s.data : "", want);
    firn_str_free(&s);
    firn_tokenizer_close(&tok);
}
#define DECODED(decoder, want, ...)                                                                \
    check_decoded(decoder, (const int32_t[]){ __VA_ARGS__ },                                       \
                  sizeof((const int32_t[]){ __VA_ARGS__ }) / sizeof(int32_t), want)

static void decoders_spell_what_tokens_stand_for(void **state)
{
    (void) state;
    DECODED("null", "a ##b .", 0, 1, 5);
    DECODED("{\"type\": \"WordPiece\", \"prefix\": \"##\", \"cleanup\": true}", "ab. an't", 0, 1, 5,
            0, 6);
    DECODED("{\"type\": \"WordPiece\", \"prefix\": \"##\", \"cleanup\": false}", "ab . n't", 0, 1,
            5, 6);
    DECODED("{\"type\": \"ByteLevel\"}", "a d", 0, 7);
    DECODED("{\"type\": \"Metaspace\", \"replacement\": \"\\u2581\"}", "c c", 4, 4);
    DECODED(
        "{\"type\": \"Metaspace\", \"replacement\": \"\\u2581\", \"prepend_scheme\": \"never\"}",
        " c c", 4, 4);
    DECODED("{\"type\": \"ByteFallback\"}",
            "a\xC3\xA9"
            "a\xEF\xBF\xBD",
            0, 2, 3, 0, 2);
    DECODED("{\"type\": \"BPEDecoder\", \"suffix\": \".\"}", "a a", 0, 5, 0);
    DECODED(
        "{\"type\": \"CTC\", \"pad_token\": \"a\", \"word_delimiter_token\": \".\", \"cleanup\": "
        "true}",
        "##b ##b", 1, 1, 0, 5, 1);
    DECODED("{\"type\": \"Sequence\", \"decoders\": [{\"type\": \"Replace\", \"pattern\": "
            "{\"String\": \"\\u2581\"}, \"content\": \" \"}, {\"type\": \"Fuse\"}, {\"type\": "
            "\"Strip\", \"content\": \" \", \"start\": 1, \"stop\": 0}]}",
            "c c", 4, 4);
}

static void bytes_that_are_no_text_become_replacement_characters(void **state)
{
    (void) state;
    struct firn_tokenizer *tok = NULL;
    struct firn_error err = { 0 };
    struct firn_str s = { 0 };
    check_ok(firn_tokenizer_open(&tok, golden_tokenizer("gpt2-bpe"), &err), &err);
    // E4 B8: the first two bytes of a character of three, then "!"
    const int32_t ids[] = { firn_token_id(tok, "\xC3\xA4"), firn_token_id(tok, "\xC2\xB8"),
                            firn_token_id(tok, "!") };
    check_ok(firn_tokenizer_decode(tok, ids, 3, false, &s, &err), &err);
    assert_string_equal(s.data, "\xEF\xBF\xBD!");
    firn_str_free(&s);
    firn_tokenizer_close(&tok);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(normal_forms_keep_track_of_what_they_merge_and_split),
        cmocka_unit_test(lower_case_of_one_letter_may_be_two),
        cmocka_unit_test(bert_cleans_spaces_out_and_strips_accents),
        cmocka_unit_test(replacing_puts_new_text_at_the_end_of_the_old),
        cmocka_unit_test(normalizers_run_in_sequence),
        cmocka_unit_test(a_split_does_with_its_matches_what_it_is_told),
        cmocka_unit_test(regular_expressions_mean_what_they_mean_to_oniguruma),
        cmocka_unit_test(empty_matches_split_where_they_are),
        cmocka_unit_test(the_plain_pre_tokenizers_cut_where_they_say),
        cmocka_unit_test(metaspace_marks_each_piece_or_only_the_first),
        cmocka_unit_test(byte_level_pieces_are_bytes_of_whole_characters),
        cmocka_unit_test(added_tokens_are_cut_out_with_the_spaces_they_want),
        cmocka_unit_test(the_longest_added_token_wins),
        cmocka_unit_test(a_normalized_token_is_found_in_normalized_text),
        cmocka_unit_test(ids_of_new_tokens_follow_the_vocabulary),
        cmocka_unit_test(decoders_spell_what_tokens_stand_for),
        cmocka_unit_test(bytes_that_are_no_text_become_replacement_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
