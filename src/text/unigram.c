/* SPDX-License-Identifier: Apache-2.0 */
/* Unigram: the sequence of tokens with the largest sum of scores, found by Viterbi's algorithm from
 * left to right (of equal sums the one found first). A character without a token of its own is
 * unknown, for a score ten below the lowest; neighbours that are unknown become one token. */
#include "text/model.h"

#include "text/trie.h"
#include "text/utf8.h"

#include <stdio.h>
#include <stdlib.h>

#define UNKNOWN_PENALTY 10.0

struct unigram {
    struct firn_trie trie;
    double *scores;
    size_t n_scores, capacity;
    double lowest;
    int32_t unknown; /* -1: none */
    bool falls_back;
    int32_t fallback_ids[256];
};

static firn_status read_pieces(struct firn_model *m, const struct firn_place *at,
                               const struct firn_parts *parts)
{
    struct unigram *u = m->own;
    struct firn_scan s;
    const size_t size = (size_t) (parts->vocab_end - parts->vocab);
    firn_scan_init(&s, at->file, parts->vocab, size, at->err);
    bool is_first = true;
    firn_scan_expect(&s, '[');
    while (firn_scan_more(&s, ']', &is_first)) {
        firn_scan_expect(&s, '[');
        firn_scan_string(&s);
        firn_scan_expect(&s, ',');
        const double score = firn_scan_number(&s);
        firn_scan_expect(&s, ']');
        if (s.status != FIRN_OK)
            break;
        if (u->n_scores == u->capacity) {
            u->capacity = u->capacity * 2 + 64;
            double *scores = realloc(u->scores, u->capacity * sizeof *scores);
            if (scores != NULL)
                u->scores = scores;
            else
                s.status = FIRN_ERR_MEMORY;
        }
        if (s.status == FIRN_OK &&
            !firn_vocab_add(&m->vocab, s.text.data != NULL ? s.text.data : "", s.text.size,
                            (int32_t) m->vocab.n))
            s.status = FIRN_ERR_MEMORY;
        if (s.status == FIRN_OK) {
            u->scores[u->n_scores++] = score;
            u->lowest = u->n_scores == 1 || score < u->lowest ? score : u->lowest;
        }
    }
    uint32_t twice;
    if (s.status == FIRN_OK &&
        (!firn_vocab_finish(&m->vocab, &twice) || !firn_trie_build(&u->trie, &m->vocab, false)))
        s.status = FIRN_ERR_MEMORY;
    if (s.status == FIRN_ERR_MEMORY)
        firn_fail(at->err, FIRN_ERR_MEMORY, .file = at->file, .key = "model.vocab");
    firn_scan_finish(&s);
    return s.status;
}

static firn_status read_unigram(struct firn_model *m, const struct firn_place *at,
                                const json_t *object, const struct firn_parts *parts)
{
    struct unigram *u = calloc(1, sizeof *u);
    if (u == NULL)
        return firn_fail(at->err, FIRN_ERR_MEMORY, .file = at->file, .key = at->path);
    m->own = u;
    u->unknown = -1;
    firn_status s = read_pieces(m, at, parts);
    if (s == FIRN_OK)
        s = firn_field_bool(at, object, "byte_fallback", false, &u->falls_back);
    const json_t *unknown = json_object_get(object, "unk_id");
    if (s == FIRN_OK && unknown != NULL && !json_is_null(unknown)) {
        s = firn_id_value(at, unknown, "unk_id", &u->unknown);
        if (s == FIRN_OK && (size_t) u->unknown >= m->vocab.n)
            s = firn_fail(at->err, FIRN_ERR_FORMAT, .file = at->file, .key = "model.unk_id",
                          .expected =
                              FIRN_STR("less than %zu, the size of the vocabulary", m->vocab.n),
                          .got = FIRN_STR("%d", (int) u->unknown));
    }
    m->spelled = u->unknown;
    for (int i = 0; i < 256 && s == FIRN_OK; i++) {
        char code[8];
        snprintf(code, sizeof code, "<0x%02X>", (unsigned) i);
        u->fallback_ids[i] = firn_vocab_find(&m->vocab, code, 6);
    }
    return s;
}

