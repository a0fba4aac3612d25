/* SPDX-License-Identifier: Apache-2.0 */
/* Models turn the bytes of one piece into tokens. A model is one record: how to read it and how to
 * run it; `firn_models` lists them. */
#ifndef FIRN_TEXT_MODEL_H
#define FIRN_TEXT_MODEL_H

#include "text/fields.h"
#include "text/scan.h"
#include "text/vocab.h"

/* A token and the bytes of the piece that it stands for. */
struct firn_token {
    int32_t id;
    uint32_t begin, end;
};

struct firn_token_list {
    struct firn_token *items;
    size_t n, capacity;
    bool failed; /* no memory */
};
void firn_token_add(struct firn_token_list *list, int32_t id, uint32_t begin, uint32_t end);

/* Working memory of a model, one for each thread: bytes for the kind, and the tokens of words that
 * were seen before. */
struct firn_model_scratch {
    void *data;
    size_t size;
    struct firn_word_cache {
        uint64_t owner; /* the `identity` of the model whose words they are */
        struct firn_cached_word {
            uint64_t hash;
            uint32_t text, size, tokens, n; /* positions in `text` and `tokens`; size 0 is empty */
        } * slots;
        size_t n, n_slots;
        char *text;
        size_t text_size, text_capacity;
        struct firn_token_list tokens;
    } cache;
};
void firn_model_scratch_free(struct firn_model_scratch *scratch);
/* At least `size` bytes, or NULL. What was in them is lost. */
void *firn_model_memory(struct firn_model_scratch *scratch, size_t size);

struct firn_model;
struct firn_model_kind {
    const char *name; /* the `type` in the file */
    firn_status (*read)(struct firn_model *m, const struct firn_place *at, const json_t *object,
                        const struct firn_parts *parts);
    firn_status (*run)(const struct firn_model *m, const uint8_t *text, uint32_t size,
                       bool is_byte_mapped, struct firn_model_scratch *scratch,
                       struct firn_token_list *out, struct firn_error *err);
    void (*free)(struct firn_model *m);
};
extern const struct firn_model_kind firn_bpe, firn_wordpiece, firn_unigram, firn_wordlevel;

struct firn_model {
    const struct firn_model_kind *kind;
    struct firn_vocab vocab;
    void *own;            /* what the kind keeps */
    uint64_t identity;    /* of the file: equal models give equal tokens */
    int32_t spelled;      /* an id whose tokens read as the text that they stand for, or -1 */
    bool takes_bytes;     /* can run on pieces that stand for byte-level characters */
    bool parts_at_spaces; /* a piece can be run in parts, cut before U+2581 */
};

firn_status firn_model_read(struct firn_model *m, const char *file, const json_t *object,
                            const struct firn_parts *parts, struct firn_error *err);
void firn_model_free(struct firn_model *m);

/* Appends the tokens of a piece. `is_byte_mapped`: its bytes stand for byte-level characters. */
firn_status firn_model_run(const struct firn_model *m, const uint8_t *text, uint32_t size,
                           bool is_byte_mapped, struct firn_model_scratch *scratch,
                           struct firn_token_list *out, struct firn_error *err);

/* Reads model.vocab as an object of texts to ids. */
firn_status firn_model_read_vocab(struct firn_model *m, const struct firn_place *at,
                                  const struct firn_parts *parts);
firn_status firn_model_unknown(const char *token, struct firn_error *err);

#endif
