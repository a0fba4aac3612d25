/* SPDX-License-Identifier: Apache-2.0 */
/* Prompt encoders: a bidirectional LSTM with two linear layers behind it, or three linear layers. */
#include "peft/prompt_encoder.h"

#include "peft/soft.h"

#include <math.h>

const char *const firn_encoder_words[] = { "MLP", "LSTM", NULL }, *const firn_encoder_words_also[] = { "mlp", "lstm" };

/* torch's LSTM starts every tensor uniform within 1 / sqrt(hidden). */
static firn_val trained(struct firn_build *b, const char *part, int64_t layer, bool reverse, struct firn_shape shape,
                        int64_t hidden)
{
    return firn_trained(b, FIRN_STR("prompt_encoder.lstm_head.%s_l%lld%s", part, (long long) layer,
                                    reverse ? "_reverse" : ""), shape, FIRN_INIT_UNIFORM, 1 / sqrt((double) hidden));
}

static firn_val direction(struct firn_build *b, firn_val x, int64_t batch, int64_t layer, bool reverse, int64_t n_in,
                          int64_t hidden)
{
    const firn_val w_in = trained(b, "weight_ih", layer, reverse, firn_dims(4 * hidden, n_in), hidden);
    const firn_val w = trained(b, "weight_hh", layer, reverse, firn_dims(4 * hidden, hidden), hidden);
    const firn_val bias_in = trained(b, "bias_ih", layer, reverse, firn_dims(4 * hidden), hidden);
    const firn_val bias = trained(b, "bias_hh", layer, reverse, firn_dims(4 * hidden), hidden);
    const firn_val z = firn_matmul(b->g, x, w_in, firn_matmul_params(.trans_b = true, .bias = bias_in));
    return firn_lstm(b->g, firn_add_row(b->g, z, bias), w, batch, reverse);
}

firn_val firn_prompt_encode(const struct firn_prompt_encoder *e, struct firn_build *b, firn_val x, int64_t batch,
                            int64_t width)
{
    const int64_t h = e->hidden;
    if (e->kind == FIRN_ENCODER_MLP) {
        x = firn_activate(b->g, FIRN_RELU, firn_soft_linear(b, "mlp_head.0", x, width, h));
        x = firn_activate(b->g, FIRN_RELU, firn_soft_linear(b, "mlp_head.2", x, h, h));
        return firn_soft_linear(b, "mlp_head.4", x, h, width);
    }
    for (int64_t i = 0; i < e->n_layers; i++) {
        const int64_t n_in = i == 0 ? width : 2 * h;
        if (i > 0)
            x = firn_drop(b, x, e->dropout);
        const firn_val there = direction(b, x, batch, i, false, n_in, h), back = direction(b, x, batch, i, true, n_in, h);
        x = firn_pair_columns(b->g, there, back);
    }
    x = firn_activate(b->g, FIRN_RELU, firn_soft_linear(b, "mlp_head.0", x, 2 * h, 2 * h));
    return firn_soft_linear(b, "mlp_head.2", x, 2 * h, width);
}
