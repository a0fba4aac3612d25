/* SPDX-License-Identifier: Apache-2.0 */
/* What a recipe's model is worth on data files: `firn eval`, and each cell of `firn compare`. */
#ifndef FIRN_TRAIN_MEASURE_H
#define FIRN_TRAIN_MEASURE_H

#include "firn/log.h"
#include "train/evaluate.h"

/* Metrics of each of n files, with the adapter of a directory or (NULL) with the untrained start. A file of NULL: the
 * examples that the recipe trains on. Labels are those of the recipe's data.train. */
firn_status firn_measure(const struct firn_recipe *r, const char *adapter, const char *const *files, int n,
                         const struct firn_log *log, struct firn_metrics *metrics, struct firn_error *err);

#endif
