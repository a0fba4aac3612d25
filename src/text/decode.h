/* SPDX-License-Identifier: Apache-2.0 */
/* Decoders turn the texts of tokens back into one text. */
#ifndef FIRN_TEXT_DECODE_H
#define FIRN_TEXT_DECODE_H

#include "base/str.h"
#include "text/fields.h"
#include "text/pattern.h"

/* A list of texts. */
struct firn_texts {
    struct firn_str bytes;
    struct firn_text_at {
        size_t at, size;
    } * items;
    size_t n, capacity;
    bool failed;
};
void firn_texts_add(struct firn_texts *t, const char *text, size_t size);
void firn_texts_free(struct firn_texts *t);

struct firn_decoder {
    struct firn_decode_stage *stages;
    size_t n;
    bool is_there; /* without a decoder tokens are joined by spaces */
};

/* `object` may be null. */
firn_status firn_decoder_read(struct firn_decoder *d, const char *file, const json_t *object,
                              struct firn_error *err);
void firn_decoder_free(struct firn_decoder *d);
/* Appends what the tokens spell to `out`; the list is used up. */
firn_status firn_decoder_run(const struct firn_decoder *d, struct firn_texts *tokens,
                             struct firn_str *out, struct firn_error *err);

#endif
