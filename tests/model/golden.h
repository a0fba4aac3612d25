/* SPDX-License-Identifier: Apache-2.0 */
/* Recorded cases for tests: a case's model, adapter, batch 0 and expected values, opened together; and a graph run on the
 * reference device. The folder is $FIRN_GOLDEN, else tests/golden. */
#ifndef FIRN_TESTS_MODEL_GOLDEN_H
#define FIRN_TESTS_MODEL_GOLDEN_H

#include "peft/peft.h"

const char *golden_root(void);
/* root/first/second/third (third may be NULL); in a static ring of 8 texts. */
const char *golden_path(const char *first, const char *second, const char *third);

struct golden {
    char name[64];
    json_t *json;
    struct firn_model model;
    struct firn_adapter adapter;
    struct firn_counts counts;
    struct firn_safetensors batches, expected;
    struct firn_build_params params; /* of batch 0, with loss */
    float *flat;
    struct firn_error err;
};

/* False when the case's files (weights of minilm) are not there. */
bool golden_exists(const char *name);
/* Fails the test on any error; with start values read. */
void golden_open(struct golden *g, const char *name);
void golden_close(struct golden *g);
/* Starts from another adapter directory of the case ("adapter_final"). */
void golden_read(struct golden *g, const char *directory);

/* One graph of the case on cpu:exact. */
struct golden_run {
    struct firn_graph *g;
    struct firn_build build;
    struct firn_device *device;
    struct firn_store *store;
    struct firn_plan *plan;
};
void golden_run(struct golden_run *r, struct golden *g, bool with_grads);
/* A leaf's floats; free() them. */
float *golden_leaf(struct golden_run *r, const char *name, int64_t *count);
void golden_run_close(struct golden_run *r);

#endif
