/* SPDX-License-Identifier: Apache-2.0 */
/* Qwen 3 (Yang et al. 2025): Llama with a norm of each head of q and k, and a head size of its own. */
#include "model/blocks/decoder.h"

// clang-format off
static const struct firn_option keys[] = {
    FIRN_DECODER_KEYS,
    FIRN_DECODER_POSITIONS("32768"),
    FIRN_DECODER_HEAD_DIM("128"),
    FIRN_DECODER_THETA("10000"),
    FIRN_DECODER_TIED("false"),
    FIRN_DECODER_BIAS,
    FIRN_DECODER_ACTIVATION("hidden_act", "silu"),
    FIRN_DECODER_WINDOW,
    FIRN_DECODER_LAYER_TYPES,
    { "use_sliding_window", .type = FIRN_OPTION_BOOL, .offset = FIRN_AT(use_window),        .fallback = "false" },
    { "max_window_layers",  .type = FIRN_OPTION_INT,  .offset = FIRN_AT(max_window_layers), .fallback = "28" },
    { NULL }
};
// clang-format on

static firn_val layer(struct firn_build *b, firn_val x)
{
    const bool bias = b->model->config.attention_bias;
    return firn_decoder_layer(b, x, firn_decoder_params(.qkv_bias = bias, .out_bias = bias, .qk_norm = true));
}

static firn_val body(struct firn_build *b)
{
    return firn_decoder_body(b, layer);
}

const struct firn_arch firn_arch_qwen3 = {
    FIRN_DECODER_ARCH("qwen3", "qwen3", "Qwen3", ""),
    .finish = firn_decoder_finish_upper,
};
