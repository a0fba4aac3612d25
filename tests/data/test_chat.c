/* SPDX-License-Identifier: Apache-2.0 */
/* Conversations as transformers renders them with the templates of common models (chat_cases.json, written by
 * chat_cases.py), what of them is an answer, and formats that are given or unknown. */
#include "../model/scratch.h"

#include "base/file.h"
#include "data/chat.h"

#include <stdlib.h>
#include <string.h>

static void save(const char *path, json_t *o)
{
    struct firn_error err = { 0 };
    expect_ok(firn_json_save(path, o, false, &err), &err);
    json_decref(o);
}

/* A tokenizer of a few words in scratch/model, with these roles and template (NULL: none). */
static struct firn_tokenizer *tokenizer(const char *bos, const char *eos, const char *template)
{
    struct firn_tokenizer *tok = NULL;
    struct firn_error err = { 0 };
    json_t *added = json_array();
    const char *const names[] = { bos, eos };
    for (int i = 0; i < 2; i++)
        if (names[i][0] != '\0')
            json_array_append_new(added, json_pack("{s:i,s:s,s:b,s:b,s:b,s:b,s:b}", "id", i + 1, "content", names[i],
                                                   "single_word", 0, "lstrip", 0, "rstrip", 0, "normalized", 0,
                                                   "special", 1));
    expect_ok(firn_dir_create(scratch_path("model"), &err), &err);
    save(scratch_path("model/tokenizer.json"),
         json_pack("{s:s,s:o,s:{s:s,s:s,s:{s:i}}}", "version", "1.0", "added_tokens", added, "model", "type", "WordLevel",
                   "unk_token", "u", "vocab", "u", 0));
    json_t *config = json_object();
    if (bos[0] != '\0')
        json_object_set_new(config, "bos_token", json_string(bos));
    json_object_set_new(config, "eos_token", json_string(eos));
    if (template != NULL)
        json_object_set_new(config, "chat_template", json_string(template));
    save(scratch_path("model/tokenizer_config.json"), config);
    expect_ok(firn_tokenizer_open(&tok, scratch_path("model"), &err), &err);
    return tok;
}

static void compare(const struct firn_chat *c, const json_t *o, const char *messages, const char *text, bool is_prompt)
{
    struct firn_marked out = { 0 };
    struct firn_error err = { 0 };
    expect_ok(firn_chat_render(c, json_object_get(o, messages), is_prompt, "x", 1, &out, &err), &err);
    assert_string_equal(out.text.data, json_string_value(json_object_get(o, text)));
    firn_marked_free(&out);
}

/* Every answer is marked, from its first character on, with what ends it. */
static void check_marks(const struct firn_chat *c, const json_t *messages)
{
    struct firn_marked out = { 0 };
    struct firn_error err = { 0 };
    size_t i, n = 0;
    json_t *m;
    expect_ok(firn_chat_render(c, messages, false, "x", 1, &out, &err), &err);
    json_array_foreach (messages, i, m) {
        const char *text = json_string_value(json_object_get(m, "content"));
        if (strcmp(json_string_value(json_object_get(m, "role")), "assistant") != 0)
            continue;
        assert_true(n < out.n);
        const struct firn_mark mark = out.marks[n++];
        const size_t skipped = c->format.strips || c->format.strips_answers ? strspn(text, " \n") : 0;
        assert_memory_equal(out.text.data + mark.begin, text + skipped, 3);
        assert_true(mark.end > mark.begin + 3);
        assert_false(strchr(" \n", out.text.data[mark.end - 1]) != NULL);
        assert_true(strchr(">", out.text.data[mark.end - 1]) != NULL); /* all end tokens here end so */
    }
    assert_int_equal(n, out.n);
    firn_marked_free(&out);
}

