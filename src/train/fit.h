/* SPDX-License-Identifier: Apache-2.0 */
/* What a training step needs in memory, and which micro-batch and checkpointing make it fit a limit. */
#ifndef FIRN_TRAIN_FIT_H
#define FIRN_TRAIN_FIT_H

#include "peft/peft.h"

struct firn_fit_params {
    struct firn_model *model;
    struct firn_adapter *adapter; /* collected */
    struct firn_build_params build; /* of the longest batch, as the recipe wants it */
    int64_t accumulation;
    const struct firn_limits *limits;
    bool is_host, is_exact;
    bool is_fixed;              /* `recompute` is asked for, else the cheapest level that fits */
    enum firn_recompute recompute;
    uint64_t limit;             /* bytes; 0: none */
    bool may_split;             /* smaller micro-batches too: the same examples a step, in more parts */
};

struct firn_fit {
    int64_t batch, accumulation;
    enum firn_recompute recompute;
    struct firn_plan_bytes bytes;
    uint64_t total;             /* all leaves and activations */
    bool fits;
};

extern const char *const firn_recompute_words[]; /* in the order of enum firn_recompute, NULL at the end */

/* With a limit, the first of all choices, fastest first, that fits it; where none does, the smallest with fits = false. */
firn_status firn_fit_choose(struct firn_fit *fit, const struct firn_fit_params *p, struct firn_error *err);
/* One choice. */
firn_status firn_fit_measure(struct firn_fit *fit, const struct firn_fit_params *p, int64_t parts,
                             enum firn_recompute recompute, struct firn_error *err);
/* The graph and the plan of a choice; the caller destroys both, the plan first. */
firn_status firn_fit_plan(struct firn_graph **g, struct firn_plan **plan, const struct firn_fit_params *p,
                          const struct firn_fit *fit, struct firn_error *err);
/* Bytes of a plan that only looks forward. */
firn_status firn_fit_forward(uint64_t *total, const struct firn_fit_params *p, int64_t batch, struct firn_error *err);
/* An error with the figures of the smallest choice. */
firn_status firn_fit_fail(const struct firn_fit *fit, uint64_t limit, const char *file, struct firn_error *err);

#endif
