/* SPDX-License-Identifier: Apache-2.0 */
/* Post-processors put special tokens around the tokens of one or two texts, and trim offsets. */
#ifndef FIRN_TEXT_POSTPROCESS_H
#define FIRN_TEXT_POSTPROCESS_H

#include "firn/tokenizer.h"
#include "text/fields.h"

/* The tokens of one text before special ones are added. */
struct firn_sequence {
    int32_t *ids;
    struct firn_offset *offsets;
    struct firn_margins {
        uint32_t left, right; /* white space at the ends of the token's text; see needs_margins */
    } * margins;
    size_t begin, n; /* the part that truncation left */
    size_t capacity;
};

struct firn_post_processor {
    struct firn_post_stage *stages;
    size_t n;
    bool needs_margins; /* some stage trims offsets */
};

/* `object` may be null: pairs are then put one after the other. */
firn_status firn_post_read(struct firn_post_processor *p, const char *file, const json_t *object,
                           struct firn_error *err);
void firn_post_free(struct firn_post_processor *p);
size_t firn_post_n_added(const struct firn_post_processor *p, bool is_pair);
/* Fills the arrays of `out` from one or two texts; trims offsets in place. */
firn_status firn_post_run(const struct firn_post_processor *p, struct firn_sequence *texts,
                          size_t n_texts, bool add_special, struct firn_encoding *out,
                          struct firn_error *err);

/* Makes room for n entries in the arrays. */
bool firn_encoding_reserve(struct firn_encoding *e, size_t n);

#endif
