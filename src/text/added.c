/* SPDX-License-Identifier: Apache-2.0 */
/* Reads added tokens and finds them: of those that begin first the longest, one after the other. */
#include "text/added.h"

#include "text/unicode.h"
#include "text/utf8.h"

#include <stdlib.h>

static firn_status no_memory(const struct firn_place *at)
{
    return firn_fail(at->err, FIRN_ERR_MEMORY, .file = at->file, .key = at->path);
}

static firn_status read_token(struct firn_added_token *token, struct firn_vocab *all, size_t index,
                              const struct firn_place *at, const json_t *object)
{
    const char *content;
    size_t size;
    if (!json_is_object(object))
        return firn_fail(at->err, FIRN_ERR_FORMAT, .file = at->file, .key = at->path,
                         .expected = "an object", .got = firn_json_kind(object));
    firn_status s = firn_need_text(at, object, "content", &content, &size);
    if (s == FIRN_OK)
        s = firn_field_bool(at, object, "single_word", false, &token->single_word);
    if (s == FIRN_OK)
        s = firn_field_bool(at, object, "lstrip", false, &token->left);
    if (s == FIRN_OK)
        s = firn_field_bool(at, object, "rstrip", false, &token->right);
    if (s == FIRN_OK)
        s = firn_field_bool(at, object, "special", false, &token->special);
    if (s == FIRN_OK)
        s = firn_field_bool(at, object, "normalized", !token->special, &token->normalized);
    token->id = -1;
    if (s == FIRN_OK && !firn_vocab_add(all, content, size, (int32_t) index))
        s = no_memory(at);
    return s;
}

/* What the normalizer makes of a token; with `is_last` that is also what is looked for. */
static firn_status add_normalized(struct firn_added *a, size_t index, bool is_last, int32_t id,
                                  const struct firn_word *word, const char *content,
                                  const struct firn_normalizer *normalizer,
                                  const struct firn_place *at)
{
    struct firn_text t = { 0 };
    struct firn_normalize_scratch scratch = { 0 };
    firn_text_start(&t, (const uint8_t *) content, word->size);
    firn_status s = firn_text_check(&t, at->err);
    if (s == FIRN_OK)
        s = firn_normalizer_run(normalizer, &t, &scratch, at->err);
    if (s == FIRN_OK) {
        const char *text = t.n_pieces > 0 ? (const char *) t.bytes + t.pieces[0].begin : "";
        const size_t n = t.n_pieces > 0 ? t.pieces[0].end - t.pieces[0].begin : 0;
        const bool is_same = n == word->size && memcmp(text, content, n) == 0;
        if ((is_last && n > 0 &&
             !firn_vocab_add(&a->normalized.patterns, text, n, (int32_t) index)) ||
            (!is_same && !firn_vocab_add(&a->decoded, text, n, id)))
            s = no_memory(at);
    }
    firn_text_free(&t);
    firn_normalize_scratch_free(&scratch);
    return s;
}

firn_status firn_added_read(struct firn_added *a, const char *file, const json_t *list,
                            const struct firn_model *model,
                            const struct firn_normalizer *normalizer, struct firn_error *err)
{
    const struct firn_place at = { file, "added_tokens", err };
    struct firn_vocab all = { 0 }; // contents to their last position in the list
    firn_status s = FIRN_OK;
    uint32_t twice;
    if (list != NULL && !json_is_null(list) && !json_is_array(list))
        return firn_fail(err, FIRN_ERR_FORMAT, .file = file, .key = at.path, .expected = "an array",
                         .got = firn_json_kind(list));
    a->n = json_array_size(list);
    a->tokens = calloc(a->n + 1, sizeof *a->tokens);
    if (a->tokens == NULL)
        s = no_memory(&at);
    for (size_t i = 0; i < a->n && s == FIRN_OK; i++)
        s = read_token(&a->tokens[i], &all, i, &at, json_array_get(list, i));
    if (s == FIRN_OK && !firn_vocab_finish(&all, &twice))
        s = no_memory(&at);
    int64_t next_id = (int64_t) model->vocab.n;
    for (size_t i = 0; i < a->n && s == FIRN_OK; i++) {
        const struct firn_word *word = &all.words[i];
        const char *content = all.bytes + word->at;
        struct firn_added_token *token = &a->tokens[firn_vocab_find(&all, content, word->size)];
        if (word->size == 0)
            continue;
        if (token->id < 0) {
            token->id = firn_vocab_find(&model->vocab, content, word->size);
            if (token->id < 0) {
                token->id = (int32_t) next_id++;
                a->n_new++;
            }
            if (!firn_vocab_add(&a->contents, content, word->size, token->id) ||
                !firn_vocab_add(&a->decoded, content, word->size, token->id))
                s = no_memory(&at);
        }
        if (a->tokens[i].special && !firn_vocab_add(&a->specials, content, word->size, 0))
            s = no_memory(&at);
    }
    for (size_t i = 0; i < a->n && s == FIRN_OK; i++) {
        const struct firn_word *word = &all.words[i];
        const char *content = all.bytes + word->at;
        const size_t last = (size_t) firn_vocab_find(&all, content, word->size);
        const int32_t id = a->tokens[last].id;
        if (word->size == 0)
            continue;
        // of a token that is there twice the last one counts, but decoders get the normalized text
        // of any; of equal ids the vocabulary gives the word that was added last
        if (i == last && !a->tokens[i].normalized &&
            !firn_vocab_add(&a->raw.patterns, content, word->size, (int32_t) i))
            s = no_memory(&at);
        if (s == FIRN_OK && a->tokens[i].normalized)
            s = add_normalized(a, i, i == last, id, word, content, normalizer, &at);
    }
    if (s == FIRN_OK &&
        (!firn_vocab_finish(&a->contents, &twice) || !firn_vocab_finish(&a->decoded, &twice) ||
         !firn_vocab_finish(&a->specials, &twice) ||
         !firn_trie_build(&a->raw.trie, &a->raw.patterns, true) ||
         !firn_trie_build(&a->normalized.trie, &a->normalized.patterns, true)))
        s = no_memory(&at);
    firn_vocab_free(&all);
    return s;
}

