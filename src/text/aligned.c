/* SPDX-License-Identifier: Apache-2.0 */
/* Rewriting and splitting of a text while keeping track of where every byte came from. The rules
 * (also the odd ones) are those of NormalizedString in the reference library, since offsets depend
 * on them. */
#include "text/aligned.h"

#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

void firn_text_start(struct firn_text *t, const uint8_t *bytes, uint32_t size)
{
    t->original = t->bytes = bytes;
    t->original_size = t->size = size;
    t->align = NULL;
    t->is_byte_mapped = false;
    t->failed = size > FIRN_TEXT_MAX;
    t->current = -1;
    firn_split_begin(t);
    firn_split_add(t, 0, t->failed ? 0 : size, -1);
    firn_split_commit(t);
}

void firn_text_free(struct firn_text *t)
{
    for (int i = 0; i < 2; i++) {
        free(t->buffers[i].bytes);
        free(t->buffers[i].align);
        free(t->piece_lists[i]);
    }
    memset(t, 0, sizeof *t);
}

firn_status firn_text_check(const struct firn_text *t, struct firn_error *err)
{
    if (!t->failed)
        return FIRN_OK;
    return firn_fail(err, FIRN_ERR_MEMORY, .key = "text",
                     .what = "no memory for what the tokenizer makes of it, or no end to that");
}

/* The code point at byte i of a text in which everything is in its place. */
static struct firn_span in_place(const struct firn_text *t, uint32_t i)
{
    while (i > 0 && (t->bytes[i] & 0xC0) == 0x80)
        i--;
    return (struct firn_span){ i, i + firn_utf8_size(t->bytes[i]) };
}

struct firn_span firn_text_origin(const struct firn_text *t, uint32_t begin, uint32_t end)
{
    if (begin >= end || end > t->size)
        return (struct firn_span){ begin, end };
    if (t->align != NULL)
        return (struct firn_span){ t->align[begin].begin, t->align[end - 1].end };
    return (struct firn_span){ in_place(t, begin).begin, in_place(t, end - 1).end };
}

/* ---- splitting ---- */

void firn_split_begin(struct firn_text *t)
{
    t->n_out_pieces = 0;
}

static void add_piece(struct firn_text *t, const struct firn_piece *piece)
{
    const int list = 1 - t->current_list;
    if (t->n_out_pieces == t->piece_capacity[list]) {
        const size_t capacity = t->n_out_pieces < 32 ? 64 : t->n_out_pieces * 2;
        struct firn_piece *grown =
            realloc(t->piece_lists[list], capacity * sizeof t->piece_lists[0][0]);
        if (grown == NULL) {
            t->failed = true;
            return;
        }
        t->piece_lists[list] = grown;
        t->piece_capacity[list] = capacity;
    }
    t->piece_lists[list][t->n_out_pieces++] = *piece;
}

void firn_split_add(struct firn_text *t, uint32_t begin, uint32_t end, int32_t id)
{
    if (begin < end)
        add_piece(t, &(const struct firn_piece){ begin, end, firn_text_origin(t, begin, end), id });
}

void firn_split_keep(struct firn_text *t, const struct firn_piece *piece)
{
    if (piece->begin < piece->end)
        add_piece(t, piece);
}

void firn_split_commit(struct firn_text *t)
{
    t->current_list = 1 - t->current_list;
    t->pieces = t->piece_lists[t->current_list];
    t->n_pieces = t->n_out_pieces;
}

/* ---- rewriting ---- */

static bool reserve(struct firn_text *t, size_t more)
{
    struct firn_buffer *b = &t->buffers[t->current == 0];
    const size_t need = t->out_size + more;
    if (need > FIRN_TEXT_GROWN_MAX(t->original_size))
        t->failed = true;
    if (t->failed)
        return false;
    if (need > b->capacity) {
        const size_t capacity = need + need / 2 + 64;
        uint8_t *bytes = realloc(b->bytes, capacity);
        if (bytes == NULL) {
            t->failed = true;
            return false;
        }
        b->bytes = t->out = bytes;
        b->capacity = capacity;
    }
    if (t->out_align != NULL && need > b->align_capacity) {
        struct firn_span *align = realloc(b->align, b->capacity * sizeof *align);
        if (align == NULL) {
            t->failed = true;
            return false;
        }
        b->align = t->out_align = align;
        b->align_capacity = b->capacity;
    }
    return true;
}

/* From here on something has moved: writes down where the bytes so far came from. */
static bool leave_place(struct firn_text *t)
{
    if (t->out_align != NULL)
        return true;
    struct firn_buffer *b = &t->buffers[t->current == 0];
    if (b->capacity > b->align_capacity) {
        struct firn_span *align = realloc(b->align, b->capacity * sizeof *align);
        if (align == NULL) {
            t->failed = true;
            return false;
        }
        b->align = align;
        b->align_capacity = b->capacity;
    }
    t->out_align = b->align;
    for (uint32_t i = 0; i < t->out_size;) {
        const uint32_t size = firn_utf8_size(t->out[i]);
        for (uint32_t k = 0; k < size && i + k < t->out_size; k++)
            t->out_align[i + k] = (struct firn_span){ i, i + size };
        i += size;
    }
    return true;
}

void firn_rewrite_begin(struct firn_text *t)
{
    struct firn_buffer *b = &t->buffers[t->current == 0];
    t->out_size = 0;
    t->out_align = NULL;
    t->out = b->bytes;
    reserve(t, t->size + (size_t) 16);
    if (t->align != NULL)
        leave_place(t);
    firn_split_begin(t);
}

