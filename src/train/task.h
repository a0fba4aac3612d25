/* SPDX-License-Identifier: Apache-2.0 */
/* What a recipe's task means for a data set: labels, problem, tokenizer, lengths. Shared by train, eval and plan. */
#ifndef FIRN_TRAIN_TASK_H
#define FIRN_TRAIN_TASK_H

#include "train/dataset.h"
#include "train/session.h"

struct firn_task_setup {
    struct firn_tokenizer *tokenizer;
    struct firn_labels labels;
    enum firn_task task;
    enum firn_problem problem;
    uint32_t max_length, max_target; /* max_target: seq2seq_lm, else 0 */
    char *text, *text_pair, *prompt, *completion, *template, *messages; /* columns */
    struct firn_chat chat;
    bool has_chat;
    struct firn_task_templates *templates; /* of a method with prompts by task; else NULL */
    enum firn_dtype quantised; /* of the frozen base */
    struct firn_recipe_data columns; /* points to the recipe's or to the above */
};

/* Opens the tokenizer and finds the labels in `train` (a table that was loaded). */
firn_status firn_task_open(struct firn_task_setup *t, const struct firn_recipe *r, const struct firn_table *train,
                           struct firn_error *err);
/* The same without the model's files: no tokenizer. For plans. */
firn_status firn_task_open_bare(struct firn_task_setup *t, const struct firn_recipe *r, const struct firn_table *train,
                                struct firn_error *err);
/* From an adapter's firn.json. */
firn_status firn_task_open_adapter(struct firn_task_setup *t, const char *model, const char *adapter,
                                   struct firn_error *err);
void firn_task_close(struct firn_task_setup *t);
int64_t firn_task_n_labels(const struct firn_task_setup *t);
void firn_task_dataset_params(const struct firn_task_setup *t, struct firn_dataset_params *p);
/* The contents of firn.json. */
json_t *firn_task_json(const struct firn_task_setup *t, const char *fingerprint);

/* Session settings for a recipe (adapter NULL) with a task. */
void firn_task_session_params(const struct firn_task_setup *t, const struct firn_recipe *r,
                              struct firn_session_params *p);

#endif
