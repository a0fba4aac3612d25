/* SPDX-License-Identifier: Apache-2.0 */
/* A recipe: what `firn train` is told. YAML, overrides, help and docs come from the tables here. */
#ifndef FIRN_TRAIN_RECIPE_H
#define FIRN_TRAIN_RECIPE_H

#include "base/option.h"
#include "firn/tensor.h"

enum firn_schedule_type {
    FIRN_SCHEDULE_CONSTANT,
    FIRN_SCHEDULE_CONSTANT_WARMUP,
    FIRN_SCHEDULE_LINEAR,
    FIRN_SCHEDULE_COSINE,
    FIRN_SCHEDULE_INVERSE_SQRT,
};

enum firn_decay_rule { FIRN_DECAY_ALL, FIRN_DECAY_NOT_BIAS_NORM };

struct firn_recipe_data {
    char *train, *validation, *test;
    double validation_split; /* 0: none */
    int64_t max_train_samples; /* 0: all */
    char *text, *text_pair, *label, *prompt, *completion, *template, *messages;
    json_t *chat;          /* a format's name, or the format; NULL: the model's */
    char *problem_type;
    bool packing;          /* causal_lm: batches of tokens, not of examples */
};

struct firn_recipe_train {
    double num_train_epochs;
    int64_t max_steps, batch_size, eval_batch_size, gradient_accumulation_steps, max_length, max_target_length;
    int64_t pad_to_multiple_of;
    double learning_rate;
    int lr_scheduler_type; /* enum firn_schedule_type */
    double warmup_steps;   /* below 1: a fraction of all steps */
    double weight_decay, adam_beta1, adam_beta2, adam_epsilon, max_grad_norm;
    int decay_exclude;     /* enum firn_decay_rule */
    double label_smoothing_factor;
    int64_t seed, logging_steps, eval_steps, save_steps, save_total_limit;
    int gradient_checkpointing; /* 0: auto; else 1 + enum firn_recompute */
    bool load_best_model_at_end, group_by_length, dropout;
    int64_t early_stopping_patience;
    int report_to;         /* 0: none; 1: tensorboard */
};

struct firn_recipe {
    char *path;            /* the file, for messages */
    char *model, *output, *device;
    int task;              /* enum firn_task */
    int base_dtype;        /* index into firn_recipe_dtypes */
    int matrix_precision;  /* 1: fast */
    json_t *quantization;  /* as written ... */
    enum firn_dtype quantised; /* ... and as understood; FIRN_NONE: as the files have it */
    char *start_from;      /* a checkpoint or an adapter to start from; NULL: the method's own start */
    int64_t memory_limit;  /* bytes; 0: what the device says is free */
    struct firn_recipe_data data;
    struct firn_recipe_train train;
    json_t *tasks;         /* of prompts by task; goes into the method's settings */
    json_t *method;        /* PEFT's words; read by the peft layer */
};

/* In the order of base_dtype's words: FIRN_NONE for `file`. */
extern const enum firn_dtype firn_recipe_dtypes[];
extern const struct firn_option firn_recipe_top[], firn_recipe_data_keys[], firn_recipe_train_keys[];

/* Reads `path`, then "section.key=value" overrides (or "key=value" where the key is unique). */
firn_status firn_recipe_load(struct firn_recipe *r, const char *path, char *const *overrides,
                             int n_overrides, struct firn_error *err);
/* The two halves of it: a file with overrides as a tree (json_decref() it), and a tree, which must have no keys but a
 * recipe's, as a recipe; `path` is for messages. */
firn_status firn_recipe_tree_load(json_t **tree, const char *path, char *const *overrides, int n_overrides,
                                  struct firn_error *err);
firn_status firn_recipe_from_tree(struct firn_recipe *r, const json_t *tree, const char *path, struct firn_error *err);
void firn_recipe_free(struct firn_recipe *r);
/* All values, defaults included, as a tree in the layout of a recipe file. */
json_t *firn_recipe_tree(const struct firn_recipe *r);

#endif
