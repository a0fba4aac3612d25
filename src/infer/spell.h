/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens as text, as they come: whole characters only, and nothing that a stop string might still swallow. */
#ifndef FIRN_INFER_SPELL_H
#define FIRN_INFER_SPELL_H

#include "base/str.h"
#include "firn/tokenizer.h"

struct firn_spell {
    const struct firn_tokenizer *tokenizer;
    const char *const *stop;   /* texts that end it, not part of it; borrowed */
    size_t n_stop;
    int32_t *ids;              /* the prompt's last ones, then the new ones */
    size_t n, capacity;
    size_t from, read;         /* ids[from .. read) are spelt already, and are what the next ones are read behind */
    struct firn_str text;      /* of the new ones */
    size_t ready, searched;    /* bytes that will not change; bytes that start no stop string */
    bool stopped;
};

/* The prompt decides how the first new token is spelt (a leading space). */
firn_status firn_spell_init(struct firn_spell *s, const struct firn_tokenizer *tokenizer, const int32_t *prompt, size_t n,
                            const char *const *stop, size_t n_stop, struct firn_error *err);
void firn_spell_finish(struct firn_spell *s);
/* After it text.data[0 .. ready) stands. When a stop string was met, `stopped`, and text ends before it. */
firn_status firn_spell_add(struct firn_spell *s, int32_t id, struct firn_error *err);
/* No more tokens: all of the text is ready. */
firn_status firn_spell_end(struct firn_spell *s, struct firn_error *err);

#endif
