/* SPDX-License-Identifier: Apache-2.0 */
/* Pairs, truncation, roles, errors and threads of a whole tokenizer. Expected ids are the reference
 * library's. */
#include "text.h"

#include <pthread.h>

static const char first[] = "The snow melts slowly in spring";
static const char second[] = "It refreezes at night";

static int open_bert(void **state)
{
    struct firn_tokenizer *tok = NULL;
    const firn_status s = firn_tokenizer_open(&tok, golden_tokenizer("bert-wordpiece"), NULL);
    *state = tok;
    return s != FIRN_OK;
}

static int close_bert(void **state)
{
    struct firn_tokenizer *tok = *state;
    firn_tokenizer_close(&tok);
    assert_null(tok);
    return 0;
}

static void check_ids(const struct firn_tokenizer *tok, const char *pair,
                      const struct firn_encode_params *params, const int32_t *want, size_t n)
{
    struct firn_encoding e = { 0 };
    struct firn_error err = { 0 };
    check_ok(firn_tokenizer_encode(tok, first, strlen(first), pair, pair ? strlen(pair) : 0, params,
                                   &e, &err),
             &err);
    assert_int_equal(e.n, n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(e.ids[i], want[i]);
    assert_int_equal(e.truncated, params != NULL && params->max_length > 0);
    firn_encoding_free(&e);
}
#define CHECK_IDS(tok, pair, params, ...)                                                          \
    check_ids(tok, pair, params, (const int32_t[]){ __VA_ARGS__ },                                 \
              sizeof((const int32_t[]){ __VA_ARGS__ }) / sizeof(int32_t))

static void a_pair_has_types_masks_and_offsets_of_each_text(void **state)
{
    struct firn_encoding e = { 0 };
    struct firn_error err = { 0 };
    check_ok(
        firn_tokenizer_encode(*state, first, strlen(first), second, strlen(second), NULL, &e, &err),
        &err);
    assert_int_equal(e.n, 16);
    for (size_t i = 0; i < e.n; i++) {
        assert_int_equal(e.type_ids[i], i >= 9);
        assert_int_equal(e.special[i], i == 0 || i == 8 || i == 15);
    }
    assert_int_equal(e.offsets[9].begin, 0);
    assert_int_equal(e.offsets[14].begin, 16);
    assert_int_equal(e.offsets[14].end, 21);
    assert_false(e.truncated);
    firn_encoding_free(&e);
}

static void special_tokens_can_be_left_out(void **state)
{
    CHECK_IDS(*state, NULL, firn_encode_params(.add_special = false), 1996, 4586, 14899, 2015, 3254,
              1999, 3500);
}

static void truncation_shortens_the_text_and_keeps_special_tokens(void **state)
{
    CHECK_IDS(*state, NULL, firn_encode_params(.max_length = 5), 101, 1996, 4586, 14899, 102);
    CHECK_IDS(*state, NULL, firn_encode_params(.max_length = 5, .truncate_left = true), 101, 3254,
              1999, 3500, 102);
    CHECK_IDS(*state, NULL, firn_encode_params(.max_length = 2), 101, 102);
}

static void an_encoding_says_whether_something_was_cut(void **state)
{
    struct firn_encoding e = { 0 };
    struct firn_error err = { 0 };
    for (size_t most = 1; most < 9; most++) { // the text has seven tokens
        check_ok(firn_tokenizer_encode(*state, first, strlen(first), NULL, 0,
                                       firn_encode_params(.add_special = false, .max_length = most),
                                       &e, &err),
                 &err);
        assert_int_equal(e.n, most < 7 ? most : 7);
        assert_int_equal(e.truncated, most < 7);
    }
    firn_encoding_free(&e);
}

static void of_a_pair_the_longer_text_gives_way(void **state)
{
    CHECK_IDS(*state, second, firn_encode_params(.max_length = 10), 101, 1996, 4586, 14899, 2015,
              102, 2009, 25416, 9910, 102);
    CHECK_IDS(*state, second, firn_encode_params(.max_length = 10, .truncate_left = true), 101,
              2015, 3254, 1999, 3500, 102, 11254, 2012, 2305, 102);
    CHECK_IDS(*state, second,
              firn_encode_params(.max_length = 10, .truncation = FIRN_TRUNCATE_ONLY_FIRST), 101,
              1996, 102, 2009, 25416, 9910, 11254, 2012, 2305, 102);
}

static firn_status encode(const struct firn_tokenizer *tok, const char *text, size_t size,
                          const struct firn_encode_params *params, struct firn_error *err)
{
    struct firn_encoding e = { 0 };
    const firn_status s = firn_tokenizer_encode(tok, text, size, NULL, 0, params, &e, err);
    firn_encoding_free(&e);
    return s;
}

static void a_length_without_room_for_special_tokens_is_an_error(void **state)
{
    struct firn_error err = { 0 };
    check_fails(encode(*state, first, 3, firn_encode_params(.max_length = 1), &err), FIRN_ERR_USAGE,
                &err, "max_length: expected at least 2, for the special tokens, got 1");
}

static void text_that_is_not_utf8_is_an_error_that_names_the_byte(void **state)
{
    struct firn_error err = { 0 };
    check_fails(encode(*state, BYTES("ab\xC3("), NULL, &err), FIRN_ERR_FORMAT, &err,
                "text: expected UTF-8, got the byte 0xC3 at 2");
    check_fails(encode(*state, BYTES("\xED\xA0\x80"), NULL, &err), FIRN_ERR_FORMAT, &err,
                "text: expected UTF-8, got the byte 0xED at 0");
}

static void nul_in_a_text_is_a_character(void **state)
{
    struct firn_encoding e = { 0 };
    struct firn_error err = { 0 };
    check_ok(firn_tokenizer_encode(*state, BYTES("the\0the"), NULL, 0, NULL, &e, &err), &err);
    assert_int_equal(e.n, 4); // taken out by the normalizer: "thethe"
    firn_encoding_free(&e);
}

static void roles_come_from_the_configuration(void **state)
{
    const struct firn_tokenizer *tok = *state;
    assert_int_equal(firn_tokenizer_role(tok, FIRN_ROLE_CLS), 101);
    assert_int_equal(firn_tokenizer_role(tok, FIRN_ROLE_PAD), 0);
    assert_int_equal(firn_tokenizer_role(tok, FIRN_ROLE_BOS), -1);
    assert_string_equal(firn_tokenizer_role_text(tok, FIRN_ROLE_MASK), "[MASK]");
    assert_null(firn_tokenizer_role_text(tok, FIRN_ROLE_EOS));
    assert_int_equal(firn_tokenizer_max_length(tok), 512);
    assert_false(firn_tokenizer_pads_left(tok));
    assert_int_equal(firn_tokenizer_n_added(tok, false), 2);
    assert_int_equal(firn_tokenizer_n_added(tok, true), 3);
}

static void tokens_and_ids_are_looked_up_both_ways(void **state)
{
    const struct firn_tokenizer *tok = *state;
    size_t size;
    assert_int_equal(firn_token_id(tok, "snow"), 4586);
    assert_int_equal(firn_token_id(tok, "no such token"), -1);
    assert_string_equal(firn_token_text(tok, 4586, &size), "snow");
    assert_int_equal(size, 4);
    assert_null(firn_token_text(tok, 30522, NULL));
    assert_null(firn_token_text(tok, -1, NULL));
    assert_true(firn_token_is_special(tok, 102));
    assert_false(firn_token_is_special(tok, 4586));
    assert_int_equal(firn_tokenizer_vocab_size(tok), 30522);
    assert_int_equal(firn_tokenizer_id_limit(tok), 30522);
}

static void unknown_ids_are_left_out_when_decoding(void **state)
{
    const int32_t ids[] = { 101, 4586, -5, 99999999, 2015, 102 };
    struct firn_str s = { 0 };
    struct firn_error err = { 0 };
    check_ok(firn_tokenizer_decode(*state, ids, N_OF(ids), true, &s, &err), &err);
    assert_string_equal(s.data, "snows");
    firn_str_free(&s);
}

static void a_directory_without_a_tokenizer_is_an_error(void **state)
{
    (void) state;
    struct firn_tokenizer *tok = NULL;
    struct firn_error err = { 0 };
    assert_int_equal(firn_tokenizer_open(&tok, "/nonexistent", &err), FIRN_ERR_IO);
    assert_non_null(strstr(err.text, "/nonexistent/tokenizer.json"));
    assert_null(tok);
    firn_tokenizer_close(&tok);
}

static void an_encoding_moves_from_one_tokenizer_to_another(void **state)
{
    struct firn_tokenizer *other = NULL;
    struct firn_encoding e = { 0 };
    struct firn_error err = { 0 };
    check_ok(firn_tokenizer_open(&other, golden_tokenizer("gpt2-bpe"), &err), &err);
    for (int i = 0; i < 3; i++) { // words that one has cached are not the other's
        check_ok(firn_tokenizer_encode(*state, first, strlen(first), NULL, 0, NULL, &e, &err),
                 &err);
        assert_int_equal(e.ids[2], 4586);
        check_ok(firn_tokenizer_encode(other, first, strlen(first), NULL, 0, NULL, &e, &err), &err);
        assert_int_equal(e.ids[0], firn_token_id(other, "The"));
    }
    firn_encoding_free(&e);
    firn_tokenizer_close(&other);
}

static void *work(void *state)
{
    struct firn_encoding e = { 0 };
    size_t n_wrong = 0;
    for (int i = 0; i < 200; i++)
        if (firn_tokenizer_encode(state, first, strlen(first), second, strlen(second), NULL, &e,
                                  NULL) != FIRN_OK ||
            e.n != 16 || e.ids[14] != 2305)
            n_wrong++;
    firn_encoding_free(&e);
    return (void *) (uintptr_t) n_wrong;
}

static void many_threads_share_one_tokenizer(void **state)
{
    pthread_t threads[4];
    for (size_t i = 0; i < N_OF(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, *state), 0);
    for (size_t i = 0; i < N_OF(threads); i++) {
        void *n_wrong;
        pthread_join(threads[i], &n_wrong);
        assert_null(n_wrong);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pair_has_types_masks_and_offsets_of_each_text),
        cmocka_unit_test(special_tokens_can_be_left_out),
        cmocka_unit_test(truncation_shortens_the_text_and_keeps_special_tokens),
        cmocka_unit_test(an_encoding_says_whether_something_was_cut),
        cmocka_unit_test(of_a_pair_the_longer_text_gives_way),
        cmocka_unit_test(a_length_without_room_for_special_tokens_is_an_error),
        cmocka_unit_test(text_that_is_not_utf8_is_an_error_that_names_the_byte),
        cmocka_unit_test(nul_in_a_text_is_a_character),
        cmocka_unit_test(roles_come_from_the_configuration),
        cmocka_unit_test(tokens_and_ids_are_looked_up_both_ways),
        cmocka_unit_test(unknown_ids_are_left_out_when_decoding),
        cmocka_unit_test(a_directory_without_a_tokenizer_is_an_error),
        cmocka_unit_test(an_encoding_moves_from_one_tokenizer_to_another),
        cmocka_unit_test(many_threads_share_one_tokenizer),
    };
    return cmocka_run_group_tests(tests, open_bert, close_bert);
}
