/* SPDX-License-Identifier: Apache-2.0 */
/* Encodes: runs the stages of a tokenizer over one or two texts, maps tokens back to the code
 * points that they came from, truncates, and adds special tokens. */
#include "text/tokenizer.h"

#include "text/unicode.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

struct firn_encode_scratch {
    struct firn_text text;
    struct firn_normalize_scratch normalize;
    struct firn_matcher matcher;
    struct firn_model_scratch model;
    struct firn_token_list tokens;
    struct firn_sequence texts[2];
};

void firn_encoding_free(struct firn_encoding *e)
{
    struct firn_encode_scratch *scratch = e->scratch;
    if (scratch != NULL) {
        firn_text_free(&scratch->text);
        firn_normalize_scratch_free(&scratch->normalize);
        firn_matcher_free(&scratch->matcher);
        firn_model_scratch_free(&scratch->model);
        free(scratch->tokens.items);
        for (int i = 0; i < 2; i++) {
            free(scratch->texts[i].ids);
            free(scratch->texts[i].offsets);
            free(scratch->texts[i].margins);
        }
        free(scratch);
    }
    free(e->ids);
    free(e->type_ids);
    free(e->offsets);
    free(e->special);
    memset(e, 0, sizeof *e);
}

/* ---- offsets ---- */

/* Counts code points of the original up to a byte; quick when bytes are asked for in order. */
struct counter {
    const uint8_t *bytes;
    uint32_t size, at, n; /* `at` begins the code point number n */
    bool is_ascii;
};

static uint32_t count_to(struct counter *c, uint32_t byte)
{
    if (c->is_ascii)
        return byte;
    while (c->at > byte) {
        c->at = (uint32_t) firn_utf8_before(c->bytes, c->at);
        c->n--;
    }
    for (uint32_t size; c->at + (size = firn_utf8_size(c->bytes[c->at])) <= byte; c->n++)
        c->at += size;
    return c->n;
}

static struct firn_offset in_code_points(struct counter *c, struct firn_span s)
{
    if (s.begin >= c->size) // nothing is there to count: bytes, as in the reference library
        return (struct firn_offset){ s.begin, s.end };
    const uint32_t begin = count_to(c, s.begin);
    if (s.end < c->size)
        return (struct firn_offset){ begin, count_to(c, s.end) };
    return (struct firn_offset){ begin, (s.end == c->size ? count_to(c, s.end - 1) : begin) + 1 };
}

/* The bytes of the original that a token of a piece stands for. */
static struct firn_span origin(const struct firn_text *t, const struct firn_piece *piece,
                               const struct firn_token *token)
{
    if (token->begin == token->end)
        return (struct firn_span){ piece->original.begin + token->begin,
                                   piece->original.begin + token->end };
    if (token->end > piece->end - piece->begin)
        return (struct firn_span){ token->begin, token->end };
    return firn_text_origin(t, piece->begin + token->begin, piece->begin + token->end);
}

/* White space (and the byte-level sign for a space) at both ends of a text, in code points. */
static struct firn_margins margins_of(const char *text, size_t size)
{
    const uint8_t *s = (const uint8_t *) text;
    struct firn_margins m = { 0, 0 };
    for (size_t i = 0; i < size; i += firn_utf8_size(s[i]), m.left++) {
        const uint32_t c = firn_utf8_get(s + i);
        if (c != 0x120 && !firn_is_space(c))
            break;
    }
    for (size_t i = size; i > 0; m.right++) {
        i = firn_utf8_before(s, i);
        const uint32_t c = firn_utf8_get(s + i);
        if (c != 0x120 && !firn_is_space(c))
            break;
    }
    return m;
}

/* ---- one text ---- */

static bool reserve(struct firn_sequence *s, size_t n, bool has_margins)
{
    if (n > s->capacity || (has_margins && s->margins == NULL)) {
        const size_t capacity = n > s->capacity ? n + n / 2 + 64 : s->capacity;
        int32_t *ids = realloc(s->ids, capacity * sizeof *ids);
        if (ids != NULL)
            s->ids = ids;
        struct firn_offset *offsets = realloc(s->offsets, capacity * sizeof *offsets);
        if (offsets != NULL)
            s->offsets = offsets;
        struct firn_margins *margins = realloc(s->margins, capacity * sizeof *margins);
        if (margins != NULL)
            s->margins = margins;
        if (ids == NULL || offsets == NULL || margins == NULL)
            return false;
        s->capacity = capacity;
    }
    return true;
}

