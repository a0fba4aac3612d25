/* SPDX-License-Identifier: Apache-2.0 */
/* The text part of Gemma 3 (Gemma Team 2025): Gemma 2 with norms of q and k instead of soft caps, and rotary
 * frequencies of their own for layers with a sliding window. */
#include "model/blocks/decoder.h"

#include <math.h>

// clang-format off
static const struct firn_option keys[] = {
    FIRN_DECODER_KEYS,
    FIRN_DECODER_POSITIONS("131072"),
    FIRN_DECODER_HEAD_DIM("256"),
    FIRN_DECODER_THETA("1e6"),
    FIRN_DECODER_TIED("true"),
    FIRN_DECODER_BIAS,
    FIRN_DECODER_ACTIVATION("hidden_activation", "gelu_pytorch_tanh"),
    FIRN_DECODER_WINDOW,
    FIRN_DECODER_LAYER_TYPES,
    FIRN_DECODER_CAPS,
    { "query_pre_attn_scalar",  .type = FIRN_OPTION_REAL, .offset = FIRN_AT(query_scalar),   .fallback = "256", .min = 1e-6, .max = 1e6 },
    { "rope_local_base_freq",   .type = FIRN_OPTION_REAL, .offset = FIRN_AT(local_theta),    .fallback = "10000" },
    { "sliding_window_pattern", .type = FIRN_OPTION_INT,  .offset = FIRN_AT(window_pattern), .fallback = "6", .min = 1, .max = 1 << 30,
      .also = { "_sliding_window_pattern" } },
    { NULL }
};
// clang-format on

static bool is_local(const struct firn_config *c, int64_t layer)
{
    return (layer + 1) % c->window_pattern != 0;
}

/* Frequencies stand in rope_parameters by type of layer, or, in older files, as rope_theta with rope_scaling for global
 * layers and rope_local_base_freq, never scaled, for local ones. */
static firn_status read_rope(struct firn_config *c, const char *path, struct firn_error *err)
{
    const json_t *global = json_object_get(c->rope_parameters, "full_attention");
    json_t *merged = json_is_object(global) ? json_deep_copy(global) : json_object();
    if (merged == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a configuration");
    if (json_is_object(c->rope_scaling))
        json_object_update(merged, c->rope_scaling);
    firn_status status = firn_rope_read(&c->rope, c->rope_theta, NULL, merged, c->max_positions, path, err);
    json_decref(merged);
    c->has_local_rope = true;
    return status ? status
                  : firn_rope_read(&c->local_rope, c->local_theta, NULL,
                                   json_object_get(c->rope_parameters, "sliding_attention"), c->max_positions, path,
                                   err);
}

static firn_status finish(struct firn_config *c, const char *path, struct firn_error *err)
{
    double final = 0;
    firn_status status = firn_decoder_finish(c, path, err);
    if (status == FIRN_OK)
        status = firn_decoder_windows(c, 4096, is_local, path, err);
    if (status == FIRN_OK)
        status = firn_decoder_number(c->final_cap, "final_logit_softcapping", 0, 1e-3, 1e9, &final, path, err);
    /* attn_logit_softcapping is a key that transformers reads for this model and then never uses */
    c->final_softcap = (float) final;
    c->embedding_scale = (float) sqrt((double) c->width);
    c->attention_scale = 1 / sqrt(c->query_scalar);
    c->norm_offset = 1;
    return status ? status : read_rope(c, path, err);
}

static firn_val layer(struct firn_build *b, firn_val x)
{
    const bool bias = b->model->config.attention_bias;
    return firn_decoder_sandwich(b, x, firn_decoder_params(.qkv_bias = bias, .out_bias = bias, .qk_norm = true));
}

static firn_val body(struct firn_build *b)
{
    return firn_decoder_body(b, layer);
}

const struct firn_arch firn_arch_gemma3 = {
    FIRN_DECODER_ARCH("gemma3", "gemma3_text", "Gemma3", "Text"),
    .finish = finish,
};
