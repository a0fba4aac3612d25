/* SPDX-License-Identifier: Apache-2.0 */
/* Weighted sums of LoRA adapters. */
#ifndef FIRN_PEFT_COMBINE_H
#define FIRN_PEFT_COMBINE_H

#include "firn/status.h"

/* Writes the adapter whose update is the sum of weights[i] times that of directories[i]: exact, by factors that stand side
 * by side, so that ranks add up. All must be LoRA without DoRA and biases; a module that trains whole in several of them is
 * an error. What else their files say comes from the first. No model is needed. */
firn_status firn_adapters_combine(const char *const *directories, const double *weights, size_t n, const char *out,
                                  struct firn_error *err);

#endif
