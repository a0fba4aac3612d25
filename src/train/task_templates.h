/* SPDX-License-Identifier: Apache-2.0 */
/* Templates of prompts for several tasks, as NeMo writes them:
 *
 *     taskname: squad
 *     prompt_template: "<|VIRTUAL_PROMPT_0|> {context} question: {question} <|VIRTUAL_PROMPT_1|> answer:{answer}"
 *     total_virtual_tokens: 10
 *     virtual_token_splits: [7, 3]
 *     truncate_field: context
 *     answer_only_loss: true
 *     answer_field: answer
 */
#ifndef FIRN_TRAIN_TASK_TEMPLATES_H
#define FIRN_TRAIN_TASK_TEMPLATES_H

#include "data/table.h"
#include "firn/tokenizer.h"

struct firn_task_templates;

/* `tasks` is a recipe's list; n_virtual holds where a task has no total_virtual_tokens. Texts stay those of `tasks`. */
firn_status firn_task_templates_open(struct firn_task_templates **templates, const json_t *tasks, int64_t n_virtual,
                                     uint32_t max_length, const char *file, struct firn_error *err);
void firn_task_templates_close(struct firn_task_templates **templates);

/* The one field of a task's template that is not its answer; NULL: it has none, or several, or there is no such task. */
const char *firn_task_templates_only_field(const struct firn_task_templates *templates, const char *task);

struct firn_laid_out {
    const char *task;      /* its name, alive as long as the templates */
    int32_t *ids, *virtual_ids, *labels; /* n each, malloc'd; ids are -1 where virtual_ids count the task's virtual tokens */
    uint32_t n;            /* 0: too long even without the field that gives way; nothing was made */
};
/* Row `row` by its task's template. `has_answer`: the answer must be there, and is what counts in the loss. */
firn_status firn_task_templates_lay_out(const struct firn_task_templates *templates, const struct firn_table *table,
                                        size_t row, const struct firn_tokenizer *tokenizer, uint32_t max_length,
                                        bool has_answer, struct firn_encoding *encoding, struct firn_laid_out *out,
                                        struct firn_error *err);

#endif
