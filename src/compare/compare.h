/* SPDX-License-Identifier: Apache-2.0 */
/* One task, many methods: every method is trained with every seed on every amount of data, and measured in and out of
 * domain. A recipe whose `method` is a list and that has a section `compare`:
 *
 *     method:
 *       - {name: LoRA, type: lora, r: 8, train: {learning_rate: 1e-3}}      # `train` is this method's own
 *       - {name: full, type: full, train: {learning_rate: 5e-5}}
 *     compare: {seeds: [1, 2, 3], sizes: [16, 256, 2048], out_of_domain: other.jsonl, min_steps: 60}
 *
 * A list of values in a method's `train`, or in its `search`, is tried on seeds of its own; what does best on the
 * validation data is what the method then runs with:
 *
 *       - {name: LoRA, type: lora, train: {learning_rate: [3e-4, 1e-3, 3e-3]}, search: {r: [4, 16]}}
 */
#ifndef FIRN_COMPARE_COMPARE_H
#define FIRN_COMPARE_COMPARE_H

#include "train/trainer.h"
#include "train/recipe.h"

/* A key with several values to choose from. */
struct firn_axis {
    char *key;
    json_t *values;             /* a list of at least one */
    bool is_train;              /* of the section train; else of the method itself */
};

struct firn_compare_method {
    const char *name;           /* unique; what tables show */
    const json_t *settings;     /* a recipe's `method` */
    const json_t *train;        /* keys that take the place of the recipe's; NULL: none */
    struct firn_axis *axes;
    int n_axes;
    int n_choices;              /* product of the axes' lengths; 1 without axes */
    int first_try;              /* among the tries of one size */
};

/* Data files that a cell is measured on. */
enum firn_part { FIRN_PART_TRAIN, FIRN_PART_VALIDATION, FIRN_PART_TEST, FIRN_PART_OUT, FIRN_PART_COUNT };
extern const char *const firn_part_words[FIRN_PART_COUNT];

/* One method, one amount of data, one seed. A try is measured on validation data alone. */
struct firn_cell {
    int method, choice;         /* choice: which values of the method's axes */
    int64_t size, seed;         /* size 0: all examples */
    bool is_try, is_done;
    char *failure;              /* why it has no result; NULL: it has */
    double quality[FIRN_PART_COUNT], loss[FIRN_PART_COUNT]; /* NAN: not measured */
    double seconds, core_seconds, examples; /* of the training steps; core_seconds: of all threads of this process */
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
    struct firn_cell *tries;    /* by size, then method, choice and seed */
    int n_tries, tries_per_size;
    int64_t *search_seeds, search_size; /* search_size 0: a choice for each size */
    int n_search_seeds, n_searches;     /* n_searches: amounts of data at which choices are made */
    char *output, *validation, *out_of_domain;
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

/* ---- settings chosen on validation data ---- */

/* The axes of each method; the tries, after the cells. */
firn_status firn_search_open(struct firn_compare *c, struct firn_error *err);
void firn_search_close(struct firn_compare *c);
struct firn_cell *firn_compare_try(const struct firn_compare *c, int search, int method, int choice, int seed);
/* Which search makes the choices for a size. */
int firn_search_of(const struct firn_compare *c, int size);
/* Puts a choice's values into the sections of a recipe. */
void firn_choice_apply(const struct firn_compare_method *m, int choice, json_t *train, json_t *method);
/* {"learning_rate": 0.001, "r": 8}; json_decref() it. */
json_t *firn_choice_json(const struct firn_compare_method *m, int choice);
/* "learning_rate=0.001,r=8", or with `assign` " " and `separator` ", ". */
void firn_choice_text(const struct firn_compare_method *m, int choice, const char *assign, const char *separator,
                      struct firn_str *text);
/* The choice that did best on validation data, the mean over the search's seeds, as far as it is known; the loss breaks
 * ties, then the order of the lists. -1: none could be trained. */
int firn_search_best(const struct firn_compare *c, int search, int method);
/* What was tried at each size and how it did, one line a method; nothing when nothing was searched. */
void firn_search_table(const struct firn_compare *c, struct firn_str *text);
json_t *firn_search_json(const struct firn_compare *c);

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
double firn_cell_core_seconds(const struct firn_cell *cell);
double firn_cell_memory(const struct firn_cell *cell);
double firn_cell_bytes(const struct firn_cell *cell);
double firn_cell_trainable(const struct firn_cell *cell);

/* Sentences, one a line: what the data says about the usual claims, against the method `full` (else the first). */
void firn_compare_findings(const struct firn_compare *c, struct firn_str *text);
/* The results at one size as aligned columns. */
void firn_compare_table(const struct firn_compare *c, int size, struct firn_str *text);
void firn_compare_table_html(const struct firn_compare *c, int size, struct firn_str *text);
firn_status firn_compare_page(const struct firn_compare *c, const char *path, struct firn_error *err);
json_t *firn_compare_json(const struct firn_compare *c);

#endif
