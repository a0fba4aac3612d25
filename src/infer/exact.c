/* SPDX-License-Identifier: Apache-2.0 */
/* Asks for each example's answer and compares. */
#include "infer/exact.h"

#include <stdlib.h>
#include <string.h>

/* One example: what is asked, and what is to be said. */
struct question {
    struct firn_marked prompt;
    char *answer;
    int32_t *ids;
    size_t n;
    bool adds_special;
};

static void close_question(struct question *q)
{
    firn_marked_free(&q->prompt);
    free(q->answer);
    free(q->ids);
    memset(q, 0, sizeof *q);
}

static firn_status from_chat(struct question *q, const struct firn_table *t, size_t i, const struct firn_task_setup *task,
                             struct firn_error *err)
{
    const json_t *messages = firn_table_value(t, i, task->columns.messages);
    const size_t n = json_array_size(messages);
    const json_t *last = json_array_get(messages, n > 0 ? n - 1 : 0);
    const char *role = json_string_value(json_object_get(last, "role"));
    const char *text = json_string_value(json_object_get(last, "content"));
    if (role == NULL || strcmp(role, "assistant") != 0 || text == NULL || n < 2)
        return firn_fail(err, FIRN_ERR_FORMAT, .file = t->path, .key = FIRN_STR("line %zu", t->rows[i].line),
                         .expected = "a conversation that ends with the assistant", .got = "another");
    json_t *before = json_copy((json_t *) messages);
    json_array_remove(before, n - 1);
    q->answer = firn_strdup(text);
    const firn_status status = firn_chat_render(&task->chat, before, true, t->path, t->rows[i].line, &q->prompt, err);
    json_decref(before);
    return status;
}

static firn_status from_columns(struct question *q, const struct firn_table *t, size_t i,
                                const struct firn_task_setup *task, struct firn_error *err)
{
    const struct firn_recipe_data *c = &task->columns;
    const bool is_pair = task->task == FIRN_TASK_SEQ2SEQ_LM, fills = c->template != NULL;
    const char *text;
    size_t size;
    firn_status status = FIRN_OK;
    q->adds_special = true;
    if (fills && !is_pair) { /* the answer is the template's end */
        struct firn_marked whole = { 0 };
        status = firn_template_fill(c->template, t->rows[i].values, c->completion, false, t->path, t->rows[i].line, &whole,
                                    err);
        if (status == FIRN_OK && whole.n > 0)
            q->answer = strndup(whole.text.data + whole.marks[0].begin, whole.text.size - whole.marks[0].begin);
        firn_marked_free(&whole);
    } else {
        status = firn_table_text(t, i, c->completion, &text, &size, err);
        if (status == FIRN_OK)
            q->answer = strndup(text, size);
    }
    if (status == FIRN_OK && fills)
        return firn_template_fill(c->template, t->rows[i].values, is_pair ? NULL : c->completion, true, t->path,
                                  t->rows[i].line, &q->prompt, err);
    if (status == FIRN_OK)
        status = firn_table_text(t, i, c->prompt, &text, &size, err);
    if (status == FIRN_OK)
        firn_str_add_n(&q->prompt.text, text, size);
    return status;
}

