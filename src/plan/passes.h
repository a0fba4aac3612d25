/* SPDX-License-Identifier: Apache-2.0 */
/* The passes between a graph and its plan. Rewrites are graph in, graph out. */
#ifndef FIRN_PLAN_PASSES_H
#define FIRN_PLAN_PASSES_H

#include "device/device.h"
#include "graph/graph.h"

/* Marks nodes dead whose results nobody can see: no update of a leaf, no output placed in one. */
firn_status firn_pass_prune(struct firn_graph *g, struct firn_error *err);

/* add(product, x) -> the product with x as residual; add(product, skinny product) -> the product with more columns of K
 * (the low-rank update of LoRA, in both directions). */
firn_status firn_pass_fuse(struct firn_graph *g, struct firn_error *err);

/* Recomputes what the backward pass needs of each layer; changes no result. */
firn_status firn_pass_checkpoint(struct firn_graph *g, enum firn_recompute level, struct firn_error *err);

/* Storage of values that own arena bytes. Indexed by value id. */
struct firn_life {
    bool in_arena;        /* owns bytes of the arena */
    uint32_t first, last; /* steps (nodes, in order) between which the bytes are needed */
    size_t size, offset;  /* bytes */
};

/* Lets outputs take the storage of inputs that die at their node, where the op allows it. */
firn_status firn_pass_inplace(struct firn_graph *g, struct firn_error *err);
/* life[id] for every value (n = firn_graph_n_values). Steps are node indices. */
firn_status firn_pass_live(const struct firn_graph *g, struct firn_life *life);
/* Offsets for all entries with in_arena; returns the arena's size. n entries, multiples of align. */
firn_status firn_pass_place(struct firn_life *life, uint32_t n, size_t align, size_t *size,
                            size_t *lower_bound, struct firn_error *err);

/* Steps as a device runs them. Parts of a step keep attributes of their own here. */
struct firn_cut {
    struct firn_step *steps;
    int n, room, n_attrs;
    void **attrs;
};
/* Appends the step, in parts where one of its tensors is larger than a binding. */
firn_status firn_cut_step(struct firn_cut *c, const struct firn_op *op, const struct firn_step *step, const struct firn_limits *l,
                          struct firn_error *err);
void firn_cut_free(struct firn_cut *c);

#endif
