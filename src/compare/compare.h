/* SPDX-License-Identifier: Apache-2.0 */
/* One task, many methods: every method is trained with every seed on every amount of data, and measured in and out of
 * domain. A recipe whose `method` is a list and that has a section `compare`:
 *
 *     method:
 *       - {name: LoRA, type: lora, r: 8, train: {learning_rate: 1e-3}}      # `train` is this method's own
 *       - {name: full, type: full, train: {learning_rate: 5e-5}}
 *     compare: {seeds: [1, 2, 3], sizes: [16, 256, 2048], out_of_domain: other.jsonl, min_steps: 60}
 */
#ifndef FIRN_COMPARE_COMPARE_H
#define FIRN_COMPARE_COMPARE_H

#include "train/trainer.h"
#include "train/recipe.h"

struct firn_compare_method {
    const char *name;           /* unique; what tables show */
    const json_t *settings;     /* a recipe's `method` */
    const json_t *train;        /* keys that take the place of the recipe's; NULL: none */
};

/* Data files that a cell is measured on. */
enum firn_part { FIRN_PART_TRAIN, FIRN_PART_VALIDATION, FIRN_PART_TEST, FIRN_PART_OUT, FIRN_PART_COUNT };
extern const char *const firn_part_words[FIRN_PART_COUNT];

/* One method, one amount of data, one seed. */
struct firn_cell {
    int method;
    int64_t size, seed;         /* size 0: all examples */
    bool is_done;
    char *failure;              /* why it has no result; NULL: it has */
    double quality[FIRN_PART_COUNT], loss[FIRN_PART_COUNT]; /* NAN: not measured */
    double seconds, examples;
    int64_t trainable, total, adapter_bytes, memory_bytes;
};

struct firn_compare {
    char *path;                 /* of the recipe, for messages */
    json_t *tree;               /* the whole recipe; methods point into it */
    struct firn_compare_method *methods;
    int n_methods;
    int64_t *sizes, *seeds;
    int n_sizes, n_seeds;
    struct firn_cell *cells;    /* by size, then method, then seed */
    int n_cells;
    char *output, *out_of_domain;
    int64_t min_steps;
    bool keep_adapters;
    const char *metric;         /* what quality is: "accuracy", ... */
    bool is_share;              /* a share of examples, more is better; else an error, less is better */
};

extern const struct firn_option firn_compare_keys[];

/* Reads the recipe, with "section.key=value" overrides, and checks each method's settings. */
firn_status firn_compare_open(struct firn_compare *c, const char *path, char *const *overrides, int n_overrides,
                              struct firn_error *err);
void firn_compare_close(struct firn_compare *c);
struct firn_cell *firn_compare_cell(const struct firn_compare *c, int size, int method, int seed);
/* The recipe of one cell; free it. */
firn_status firn_compare_recipe(const struct firn_compare *c, const struct firn_cell *cell, struct firn_recipe *r,
                                struct firn_error *err);
/* The directory of one cell below the output; free() it. */
char *firn_compare_directory(const struct firn_compare *c, const struct firn_cell *cell);

struct firn_compare_params {
    bool resume, overwrite;
    struct firn_log log;
    void (*progress)(void *user, const struct firn_compare *c, const struct firn_cell *cell, int index);
    void *user;
    const volatile sig_atomic_t *stop;
};
/* Runs what is not done yet; compare.json and compare.html are written anew after each cell. A cell that fails is noted
 * and the others go on. */
firn_status firn_compare_run(struct firn_compare *c, const struct firn_compare_params *params, struct firn_error *err);

/* Trains and measures one cell, or reads the result that it left. */
firn_status firn_cell_run(struct firn_compare *c, struct firn_cell *cell, const struct firn_compare_params *params,
                          struct firn_error *err);

/* ---- what the cells say ---- */

struct firn_statistic {
    double mean, spread;        /* sample standard deviation over seeds; 0 with one */
    int n;
};
typedef double (*firn_cell_value)(const struct firn_cell *cell);
struct firn_statistic firn_compare_statistic(const struct firn_compare *c, int size, int method, firn_cell_value value);
struct firn_statistic firn_compare_quality(const struct firn_compare *c, int size, int method, enum firn_part part);
double firn_cell_seconds(const struct firn_cell *cell);
double firn_cell_memory(const struct firn_cell *cell);
double firn_cell_bytes(const struct firn_cell *cell);
double firn_cell_trainable(const struct firn_cell *cell);

/* Sentences, one a line: what the data says about the usual claims, against the method `full` (else the first). */
void firn_compare_findings(const struct firn_compare *c, struct firn_str *text);
/* The results at one size as aligned columns. */
void firn_compare_table(const struct firn_compare *c, int size, struct firn_str *text);
firn_status firn_compare_page(const struct firn_compare *c, const char *path, struct firn_error *err);
json_t *firn_compare_json(const struct firn_compare *c);

#endif
