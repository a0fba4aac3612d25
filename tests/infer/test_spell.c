/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens as text while they come: whole characters, stop strings, and in the end what the decoder gives for all. */
#include "infer/spell.h"
#include "text/utf8.h"
#include "../text/text.h"

#include <string.h>

static const char *const tokenizers[] = { "gpt2-bpe", "llama2-bpe", "llama3-bpe", "qwen2-bpe", "t5-unigram" };
static const char text[] = "Snow falls \xe2\x9d\x84 on \xf0\x9f\x8f\x94\xef\xb8\x8f na\xc3\xafve \xe9\x9b\xaa\xe5\xb1\xb1, and again.\nEnd";

static struct firn_tokenizer *open_named(const char *name)
{
    struct firn_tokenizer *tok = NULL;
    struct firn_error err = { 0 };
    if (firn_tokenizer_open(&tok, golden_tokenizer(name), &err) != FIRN_OK)
        print_message("%s: skipped, %s\n", name, err.text);
    return tok;
}

/* All prefixes of the text as the prompt. */
static void what_is_ready_is_whole_and_never_changes(void **state)
{
    (void) state;
    int n = 0;
    for (size_t k = 0; k < sizeof tokenizers / sizeof tokenizers[0]; k++) {
        struct firn_tokenizer *tok = open_named(tokenizers[k]);
        struct firn_encoding e = { 0 };
        struct firn_error err = { 0 };
        if (tok == NULL)
            continue;
        check_ok(firn_tokenizer_encode(tok, text, sizeof text - 1, NULL, 0, firn_encode_params(.add_special = false),
                                       &e, &err), &err);
        for (size_t prompt = 0; prompt < e.n; prompt += 3) {
            struct firn_spell s;
            struct firn_str all = { 0 }, before = { 0 }, shown = { 0 };
            size_t told = 0;
            check_ok(firn_spell_init(&s, tok, e.ids, prompt, NULL, 0, &err), &err);
            for (size_t i = prompt; i < e.n; i++) {
                check_ok(firn_spell_add(&s, e.ids[i], &err), &err);
                assert_true(s.ready >= told && s.ready <= s.text.size);
                assert_int_equal(firn_utf8_valid((const uint8_t *) s.text.data + told, s.ready - told), s.ready - told);
                firn_str_add_n(&shown, s.text.data != NULL ? s.text.data + told : "", s.ready - told);
                told = s.ready;
            }
            check_ok(firn_spell_end(&s, &err), &err);
            firn_str_add_n(&shown, s.text.data + told, s.ready - told);
            check_ok(firn_tokenizer_decode(tok, e.ids, e.n, true, &all, &err), &err);
            check_ok(firn_tokenizer_decode(tok, e.ids, prompt, true, &before, &err), &err);
            const bool is_cut = before.size >= 3 && memcmp(before.data + before.size - 3, "\xef\xbf\xbd", 3) == 0;
            if (!is_cut) /* a prompt that ends within a character has no text of its own */
                assert_string_equal(shown.data, all.data + before.size);
            firn_str_free(&all);
            firn_str_free(&before);
            firn_str_free(&shown);
            firn_spell_finish(&s);
        }
        firn_encoding_free(&e);
        firn_tokenizer_close(&tok);
        n++;
    }
    if (n == 0)
        skip();
}

static void run_stops(const char *const *stop, size_t n_stop, const char *want, bool stops)
{
    struct firn_tokenizer *tok = open_named("gpt2-bpe");
    struct firn_encoding e = { 0 };
    struct firn_error err = { 0 };
    struct firn_spell s;
    static const char *const words = "one two tree three";
    if (tok == NULL)
        skip();
    check_ok(firn_tokenizer_encode(tok, words, strlen(words), NULL, 0, NULL, &e, &err), &err);
    check_ok(firn_spell_init(&s, tok, NULL, 0, stop, n_stop, &err), &err);
    for (size_t i = 0; i < e.n && !s.stopped; i++) {
        check_ok(firn_spell_add(&s, e.ids[i], &err), &err);
        /* what was shown is never taken back */
        assert_true(s.ready <= strlen(want) && strncmp(want, s.text.data, s.ready) == 0);
    }
    check_ok(firn_spell_end(&s, &err), &err);
    assert_int_equal(s.stopped, stops);
    assert_string_equal(s.text.data, want);
    assert_int_equal(s.ready, strlen(want));
    firn_spell_finish(&s);
    firn_encoding_free(&e);
    firn_tokenizer_close(&tok);
}

static void a_stop_string_ends_the_text_before_it(void **state)
{
    (void) state;
    run_stops((const char *const[]){ "three" }, 1, "one two tree ", true);
    run_stops((const char *const[]){ "tree t", "two" }, 2, "one ", true);
    run_stops((const char *const[]){ "o t" }, 1, "one tw", true); /* across tokens, and not the earlier "e t" */
    run_stops((const char *const[]){ "one" }, 1, "", true);
}

static void a_stop_string_that_does_not_come_takes_nothing(void **state)
{
    (void) state;
    run_stops((const char *const[]){ "three four and more than there is of text in all" }, 1, "one two tree three", false);
    run_stops((const char *const[]){ "" }, 1, "one two tree three", false);
    run_stops(NULL, 0, "one two tree three", false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_ready_is_whole_and_never_changes),
        cmocka_unit_test(a_stop_string_ends_the_text_before_it),
        cmocka_unit_test(a_stop_string_that_does_not_come_takes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
