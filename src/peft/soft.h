/* SPDX-License-Identifier: Apache-2.0 */
/* What prompts and prefixes share: sizes, the head that trains beside them, and their names in PEFT's files. */
#ifndef FIRN_PEFT_SOFT_H
#define FIRN_PEFT_SOFT_H

#include "peft/wrap.h"

#define FIRN_TABLE "prompt_embeddings" /* the one tensor of all adapter files of this kind */

/* The first field of the settings of each method of this kind. */
struct firn_soft {
    int64_t n_virtual, token_dim, n_layers, n_heads, n_submodules; /* 0: from the model */
    struct firn_wrap wrap;                                         /* only modules_to_save */
};

/* Rows for a method's table of keys; its settings start with a struct firn_soft called `soft`. */
// clang-format off
#define FIRN_SOFT_AT(settings, field) (offsetof(settings, soft) + offsetof(struct firn_soft, field))
#define FIRN_SOFT_KEYS(settings) \
    { "num_virtual_tokens",  .also = { "total_virtual_tokens", "pre_seq_len" }, .type = FIRN_OPTION_INT, \
      .offset = FIRN_SOFT_AT(settings, n_virtual), .is_required = true, .min = 1, .max = 65536, .unit = "tokens", \
      .help = "how many virtual tokens stand in front of the text" }, \
    { "token_dim",           .type = FIRN_OPTION_INT, .offset = FIRN_SOFT_AT(settings, token_dim), .fallback = "0", \
      .max = 16777216, .help = "width of a virtual token; the model's" }, \
    { "num_layers",          .type = FIRN_OPTION_INT, .offset = FIRN_SOFT_AT(settings, n_layers), .fallback = "0", \
      .max = 65536, .help = "layers of the model" }, \
    { "num_attention_heads", .type = FIRN_OPTION_INT, .offset = FIRN_SOFT_AT(settings, n_heads), .fallback = "0", \
      .max = 65536, .help = "heads of the model (prefixes: key and value heads)" }, \
    { "num_transformer_submodules", .type = FIRN_OPTION_INT, .offset = FIRN_SOFT_AT(settings, n_submodules), \
      .fallback = "0", .max = 2, .help = "tables for encoder and decoder" }, \
    { "modules_to_save",     .type = FIRN_OPTION_TREE, .offset = FIRN_SOFT_AT(settings, wrap.modules_to_save), \
      .help = "modules that train whole and are saved with the adapter" }
// clang-format on

/* Fills the sizes that are 0 and refuses those that are not the model's. `token_dim` and `n_heads` are the model's. */
firn_status firn_soft_open(struct firn_soft *s, const struct firn_model *m, enum firn_task task, int64_t token_dim,
                           int64_t n_heads, const char *file, struct firn_error *err);
/* Hooks. */
bool firn_soft_copies(const void *settings, const struct firn_site *s);
const char *firn_soft_trains(const void *settings, const struct firn_site *s, const char *part, char *text, size_t size);
/* The common keys of adapter_config.json. */
void firn_soft_describe(const struct firn_soft *s, json_t *config);
/* y = x Wt + b of trained prompt_encoder.NAME.{weight [n_out, n_in], bias}, started as torch starts a Linear layer. */
firn_val firn_soft_linear(struct firn_build *b, const char *name, firn_val x, int64_t n_in, int64_t n_out);
/* Of a table [virtual submodules, C] the rows that the embedded text [B T, C] sees, in front of each entry. */
firn_val firn_soft_front(const struct firn_soft *s, struct firn_build *b, firn_val table, firn_val x);
/* Rows of the model's word embeddings as the model uses them, [n, C] f32. */
firn_status firn_soft_words(const struct firn_model *m, const int32_t *ids, int64_t n, float *rows, struct firn_error *err);

#endif
