/* SPDX-License-Identifier: Apache-2.0 */
/* Learning-rate schedules, as `get_*_schedule` of transformers define them. */
#ifndef FIRN_TRAIN_SCHEDULE_H
#define FIRN_TRAIN_SCHEDULE_H

#include "train/recipe.h"

struct firn_schedule {
    enum firn_schedule_type type;
    double peak;         /* learning rate */
    int64_t warmup, total; /* optimizer steps */
};

/* The rate of update k, k = 0 for the first. With a warm-up, the first rate is 0. */
double firn_schedule_rate(const struct firn_schedule *s, int64_t k);

#endif