static void conversations_are_as_transformers_renders_them(void **state)
{
    (void) state;
    struct firn_error err = { 0 };
    json_t *cases = NULL, *c, *o;
    size_t i, k;
    expect_ok(firn_json_load(FIRN_CHAT_CASES, &cases, &err), &err);
    assert_true(json_array_size(cases) >= 15);
    json_array_foreach (cases, i, c) {
        const char *name = json_string_value(json_object_get(c, "name"));
        struct firn_chat chat;
        struct firn_tokenizer *tok = tokenizer(json_string_value(json_object_get(c, "bos")),
                                               json_string_value(json_object_get(c, "eos")),
                                               json_string_value(json_object_get(c, "template")));
        expect_ok(firn_chat_open(&chat, scratch_path("model"), tok, NULL, "x", &err), &err);
        assert_memory_equal(chat.format.name, name, strcspn(name, " ") + (strchr(name, ' ') == NULL));
        json_array_foreach (json_object_get(c, "renders"), k, o) {
            if (json_object_get(o, "error") != NULL) {
                struct firn_marked out = { 0 };
                assert_int_equal(firn_chat_render(&chat, json_object_get(o, "messages"), false, "x", 1, &out, &err),
                                 FIRN_ERR_FORMAT);
                firn_marked_free(&out);
                continue;
            }
            compare(&chat, o, "messages", "text", false);
            compare(&chat, o, "prompt_messages", "prompt", true);
            check_marks(&chat, json_object_get(o, "messages"));
            /* what firn.json keeps gives the same */
            struct firn_chat again;
            json_t *kept = firn_chat_json(&chat);
            expect_ok(firn_chat_open(&again, "nowhere", tok, kept, "x", &err), &err);
            compare(&again, o, "messages", "text", false);
            compare(&again, o, "prompt_messages", "prompt", true);
            firn_chat_close(&again);
            json_decref(kept);
        }
        firn_chat_close(&chat);
        firn_tokenizer_close(&tok);
    }
    json_decref(cases);
}

static void expect_named(firn_status got, firn_status want, const struct firn_error *err, const char *word)
{
    assert_int_equal(got, want);
    if (strstr(err->text, word) == NULL)
        fail_msg("\"%s\" does not name %s", err->text, word);
}

static void an_unknown_format_says_how_to_give_one(void **state)
{
    (void) state;
    struct firn_error err = { 0 };
    struct firn_chat c;
    struct firn_tokenizer *tok = tokenizer("<s>", "</s>", "{% for m in messages %}{{ m.content }}{% endfor %}");
    expect_named(firn_chat_open(&c, scratch_path("model"), tok, NULL, "r", &err), FIRN_ERR_UNSUPPORTED, &err, "data: {chat: {user:");
    firn_tokenizer_close(&tok);
    tok = tokenizer("<s>", "</s>", NULL);
    expect_named(firn_chat_open(&c, scratch_path("model"), tok, NULL, "r", &err), FIRN_ERR_UNSUPPORTED, &err, "chatml");
    json_t *given = json_string("chatmll");
    expect_named(firn_chat_open(&c, scratch_path("model"), tok, given, "r", &err), FIRN_ERR_UNSUPPORTED, &err, "chatmll");
    json_decref(given);
    given = json_pack("{s:s}", "user", "<u>{content}");
    expect_named(firn_chat_open(&c, scratch_path("model"), tok, given, "r", &err), FIRN_ERR_USAGE, &err, "data.chat.assistant");
    json_decref(given);
    given = json_pack("{s:s,s:s,s:s}", "user", "<u>{content}", "assistant", "<a>{content}{eos}", "usr", "x");
    expect_named(firn_chat_open(&c, scratch_path("model"), tok, given, "r", &err), FIRN_ERR_USAGE, &err, "usr");
    json_decref(given);
    firn_tokenizer_close(&tok);
}

