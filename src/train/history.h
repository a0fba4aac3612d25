/* SPDX-License-Identifier: Apache-2.0 */
/* What a run measured, step by step: kept in memory for the report, in log.jsonl for everybody, and in
 * checkpoints so that a resumed run's report is whole. */
#ifndef FIRN_TRAIN_HISTORY_H
#define FIRN_TRAIN_HISTORY_H

#include "base/json.h"

struct firn_point {
    int64_t step;
    double epoch, loss, grad_norm, learning_rate;
    double eval_loss, eval_accuracy; /* NAN where this point is no evaluation */
    bool is_eval;
};

struct firn_history {
    struct firn_point *points;
    size_t count, capacity;
};

firn_status firn_history_add(struct firn_history *h, const struct firn_point *point,
                             struct firn_error *err);
void firn_history_free(struct firn_history *h);
/* One object a point, as in log.jsonl. */
json_t *firn_point_json(const struct firn_point *p);
firn_status firn_history_from_json(struct firn_history *h, const json_t *list,
                                   struct firn_error *err);
/* Rewrites log.jsonl from the points (atomically), so that a resumed run's log has no line twice. */
firn_status firn_history_save(const struct firn_history *h, const char *path,
                              struct firn_error *err);

#endif
