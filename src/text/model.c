/* SPDX-License-Identifier: Apache-2.0 */
/* Picks the model of a tokenizer.json and reads the vocabulary that most of them have. */
#include "text/model.h"

#include <stdlib.h>
#include <string.h>

static const struct firn_model_kind *const kinds[] = { &firn_bpe, &firn_wordpiece, &firn_unigram,
                                                       &firn_wordlevel };

void firn_token_add(struct firn_token_list *list, int32_t id, uint32_t begin, uint32_t end)
{
    if (list->n == list->capacity) {
        const size_t capacity = list->n < 64 ? 128 : list->n * 2;
        struct firn_token *items = realloc(list->items, capacity * sizeof *items);
        if (items == NULL) {
            list->failed = true;
            return;
        }
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->n++] = (struct firn_token){ id, begin, end };
}

void *firn_model_memory(struct firn_model_scratch *scratch, size_t size)
{
    if (size > scratch->size) {
        free(scratch->data);
        scratch->size = size + size / 2;
        scratch->data = malloc(scratch->size);
        if (scratch->data == NULL)
            scratch->size = 0;
    }
    return scratch->data;
}

firn_status firn_model_unknown(const char *token, struct firn_error *err)
{
    return firn_fail(err, FIRN_ERR_FORMAT, .key = "model.unk_token",
                     .what = "the text has something that is not in the vocabulary, and the "
                             "unknown token is not in it either",
                     .expected = "a token of the vocabulary",
                     .got = token == NULL ? "none" : FIRN_STR("'%.60s'", token));
}

firn_status firn_model_read_vocab(struct firn_model *m, const struct firn_place *at,
                                  const struct firn_parts *parts)
{
    struct firn_scan s;
    const size_t size = (size_t) (parts->vocab_end - parts->vocab);
    firn_scan_init(&s, at->file, parts->vocab, size, at->err);
    bool is_first = true;
    if (firn_scan_peek(&s) != '{' && s.status == FIRN_OK)
        s.status = firn_fail(at->err, FIRN_ERR_FORMAT, .file = at->file, .key = "model.vocab",
                             .expected = "an object of tokens and ids");
    firn_scan_expect(&s, '{');
    while (firn_scan_more(&s, '}', &is_first)) {
        firn_scan_string(&s);
        firn_scan_expect(&s, ':');
        const int64_t id = firn_scan_integer(&s);
        if (s.status != FIRN_OK)
            break;
        const char *text = s.text.data != NULL ? s.text.data : "";
        if (id > INT32_MAX)
            s.status = firn_fail(at->err, FIRN_ERR_FORMAT, .file = at->file,
                                 .key = FIRN_STR("model.vocab: '%.60s'", text),
                                 .expected = "an id of 31 bits", .got = "a larger one");
        else if (!firn_vocab_add(&m->vocab, text, s.text.size, (int32_t) id))
            s.status = firn_fail(at->err, FIRN_ERR_MEMORY, .file = at->file, .key = "model.vocab");
    }
    uint32_t twice = 0;
    if (s.status == FIRN_OK && !firn_vocab_finish(&m->vocab, &twice))
        s.status = firn_fail(at->err, FIRN_ERR_MEMORY, .file = at->file, .key = "model.vocab");
    if (s.status == FIRN_OK && twice != 0)
        s.status = firn_fail(at->err, FIRN_ERR_FORMAT, .file = at->file, .key = "model.vocab",
                             .what = FIRN_STR("the token '%.60s' is there twice",
                                              m->vocab.bytes + m->vocab.words[twice - 1].at));
    firn_scan_finish(&s);
    return s.status;
}

/* Old files have no type; the fields tell. */
static const char *guess(const json_t *object, const struct firn_parts *parts)
{
    if (parts->merges != NULL)
        return "BPE";
    if (parts->vocab != NULL && *parts->vocab == '[')
        return "Unigram";
    return json_object_get(object, "max_input_chars_per_word") != NULL ? "WordPiece" : "WordLevel";
}

firn_status firn_model_read(struct firn_model *m, const char *file, const json_t *object,
                            const struct firn_parts *parts, struct firn_error *err)
{
    const struct firn_place at = { file, "model", err };
    m->spelled = -1;
    if (!json_is_object(object))
        return firn_fail(err, FIRN_ERR_FORMAT, .file = file, .key = "model",
                         .expected = "an object", .got = firn_json_kind(object));
    if (parts->vocab == NULL)
        return firn_fail(err, FIRN_ERR_FORMAT, .file = file, .key = "model.vocab",
                         .expected = "a vocabulary", .got = "nothing");
    const char *type;
    firn_status s = firn_field_text(&at, object, "type", guess(object, parts), &type, NULL);
    if (s != FIRN_OK)
        return s;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(type, kinds[i]->name) == 0) {
            m->kind = kinds[i];
            return m->kind->read(m, &at, object, parts);
        }
    return firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = file, .key = "model.type",
                     .expected = "BPE, WordPiece, Unigram or WordLevel",
                     .got = FIRN_STR("'%.60s'", type));
}

void firn_model_free(struct firn_model *m)
{
    if (m->kind != NULL && m->kind->free != NULL)
        m->kind->free(m);
    firn_vocab_free(&m->vocab);
    memset(m, 0, sizeof *m);
}
