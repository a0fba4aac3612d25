/* SPDX-License-Identifier: Apache-2.0 */
/* Makers of examples that have a file of their own; see dataset.h. */
#ifndef FIRN_TRAIN_EXAMPLE_H
#define FIRN_TRAIN_EXAMPLE_H

#include "train/dataset.h"

/* Row i of a table as tokens, and which of them are trained on. */
firn_status firn_example_causal(struct firn_example *e, const struct firn_table *t, uint32_t i,
                                const struct firn_dataset_params *p, struct firn_encoding *encoding,
                                struct firn_error *err);

#endif
