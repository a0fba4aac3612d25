/* SPDX-License-Identifier: Apache-2.0 */
/* Prompts for adapters that have a prompt a task (multitask_prompt, multitask_ptuning): a line is filled into its task's
 * template, whose virtual tokens stand anywhere in it. */
#ifndef FIRN_CLI_TASK_PROMPTS_H
#define FIRN_CLI_TASK_PROMPTS_H

#include "train/session.h"
#include "train/task_templates.h"

struct firn_task_prompts {
    json_t *config;      /* adapter_config.json; texts of the templates are its */
    struct firn_task_templates *templates; /* NULL: the adapter has one prompt for all */
    const char *task;    /* of lines that name none; NULL: each must */
    int64_t limit;       /* tokens of a prompt */
};

/* Leaves templates NULL where the session's adapter has no tasks; then `task` must be NULL. */
firn_status firn_task_prompts_open(struct firn_task_prompts *p, const struct firn_session *s, const char *adapter,
                                   const char *task, int64_t limit, struct firn_error *err);
void firn_task_prompts_close(struct firn_task_prompts *p);
/* A JSON object of the template's fields (and taskname), or a text that is its only field. malloc'd ids, -1 where
 * virtual_ids are rows of the adapter's table. */
firn_status firn_task_prompts_encode(const struct firn_task_prompts *p, const struct firn_session *s,
                                     const struct firn_tokenizer *tokenizer, const char *text, size_t size, const char *file,
                                     size_t line, int32_t **ids, int32_t **virtual_ids, size_t *n, struct firn_error *err);

#endif
