/* SPDX-License-Identifier: Apache-2.0 */
/* Normalizers rewrite the pieces of a text that are for the model. */
#ifndef FIRN_TEXT_NORMALIZE_H
#define FIRN_TEXT_NORMALIZE_H

#include "text/aligned.h"
#include "text/fields.h"
#include "text/pattern.h"

/* Code points of a piece being rewritten, with the `change` that firn_rewrite_put takes. */
struct firn_change {
    uint32_t c;
    int32_t change;
};
struct firn_changes {
    struct firn_change *items;
    size_t n, capacity;
    bool failed;
};
void firn_change_add(struct firn_changes *list, uint32_t c, int32_t change);

/* ---- normal forms (normal_forms.c) ---- */
enum firn_normal_form { FIRN_NFC, FIRN_NFD, FIRN_NFKC, FIRN_NFKD };
void firn_normal_form(enum firn_normal_form form, struct firn_text *t,
                      const struct firn_piece *piece, struct firn_changes *work);

/* ---- SentencePiece's precompiled character maps (precompiled.c) ---- */
struct firn_charsmap {
    uint32_t *units; /* of a double-array trie */
    size_t n_units;
    char *texts; /* what the values of the trie point into */
    size_t texts_size;
    bool changes_ascii[128];
};
firn_status firn_charsmap_read(struct firn_charsmap *map, const struct firn_place *at,
                               const char *base64, size_t size);
void firn_charsmap_free(struct firn_charsmap *map);
void firn_charsmap_apply(const struct firn_charsmap *map, struct firn_text *t,
                         const struct firn_piece *piece, struct firn_changes *work);

/* ---- the stages of a file ---- */
struct firn_normalizer {
    struct firn_normal_stage *stages;
    size_t n;
};
struct firn_normalize_scratch {
    struct firn_matcher matcher;
    struct firn_changes work;
};
void firn_normalize_scratch_free(struct firn_normalize_scratch *scratch);

/* `object` may be null: nothing is done then. */
firn_status firn_normalizer_read(struct firn_normalizer *n, const char *file, const json_t *object,
                                 struct firn_error *err);
void firn_normalizer_free(struct firn_normalizer *n);
firn_status firn_normalizer_run(const struct firn_normalizer *n, struct firn_text *t,
                                struct firn_normalize_scratch *scratch, struct firn_error *err);

#endif