static void free_unigram(struct firn_model *m)
{
    struct unigram *u = m->own;
    if (u != NULL) {
        firn_trie_free(&u->trie);
        free(u->scores);
    }
    free(u);
}

/* The best way to end at a byte. */
struct best {
    double score;
    uint32_t begin; /* of the last token; UINT32_MAX where nothing ends */
    int32_t id;
};

static void offer(struct best *b, double score, uint32_t begin, int32_t id)
{
    if (b->begin == UINT32_MAX || score > b->score)
        *b = (struct best){ score, begin, id };
}

/* Adds the token for text[begin, end), which was found unknown. */
static void add_unknown(const struct firn_model *m, const uint8_t *text, uint32_t begin,
                        uint32_t end, struct firn_token_list *out)
{
    const struct unigram *u = m->own;
    const int32_t id = firn_vocab_find(&m->vocab, text + begin, end - begin);
    bool has_all = id < 0 && u->falls_back;
    for (uint32_t i = begin; i < end && has_all; i++)
        has_all = u->fallback_ids[text[i]] >= 0;
    if (!has_all)
        firn_token_add(out, id < 0 ? u->unknown : id, begin, end);
    for (uint32_t i = end; i > begin && has_all; i--) // backwards, like all of them
        firn_token_add(out, u->fallback_ids[text[i - 1]], begin, end);
}

static firn_status run_unigram(const struct firn_model *m, const uint8_t *text, uint32_t size,
                               bool is_byte_mapped, struct firn_model_scratch *scratch,
                               struct firn_token_list *out, struct firn_error *err)
{
    (void) is_byte_mapped;
    const struct unigram *u = m->own;
    struct best *best = firn_model_memory(scratch, ((size_t) size + 1) * sizeof *best);
    if (best == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .key = "text");
    for (uint32_t i = 0; i <= size; i++)
        best[i] = (struct best){ 0, UINT32_MAX, 0 };
    const double unknown_score = u->lowest - UNKNOWN_PENALTY;
    for (uint32_t begin = 0, next; begin < size; begin = next) {
        next = begin + firn_utf8_size(text[begin]);
        const double so_far = best[begin].score;
        bool has_single = false;
        uint32_t node = 0;
        for (uint32_t i = begin; i < size; i++) {
            node = firn_trie_child(&u->trie, node, text[i]);
            if (node == 0)
                break;
            const int32_t id = u->trie.nodes[node].id;
            if (id < 0)
                continue;
            offer(&best[i + 1], u->scores[id] + so_far, begin, id);
            has_single = has_single || i + 1 == next;
        }
        if (!has_single) {
            if (u->unknown < 0)
                return firn_model_unknown(NULL, err);
            offer(&best[next], unknown_score + so_far, begin, u->unknown);
        }
    }
    // back from the end, then the right way round
    const size_t first = out->n;
    uint32_t unknown_end = 0;
    for (uint32_t end = size; end > 0;) {
        const struct best b = best[end];
        if (u->unknown >= 0 && b.id == u->unknown) {
            unknown_end = unknown_end == 0 ? end : unknown_end;
        } else {
            if (unknown_end > 0)
                add_unknown(m, text, end, unknown_end, out);
            unknown_end = 0;
            firn_token_add(out, b.id, b.begin, end);
        }
        end = b.begin;
    }
    if (unknown_end > 0)
        add_unknown(m, text, 0, unknown_end, out);
    for (size_t i = first, k = out->n; i + 1 < k; i++) {
        const struct firn_token t = out->items[i];
        out->items[i] = out->items[--k];
        out->items[k] = t;
    }
    return FIRN_OK;
}

const struct firn_model_kind firn_unigram = { "Unigram", read_unigram, run_unigram, free_unigram };
