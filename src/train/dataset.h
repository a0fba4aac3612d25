/* SPDX-License-Identifier: Apache-2.0 */
/* Examples as token ids and labels, made from a table, a tokenizer and a task. */
#ifndef FIRN_TRAIN_DATASET_H
#define FIRN_TRAIN_DATASET_H

#include "data/batches.h"
#include "data/chat.h"
#include "data/labels.h"
#include "firn/tokenizer.h"
#include "train/inputs.h"
#include "train/recipe.h"
#include "train/session.h"
#include "train/task_templates.h"

struct firn_example {
    int32_t *ids, *types;  /* length each */
    int32_t *virtual_ids;  /* length: the virtual tokens of prompt_task where ids are -1, else -1; NULL: none */
    const char *prompt_task;
    int32_t *labels;       /* length each, unshifted, -100 = not counted; NULL for sequence classification */
    uint32_t length;
    uint32_t target;       /* seq2seq_lm: how many labels there are */
    size_t line;
    int32_t label;         /* sequence classification */
    int32_t adapter;       /* of a session whose adapters are mixed: which is this example's */
    float *targets;        /* multi-label and regression: classes */
};

struct firn_dataset {
    struct firn_table table;
    struct firn_example *list;
    uint32_t *lengths;
    uint32_t *targets;     /* seq2seq_lm: how many labels each has; else NULL */
    uint32_t count;
    uint32_t skipped;      /* rows that do not fit, templates of several tasks only; list has no entry for them */
    uint64_t tokens;
    uint32_t crc;          /* of the file's bytes */
};

struct firn_dataset_params {
    const struct firn_tokenizer *tokenizer;
    const struct firn_recipe_data *columns;
    const struct firn_chat *chat; /* causal_lm: of columns->messages; NULL: no conversations */
    enum firn_task task;
    enum firn_problem problem;
    const struct firn_labels *labels;
    uint32_t max_length, max_target;
    const struct firn_task_templates *templates; /* of several tasks; NULL: columns tell */
    bool has_labels;       /* false: texts to classify; the label column is not read */
};

/* Tokenizes a table that was loaded; takes it over, also when it fails. */
firn_status firn_dataset_make(struct firn_dataset *d, struct firn_table *table, const struct firn_dataset_params *p,
                              struct firn_error *err);
void firn_dataset_free(struct firn_dataset *d);

/* One batch as inputs. `masking` is the seed of masked language modelling's choices at this step (0 .. in evaluation). */
firn_status firn_dataset_inputs(const struct firn_dataset *d, const struct firn_batches *plan, uint32_t batch,
                                const struct firn_session *s, const struct firn_dataset_params *p, uint64_t seed,
                                uint32_t step, struct firn_inputs *in, struct firn_error *err);

/* Which problem the labels of a table pose: words, whole numbers -> single label; lists -> multi-label; fractions ->
 * regression. `said` (may be NULL) is the recipe's word. */
firn_status firn_problem_of(const struct firn_table *table, const char *column, const char *said,
                            enum firn_problem *problem, struct firn_error *err);

#endif
