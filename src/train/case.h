/* SPDX-License-Identifier: Apache-2.0 */
/* A recorded case: case.json and batches.safetensors. */
#ifndef FIRN_TRAIN_CASE_H
#define FIRN_TRAIN_CASE_H

#include "model/model.h"
#include "train/inputs.h"
#include "train/schedule.h"
#include "train/session.h"

struct firn_case_file {
    char *directory, *model, *method, *task_name;
    json_t *json, *peft_config;
    enum firn_task task;
    enum firn_problem problem;
    int64_t n_labels, steps, grad_accum, batch_size;
    enum firn_dtype quantised; /* of the base */
    bool decays_all, token_mean, generates;
    double max_grad_norm, smoothing, weight_decay, beta1, beta2, eps;
    struct firn_schedule schedule;
    struct firn_safetensors batches;
};

firn_status firn_case_open(struct firn_case_file *c, const char *directory, struct firn_error *err);
void firn_case_close(struct firn_case_file *c);
char *firn_case_path(const struct firn_case_file *c, const char *name); /* malloc'd */
/* Micro-batch `index` as inputs; firn_inputs_free() it. */
firn_status firn_case_inputs(const struct firn_case_file *c, const struct firn_session *s, int64_t index,
                             struct firn_inputs *in, struct firn_error *err);
/* A session on the case's model (looked up in `models`; NULL: beside the case) with its method, before any value is read. */
firn_status firn_case_session(const struct firn_case_file *c, const char *models, const char *device, const struct firn_log *log,
                              struct firn_session *s, struct firn_error *err);

#endif