static firn_status run_piece(const struct firn_tokenizer *tok, struct firn_encode_scratch *w,
                             const struct firn_piece *piece, struct firn_error *err)
{
    if (piece->id >= 0) {
        firn_token_add(&w->tokens, piece->id, 0, piece->end - piece->begin);
        return w->tokens.failed ? firn_fail(err, FIRN_ERR_MEMORY, .key = "text") : FIRN_OK;
    }
    return firn_model_run(&tok->model, w->text.bytes + piece->begin, piece->end - piece->begin,
                          w->text.is_byte_mapped, &w->model, &w->tokens, err);
}

/* The piece to start at so that all from there on have `limit` tokens, or somewhat more. */
static firn_status last_pieces(const struct firn_tokenizer *tok, struct firn_encode_scratch *w,
                               size_t limit, size_t *first, struct firn_error *err)
{
    size_t n = 0;
    for (*first = w->text.n_pieces; *first > 0;) {
        const struct firn_piece *piece = &w->text.pieces[--*first];
        w->tokens.n = 0;
        const firn_status s = run_piece(tok, w, piece, err);
        if (s != FIRN_OK)
            return s;
        n += w->tokens.n;
        if (piece->id < 0 && n >= limit)
            break;
    }
    return FIRN_OK;
}

/* Turns pieces into tokens, until there are `limit` (0: all). */
static firn_status tokenize(const struct firn_tokenizer *tok, struct firn_encode_scratch *w,
                            size_t limit, bool from_left, struct firn_sequence *out,
                            struct firn_error *err)
{
    const struct firn_text *t = &w->text;
    struct counter counter = { t->original, t->original_size, 0, 0, false };
    counter.is_ascii = firn_ascii_size(t->original, t->original_size) == t->original_size;
    firn_status s = FIRN_OK;
    size_t first = 0;
    w->tokens.failed = false;
    if (limit > 0 && from_left)
        s = last_pieces(tok, w, limit, &first, err);
    w->tokens.n = out->n = out->begin = 0;
    for (size_t i = first; i < t->n_pieces && s == FIRN_OK; i++) {
        const struct firn_piece *piece = &t->pieces[i];
        w->tokens.n = 0;
        s = run_piece(tok, w, piece, err);
        if (s == FIRN_OK && !reserve(out, out->n + w->tokens.n, tok->post.needs_margins))
            s = firn_fail(err, FIRN_ERR_MEMORY, .key = "text");
        for (size_t k = 0; k < w->tokens.n && s == FIRN_OK; k++, out->n++) {
            const struct firn_token *token = &w->tokens.items[k];
            out->ids[out->n] = token->id;
            out->offsets[out->n] = in_code_points(&counter, origin(t, piece, token));
            if (!tok->post.needs_margins)
                continue;
            size_t size = token->end - token->begin;
            const char *text = (const char *) t->bytes + piece->begin + token->begin;
            if (piece->id < 0 && token->id != tok->model.spelled)
                text = firn_vocab_text(&tok->model.vocab, token->id, &size);
            out->margins[out->n] = margins_of(text, size);
        }
        if (limit > 0 && !from_left && piece->id < 0 && out->n >= limit)
            break;
    }
    return s;
}

static firn_status encode_text(const struct firn_tokenizer *tok, struct firn_encode_scratch *w,
                               const char *text, size_t size, size_t limit, bool from_left,
                               struct firn_sequence *out, struct firn_error *err)
{
    if (size > FIRN_TEXT_MAX)
        return firn_fail(err, FIRN_ERR_UNSUPPORTED, .key = "text",
                         .expected = FIRN_STR("at most %u bytes", FIRN_TEXT_MAX),
                         .got = FIRN_STR("%zu", size));
    const uint8_t *bytes = (const uint8_t *) text;
    const size_t good = size == 0 ? 0 : firn_utf8_valid(bytes, size);
    if (good != size)
        return firn_fail(err, FIRN_ERR_FORMAT, .key = "text", .expected = "UTF-8",
                         .got = FIRN_STR("the byte 0x%02X at %zu", (unsigned) bytes[good], good));
    firn_text_start(&w->text, bytes, (uint32_t) size);
    firn_added_split(&tok->added, false, &w->text);
    firn_status s = firn_normalizer_run(&tok->normalizer, &w->text, &w->normalize, err);
    if (s != FIRN_OK)
        return s;
    firn_added_split(&tok->added, true, &w->text);
    s = firn_pretokenizer_run(&tok->pretokenizer, &w->text, tok->model.takes_bytes, &w->matcher,
                              err);
    if (s == FIRN_OK)
        s = firn_text_check(&w->text, err);
    return s == FIRN_OK ? tokenize(tok, w, limit, from_left, out, err) : s;
}

