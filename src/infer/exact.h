/* SPDX-License-Identifier: Apache-2.0 */
/* How often a model's greedy answer is the example's, but for white space around it. */
#ifndef FIRN_INFER_EXACT_H
#define FIRN_INFER_EXACT_H

#include "infer/generate.h"
#include "train/task.h"

struct firn_exact {
    uint64_t examples, matches;
};

/* Rows of a table with the columns of a task that has prompts and answers: data.prompt and data.completion, a template with
 * an answer, or conversations that end with the assistant. `p` says how answers are made (tokenizer and ends too); a prompt
 * that is too long loses its first tokens. */
firn_status firn_exact_match(struct firn_session *s, const struct firn_table *table, const struct firn_task_setup *task,
                             const struct firn_generate_params *p, uint32_t batch_size, struct firn_exact *out,
                             struct firn_error *err);

#endif
