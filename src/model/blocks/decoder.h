/* SPDX-License-Identifier: Apache-2.0 */
/* What decoders of the Llama family have in common: keys of config.json, attention, gated feed-forward, the order of
 * a layer, heads. An architecture picks from these and adds what is its own. */
#ifndef FIRN_MODEL_BLOCKS_DECODER_H
#define FIRN_MODEL_BLOCKS_DECODER_H

#include "model/model.h"

#define FIRN_DECODER_TABLE "model.embed_tokens.weight"
#define FIRN_AT(field) offsetof(struct firn_config, field)

// clang-format off
/* Keys that all have, with one default for all. */
#define FIRN_DECODER_KEYS \
    { "hidden_size",         .type = FIRN_OPTION_INT,  .offset = FIRN_AT(width),      .is_required = true, .min = 1, .max = 65536 }, \
    { "num_hidden_layers",   .type = FIRN_OPTION_INT,  .offset = FIRN_AT(n_layers),   .is_required = true, .min = 1, .max = FIRN_MAX_LAYERS }, \
    { "num_attention_heads", .type = FIRN_OPTION_INT,  .offset = FIRN_AT(n_heads),    .is_required = true, .min = 1, .max = 1024 }, \
    { "num_key_value_heads", .type = FIRN_OPTION_INT,  .offset = FIRN_AT(n_kv_heads), .fallback = "0", .max = 1024 }, \
    { "intermediate_size",   .type = FIRN_OPTION_INT,  .offset = FIRN_AT(hidden),     .is_required = true, .min = 1, .max = 1048576 }, \
    { "vocab_size",          .type = FIRN_OPTION_INT,  .offset = FIRN_AT(vocabulary), .is_required = true, .min = 1, .max = 16777216 }, \
    { "pad_token_id",        .type = FIRN_OPTION_INT,  .offset = FIRN_AT(pad_id),     .fallback = "-1" }, \
    { "bos_token_id",        .type = FIRN_OPTION_INT,  .offset = FIRN_AT(bos_id),     .fallback = "-1" }, \
    { "eos_token_id",        .type = FIRN_OPTION_TREE, .offset = FIRN_AT(eos) }, \
    { "rms_norm_eps",        .type = FIRN_OPTION_REAL, .offset = FIRN_AT(norm_eps),   .fallback = "1e-6", .max = 1 }, \
    { "initializer_range",   .type = FIRN_OPTION_REAL, .offset = FIRN_AT(init_range), .fallback = "0.02", .max = 100 }, \
    { "attention_dropout",   .type = FIRN_OPTION_REAL, .offset = FIRN_AT(attention_dropout), .fallback = "0", .max = 0.99 }, \
    { "classifier_dropout",  .type = FIRN_OPTION_REAL, .offset = FIRN_AT(classifier_dropout), .max = 0.99 }, \
    { "rope_scaling",        .type = FIRN_OPTION_TREE, .offset = FIRN_AT(rope_scaling) }, \
    { "rope_parameters",     .type = FIRN_OPTION_TREE, .offset = FIRN_AT(rope_parameters) }
#define FIRN_DECODER_POSITIONS(value) \
    { "max_position_embeddings", .type = FIRN_OPTION_INT, .offset = FIRN_AT(max_positions), .fallback = value, .min = 1, .max = 16777216 }
#define FIRN_DECODER_HEAD_DIM(value) \
    { "head_dim", .type = FIRN_OPTION_INT, .offset = FIRN_AT(head_dim), .fallback = value, .max = 256 }
#define FIRN_DECODER_THETA(value) \
    { "rope_theta", .type = FIRN_OPTION_REAL, .offset = FIRN_AT(rope_theta), .fallback = value }
#define FIRN_DECODER_TIED(value) \
    { "tie_word_embeddings", .type = FIRN_OPTION_BOOL, .offset = FIRN_AT(tie_embeddings), .fallback = value }
#define FIRN_DECODER_BIAS \
    { "attention_bias", .type = FIRN_OPTION_BOOL, .offset = FIRN_AT(attention_bias), .fallback = "false" }
#define FIRN_DECODER_ACTIVATION(key, value) \
    { key, .type = FIRN_OPTION_WORD, .offset = FIRN_AT(activation), .fallback = value, \
      .words = firn_activation_words, .words_also = firn_activation_words_also }
