/* SPDX-License-Identifier: Apache-2.0 */
/* WordPiece: the longest token that a word starts with, then the longest continuation ("##ing") of
 * what is left; a word that cannot be covered is unknown as a whole. And WordLevel: whole words
 * only. */
#include "text/model.h"

#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

struct wordpiece {
    char *prefix; /* of continuations */
    size_t prefix_size;
    int64_t max_chars;
    int32_t unknown;
    char *unknown_text;
};

static firn_status read_common(struct firn_model *m, const struct firn_place *at,
                               const json_t *object, const struct firn_parts *parts,
                               const char *unknown_default)
{
    struct wordpiece *w = calloc(1, sizeof *w);
    if (w == NULL)
        return firn_fail(at->err, FIRN_ERR_MEMORY, .file = at->file, .key = at->path);
    m->own = w;
    const char *text;
    size_t size;
    firn_status s = firn_model_read_vocab(m, at, parts);
    if (s == FIRN_OK)
        s = firn_field_text(at, object, "unk_token", unknown_default, &text, &size);
    if (s != FIRN_OK)
        return s;
    w->unknown = firn_vocab_find(&m->vocab, text, size);
    w->unknown_text = firn_strdup(text);
    return w->unknown_text == NULL
               ? firn_fail(at->err, FIRN_ERR_MEMORY, .file = at->file, .key = at->path)
               : FIRN_OK;
}

static firn_status read_wordpiece(struct firn_model *m, const struct firn_place *at,
                                  const json_t *object, const struct firn_parts *parts)
{
    firn_status s = read_common(m, at, object, parts, "[UNK]");
    if (s != FIRN_OK)
        return s;
    struct wordpiece *w = m->own;
    const char *prefix;
    s = firn_field_text(at, object, "continuing_subword_prefix", "##", &prefix, &w->prefix_size);
    if (s == FIRN_OK)
        s = firn_field_count(at, object, "max_input_chars_per_word", 100, &w->max_chars);
    if (s != FIRN_OK)
        return s;
    w->prefix = malloc(w->prefix_size + 1);
    if (w->prefix == NULL)
        return firn_fail(at->err, FIRN_ERR_MEMORY, .file = at->file, .key = at->path);
    memcpy(w->prefix, prefix, w->prefix_size);
    return FIRN_OK;
}

static firn_status run_wordpiece(const struct firn_model *m, const uint8_t *text, uint32_t size,
                                 bool is_byte_mapped, struct firn_model_scratch *scratch,
                                 struct firn_token_list *out, struct firn_error *err)
{
    (void) is_byte_mapped;
    const struct wordpiece *w = m->own;
    int64_t n_chars = 0;
    for (uint32_t i = 0; i < size && n_chars <= w->max_chars; i++)
        n_chars += (text[i] & 0xC0) != 0x80;
    const size_t n_before = out->n;
    bool is_bad = n_chars > w->max_chars;
    // a continuation is looked up behind its prefix
    uint8_t *buffer = is_bad ? NULL : firn_model_memory(scratch, w->prefix_size + size + 1);
    if (!is_bad && buffer == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .key = "text");
    if (!is_bad)
        memcpy(buffer, w->prefix, w->prefix_size);
    for (uint32_t begin = 0; begin < size && !is_bad;) {
        const size_t extra = begin > 0 ? w->prefix_size : 0;
        uint32_t end = size;
        if (extra + (end - begin) > m->vocab.longest) {
            if (extra >= m->vocab.longest)
                end = begin;
            else
                end = begin + (uint32_t) (m->vocab.longest - extra);
            while (end > begin && end < size && (text[end] & 0xC0) == 0x80)
                end--;
        }
        const uint8_t *word = text + begin;
        if (extra > 0) {
            memcpy(buffer + extra, word, end - begin);
            word = buffer;
        }
        int32_t id = -1;
        while (end > begin && (id = firn_vocab_find(&m->vocab, word, extra + (end - begin))) < 0)
            end = begin + (uint32_t) firn_utf8_before(text + begin, end - begin);
        if (id < 0)
            is_bad = true;
        else
            firn_token_add(out, id, begin, end);
        begin = end;
    }
    if (!is_bad)
        return FIRN_OK;
    out->n = n_before;
    if (w->unknown < 0)
        return firn_model_unknown(w->unknown_text, err);
    firn_token_add(out, w->unknown, 0, size);
    return FIRN_OK;
}

static firn_status read_wordlevel(struct firn_model *m, const struct firn_place *at,
                                  const json_t *object, const struct firn_parts *parts)
{
    return read_common(m, at, object, parts, "<unk>");
}

static firn_status run_wordlevel(const struct firn_model *m, const uint8_t *text, uint32_t size,
                                 bool is_byte_mapped, struct firn_model_scratch *scratch,
                                 struct firn_token_list *out, struct firn_error *err)
{
    (void) is_byte_mapped;
    (void) scratch;
    const struct wordpiece *w = m->own;
    const int32_t id = firn_vocab_find(&m->vocab, text, size);
    if (id < 0 && w->unknown < 0)
        return firn_model_unknown(w->unknown_text, err);
    firn_token_add(out, id < 0 ? w->unknown : id, 0, size);
    return FIRN_OK;
}

static void free_wordpiece(struct firn_model *m)
{
    struct wordpiece *w = m->own;
    if (w != NULL) {
        free(w->prefix);
        free(w->unknown_text);
    }
    free(w);
}

const struct firn_model_kind firn_wordpiece = { "WordPiece", read_wordpiece, run_wordpiece,
                                                free_wordpiece };
const struct firn_model_kind firn_wordlevel = { "WordLevel", read_wordlevel, run_wordlevel,
                                                free_wordpiece };