/* ---- truncation ---- */

static void shorten(struct firn_sequence *text, size_t n, bool from_left, bool *is_cut)
{
    if (n >= text->n)
        return;
    if (from_left)
        text->begin += text->n - n;
    text->n = n;
    *is_cut = true;
}

/* Cuts texts to `most` tokens together. */
static firn_status truncate(struct firn_sequence *texts, size_t n_texts, size_t most,
                            const struct firn_encode_params *params, bool *is_cut,
                            struct firn_error *err)
{
    const bool left = params->truncate_left;
    const size_t total = texts[0].n + (n_texts == 2 ? texts[1].n : 0);
    if (most == 0) {
        for (size_t i = 0; i < n_texts; i++)
            shorten(&texts[i], 0, left, is_cut);
        return FIRN_OK;
    }
    if (total <= most)
        return FIRN_OK;
    if (params->truncation == FIRN_TRUNCATE_LONGEST_FIRST) {
        if (n_texts == 1) {
            shorten(&texts[0], most, left, is_cut);
            return FIRN_OK;
        }
        const bool is_swapped = texts[0].n > texts[1].n;
        size_t small = texts[is_swapped].n;
        size_t large = small > most ? small : most - small > small ? most - small : small;
        if (small + large > most) {
            small = most / 2;
            large = small + most % 2;
        }
        shorten(&texts[is_swapped], small, left, is_cut);
        shorten(&texts[!is_swapped], large, left, is_cut);
        return FIRN_OK;
    }
    const size_t which = params->truncation == FIRN_TRUNCATE_ONLY_SECOND;
    if (which >= n_texts || texts[which].n <= total - most)
        return firn_fail(err, FIRN_ERR_USAGE, .key = "truncation",
                         .expected =
                             which >= n_texts
                                 ? "a second text to cut"
                                 : FIRN_STR("a text of more than %zu tokens to cut", total - most),
                         .got = which >= n_texts ? "one text" : FIRN_STR("%zu", texts[which].n));
    shorten(&texts[which], texts[which].n - (total - most), left, is_cut);
    return FIRN_OK;
}

firn_status firn_tokenizer_encode(const struct firn_tokenizer *tok, const char *text, size_t size,
                                  const char *pair, size_t pair_size,
                                  const struct firn_encode_params *params,
                                  struct firn_encoding *out, struct firn_error *err)
{
    static const struct firn_encode_params defaults = { FIRN_ENCODE_DEFAULTS };
    if (params == NULL)
        params = &defaults;
    out->n = 0;
    out->truncated = false;
    const size_t n_texts = pair == NULL ? 1 : 2;
    const size_t n_added = params->add_special ? firn_post_n_added(&tok->post, pair != NULL) : 0;
    if (params->max_length > 0 && params->max_length < n_added)
        return firn_fail(err, FIRN_ERR_USAGE, .file = tok->path, .key = "max_length",
                         .expected = FIRN_STR("at least %zu, for the special tokens", n_added),
                         .got = FIRN_STR("%zu", params->max_length));
    if (out->scratch == NULL)
        out->scratch = calloc(1, sizeof *out->scratch);
    struct firn_encode_scratch *w = out->scratch;
    if (w == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .file = tok->path);
    struct firn_error inner = { 0 };
    firn_status s = FIRN_OK;
    // what will be cut off a single text need not be made, but for one token that shows that
    // something was; of a pair the whole lengths count
    const size_t limit = n_texts == 1 && params->max_length > 0 ? params->max_length + 1 : 0;
    for (size_t i = 0; i < n_texts && s == FIRN_OK; i++)
        s = encode_text(tok, w, i == 0 ? text : pair, i == 0 ? size : pair_size, limit,
                        params->truncate_left, &w->texts[i], &inner);
    if (s == FIRN_OK && params->max_length > 0)
        s = truncate(w->texts, n_texts, params->max_length - n_added, params, &out->truncated,
                     &inner);
    if (s == FIRN_OK)
        s = firn_post_run(&tok->post, w->texts, n_texts, params->add_special, out, &inner);
    if (s != FIRN_OK)
        firn_fail(err, s, .file = tok->path, .what = inner.text);
    return s;
}
