/* SPDX-License-Identifier: Apache-2.0 */
/* The network that p-tuning trains behind its virtual tokens (Liu et al. 2021, sec. 3.2), in PEFT's layout and names. */
#ifndef FIRN_PEFT_PROMPT_ENCODER_H
#define FIRN_PEFT_PROMPT_ENCODER_H

#include "model/model.h"

enum firn_encoder_kind { FIRN_ENCODER_MLP, FIRN_ENCODER_LSTM };

struct firn_prompt_encoder {
    int kind; /* enum firn_encoder_kind */
    int64_t hidden, n_layers; /* layers of the LSTM; the MLP has three linear ones */
    double dropout;           /* between the LSTM's layers */
};

extern const char *const firn_encoder_words[], *const firn_encoder_words_also[];

/* x [batch n, width], `batch` prompts of n virtual tokens -> the same shape. */
firn_val firn_prompt_encode(const struct firn_prompt_encoder *e, struct firn_build *b, firn_val x, int64_t batch,
                            int64_t width);

#endif
