/* SPDX-License-Identifier: Apache-2.0 */
/* Pre-tokenizers cut the pieces of a text that are for the model into smaller ones. */
#ifndef FIRN_TEXT_PRETOKENIZE_H
#define FIRN_TEXT_PRETOKENIZE_H

#include "text/aligned.h"
#include "text/fields.h"
#include "text/pattern.h"

struct firn_pretokenizer {
    struct firn_pre_stage *stages;
    size_t n;
};

/* `object` may be null: nothing is done then. */
firn_status firn_pretokenizer_read(struct firn_pretokenizer *p, const char *file,
                                   const json_t *object, struct firn_error *err);
void firn_pretokenizer_free(struct firn_pretokenizer *p);
/* With `may_map`, bytes that the last stage would turn into characters of the byte-level alphabet
 * are left as they are, and the text says so. */
firn_status firn_pretokenizer_run(const struct firn_pretokenizer *p, struct firn_text *t,
                                  bool may_map, struct firn_matcher *matcher,
                                  struct firn_error *err);

#endif
