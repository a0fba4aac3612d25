/* SPDX-License-Identifier: Apache-2.0 */
/* Added tokens: texts that are cut out before anything else happens, or after the normalizer. */
#ifndef FIRN_TEXT_ADDED_H
#define FIRN_TEXT_ADDED_H

#include "text/aligned.h"
#include "text/fields.h"
#include "text/model.h"
#include "text/normalize.h"
#include "text/trie.h"

struct firn_added_token {
    int32_t id;
    bool single_word, left, right, normalized, special;
};

struct firn_added {
    struct firn_added_token *tokens;
    size_t n;
    struct firn_vocab contents; /* as written in the file, to ids */
    struct firn_vocab decoded;  /* ids to what decoders get to see */
    struct firn_vocab specials; /* the contents of special tokens */
    struct {
        struct firn_vocab patterns; /* to positions in `tokens` */
        struct firn_trie trie;
    } raw, normalized;
    size_t n_new; /* tokens that the model's vocabulary does not have */
};

/* Reads the list of added tokens (may be null). Ids are given as the reference library gives them:
 * the model's where it knows the token, else the next free one in the order of the list. */
firn_status firn_added_read(struct firn_added *a, const char *file, const json_t *list,
                            const struct firn_model *model,
                            const struct firn_normalizer *normalizer, struct firn_error *err);
void firn_added_free(struct firn_added *a);

/* Cuts tokens out of the pieces of a text: those that are looked for in the raw text, or those that
 * are looked for in the normalized one. */
void firn_added_split(const struct firn_added *a, bool is_normalized, struct firn_text *t);

#endif
