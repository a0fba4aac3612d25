/* SPDX-License-Identifier: Apache-2.0 */
/* Byte-pair encoding: a piece starts as its characters (or bytes), and the pair of neighbours with
 * the lowest rank, the leftmost of equal ones, is merged until no pair has one. Byte-level pieces
 * stay bytes here; characters that are unknown may fall back to tokens for their bytes ("<0x0A>").
 */
#include "text/model.h"

#include "text/bytelevel.h"
#include "text/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FEW 40 /* symbols up to which searching all ranks beats a heap */
#define NO_RANK UINT32_MAX

struct bpe {
    struct firn_merges merges;
    char *prefix, *suffix, *unknown_text;
    size_t prefix_size, suffix_size;
    int32_t unknown;
    bool has_unknown, fuse_unknown, falls_back, ignore_merges;
    int32_t byte_ids[256];     /* of the byte-level characters */
    int32_t fallback_ids[256]; /* of "<0x00>" ... */
};

struct symbol {
    int32_t id;
    uint32_t size; /* bytes; 0 once it was merged into the one before */
    int32_t before, after;
};

struct candidate {
    uint32_t rank, at;
    int32_t id;
};

/* ---- reading ---- */

static firn_status no_memory(const struct firn_place *at)
{
    return firn_fail(at->err, FIRN_ERR_MEMORY, .file = at->file, .key = at->path);
}

static char *copy_text(const char *text, size_t size)
{
    char *copy = malloc(size + 1);
    if (copy != NULL) {
        memcpy(copy, text, size);
        copy[size] = '\0';
    }
    return copy;
}

static firn_status merge_of(struct firn_model *m, const struct firn_place *at,
                            struct firn_str *both, const char *left, size_t left_size,
                            const char *right, size_t right_size, uint32_t rank)
{
    struct bpe *b = m->own;
    const int32_t l = firn_vocab_find(&m->vocab, left, left_size);
    const int32_t r = firn_vocab_find(&m->vocab, right, right_size);
    int32_t id = -1;
    both->size = 0;
    if (l >= 0 && r >= 0 && right_size >= b->prefix_size) {
        firn_str_add_n(both, left, left_size);
        firn_str_add_n(both, right + b->prefix_size, right_size - b->prefix_size);
        if (both->failed)
            return no_memory(at);
        id = firn_vocab_find(&m->vocab, both->data, both->size);
    }
    if (id < 0)
        return firn_fail(at->err, FIRN_ERR_FORMAT, .file = at->file,
                         .key = FIRN_STR("model.merges[%u]", (unsigned) rank),
                         .expected = "tokens of the vocabulary that form one",
                         .got = FIRN_STR("'%.60s' and '%.60s'", left, right));
    return firn_merges_put(&b->merges, l, r, rank, id) ? FIRN_OK : no_memory(at);
}

/* Merges are "left right" or ["left", "right"]. */
static firn_status read_merges(struct firn_model *m, const struct firn_place *at,
                               const struct firn_parts *parts)
{
    if (parts->merges == NULL)
        return firn_fail(at->err, FIRN_ERR_FORMAT, .file = at->file, .key = "model.merges",
                         .expected = "an array", .got = "nothing");
    struct firn_scan s;
    const size_t size = (size_t) (parts->merges_end - parts->merges);
    struct firn_str left = { 0 }, both = { 0 };
    firn_scan_init(&s, at->file, parts->merges, size, at->err);
    bool is_first = true;
    uint32_t rank = 0;
    firn_scan_expect(&s, '[');
    while (firn_scan_more(&s, ']', &is_first)) {
        const char *right;
        size_t left_size, right_size;
        left.size = 0;
        if (firn_scan_peek(&s) == '[') {
            s.at++;
            firn_scan_string(&s);
            firn_str_add_n(&left, s.text.data != NULL ? s.text.data : "", s.text.size);
            firn_scan_expect(&s, ',');
            firn_scan_string(&s);
            firn_scan_expect(&s, ']');
            left_size = left.size;
            right = s.text.data;
            right_size = s.text.size;
        } else {
            firn_scan_string(&s);
            if (s.status != FIRN_OK)
                break;
            firn_str_add_n(&left, s.text.data != NULL ? s.text.data : "", s.text.size);
            if (left.size >= 8 && memcmp(left.data, "#version", 8) == 0)
                continue;
            char *space = left.data != NULL ? memchr(left.data, ' ', left.size) : NULL;
            if (space == NULL ||
                memchr(space + 1, ' ', left.size - (size_t) (space + 1 - left.data))) {
                s.status =
                    firn_fail(at->err, FIRN_ERR_FORMAT, .file = at->file,
                              .key = FIRN_STR("model.merges[%u]", (unsigned) rank),
                              .expected = "two tokens with one space between",
                              .got = FIRN_STR("'%.80s'", left.data != NULL ? left.data : ""));
                break;
            }
            *space = '\0';
            left_size = (size_t) (space - left.data);
            right = space + 1;
            right_size = left.size - left_size - 1;
        }
        if (s.status != FIRN_OK)
            break;
        if (left.failed || left.data == NULL || right == NULL) {
            s.status = no_memory(at);
            break;
        }
        s.status = merge_of(m, at, &both, left.data, left_size, right, right_size, rank++);
    }
    firn_str_free(&left);
    firn_str_free(&both);
    firn_scan_finish(&s);
    return s.status;
}

