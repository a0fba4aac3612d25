/* SPDX-License-Identifier: Apache-2.0 */
/* From a head to the outputs of a graph: logits, loss, hidden states. */
#ifndef FIRN_MODEL_LOSS_H
#define FIRN_MODEL_LOSS_H

#include "model/model.h"

void firn_build_outputs(struct firn_build *b, const struct firn_head *head);

#endif