void firn_added_free(struct firn_added *a)
{
    free(a->tokens);
    firn_vocab_free(&a->contents);
    firn_vocab_free(&a->decoded);
    firn_vocab_free(&a->specials);
    firn_vocab_free(&a->raw.patterns);
    firn_vocab_free(&a->normalized.patterns);
    firn_trie_free(&a->raw.trie);
    firn_trie_free(&a->normalized.trie);
    memset(a, 0, sizeof *a);
}

/* The longest word of the trie at s[i]; its token, or -1. */
static int32_t longest(const struct firn_trie *trie, const uint8_t *s, uint32_t i, uint32_t end,
                       uint32_t *stop)
{
    int32_t found = -1;
    uint32_t node = 0;
    for (; i < end && (node = firn_trie_child(trie, node, s[i])) != 0; i++)
        if (trie->nodes[node].id >= 0) {
            found = trie->nodes[node].id;
            *stop = i + 1;
        }
    return found;
}

static bool is_inside_word(const struct firn_text *t, const struct firn_piece *piece,
                           uint32_t begin, uint32_t end)
{
    const uint8_t *s = t->bytes;
    if (begin > piece->begin) {
        const size_t before = firn_utf8_before(s + piece->begin, begin - piece->begin);
        if (firn_is_word(firn_utf8_get(s + piece->begin + before)))
            return true;
    }
    return end < piece->end && firn_is_word(firn_utf8_get(s + end));
}

static void split_piece(const struct firn_added *a, const struct firn_trie *trie,
                        struct firn_text *t, const struct firn_piece *piece)
{
    const uint8_t *s = t->bytes;
    uint32_t done = piece->begin; // all before is in pieces
    for (uint32_t i = piece->begin, stop; i < piece->end; i = stop) {
        while (i < piece->end && trie->roots[s[i]] == 0)
            i++;
        stop = i + 1;
        const int32_t found = longest(trie, s, i, piece->end, &stop);
        if (found < 0)
            continue;
        const struct firn_added_token *token = &a->tokens[found];
        if (token->single_word && is_inside_word(t, piece, i, stop))
            continue;
        uint32_t begin = i, end = stop;
        while (token->left && begin > piece->begin) {
            const uint32_t before =
                piece->begin + (uint32_t) firn_utf8_before(s + piece->begin, begin - piece->begin);
            if (!firn_is_space(firn_utf8_get(s + before)))
                break;
            begin = before;
        }
        if (begin < done && token->left)
            begin = done; // the token before took the spaces
        while (token->right && end < piece->end && firn_is_space(firn_utf8_get(s + end)))
            end += firn_utf8_size(s[end]);
        if (done < begin)
            firn_split_add(t, done, begin, -1);
        firn_split_add(t, begin, end, token->id);
        done = end;
    }
    if (done != piece->end)
        firn_split_add(t, done, piece->end, -1);
}

void firn_added_split(const struct firn_added *a, bool is_normalized, struct firn_text *t)
{
    const struct firn_trie *trie = is_normalized ? &a->normalized.trie : &a->raw.trie;
    if (trie->n < 2 && !is_normalized)
        return; // else pieces are cut anew: the normalizer may have taken code points off their
                // ends
    firn_split_begin(t);
    for (size_t i = 0; i < t->n_pieces; i++) {
        if (t->pieces[i].id >= 0)
            firn_split_keep(t, &t->pieces[i]);
        else
            split_piece(a, trie, t, &t->pieces[i]);
    }
    firn_split_commit(t);
}
