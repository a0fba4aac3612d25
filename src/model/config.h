/* SPDX-License-Identifier: Apache-2.0 */
/* config.json, read through the key table of its architecture. */
#ifndef FIRN_MODEL_CONFIG_H
#define FIRN_MODEL_CONFIG_H

#include "base/option.h"
#include "firn/ops.h"
#include "model/rope_table.h"

struct firn_arch;

enum { FIRN_MAX_LAYERS = 1024 };

/* Names of fields are firn's; each architecture's table says which key of config.json fills them. */
struct firn_config {
    int64_t width, n_layers, n_heads, n_kv_heads, head_dim, hidden, vocabulary;
    int64_t max_positions, token_types;
    int64_t first_position; /* of a text; RoBERTa: pad_id + 1, and padding does not count */
    int64_t pad_id, bos_id, eos_id; /* -1: none */
    int64_t n_decoder_layers, decoder_start_id; /* encoder-decoders; n_layers is the encoder's */
    int64_t n_buckets, max_distance; /* of a relative position bias */
    double norm_eps, init_range, rope_theta;
    double hidden_dropout, attention_dropout, embedding_dropout, classifier_dropout; /* classifier: -1 = hidden's */
    bool tie_embeddings, attention_bias, mlp_bias;
    bool scales_attention, scales_by_layer; /* GPT-2's keys: scores are scaled at all, and by 1 / (1 + layer) too */
    double attention_scale; /* of q k; 0: 1 / sqrt(head_dim) */
    int activation;      /* enum firn_activation */
    json_t *rope_scaling, *rope_parameters; /* as they stand in the file; `rope` is what they say */
    struct firn_rope rope;
    char *feed_forward;  /* T5: "relu", "gated-gelu"; `activation` and is_gated are what it says */
    bool is_gated;
    json_t *scale_outputs; /* T5: null when absent; scales_outputs is what holds */
    bool scales_outputs;
    json_t *eos;         /* eos_token_id: a number or a list */

    /* Decoders. Keys whose absence and null differ are trees; what follows them is made by finish. */
    json_t *sliding_window, *layer_types, *attention_cap, *final_cap;
    int64_t max_window_layers, window_pattern;
    double query_scalar, local_theta;
    bool use_window;
    int64_t window;      /* keys that a sliding layer sees, its own included; 0: all */
    bool slides[FIRN_MAX_LAYERS];
    struct firn_rope local_rope;     /* of sliding layers, where they have their own */
    bool has_local_rope;
    float embedding_scale;           /* factor of embedded tokens; 0: none */
    float attention_softcap, final_softcap; /* 0: none */
    float norm_offset;               /* RMS norms multiply by offset + w */
};

/* Words of hidden_act, in the order of enum firn_activation. */
extern const char *const firn_activation_words[], *const firn_activation_words_also[];

/* Finds the architecture by model_type and reads its keys; an unknown one is an error that lists those there are. */
firn_status firn_config_load(struct firn_config *config, const struct firn_arch **arch, const char *path,
                             struct firn_error *err);
/* The same from a tree; `path` is for messages. */
firn_status firn_config_read(struct firn_config *config, const struct firn_arch **arch, const json_t *root,
                             const char *path, struct firn_error *err);
void firn_config_free(struct firn_config *config, const struct firn_arch *arch);

#endif
