/* SPDX-License-Identifier: Apache-2.0 */
/* A text on its way through a tokenizer: what it was, what it has become, which bytes of the first
 * each byte of the second came from, and the pieces it has been cut into. */
#ifndef FIRN_TEXT_ALIGNED_H
#define FIRN_TEXT_ALIGNED_H

#include "firn/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FIRN_TEXT_MAX (128u << 20) /* bytes of a text */
/* Bytes that a text may become: the largest growth of a normal form is elevenfold. */
#define FIRN_TEXT_GROWN_MAX(size)                                                                  \
    ((size) < (32u << 20) ? (64u << 10) + 16 * (size_t) (size) : (size_t) 16 * (33u << 20))

struct firn_span {
    uint32_t begin, end;
};

/* A cut of the text. Alignments are kept in bytes of the whole original. */
struct firn_piece {
    uint32_t begin, end;       /* in `bytes` */
    struct firn_span original; /* the part of the original that it stands for */
    int32_t id;                /* an added token, or -1: for the model */
};

struct firn_buffer {
    uint8_t *bytes;
    struct firn_span *align;
    size_t capacity, align_capacity;
};

struct firn_text {
    const uint8_t *original;
    uint32_t original_size;
    const uint8_t *bytes;          /* the original itself, or one of the buffers */
    const struct firn_span *align; /* per byte; NULL while every code point is still in its place */
    uint32_t size;
    struct firn_piece *pieces;
    size_t n_pieces;
    bool is_byte_mapped; /* the pieces' bytes stand for the characters of the byte-level alphabet */
    bool failed;         /* no memory, or larger than a text may become */

    /* working memory, kept between texts */
    struct firn_buffer buffers[2];
    int current; /* the buffer that `bytes` is in, or -1 */
    struct firn_piece *piece_lists[2];
    size_t piece_capacity[2];
    int current_list;
    /* a rewrite or a split under way */
    uint8_t *out;
    struct firn_span *out_align; /* NULL while nothing has moved */
    size_t out_size, n_out_pieces;
    uint32_t at, stop; /* the next byte to read; where rewriting ends */
    struct firn_piece piece;
    uint32_t piece_out; /* where the piece begins in the new text */
};

void firn_text_start(struct firn_text *t, const uint8_t *bytes, uint32_t size);
void firn_text_free(struct firn_text *t);
firn_status firn_text_check(const struct firn_text *t, struct firn_error *err);

/* The bytes of the original that byte range [begin, end) of the text came from. */
struct firn_span firn_text_origin(const struct firn_text *t, uint32_t begin, uint32_t end);

/* Rewriting. Between begin and commit every piece is opened and closed (or copied) in turn. Between
 * open and close each code point of the new text is put with its `change`: 0 it replaces the next
 * one, 1 it is inserted after the last one, -n it replaces the next one and the n after that go;
 * what is not read by close goes too. `open` skips `n_removed` code points first. `open_whole` is
 * for replacing single ranges: keep, skip, and put with change 1; it does not leave out what
 * inserted code points at the start of the piece would leave out of `open`. */
void firn_rewrite_begin(struct firn_text *t);
void firn_rewrite_open(struct firn_text *t, const struct firn_piece *piece, size_t n_removed);
void firn_rewrite_open_whole(struct firn_text *t, const struct firn_piece *piece);
void firn_rewrite_put(struct firn_text *t, uint32_t c, int change);
/* The same as a put with change 0 of each code point of the text from `from` to `to`. */
void firn_rewrite_put_run(struct firn_text *t, uint32_t from, uint32_t to);
void firn_rewrite_keep(struct firn_text *t, uint32_t to);
void firn_rewrite_skip(struct firn_text *t, uint32_t to);
void firn_rewrite_close(struct firn_text *t);
void firn_rewrite_copy(struct firn_text *t, const struct firn_piece *piece);
void firn_rewrite_commit(struct firn_text *t);
/* All pieces at once through a table of bytes, where every code point keeps its size. */
void firn_rewrite_map(struct firn_text *t, const uint8_t map[256]);

/* Splitting. Between begin and commit, the new pieces are added in order; empty ones are dropped.
 */
void firn_split_begin(struct firn_text *t);
void firn_split_add(struct firn_text *t, uint32_t begin, uint32_t end, int32_t id);
void firn_split_keep(struct firn_text *t, const struct firn_piece *piece);
void firn_split_commit(struct firn_text *t);

#endif
