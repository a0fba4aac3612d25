/* SPDX-License-Identifier: Apache-2.0 */
/* Mistral (Jiang et al. 2023): Llama with a sliding window in every layer. */
#include "model/blocks/decoder.h"

// clang-format off
static const struct firn_option keys[] = {
    FIRN_DECODER_KEYS,
    FIRN_DECODER_POSITIONS("131072"),
    FIRN_DECODER_HEAD_DIM("0"),
    FIRN_DECODER_THETA("10000"),
    FIRN_DECODER_TIED("false"),
    FIRN_DECODER_ACTIVATION("hidden_act", "silu"),
    FIRN_DECODER_WINDOW,
    { NULL }
};
// clang-format on

static bool always(const struct firn_config *c, int64_t layer)
{
    (void) c;
    (void) layer;
    return true;
}

static firn_status finish(struct firn_config *c, const char *path, struct firn_error *err)
{
    firn_status status = firn_decoder_finish(c, path, err);
    if (status == FIRN_OK)
        status = firn_decoder_windows(c, 4096, always, path, err);
    return status ? status : firn_decoder_rope(c, path, err);
}

static firn_val layer(struct firn_build *b, firn_val x)
{
    return firn_decoder_layer(b, x, firn_decoder_params(0));
}

static firn_val body(struct firn_build *b)
{
    return firn_decoder_body(b, layer);
}

const struct firn_arch firn_arch_mistral = {
    FIRN_DECODER_ARCH("mistral", "mistral", "Mistral", ""),
    .finish = finish,
};