void firn_rewrite_open_whole(struct firn_text *t, const struct firn_piece *piece)
{
    t->piece = *piece;
    t->piece_out = (uint32_t) t->out_size;
    t->at = piece->begin;
    t->stop = piece->end;
}

/* The part of the piece that stands for its part of the original: code points that were inserted
 * before the first one that stands for something are not in it. */
static struct firn_span standing(const struct firn_text *t, const struct firn_piece *piece)
{
    if (t->align == NULL)
        return (struct firn_span){ piece->begin, piece->end };
    if (piece->original.begin == piece->original.end)
        return (struct firn_span){ piece->begin, piece->begin };
    uint32_t begin = piece->end, end = piece->begin;
    for (uint32_t i = piece->begin; i < piece->end; i++) {
        const struct firn_span a = t->align[i];
        if (a.end > piece->original.end)
            break;
        if (begin == piece->end && a.begin >= piece->original.begin && a.begin != a.end)
            begin = i;
        end = i + 1;
    }
    return (struct firn_span){ begin > end ? end : begin, end };
}

void firn_rewrite_open(struct firn_text *t, const struct firn_piece *piece, size_t n_removed)
{
    firn_rewrite_open_whole(t, piece);
    const struct firn_span range = standing(t, piece);
    firn_rewrite_keep(t, range.begin);
    t->stop = range.end;
    for (; n_removed > 0 && t->at < t->stop; n_removed--)
        t->at += firn_utf8_size(t->bytes[t->at]);
}

void firn_rewrite_put(struct firn_text *t, uint32_t c, int change)
{
    if (!reserve(t, 4))
        return;
    const unsigned size = firn_utf8_put(t->out + t->out_size, c);
    unsigned replaced = 0;
    if (change <= 0 && t->at < t->stop)
        replaced = firn_utf8_size(t->bytes[t->at]);
    if (t->out_align == NULL && (change > 0 || replaced != size || t->at != t->out_size))
        if (!leave_place(t))
            return;
    if (t->out_align != NULL) {
        struct firn_span a;
        if (replaced > 0)
            a = t->align != NULL ? t->align[t->at] : (struct firn_span){ t->at, t->at + replaced };
        else if (t->at > t->piece.begin)
            a = t->align != NULL ? t->align[t->at - 1] : in_place(t, t->at - 1);
        else
            a = (struct firn_span){ t->piece.original.begin, t->piece.original.begin };
        for (unsigned i = 0; i < size; i++)
            t->out_align[t->out_size + i] = a;
    }
    t->out_size += size;
    t->at += replaced;
    for (; change < 0 && t->at < t->stop; change++)
        t->at += firn_utf8_size(t->bytes[t->at]);
}

void firn_rewrite_keep(struct firn_text *t, uint32_t to)
{
    if (to <= t->at)
        return;
    const uint32_t n = to - t->at;
    if (!reserve(t, n) || (t->at != t->out_size && !leave_place(t)))
        return;
    memcpy(t->out + t->out_size, t->bytes + t->at, n);
    if (t->out_align != NULL) {
        struct firn_span *a = t->out_align + t->out_size;
        if (t->align != NULL)
            memcpy(a, t->align + t->at, n * sizeof *a);
        else
            for (uint32_t i = t->at; i < to;) {
                const struct firn_span whole = in_place(t, i);
                for (; i < to && i < whole.end; i++)
                    *a++ = whole;
            }
    }
    t->out_size += n;
    t->at = to;
}

void firn_rewrite_put_run(struct firn_text *t, uint32_t from, uint32_t to)
{
    if (t->at == from && to <= t->stop)
        firn_rewrite_keep(t, to);
    else
        for (; from < to; from += firn_utf8_size(t->bytes[from]))
            firn_rewrite_put(t, firn_utf8_get(t->bytes + from), 0);
}

void firn_rewrite_skip(struct firn_text *t, uint32_t to)
{
    t->at = to;
}

void firn_rewrite_close(struct firn_text *t)
{
    t->at = t->stop;
    firn_rewrite_keep(t, t->piece.end);
    t->piece.begin = t->piece_out;
    t->piece.end = (uint32_t) t->out_size;
    firn_split_keep(t, &t->piece);
}

void firn_rewrite_copy(struct firn_text *t, const struct firn_piece *piece)
{
    firn_rewrite_open_whole(t, piece);
    firn_rewrite_keep(t, piece->end);
    firn_rewrite_close(t);
}

void firn_rewrite_commit(struct firn_text *t)
{
    if (t->failed)
        return;
    t->current = t->current == 0;
    t->bytes = t->out;
    t->align = t->out_align;
    t->size = (uint32_t) t->out_size;
    firn_split_commit(t);
}

void firn_rewrite_map(struct firn_text *t, const uint8_t map[256])
{
    t->out_size = 0;
    t->out_align = NULL;
    t->out = t->buffers[t->current == 0].bytes;
    if (!reserve(t, t->size + (size_t) 16))
        return;
    if (t->align != NULL) {
        if (!leave_place(t))
            return;
        memcpy(t->out_align, t->align, t->size * sizeof *t->align);
        t->align = t->out_align;
    }
    for (uint32_t i = 0; i < t->size; i++)
        t->out[i] = map[t->bytes[i]];
    t->current = t->current == 0;
    t->bytes = t->out;
}
