/* SPDX-License-Identifier: Apache-2.0 */
/* What causal examples are trained on, and what goes when they are too long. */
#include "../model/scratch.h"

#include "base/str.h"
#include "train/dataset.h"

#include <stdlib.h>
#include <string.h>

static const char *golden(const char *name)
{
    static char path[600];
    const char *root = getenv("FIRN_GOLDEN");
    firn_format(path, sizeof path, "%s/%s", root != NULL && root[0] != '\0' ? root : FIRN_TESTS_GOLDEN, name);
    return path;
}

struct made {
    struct firn_tokenizer *tok;
    struct firn_dataset d;
    struct firn_error err;
};

/* One row; the llama of the recorded cases: a byte-level tokenizer that puts its bos first. */
static firn_status make(struct made *m, const char *row, const struct firn_recipe_data *columns,
                        const struct firn_chat *chat, uint32_t max_length)
{
    struct firn_table t = { 0 };
    const struct firn_dataset_params p = { .tokenizer = m->tok, .columns = columns, .task = FIRN_TASK_CAUSAL_LM,
                                           .max_length = max_length, .has_labels = true, .chat = chat };
    expect_ok(firn_table_parse_jsonl(&t, "rows", row, strlen(row), &m->err), &m->err);
    return firn_dataset_make(&m->d, &t, &p, &m->err);
}

static void open_made(struct made *m)
{
    memset(m, 0, sizeof *m);
    expect_ok(firn_tokenizer_open(&m->tok, golden("models/llama"), &m->err), &m->err);
}

/* All tokens, and those that are trained on, as text. */
static void expect_texts(struct made *m, const char *all, const char *trained)
{
    const struct firn_example *e = &m->d.list[0];
    struct firn_str text = { 0 };
    int32_t *ids = malloc(sizeof *ids * (e->length + 1));
    size_t n = 0;
    expect_ok(firn_tokenizer_decode(m->tok, e->ids, e->length, false, &text, &m->err), &m->err);
    assert_string_equal(text.data, all);
    firn_str_free(&text);
    for (uint32_t k = 0; k < e->length; k++) {
        if (e->labels[k] < 0)
            continue;
        assert_int_equal(e->labels[k], e->ids[k]);
        ids[n++] = e->ids[k];
    }
    expect_ok(firn_tokenizer_decode(m->tok, ids, n, false, &text, &m->err), &m->err);
    assert_string_equal(text.data, trained);
    firn_str_free(&text);
    free(ids);
    firn_dataset_free(&m->d);
}

#define BOS "<|begin_of_text|>"
#define EOT "<|eot_id|>"
#define ROW "{\"q\": \"why is it so\", \"a\": \"because\"}"

static void only_answers_are_trained_on(void **state)
{
    (void) state;
    struct made m;
    open_made(&m);
    const struct firn_recipe_data columns = { .prompt = (char *) "q", .completion = (char *) "a", .text = (char *) "q" };
    expect_ok(make(&m, ROW, &columns, NULL, 64), &m.err);
    expect_texts(&m, BOS "why is it sobecause" EOT, "because" EOT);
    const struct firn_recipe_data template = { .completion = (char *) "a", .template = (char *) "Q: {q}?\nA: {a}." };
    expect_ok(make(&m, ROW, &template, NULL, 64), &m.err);
    expect_texts(&m, BOS "Q: why is it so?\nA: because." EOT, " because." EOT); /* one token with its space */
    const struct firn_recipe_data text = { .template = (char *) "{q} {a}" };
    expect_ok(make(&m, ROW, &text, NULL, 64), &m.err);
    expect_texts(&m, BOS "why is it so because" EOT, BOS "why is it so because" EOT);
    firn_tokenizer_close(&m.tok);
}

static void of_a_conversation_the_assistant_is_trained_on(void **state)
{
    (void) state;
    struct made m;
    struct firn_chat chat;
    open_made(&m);
    json_t *name = json_string("llama3");
    expect_ok(firn_chat_open(&chat, "nowhere", m.tok, name, "r", &m.err), &m.err);
    const struct firn_recipe_data columns = { .messages = (char *) "messages" };
    expect_ok(make(&m, "{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}, {\"role\": \"assistant\", \"content\": \"yo\"},"
                       "{\"role\": \"user\", \"content\": \"so\"}, {\"role\": \"assistant\", \"content\": \"no\"}]}",
                   &columns, &chat, 200), &m.err);
    expect_texts(&m,
                 BOS "<|start_header_id|>user<|end_header_id|>\n\nhi" EOT "<|start_header_id|>assistant<|end_header_id|>\n\nyo" EOT
                     "<|start_header_id|>user<|end_header_id|>\n\nso" EOT "<|start_header_id|>assistant<|end_header_id|>\n\nno" EOT,
                 "yo" EOT "no" EOT);
    assert_int_equal(firn_chat_end(&chat, m.tok), firn_token_id(m.tok, EOT));
    expect_error(make(&m, "{\"message\": []}", &columns, &chat, 200), FIRN_ERR_FORMAT, &m.err, "messages", "line 1");
    firn_chat_close(&chat);
    json_decref(name);
    firn_tokenizer_close(&m.tok);
}

static void what_is_too_long_keeps_the_end_of_its_answer(void **state)
{
    (void) state;
    struct made m;
    open_made(&m);
    const struct firn_recipe_data columns = { .prompt = (char *) "q", .completion = (char *) "a" };
    expect_ok(make(&m, ROW, &columns, NULL, 64), &m.err);
    const uint32_t whole = m.d.list[0].length;
    uint32_t trained = 0;
    for (uint32_t k = 0; k < whole; k++)
        trained += m.d.list[0].labels[k] >= 0;
    firn_dataset_free(&m.d);
    for (uint32_t most = 1; most <= whole; most++) {
        expect_ok(make(&m, ROW, &columns, NULL, most), &m.err);
        const struct firn_example *e = &m.d.list[0];
        uint32_t n = 0;
        assert_int_equal(e->length, most);
        assert_int_equal(e->ids[0], firn_token_id(m.tok, BOS));
        for (uint32_t k = 0; k < most; k++)
            n += e->labels[k] >= 0;
        assert_int_equal(n, most - 1 < trained ? most - 1 : trained);
        if (most > trained)
            assert_int_equal(e->ids[most - 1], firn_token_id(m.tok, EOT));
        firn_dataset_free(&m.d);
    }
    /* a text that is trained on as a whole loses its end */
    const struct firn_recipe_data text = { .text = (char *) "q" };
    expect_ok(make(&m, ROW, &text, NULL, 4), &m.err);
    assert_int_equal(m.d.list[0].length, 4);
    assert_int_equal(m.d.list[0].ids[0], firn_token_id(m.tok, BOS));
    assert_int_not_equal(m.d.list[0].ids[3], firn_token_id(m.tok, EOT));
    firn_dataset_free(&m.d);
    firn_tokenizer_close(&m.tok);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_answers_are_trained_on),
        cmocka_unit_test(of_a_conversation_the_assistant_is_trained_on),
        cmocka_unit_test(what_is_too_long_keeps_the_end_of_its_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
