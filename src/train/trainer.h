/* SPDX-License-Identifier: Apache-2.0 */
/* `firn train`: from a recipe to an adapter, in steps that can be stopped and resumed without a bit of difference. */
#ifndef FIRN_TRAIN_TRAINER_H
#define FIRN_TRAIN_TRAINER_H

#include "train/evaluate.h"
#include "train/history.h"

#include <signal.h>

struct firn_progress {
    int64_t step, total;
    double loss, rate, epoch, tokens_per_second, seconds, seconds_left;
    uint64_t memory_bytes;
    bool is_logged; /* a point of the log: loss and the rest are means since the last one */
    const struct firn_metrics *metrics; /* an evaluation; else NULL */
};

struct firn_train_params {
    bool resume, overwrite;
    int64_t check; /* of so many optimizer steps, each operation is held against the reference first (plan/check.h) */
    struct firn_log log;
    void (*progress)(void *user, const struct firn_progress *p);
    void *user;
    const volatile sig_atomic_t *stop; /* set by a signal: save a checkpoint and end with FIRN_ERR_STOPPED */
};

/* What a run would be. */
struct firn_dry_run {
    char *device;               /* free() it */
    int64_t trainable, total;   /* parameters */
    int64_t examples, skipped, validation, test, longest, labels;
    int64_t steps, per_epoch, done;       /* done: by the checkpoint that --resume would go on from */
    int64_t batch, accumulation;
    uint64_t base_bytes, adapter_bytes, optimizer_bytes, activation_bytes;
    bool is_finished;           /* --resume on a run that is done; nothing else is known then */
};
/* Reads recipe, model, data, method and what is to be resumed, and plans the longest batch, so that what would stop a run
 * at its start stops this; trains nothing and writes nothing. */
firn_status firn_train_dry(const struct firn_recipe *recipe, const struct firn_train_params *params,
                           struct firn_dry_run *d, struct firn_error *err);

firn_status firn_train(const struct firn_recipe *recipe, const struct firn_train_params *params,
                       struct firn_error *err);

#endif
