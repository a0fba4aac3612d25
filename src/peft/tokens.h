/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of a table of embeddings that train while the others stay (PEFT's trainable_token_indices): files hold the new rows
 * themselves. An output layer that is tied to the table reads the same rows. */
#ifndef FIRN_PEFT_TOKENS_H
#define FIRN_PEFT_TOKENS_H

#include "model/model.h"

#define FIRN_TOKENS_PARAM "token_adapter.trainable_tokens_delta"

struct firn_token_rows {
    char *module;     /* path of a module, or its end */
    int32_t *ids;
    int64_t count;
    uint64_t hash;    /* of the ids: tables made of them are shared by who has the same */
};
struct firn_tokens {
    struct firn_token_rows *list;
    size_t count;
};

/* `value`: a list of ids (of the word embeddings), or lists by module. NULL or null: none. */
firn_status firn_tokens_open(struct firn_tokens *t, const json_t *value, const struct firn_model *m, const char *file,
                             struct firn_error *err);
void firn_tokens_close(struct firn_tokens *t);
/* A lookup with these rows in place; the empty value: the table has none. */
firn_val firn_tokens_lookup(const struct firn_tokens *t, struct firn_build *b, const struct firn_site *s, firn_val ids);
/* Logits x Wt + bias with these rows in W; the empty value: the layer has none. `tied`: the table it shares, or NULL. */
firn_val firn_tokens_logits(const struct firn_tokens *t, struct firn_build *b, const struct firn_site *s, const char *tied,
                            firn_val x);
/* First values: the base's rows. */
firn_status firn_tokens_init(const struct firn_tokens *t, const struct firn_model *m, const struct firn_param_set *params,
                             float *flat, struct firn_error *err);
/* Every module that was named must have been met. */
firn_status firn_tokens_check(const struct firn_tokens *t, const struct firn_param_set *params, const char *file,
                              struct firn_error *err);
/* As struct firn_method's merge. */
bool firn_tokens_merge(const struct firn_tokens *t, const struct firn_param_set *params, const float *flat,
                       const char *path, const char *part, const struct firn_shape *shape, float *w);
/* An output layer with rows of its own beside the table's. */
bool firn_tokens_untie(const struct firn_param_set *params);

#endif
