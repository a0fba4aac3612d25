/* SPDX-License-Identifier: Apache-2.0 */
/* Text that continues prompts. The prompts of a batch are computed at once, then one token a row and run: keys and values
 * of all tokens so far stay on the device. */
#ifndef FIRN_INFER_GENERATE_H
#define FIRN_INFER_GENERATE_H

#include "infer/sample.h"
#include "infer/spell.h"
#include "train/session.h"

#include <signal.h>

struct firn_prompt {
    const int32_t *ids;
    size_t n;
    uint32_t number; /* of the text, for the random numbers */
    uint32_t adapter; /* of a session whose adapters are mixed: which is this text's */
    const int32_t *virtual_ids; /* NULL, or rows of the method's table where ids are -1, else -1 */
};

enum firn_finish {
    FIRN_FINISH_LENGTH, /* max_new_tokens, or the model's context is full */
    FIRN_FINISH_END,    /* an end token */
    FIRN_FINISH_STOP,   /* a stop string */
    FIRN_FINISH_CANCEL,
};
extern const char *const firn_finish_words[]; /* in this order */

struct firn_generated {
    int32_t *ids;       /* without the end token */
    size_t n;
    char *text;         /* NULL without a tokenizer */
    enum firn_finish finish;
};

struct firn_generate_params {
    int64_t max_new_tokens;
    struct firn_sampling sampling;
    const struct firn_tokenizer *tokenizer;  /* NULL: ids only */
    const char *const *stop;                 /* needs the tokenizer */
    size_t n_stop;
    const int32_t *ends;                     /* ids that end a text */
    size_t n_ends;
    const volatile sig_atomic_t *cancel;     /* not 0: no more tokens; what there is is returned. NULL: never */
    /* The next whole characters of a row's text; false: no more tokens of any row. May be NULL. */
    bool (*on_text)(void *user, size_t row, const char *text, size_t size);
    void *user;
};

/* One batch: n prompts, out [n], to be freed with firn_generated_free also after a failure. The session's adapter must be
 * pushed. A row's tokens do not depend on the rows beside it but for rounding. */
firn_status firn_generate(struct firn_session *s, const struct firn_prompt *prompts, size_t n,
                          const struct firn_generate_params *p, struct firn_generated *out, struct firn_error *err);
void firn_generated_free(struct firn_generated *list, size_t n);

/* The longest prompt that the session's model takes. */
int64_t firn_generate_limit(const struct firn_session *s);

/* The end tokens of a model directory: eos_token_id of generation_config.json, else of config.json, else the
 * tokenizer's (which may be NULL); a number or a list. free() the list. */
firn_status firn_generate_ends(const char *model, const struct firn_tokenizer *tokenizer, int32_t **list, size_t *n,
                               struct firn_error *err);

#endif