#define FIRN_DECODER_WINDOW \
    { "sliding_window", .type = FIRN_OPTION_TREE, .offset = FIRN_AT(sliding_window) }
#define FIRN_DECODER_LAYER_TYPES \
    { "layer_types",    .type = FIRN_OPTION_TREE, .offset = FIRN_AT(layer_types) }
#define FIRN_DECODER_CAPS \
    { "attn_logit_softcapping",  .type = FIRN_OPTION_TREE, .offset = FIRN_AT(attention_cap) }, \
    { "final_logit_softcapping", .type = FIRN_OPTION_TREE, .offset = FIRN_AT(final_cap) }
// clang-format on

/* Linear layers only: no key asks for other mathematics. */
extern const struct firn_only firn_decoder_only[];
extern const char *const firn_decoder_targets[];

/* Heads and head sizes that fit each other. */
firn_status firn_decoder_finish(struct firn_config *c, const char *path, struct firn_error *err);
/* `key`'s value: `absent` where the file does not have the key, 0 where it is null; not below `low`. */
firn_status firn_decoder_number(const json_t *v, const char *key, double absent, double low, double high, double *x,
                                const char *path, struct firn_error *err);
/* Windows of the layers: layer_types where the file has them, else as `slides` says. */
firn_status firn_decoder_windows(struct firn_config *c, double absent, bool (*slides)(const struct firn_config *, int64_t),
                                 const char *path, struct firn_error *err);

/* The one table of rotary frequencies that rope_theta and rope_scaling or rope_parameters describe. */
firn_status firn_decoder_rope(struct firn_config *c, const char *path, struct firn_error *err);
/* finish() of Qwen 2 and 3: firn_decoder_finish(), windows of the layers from max_window_layers on where
 * use_sliding_window asks for them, and one table of rotary frequencies. */
firn_status firn_decoder_finish_upper(struct firn_config *c, const char *path, struct firn_error *err);

struct firn_decoder_params {
    bool qkv_bias, out_bias;
    bool qk_norm; /* RMS norm of each head of q and k, before the rotation */
};
#define firn_decoder_params(...) (&(const struct firn_decoder_params){ __VA_ARGS__ })
firn_val firn_decoder_attention(struct firn_build *b, firn_val x, const struct firn_decoder_params *p);
firn_val firn_decoder_feed_forward(struct firn_build *b, firn_val x, bool has_bias);
/* x + attention(norm(x)), then x + feed-forward(norm(x)). */
firn_val firn_decoder_layer(struct firn_build *b, firn_val x, const struct firn_decoder_params *p);
/* The same with a second norm behind each sub-layer (Gemma 2 and 3). */
firn_val firn_decoder_sandwich(struct firn_build *b, firn_val x, const struct firn_decoder_params *p);
/* Embedded tokens through all layers and the last norm. */
firn_val firn_decoder_body(struct firn_build *b, firn_val (*layer)(struct firn_build *b, firn_val x));

struct firn_head firn_decoder_sequence_head(struct firn_build *b, firn_val x);
struct firn_head firn_decoder_token_head(struct firn_build *b, firn_val x);
struct firn_head firn_decoder_causal_head(struct firn_build *b, firn_val x);
/* An architecture's record but for its finish(); `keys` and `body` are the file's own. Classes: "Llama" "ForCausalLM", and
 * those of other tasks with `text` between ("Gemma3" "Text" "ForTokenClassification"). */
#define FIRN_DECODER_ARCH(word, type, class, text) \
    .name = word, .model_type = type, .prefix = "model", .table = FIRN_DECODER_TABLE, .keys = keys, \
    .only = firn_decoder_only, .targets = firn_decoder_targets, .pools_last = true, .body = body, \
    .head = { [FIRN_TASK_SEQ_CLS] = firn_decoder_sequence_head, [FIRN_TASK_TOKEN_CLS] = firn_decoder_token_head, \
              [FIRN_TASK_CAUSAL_LM] = firn_decoder_causal_head }, \
    .class_name = { [FIRN_TASK_SEQ_CLS] = class text "ForSequenceClassification", \
                    [FIRN_TASK_TOKEN_CLS] = class text "ForTokenClassification", \
                    [FIRN_TASK_CAUSAL_LM] = class "ForCausalLM" }

#endif
