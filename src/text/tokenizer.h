/* SPDX-License-Identifier: Apache-2.0 */
/* What a tokenizer is made of; for tokenizer.c and encode.c. */
#ifndef FIRN_TEXT_TOKENIZER_H
#define FIRN_TEXT_TOKENIZER_H

#include "firn/tokenizer.h"
#include "text/added.h"
#include "text/decode.h"
#include "text/model.h"
#include "text/normalize.h"
#include "text/postprocess.h"
#include "text/pretokenize.h"

struct firn_tokenizer {
    char *path; /* of tokenizer.json, for errors */
    struct firn_added added;
    struct firn_normalizer normalizer;
    struct firn_pretokenizer pretokenizer;
    struct firn_model model;
    struct firn_post_processor post;
    struct firn_decoder decoder;
    struct {
        char *text; /* NULL: none */
        int32_t id;
    } roles[FIRN_N_ROLES];
    bool pads_left, truncates_left;
    size_t max_length;
};

/* The same as firn_tokenizer_open from the text of a tokenizer.json; `name` is for errors. There
 * are no roles, sides and lengths then. */
firn_status firn_tokenizer_parse(struct firn_tokenizer **tok, const char *name, const char *data,
                                 size_t size, struct firn_error *err);

#endif
