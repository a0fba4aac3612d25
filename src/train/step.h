/* SPDX-License-Identifier: Apache-2.0 */
/* What a training step adds behind a model's loss: gradients, their sum over micro-batches, their norm, AdamW. */
#ifndef FIRN_TRAIN_STEP_H
#define FIRN_TRAIN_STEP_H

#include "model/model.h"

/* Leaves made here: grads, moment1, moment2 [flat]; rates.0, ... [8], one for each group of parameters; keep [1] (with accumulates);
 * grad_norm [1]. */
firn_status firn_step_build(struct firn_build *b, bool accumulates, struct firn_error *err);

#endif
