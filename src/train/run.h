/* SPDX-License-Identifier: Apache-2.0 */
/* The state of one training run, and how it is opened, saved, resumed and finished. */
#ifndef FIRN_TRAIN_RUN_H
#define FIRN_TRAIN_RUN_H

#include "train/output.h"
#include "train/report.h"
#include "train/schedule.h"
#include "train/task.h"
#include "train/trainer.h"

struct firn_run {
    const struct firn_recipe *recipe;
    const struct firn_train_params *params;
    struct firn_output output;
    struct firn_task_setup task;
    struct firn_session session;
    struct firn_dataset train, validation;
    struct firn_batches batches;  /* of the epoch at hand */
    struct firn_history history;
    char *events;                 /* TensorBoard's file; NULL: none is wished */
    struct firn_schedule schedule;
    char fingerprint[32];         /* of the base */
    int64_t batch_size, accumulation, eval_batch_size; /* the recipe's, or smaller parts that fit memory_limit */
    int64_t step, total, per_epoch, tokens;
    int64_t without_gain;         /* evaluations since the best */
    double best_loss;
    double seconds, core_seconds; /* of the steps alone, on the clock and of all threads of this process */
    int bad_steps;
    struct firn_check check;      /* what was held against the reference */
    int64_t n_checked;            /* optimizer steps */
    bool is_dry;                  /* reads everything, writes nothing */
};

/* Output directory, data, model, device; *is_finished: --resume on a run that is done. */
firn_status firn_run_open(struct firn_run *r, bool *is_finished, struct firn_error *err);
void firn_run_close(struct firn_run *r);
/* How many optimizer steps there are, and their rates. */
void firn_run_plan_steps(struct firn_run *r);
/* What the report shows; the plan with the largest arena counts. */
void firn_run_facts(const struct firn_run *r, struct firn_report_facts *facts);
/* First values from a directory: a checkpoint's trained tensors, or an adapter. */
firn_status firn_run_start(struct firn_run *r, const char *directory, struct firn_error *err);
/* Refuses a recipe that is not the one of the finished run in its output. */
firn_status firn_run_check_finished(const struct firn_run *r, struct firn_error *err);
/* Initial values, or with --resume the newest whole checkpoint. */
firn_status firn_run_resume(struct firn_run *r, struct firn_error *err);
firn_status firn_run_checkpoint(struct firn_run *r, struct firn_error *err);
firn_status firn_run_save_best(struct firn_run *r, struct firn_error *err);
/* The batches of an epoch. */
firn_status firn_run_plan_epoch(struct firn_run *r, int64_t epoch, struct firn_error *err);
/* One line in log.jsonl. */
firn_status firn_run_log(struct firn_run *r, const struct firn_point *point, struct firn_error *err);
/* Adapter, firn.json, report. */
firn_status firn_run_finish(struct firn_run *r, struct firn_error *err);

#endif
