/* SPDX-License-Identifier: Apache-2.0 */
/* Examples of causal language models: a text, a prompt with its answer, a filled template, a conversation. What is no
 * answer is not trained on.
 *
 * One that is too long loses tokens at the start of what stands before its last answer (tokens that the tokenizer puts
 * first stay), so that the answer keeps its end; only what is still too long then is cut at the end. */
#include "train/example.h"

#include <stdlib.h>
#include <string.h>

/* Room for n more. */
static firn_status grow(struct firn_example *e, size_t n, struct firn_error *err)
{
    const size_t all = e->length + n + 1;
    int32_t *ids = realloc(e->ids, sizeof *ids * all);
    if (ids != NULL)
        e->ids = ids;
    int32_t *labels = realloc(e->labels, sizeof *labels * all);
    if (labels != NULL)
        e->labels = labels;
    return ids != NULL && labels != NULL ? FIRN_OK
                                         : firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for examples");
}

static void add(struct firn_example *e, int32_t id, bool is_trained)
{
    e->labels[e->length] = is_trained ? id : -100;
    e->ids[e->length++] = id;
}

static firn_status add_text(struct firn_example *e, const struct firn_table *t, uint32_t i, const char *column,
                            bool is_first, bool is_trained, const struct firn_dataset_params *p,
                            struct firn_encoding *encoding, struct firn_error *err)
{
    const char *text;
    size_t size;
    const struct firn_encode_params how = { .add_special = is_first };
    firn_status status = firn_table_text(t, i, column, &text, &size, err);
    if (status == FIRN_OK)
        status = firn_tokenizer_encode(p->tokenizer, text, size, NULL, 0, &how, encoding, err);
    if (status == FIRN_OK)
        status = grow(e, encoding->n, err);
    for (size_t k = 0; k < encoding->n && status == FIRN_OK; k++)
        add(e, encoding->ids[k], is_trained);
    return status;
}

/* A token is trained on when any of its characters is of an answer. */
static firn_status add_marked(struct firn_example *e, const struct firn_marked *m, bool adds_special, bool is_all,
                              const struct firn_dataset_params *p, struct firn_encoding *encoding, struct firn_error *err)
{
    const struct firn_encode_params how = { .add_special = adds_special };
    const char *text = m->text.data != NULL ? m->text.data : "";
    firn_status status = firn_tokenizer_encode(p->tokenizer, text, m->text.size, NULL, 0, &how, encoding, err);
    if (status == FIRN_OK)
        status = grow(e, encoding->n, err);
    size_t k = 0;
    for (size_t a = 0; status == FIRN_OK && a <= m->n; a++) {
        const bool is_rest = a == m->n;
        const size_t begin = is_rest ? SIZE_MAX : firn_marked_points(m, m->marks[a].begin);
        const size_t end = is_rest ? SIZE_MAX : firn_marked_points(m, m->marks[a].end);
        for (; k < encoding->n && (is_rest || encoding->offsets[k].begin < end || encoding->special[k]); k++)
            add(e, encoding->ids[k], is_all || (!encoding->special[k] && encoding->offsets[k].end > begin));
    }
    return status;
}

static firn_status add_template(struct firn_example *e, const struct firn_table *t, uint32_t i,
                                const struct firn_dataset_params *p, struct firn_encoding *encoding,
                                struct firn_error *err)
{
    struct firn_marked m = { 0 };
    firn_status status = firn_template_fill(p->columns->template, t->rows[i].values, p->columns->completion, false, t->path,
                                            t->rows[i].line, &m, err);
    if (status == FIRN_OK)
        status = add_marked(e, &m, true, p->columns->completion == NULL, p, encoding, err);
    firn_marked_free(&m);
    return status;
}

static firn_status add_chat(struct firn_example *e, const struct firn_table *t, uint32_t i,
                            const struct firn_dataset_params *p, struct firn_encoding *encoding, struct firn_error *err)
{
    struct firn_marked m = { 0 };
    const json_t *messages = firn_table_value(t, i, p->columns->messages);
    firn_status status = messages == NULL ? firn_table_missing(t, i, p->columns->messages, err)
                                          : firn_chat_render(p->chat, messages, false, t->path, t->rows[i].line, &m, err);
    if (status == FIRN_OK)
        status = add_marked(e, &m, false, false, p, encoding, err);
    firn_marked_free(&m);
    return status;
}

static void fit(struct firn_example *e, uint32_t most, int32_t bos)
{
    if (e->length <= most)
        return;
    uint32_t answer = e->length; /* first token of the last answer */
    while (answer > 0 && e->labels[answer - 1] < 0)
        answer--;
    while (answer > 0 && e->labels[answer - 1] >= 0)
        answer--;
    const uint32_t kept = answer > 0 && bos >= 0 && e->ids[0] == bos ? 1 : 0, over = e->length - most;
    const uint32_t before = answer > kept ? answer - kept : 0, cut = over < before ? over : before;
    memmove(e->ids + kept, e->ids + kept + cut, sizeof *e->ids * (e->length - kept - cut));
    memmove(e->labels + kept, e->labels + kept + cut, sizeof *e->labels * (e->length - kept - cut));
    e->length = e->length - cut < most ? e->length - cut : most;
}

firn_status firn_example_causal(struct firn_example *e, const struct firn_table *t, uint32_t i,
                                const struct firn_dataset_params *p, struct firn_encoding *encoding,
                                struct firn_error *err)
{
    const struct firn_recipe_data *c = p->columns;
    const int32_t eos = firn_tokenizer_role(p->tokenizer, FIRN_ROLE_EOS);
    const bool has_prompt = c->prompt != NULL && c->completion != NULL;
    firn_status status = FIRN_OK;
    e->length = 0;
    if (p->chat != NULL)
        status = add_chat(e, t, i, p, encoding, err);
    else if (c->template != NULL)
        status = add_template(e, t, i, p, encoding, err);
    else
        status = add_text(e, t, i, has_prompt ? c->prompt : c->text, true, !has_prompt, p, encoding, err);
    if (status == FIRN_OK && has_prompt && p->chat == NULL && c->template == NULL)
        status = add_text(e, t, i, c->completion, false, true, p, encoding, err);
    if (status == FIRN_OK)
        status = grow(e, 1, err);
    const bool ends = e->length > 0 && e->ids[e->length - 1] == eos;
    if (status == FIRN_OK && p->chat == NULL && eos >= 0 && !ends)
        add(e, eos, true);
    else if (status == FIRN_OK && p->chat == NULL && ends) /* also where the tokenizer added it */
        e->labels[e->length - 1] = eos;
    if (status == FIRN_OK)
        fit(e, p->max_length, firn_tokenizer_role(p->tokenizer, FIRN_ROLE_BOS));
    e->types = calloc((size_t) e->length + 1, sizeof *e->types);
    return status == FIRN_OK && e->types == NULL ? firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for examples")
                                                 : status;
}