/* True when no merge joins U+2581, the mark of a space, to anything but itself before it: then a
 * text can be cut before every mark that follows something else, and the parts do not know each
 * other. */
static bool parts_at_spaces(const struct firn_model *m)
{
    static const char mark[] = "\xE2\x96\x81";
    const struct bpe *b = m->own;
    if (b->prefix_size > 0 || b->suffix_size > 0 || b->ignore_merges ||
        firn_vocab_find(&m->vocab, mark, 3) < 0)
        return false;
    for (size_t i = 0; b->merges.n > 0 && i <= b->merges.mask; i++) {
        const struct firn_merge *merge = &b->merges.slots[i];
        if (merge->left < 0)
            continue;
        size_t l, r;
        const char *left = firn_vocab_text(&m->vocab, merge->left, &l);
        const char *right = firn_vocab_text(&m->vocab, merge->right, &r);
        if (r >= 3 && memcmp(right, mark, 3) == 0 &&
            !(l >= 3 && memcmp(left + l - 3, mark, 3) == 0))
            return false;
    }
    return true;
}

static firn_status read_bpe(struct firn_model *m, const struct firn_place *at, const json_t *object,
                            const struct firn_parts *parts)
{
    struct bpe *b = calloc(1, sizeof *b);
    if (b == NULL)
        return no_memory(at);
    m->own = b;
    const char *prefix, *suffix, *unknown;
    size_t unknown_size;
    firn_status s = firn_model_read_vocab(m, at, parts);
    if (s == FIRN_OK)
        s = firn_field_text(at, object, "continuing_subword_prefix", "", &prefix, &b->prefix_size);
    if (s == FIRN_OK)
        s = firn_field_text(at, object, "end_of_word_suffix", "", &suffix, &b->suffix_size);
    if (s == FIRN_OK)
        s = firn_field_text(at, object, "unk_token", NULL, &unknown, &unknown_size);
    if (s == FIRN_OK)
        s = firn_field_bool(at, object, "fuse_unk", false, &b->fuse_unknown);
    if (s == FIRN_OK)
        s = firn_field_bool(at, object, "byte_fallback", false, &b->falls_back);
    if (s == FIRN_OK)
        s = firn_field_bool(at, object, "ignore_merges", false, &b->ignore_merges);
    if (s != FIRN_OK)
        return s;
    b->prefix = copy_text(prefix, b->prefix_size);
    b->suffix = copy_text(suffix, b->suffix_size);
    b->has_unknown = unknown != NULL;
    b->unknown_text = copy_text(unknown != NULL ? unknown : "", unknown_size);
    if (b->prefix == NULL || b->suffix == NULL || b->unknown_text == NULL)
        return no_memory(at);
    b->unknown = unknown == NULL ? -1 : firn_vocab_find(&m->vocab, unknown, unknown_size);
    m->takes_bytes = b->prefix_size == 0 && b->suffix_size == 0;
    for (int i = 0; i < 256; i++) {
        uint8_t text[8];
        const unsigned size = firn_utf8_put(text, firn_byte_char((uint8_t) i));
        b->byte_ids[i] = firn_vocab_find(&m->vocab, text, size);
        // C0, C1 and F5 to FF are in no text
        if (b->byte_ids[i] < 0 && i != 0xC0 && i != 0xC1 && i < 0xF5)
            m->takes_bytes = false;
        char code[8];
        snprintf(code, sizeof code, "<0x%02X>", (unsigned) i);
        b->fallback_ids[i] = firn_vocab_find(&m->vocab, code, 6);
    }
    s = read_merges(m, at, parts);
    if (s == FIRN_OK)
        m->parts_at_spaces = parts_at_spaces(m);
    return s;
}

static void free_bpe(struct firn_model *m)
{
    struct bpe *b = m->own;
    if (b != NULL) {
        firn_merges_free(&b->merges);
        free(b->prefix);
        free(b->suffix);
        free(b->unknown_text);
    }
    free(b);
}

/* ---- running ---- */

