/* SPDX-License-Identifier: Apache-2.0 */
/* Qwen 2 and 2.5 (Yang et al. 2024): Llama with biases of q, k and v, and windows in upper layers on request. */
#include "model/blocks/decoder.h"

// clang-format off
static const struct firn_option keys[] = {
    FIRN_DECODER_KEYS,
    FIRN_DECODER_POSITIONS("32768"),
    FIRN_DECODER_HEAD_DIM("0"),
    FIRN_DECODER_THETA("10000"),
    FIRN_DECODER_TIED("false"),
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
    return firn_decoder_layer(b, x, firn_decoder_params(.qkv_bias = true));
}

static firn_val body(struct firn_build *b)
{
    return firn_decoder_body(b, layer);
}

const struct firn_arch firn_arch_qwen2 = {
    FIRN_DECODER_ARCH("qwen2", "qwen2", "Qwen2", ""),
    .finish = firn_decoder_finish_upper,
};
