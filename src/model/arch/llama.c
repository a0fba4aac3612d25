/* SPDX-License-Identifier: Apache-2.0 */
/* Llama 2 and 3 (Touvron et al. 2023): pre-norm decoder, rotary positions, grouped heads, gated feed-forward. */
#include "model/blocks/decoder.h"

// clang-format off
static const struct firn_option keys[] = {
    FIRN_DECODER_KEYS,
    FIRN_DECODER_POSITIONS("2048"),
    FIRN_DECODER_HEAD_DIM("0"),
    FIRN_DECODER_THETA("10000"),
    FIRN_DECODER_TIED("false"),
    FIRN_DECODER_BIAS,
    FIRN_DECODER_ACTIVATION("hidden_act", "silu"),
    { "mlp_bias", .type = FIRN_OPTION_BOOL, .offset = FIRN_AT(mlp_bias), .fallback = "false" },
    { NULL }
};
// clang-format on

static firn_status finish(struct firn_config *c, const char *path, struct firn_error *err)
{
    const firn_status status = firn_decoder_finish(c, path, err);
    return status ? status : firn_decoder_rope(c, path, err);
}

static firn_val layer(struct firn_build *b, firn_val x)
{
    const bool bias = b->model->config.attention_bias;
    return firn_decoder_layer(b, x, firn_decoder_params(.qkv_bias = bias, .out_bias = bias));
}

static firn_val body(struct firn_build *b)
{
    return firn_decoder_body(b, layer);
}

const struct firn_arch firn_arch_llama = {
    FIRN_DECODER_ARCH("llama", "llama", "Llama", ""),
    .finish = finish,
};