static bool add_symbol(struct firn_model_scratch *scratch, size_t *n, int32_t id, uint32_t size)
{
    if ((*n + 1) * sizeof(struct symbol) > scratch->size) {
        const size_t bytes = (*n + 1) * 2 * sizeof(struct symbol) + 1024;
        void *data = realloc(scratch->data, bytes);
        if (data == NULL)
            return false;
        scratch->data = data;
        scratch->size = bytes;
    }
    struct symbol *symbols = scratch->data;
    symbols[*n] = (struct symbol){ id, size, (int32_t) *n - 1, (int32_t) *n + 1 };
    ++*n;
    return true;
}

/* The characters of the piece as symbols. An unknown one waits: it may be joined to the next. */
static firn_status symbols_of(const struct firn_model *m, const uint8_t *text, uint32_t size,
                              struct firn_model_scratch *scratch, size_t *n, struct firn_error *err)
{
    const struct bpe *b = m->own;
    struct firn_str buffer = { 0 };
    uint32_t waiting = 0; // bytes
    bool is_waiting = false, ok = true;
    firn_status s = FIRN_OK;
    for (uint32_t i = 0, next; i < size && ok && s == FIRN_OK; i = next) {
        next = i + firn_utf8_size(text[i]);
        const uint8_t *c = text + i;
        size_t c_size = next - i;
        if ((i > 0 && b->prefix_size > 0) || (next == size && b->suffix_size > 0)) {
            buffer.size = 0;
            if (i > 0)
                firn_str_add_n(&buffer, b->prefix, b->prefix_size);
            firn_str_add_n(&buffer, (const char *) c, c_size);
            if (next == size)
                firn_str_add_n(&buffer, b->suffix, b->suffix_size);
            if (buffer.failed) {
                ok = false;
                break;
            }
            c = (const uint8_t *) buffer.data;
            c_size = buffer.size;
        }
        const int32_t id = firn_vocab_find(&m->vocab, c, c_size);
        if (id >= 0) {
            if (is_waiting)
                ok = add_symbol(scratch, n, b->unknown, waiting);
            is_waiting = false;
            ok = ok && add_symbol(scratch, n, id, next - i);
            continue;
        }
        bool has_all = b->falls_back;
        for (size_t k = 0; k < c_size && has_all; k++)
            has_all = b->fallback_ids[c[k]] >= 0;
        if (has_all) { // what waits goes on waiting, as it does in the reference library
            for (size_t k = 0; k < c_size && ok; k++)
                ok = add_symbol(scratch, n, b->fallback_ids[c[k]], 1);
        } else if (b->has_unknown) {
            if (is_waiting && b->fuse_unknown) {
                waiting += next - i;
                continue;
            }
            if (is_waiting)
                ok = add_symbol(scratch, n, b->unknown, waiting);
            if (b->unknown < 0)
                s = firn_model_unknown(b->unknown_text, err);
            is_waiting = true;
            waiting = next - i;
        }
    }
    if (is_waiting && ok)
        ok = add_symbol(scratch, n, b->unknown, waiting);
    firn_str_free(&buffer);
    if (!ok)
        s = firn_fail(err, FIRN_ERR_MEMORY, .key = "text");
    return s;
}

static uint32_t rank_of(const struct bpe *b, int32_t left, int32_t right, int32_t *id)
{
    const struct firn_merge *merge = firn_merges_find(&b->merges, left, right);
    *id = merge == NULL ? -1 : merge->id;
    return merge == NULL ? NO_RANK : merge->rank;
}

static void merge_few(const struct bpe *b, const struct symbol *symbols, size_t n,
                      struct firn_token_list *out)
{
    int32_t ids[FEW], merged[FEW];
    uint32_t sizes[FEW], ranks[FEW];
    for (size_t i = 0; i < n; i++) {
        ids[i] = symbols[i].id;
        sizes[i] = symbols[i].size;
    }
    for (size_t i = 0; i + 1 < n; i++)
        ranks[i] = rank_of(b, ids[i], ids[i + 1], &merged[i]);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (ranks[i] < ranks[best])
                best = i;
        if (ranks[best] == NO_RANK)
            break;
        ids[best] = merged[best];
        sizes[best] += sizes[best + 1];
        n--;
        for (size_t i = best + 1; i < n; i++) {
            ids[i] = ids[i + 1];
            sizes[i] = sizes[i + 1];
            ranks[i - 1] = ranks[i];
            merged[i - 1] = merged[i];
        }
        if (best > 0)
            ranks[best - 1] = rank_of(b, ids[best - 1], ids[best], &merged[best - 1]);
        if (best + 1 < n)
            ranks[best] = rank_of(b, ids[best], ids[best + 1], &merged[best]);
    }
    uint32_t at = 0;
    for (size_t i = 0; i < n; i++) {
        if (sizes[i] > 0)
            firn_token_add(out, ids[i], at, at + sizes[i]);
        at += sizes[i];
    }
}

static bool comes_first(const struct candidate *a, const struct candidate *b)
{
    return a->rank < b->rank || (a->rank == b->rank && a->at < b->at);
}

