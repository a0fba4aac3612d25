/* SPDX-License-Identifier: Apache-2.0 */
/* Every recorded line of the reference library: ids, offsets and decoded text. */
#include "text.h"

#include "base/json.h"

static bool same_numbers(const json_t *want, const int32_t *got, size_t n)
{
    bool same = json_array_size(want) == n;
    for (size_t i = 0; i < n && same; i++)
        same = json_integer_value(json_array_get(want, i)) == got[i];
    return same;
}

static bool same_offsets(const json_t *want, const struct firn_offset *got, size_t n)
{
    bool same = json_array_size(want) == n;
    for (size_t i = 0; i < n && same; i++) {
        const json_t *pair = json_array_get(want, i);
        same = json_integer_value(json_array_get(pair, 0)) == got[i].begin &&
               json_integer_value(json_array_get(pair, 1)) == got[i].end;
    }
    return same;
}

static bool same_text(const struct firn_tokenizer *tok, const struct firn_encoding *e,
                      bool skip_special, const json_t *want)
{
    struct firn_str s = { 0 };
    struct firn_error err = { 0 };
    check_ok(firn_tokenizer_decode(tok, e->ids, e->n, skip_special, &s, &err), &err);
    const bool same = s.size == json_string_length(want) &&
                      (s.size == 0 || memcmp(s.data, json_string_value(want), s.size) == 0);
    firn_str_free(&s);
    return same;
}

static void check_line(const char *name, size_t number, const struct firn_tokenizer *tok,
                       struct firn_encoding *e, const json_t *line)
{
    struct firn_error err = { 0 };
    const json_t *text = json_object_get(line, "text");
    const char *wrong = NULL;
    check_ok(firn_tokenizer_encode(tok, json_string_value(text), json_string_length(text), NULL, 0,
                                   firn_encode_params(.add_special = false), e, &err),
             &err);
    if (!same_numbers(json_object_get(line, "ids_no_special"), e->ids, e->n))
        wrong = "ids_no_special";
    check_ok(firn_tokenizer_encode(tok, json_string_value(text), json_string_length(text), NULL, 0,
                                   NULL, e, &err),
             &err);
    if (!same_numbers(json_object_get(line, "ids"), e->ids, e->n))
        wrong = "ids";
    else if (!same_offsets(json_object_get(line, "offsets"), e->offsets, e->n))
        wrong = "offsets";
    else if (!same_text(tok, e, true, json_object_get(line, "decoded")))
        wrong = "decoded";
    else if (!same_text(tok, e, false, json_object_get(line, "decoded_all")))
        wrong = "decoded_all";
    if (wrong != NULL)
        fail_msg("%s/texts.jsonl: line %zu: %s differ: '%s'", name, number, wrong,
                 json_string_value(text));
}

static void check_all(const char *name)
{
    struct firn_tokenizer *tok = NULL;
    struct firn_encoding e = { 0 };
    struct firn_error err = { 0 };
    char *data = NULL;
    size_t size = 0, n = 0;
    check_ok(firn_tokenizer_open(&tok, golden_tokenizer(name), &err), &err);
    char *path = firn_path_join(golden_tokenizer(name), "texts.jsonl");
    check_ok(firn_file_read(path, (size_t) 1 << 24, &data, &size, &err), &err);
    for (char *line = data, *end; line < data + size; line = end + 1) {
        end = memchr(line, '\n', (size_t) (data + size - line));
        end = end != NULL ? end : data + size;
        json_t *value = NULL;
        check_ok(firn_json_parse(line, (size_t) (end - line), path, &value, &err), &err);
        check_line(name, ++n, tok, &e, value);
        json_decref(value);
    }
    assert_true(n > 150);
    free(data);
    free(path);
    firn_encoding_free(&e);
    firn_tokenizer_close(&tok);
}

#define AGREES(function, folder)                                                                   \
    static void function(void **state)                                                             \
    {                                                                                              \
        (void) state;                                                                              \
        check_all(folder);                                                                         \
    }
AGREES(cased_bert_agrees_with_the_reference, "bert-cased-wordpiece")
AGREES(bert_agrees_with_the_reference, "bert-wordpiece")
AGREES(gpt2_agrees_with_the_reference, "gpt2-bpe")
AGREES(llama2_agrees_with_the_reference, "llama2-bpe")
AGREES(llama3_agrees_with_the_reference, "llama3-bpe")
AGREES(qwen2_agrees_with_the_reference, "qwen2-bpe")
AGREES(roberta_agrees_with_the_reference, "roberta-bpe")
AGREES(t5_agrees_with_the_reference, "t5-unigram")

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cased_bert_agrees_with_the_reference),
        cmocka_unit_test(bert_agrees_with_the_reference),
        cmocka_unit_test(gpt2_agrees_with_the_reference),
        cmocka_unit_test(llama2_agrees_with_the_reference),
        cmocka_unit_test(llama3_agrees_with_the_reference),
        cmocka_unit_test(qwen2_agrees_with_the_reference),
        cmocka_unit_test(roberta_agrees_with_the_reference),
        cmocka_unit_test(t5_agrees_with_the_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