/* What the model reads; too long: without its first tokens (but one that starts all texts). */
static firn_status encode(struct question *q, const struct firn_session *s, const struct firn_task_setup *task,
                          struct firn_encoding *e, struct firn_error *err)
{
    const struct firn_encode_params how = { .add_special = q->adds_special };
    const char *text = q->prompt.text.data != NULL ? q->prompt.text.data : "";
    const int32_t bos = firn_tokenizer_role(task->tokenizer, FIRN_ROLE_BOS);
    const int64_t limit = firn_generate_limit(s);
    const size_t most = task->max_length < limit ? task->max_length : (size_t) limit;
    firn_status status = firn_tokenizer_encode(task->tokenizer, text, q->prompt.text.size, NULL, 0, &how, e, err);
    if (status == FIRN_OK && e->n == 0)
        status = firn_fail(err, FIRN_ERR_FORMAT, .key = task->columns.prompt, .expected = "prompts with tokens",
                           .got = "an empty one");
    if (status)
        return status;
    q->n = e->n < most ? e->n : most;
    q->ids = malloc(sizeof *q->ids * q->n);
    if (q->ids == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a prompt");
    memcpy(q->ids, e->ids + (e->n - q->n), sizeof *q->ids * q->n);
    if (bos >= 0 && e->ids[0] == bos)
        q->ids[0] = bos;
    return FIRN_OK;
}

/* Equal but for white space at the ends. */
static bool is_same(const char *a, const char *b)
{
    static const char blank[] = " \t\r\n";
    a += strspn(a, blank);
    b += strspn(b, blank);
    size_t n = strlen(a), m = strlen(b);
    while (n > 0 && strchr(blank, a[n - 1]) != NULL)
        n--;
    while (m > 0 && strchr(blank, b[m - 1]) != NULL)
        m--;
    return n == m && memcmp(a, b, n) == 0;
}

static firn_status ask(struct firn_session *s, const struct firn_generate_params *p, struct question *list, size_t n,
                       struct firn_exact *out, struct firn_error *err)
{
    struct firn_prompt *prompts = calloc(n + 1, sizeof *prompts);
    struct firn_generated *said = calloc(n + 1, sizeof *said);
    firn_status status = prompts == NULL || said == NULL
                             ? firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for answers")
                             : FIRN_OK;
    for (size_t i = 0; i < n && status == FIRN_OK; i++)
        prompts[i] = (struct firn_prompt){ .ids = list[i].ids, .n = list[i].n, .number = (uint32_t) (out->examples + i) };
    if (status == FIRN_OK)
        status = firn_generate(s, prompts, n, p, said, err);
    for (size_t i = 0; i < n && status == FIRN_OK; i++)
        out->matches += is_same(said[i].text, list[i].answer);
    out->examples += n;
    if (said != NULL)
        firn_generated_free(said, n);
    free(prompts);
    free(said);
    return status;
}

firn_status firn_exact_match(struct firn_session *s, const struct firn_table *table, const struct firn_task_setup *task,
                             const struct firn_generate_params *p, uint32_t batch_size, struct firn_exact *out,
                             struct firn_error *err)
{
    const struct firn_recipe_data *c = &task->columns;
    const bool is_lm = task->task == FIRN_TASK_CAUSAL_LM || task->task == FIRN_TASK_SEQ2SEQ_LM;
    *out = (struct firn_exact){ 0 };
    if (!is_lm || (!task->has_chat && (c->completion == NULL || (c->prompt == NULL && c->template == NULL))))
        return firn_fail(err, FIRN_ERR_USAGE, .key = "exact match",
                         .expected = "a language model with data.prompt and data.completion, a template with an answer, or "
                                     "data.messages",
                         .got = is_lm ? "texts without answers" : firn_task_words[task->task]);
    struct question *list = calloc((size_t) batch_size + 1, sizeof *list);
    struct firn_encoding e = { 0 };
    firn_status status = list == NULL ? firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for examples") : FIRN_OK;
    for (size_t i = 0; i < table->count && status == FIRN_OK;) {
        size_t n = 0;
        for (; n < batch_size && i < table->count && status == FIRN_OK; n++, i++) {
            status = task->has_chat ? from_chat(&list[n], table, i, task, err) : from_columns(&list[n], table, i, task, err);
            if (status == FIRN_OK && list[n].answer == NULL)
                status = firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for examples");
            if (status == FIRN_OK)
                status = encode(&list[n], s, task, &e, err);
        }
        if (status == FIRN_OK)
            status = ask(s, p, list, n, out, err);
        for (size_t k = 0; k < batch_size; k++)
            close_question(&list[k]);
    }
    firn_encoding_free(&e);
    free(list);
    return status;
}