static void heap_push(struct candidate *heap, size_t *n, struct candidate c)
{
    size_t i = (*n)++;
    for (; i > 0 && comes_first(&c, &heap[(i - 1) / 4]); i = (i - 1) / 4)
        heap[i] = heap[(i - 1) / 4];
    heap[i] = c;
}

static struct candidate heap_pop(struct candidate *heap, size_t *n)
{
    const struct candidate top = heap[0], last = heap[--*n];
    size_t i = 0;
    for (size_t child; (child = i * 4 + 1) < *n; i = child) {
        for (size_t k = child + 1; k < i * 4 + 5 && k < *n; k++)
            if (comes_first(&heap[k], &heap[child]))
                child = k;
        if (!comes_first(&heap[child], &last))
            break;
        heap[i] = heap[child];
    }
    heap[i] = last;
    return top;
}

static bool merge_many(const struct bpe *b, struct symbol *symbols, size_t n,
                       struct firn_token_list *out)
{
    // each merge makes two new pairs at most
    struct candidate *heap = malloc(3 * n * sizeof *heap);
    if (heap == NULL)
        return false;
    size_t n_heap = 0;
    struct candidate c;
    symbols[n - 1].after = -1;
    for (size_t i = 0; i + 1 < n; i++) {
        c.rank = rank_of(b, symbols[i].id, symbols[i + 1].id, &c.id);
        c.at = (uint32_t) i;
        if (c.id >= 0)
            heap_push(heap, &n_heap, c);
    }
    while (n_heap > 0) {
        const struct candidate top = heap_pop(heap, &n_heap);
        struct symbol *left = &symbols[top.at];
        if (left->size == 0 || left->after < 0)
            continue;
        struct symbol *right = &symbols[left->after];
        int32_t id;
        rank_of(b, left->id, right->id, &id);
        if (id != top.id)
            continue; // one of the two has changed since
        left->id = id;
        left->size += right->size;
        right->size = 0;
        left->after = right->after;
        if (right->after >= 0)
            symbols[right->after].before = (int32_t) top.at;
        if (left->before >= 0) {
            c.rank = rank_of(b, symbols[left->before].id, left->id, &c.id);
            c.at = (uint32_t) left->before;
            if (c.id >= 0)
                heap_push(heap, &n_heap, c);
        }
        if (left->after >= 0) {
            c.rank = rank_of(b, left->id, symbols[left->after].id, &c.id);
            c.at = top.at;
            if (c.id >= 0)
                heap_push(heap, &n_heap, c);
        }
    }
    free(heap);
    uint32_t at = 0;
    for (size_t i = 0; i < n; i++) {
        if (symbols[i].size > 0)
            firn_token_add(out, symbols[i].id, at, at + symbols[i].size);
        at += symbols[i].size;
    }
    return true;
}

/* The token that the whole piece is, or -1. */
static int32_t whole_piece(const struct firn_model *m, const uint8_t *text, uint32_t size,
                           bool is_byte_mapped, struct firn_model_scratch *scratch)
{
    if (!is_byte_mapped)
        return firn_vocab_find(&m->vocab, text, size);
    if (size > m->vocab.longest)
        return -1;
    uint8_t *chars = firn_model_memory(scratch, 2 * (size_t) size + 4);
    if (chars == NULL)
        return -1;
    size_t n = 0;
    for (uint32_t i = 0; i < size; i++)
        n += firn_utf8_put(chars + n, firn_byte_char(text[i]));
    return firn_vocab_find(&m->vocab, chars, n);
}

static firn_status run_bpe(const struct firn_model *m, const uint8_t *text, uint32_t size,
                           bool is_byte_mapped, struct firn_model_scratch *scratch,
                           struct firn_token_list *out, struct firn_error *err)
{
    const struct bpe *b = m->own;
    if (b->ignore_merges) {
        const int32_t id = whole_piece(m, text, size, is_byte_mapped, scratch);
        if (id >= 0) {
            firn_token_add(out, id, 0, size);
            return FIRN_OK;
        }
    }
    size_t n = 0;
    bool ok = true;
    if (is_byte_mapped) {
        for (uint32_t i = 0; i < size && ok; i++)
            ok = add_symbol(scratch, &n, b->byte_ids[text[i]], 1);
    } else {
        const firn_status s = symbols_of(m, text, size, scratch, &n, err);
        if (s != FIRN_OK)
            return s;
    }
    if (ok && n > FEW)
        ok = merge_many(b, scratch->data, n, out);
    else if (ok && n > 0)
        merge_few(b, scratch->data, n, out);
    return ok ? FIRN_OK : firn_fail(err, FIRN_ERR_MEMORY, .key = "text");
}

const struct firn_model_kind firn_bpe = { "BPE", read_bpe, run_bpe, free_bpe };
