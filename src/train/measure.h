/* SPDX-License-Identifier: Apache-2.0 */
/* What a recipe's model is worth on data files: `firn eval`, and each cell of `firn compare`. */
#ifndef FIRN_TRAIN_MEASURE_H
#define FIRN_TRAIN_MEASURE_H

#include "firn/log.h"
#include "train/evaluate.h"
#include "train/task.h"

/* Metrics of each of n files, with the adapter of a directory or (NULL) with the untrained start. A file of NULL: the
 * examples that the recipe trains on. Labels are those of the recipe's data.train. */
firn_status firn_measure(const struct firn_recipe *r, const char *adapter, const char *const *files, int n,
                         const struct firn_log *log, struct firn_metrics *metrics, struct firn_error *err);

/* More that is to be measured on each file while the model is open. */
struct firn_measure_more {
    firn_status (*run)(void *user, int index, struct firn_session *s, const struct firn_table *table,
                       const struct firn_task_setup *task, struct firn_error *err);
    void *user;
};
firn_status firn_measure_with(const struct firn_recipe *r, const char *adapter, const char *const *files, int n,
                              const struct firn_log *log, struct firn_metrics *metrics,
                              const struct firn_measure_more *more, struct firn_error *err);

#endif
