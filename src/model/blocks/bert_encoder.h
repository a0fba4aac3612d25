/* SPDX-License-Identifier: Apache-2.0 */
/* What BERT and RoBERTa have in common: keys of config.json, embeddings and layers (Devlin et al. 2018), and the heads
 * that are the same in both. The scope is the architecture's prefix; bare models have none. */
#ifndef FIRN_MODEL_BERT_ENCODER_H
#define FIRN_MODEL_BERT_ENCODER_H

#include "model/model.h"

/* Rows of a key table; `pad` is the default of pad_token_id, as text. */
#define FIRN_BERT_AT(field) offsetof(struct firn_config, field)
// clang-format off
#define FIRN_BERT_KEYS(pad)                                                                                            \
    { "hidden_size",             .type = FIRN_OPTION_INT,  .offset = FIRN_BERT_AT(width),         .is_required = true, .min = 1, .max = 65536 }, \
    { "num_hidden_layers",       .type = FIRN_OPTION_INT,  .offset = FIRN_BERT_AT(n_layers),      .is_required = true, .min = 1, .max = 1024 }, \
    { "num_attention_heads",     .type = FIRN_OPTION_INT,  .offset = FIRN_BERT_AT(n_heads),       .is_required = true, .min = 1, .max = 1024 }, \
    { "intermediate_size",       .type = FIRN_OPTION_INT,  .offset = FIRN_BERT_AT(hidden),        .is_required = true, .min = 1, .max = 1048576 }, \
    { "vocab_size",              .type = FIRN_OPTION_INT,  .offset = FIRN_BERT_AT(vocabulary),    .is_required = true, .min = 1, .max = 16777216 }, \
    { "max_position_embeddings", .type = FIRN_OPTION_INT,  .offset = FIRN_BERT_AT(max_positions), .fallback = "512", .min = 1, .max = 1048576 }, \
    { "type_vocab_size",         .type = FIRN_OPTION_INT,  .offset = FIRN_BERT_AT(token_types),   .fallback = "2", .min = 1, .max = 65536 }, \
    { "pad_token_id",            .type = FIRN_OPTION_INT,  .offset = FIRN_BERT_AT(pad_id),        .fallback = pad }, \
    { "layer_norm_eps",          .type = FIRN_OPTION_REAL, .offset = FIRN_BERT_AT(norm_eps),      .fallback = "1e-12", .max = 1 }, \
    { "initializer_range",       .type = FIRN_OPTION_REAL, .offset = FIRN_BERT_AT(init_range),    .fallback = "0.02", .max = 100 }, \
    { "hidden_dropout_prob",     .type = FIRN_OPTION_REAL, .offset = FIRN_BERT_AT(hidden_dropout),    .fallback = "0.1", .max = 0.99 }, \
    { "attention_probs_dropout_prob", .type = FIRN_OPTION_REAL, .offset = FIRN_BERT_AT(attention_dropout), .fallback = "0.1", .max = 0.99 }, \
    { "classifier_dropout",      .type = FIRN_OPTION_REAL, .offset = FIRN_BERT_AT(classifier_dropout), .max = 0.99 }, \
    { "tie_word_embeddings",     .type = FIRN_OPTION_BOOL, .offset = FIRN_BERT_AT(tie_embeddings), .fallback = "true" }, \
    { "hidden_act",              .type = FIRN_OPTION_WORD, .offset = FIRN_BERT_AT(activation),    .fallback = "gelu", \
      .words = firn_activation_words, .words_also = firn_activation_words_also },                                      \
    { NULL }
// clang-format on
extern const struct firn_only firn_bert_only[];
firn_status firn_bert_finish(struct firn_config *c, const char *path, struct firn_error *err);

/* Embeddings and layers below the scope `prefix`. */
firn_val firn_bert_body(struct firn_build *b, const char *prefix);
/* tanh(dense(first token)) */
firn_val firn_bert_pooler(struct firn_build *b, const char *prefix, firn_val x);
/* `classifier` of every token. */
struct firn_head firn_bert_token_head(struct firn_build *b, firn_val x);
/* An output layer `path` with the bias `bias`; an untied one has a bias of its own, which older files hold under
 * the shared name. */
struct firn_head firn_bert_output(struct firn_build *b, const char *path, const char *bias, firn_val x);

#endif
