/* SPDX-License-Identifier: Apache-2.0 */
/* Gemma 2 (Gemma Team 2024): scaled embeddings, norms before and behind each sub-layer that multiply by 1 + w, soft
 * caps of scores and logits, a sliding window in every other layer. */
#include "model/blocks/decoder.h"

#include <math.h>

// clang-format off
static const struct firn_option keys[] = {
    FIRN_DECODER_KEYS,
    FIRN_DECODER_POSITIONS("8192"),
    FIRN_DECODER_HEAD_DIM("256"),
    FIRN_DECODER_THETA("10000"),
    FIRN_DECODER_TIED("true"),
    FIRN_DECODER_BIAS,
    FIRN_DECODER_ACTIVATION("hidden_activation", "gelu_pytorch_tanh"),
    FIRN_DECODER_WINDOW,
    FIRN_DECODER_LAYER_TYPES,
    FIRN_DECODER_CAPS,
    { "query_pre_attn_scalar", .type = FIRN_OPTION_REAL, .offset = FIRN_AT(query_scalar), .fallback = "256", .min = 1e-6, .max = 1e6 },
    { NULL }
};
// clang-format on

static bool is_even(const struct firn_config *c, int64_t layer)
{
    (void) c;
    return layer % 2 == 0;
}

static firn_status finish(struct firn_config *c, const char *path, struct firn_error *err)
{
    double attention = 0, final = 0;
    firn_status status = firn_decoder_finish(c, path, err);
    if (status == FIRN_OK)
        status = firn_decoder_windows(c, 4096, is_even, path, err);
    if (status == FIRN_OK)
        status = firn_decoder_number(c->attention_cap, "attn_logit_softcapping", 50, 1e-3, 1e9, &attention, path, err);
    if (status == FIRN_OK)
        status = firn_decoder_number(c->final_cap, "final_logit_softcapping", 30, 1e-3, 1e9, &final, path, err);
    c->attention_softcap = (float) attention;
    c->final_softcap = (float) final;
    c->embedding_scale = (float) sqrt((double) c->width);
    c->attention_scale = 1 / sqrt(c->query_scalar);
    c->norm_offset = 1;
    return status ? status : firn_decoder_rope(c, path, err);
}

static firn_val layer(struct firn_build *b, firn_val x)
{
    const bool bias = b->model->config.attention_bias;
    return firn_decoder_sandwich(b, x, firn_decoder_params(.qkv_bias = bias, .out_bias = bias));
}

static firn_val body(struct firn_build *b)
{
    return firn_decoder_body(b, layer);
}

const struct firn_arch firn_arch_gemma2 = {
    FIRN_DECODER_ARCH("gemma2", "gemma2", "Gemma2", ""),
    .finish = finish,
};