static void a_given_format_is_used_and_hostile_messages_are_refused(void **state)
{
    (void) state;
    static const struct { const char *messages, *word; } bad[] = {
        { "[]", "none" }, { "{}", "messages" }, { "[{\"role\":\"tool\",\"content\":\"x\"}]", "tool" },
        { "[{\"role\":\"user\"}]", "content" }, { "[{\"content\":\"x\"}]", "role" }, { "[3]", "role" },
        { "[{\"role\":\"user\",\"content\":\"x\"},{\"role\":\"system\",\"content\":\"x\"}]", "first message" },
        { "[{\"role\":\"system\",\"content\":\"x\"}]", "no system" } };
    struct firn_error err = { 0 };
    struct firn_chat c;
    struct firn_marked out = { 0 };
    struct firn_tokenizer *tok = tokenizer("<s>", "</s>", NULL);
    json_t *given = json_pack("{s:s,s:s,s:s,s:s}", "first", "{bos}", "user", "<u>{content}\n", "assistant",
                              "<a>{content}{eos}\n", "generation", "<a>");
    json_t *messages = json_pack("[{s:s,s:s},{s:s,s:s}]", "role", "user", "content", "{eos}?", "role", "assistant",
                                 "content", "!");
    expect_ok(firn_chat_open(&c, "nowhere", tok, given, "r", &err), &err);
    expect_ok(firn_chat_render(&c, messages, false, "x", 1, &out, &err), &err);
    assert_string_equal(out.text.data, "<s><u>{eos}?\n<a>!</s>\n"); /* words of users are no fields */
    assert_int_equal(out.n, 1);
    assert_memory_equal(out.text.data + out.marks[0].begin, "!</s>", out.marks[0].end - out.marks[0].begin);
    firn_marked_clear(&out);
    expect_ok(firn_chat_render(&c, messages, true, "x", 1, &out, &err), &err);
    assert_string_equal(out.text.data, "<s><u>{eos}?\n<a>!</s>\n<a>");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        json_t *m = NULL;
        expect_ok(firn_json_parse(bad[i].messages, strlen(bad[i].messages), "x", &m, &err), &err);
        firn_marked_clear(&out);
        expect_named(firn_chat_render(&c, m, false, "file", 7, &out, &err), FIRN_ERR_FORMAT, &err, bad[i].word);
        assert_non_null(strstr(err.text, "line 7"));
        json_decref(m);
    }
    json_decref(given);
    json_decref(messages);
    firn_marked_free(&out);
    firn_chat_close(&c);
    firn_tokenizer_close(&tok);
}

static void a_template_is_filled_and_its_answer_marked(void **state)
{
    (void) state;
    struct firn_error err = { 0 };
    struct firn_marked out = { 0 };
    json_t *row = json_pack("{s:s,s:s,s:i,s:n}", "q", "Why {a}?", "a", "So \xe2\x9d\x84.", "n", 3, "nothing");
    static const char *const template = "{{{n}}} {q}\nA: {a}!";
    expect_ok(firn_template_check(template, "a", "r", &err), &err);
    expect_ok(firn_template_fill(template, row, "a", false, "x", 1, &out, &err), &err);
    assert_string_equal(out.text.data, "{3} Why {a}?\nA: So \xe2\x9d\x84.!");
    assert_int_equal(out.n, 1);
    assert_int_equal(out.marks[0].begin, 15); /* with the space before it */
    assert_int_equal(out.marks[0].end, out.text.size);
    assert_int_equal(firn_marked_points(&out, out.text.size), out.text.size - 2);
    firn_marked_clear(&out);
    expect_ok(firn_template_fill(template, row, "a", true, "x", 1, &out, &err), &err);
    assert_string_equal(out.text.data, "{3} Why {a}?\nA:");
    assert_int_equal(out.n, 0);
    char *only = firn_template_only_field("x {q} {a} {q}", "a");
    assert_string_equal(only, "q");
    free(only);
    assert_null(firn_template_only_field(template, "a"));
    expect_named(firn_template_fill("{nothing}", row, NULL, false, "f", 9, &out, &err), FIRN_ERR_FORMAT, &err, "line 9: nothing");
    static const char *const wrong[] = { "{", "a}", "{}", "{a{b}}", "{a", "no field", "" };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(firn_template_check(wrong[i], NULL, "r", &err), FIRN_ERR_USAGE);
    expect_named(firn_template_check("{q}", "a", "r", &err), FIRN_ERR_USAGE, &err, "{a}");
    json_decref(row);
    firn_marked_free(&out);
}

#define T(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(conversations_are_as_transformers_renders_them),
        T(an_unknown_format_says_how_to_give_one),
        T(a_given_format_is_used_and_hostile_messages_are_refused),
        T(a_template_is_filled_and_its_answer_marked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
