/* SPDX-License-Identifier: Apache-2.0 */
/* From a graph to programs: order, lifetimes, offsets in one arena, kernels, one program a phase. A plan
 * is immutable. Leaves live in a store that plans share (one plan a bucket length, one set of
 * weights); activations of all plans of a store share one arena, as large as the largest. */
#ifndef FIRN_PLAN_PLAN_H
#define FIRN_PLAN_PLAN_H

#include "device/device.h"
#include "graph/graph.h"

/* Leaf storage on a device, by name. */
struct firn_store;
firn_status firn_store_create(struct firn_store **store, struct firn_device *device,
                              struct firn_error *err);
void firn_store_destroy(struct firn_store **store);
/* Makes room for a leaf (idempotent when kind and size agree). With `data`, fills it; a WEIGHT's bytes are used
 * in place where the device can (they must then outlive the store), else copied. Without: zeroed. */
firn_status firn_store_add(struct firn_store *store, enum firn_leaf kind, const char *name,
                           size_t size, const void *data, struct firn_error *err);
/* Frees a leaf; plans that are bound to it must be gone. One that is not there is no error. */
void firn_store_remove(struct firn_store *store, const char *name);
bool firn_store_has(const struct firn_store *store, const char *name);
firn_status firn_store_write(struct firn_store *store, const char *name, size_t offset,
                             const void *data, size_t size, struct firn_error *err);
firn_status firn_store_read(struct firn_store *store, const char *name, size_t offset, void *data,
                            size_t size, struct firn_error *err);
/* Fails unless what the plans that were bound to the store say is, to the byte, what its device holds. For a store that has
 * its device for itself. */
firn_status firn_store_check(const struct firn_store *store, struct firn_error *err);
struct firn_device *firn_store_device(const struct firn_store *store);

/* Exact bytes of a plan by kind; workspace is device scratch of kernels. */
struct firn_plan_bytes {
    uint64_t leaf[FIRN_LEAF_COUNT]; /* leaves of this graph */
    uint64_t activations;           /* the arena */
    uint64_t activations_live;      /* largest sum of live bytes: the arena's lower bound */
    uint64_t workspace;
    uint64_t nodes[FIRN_PHASE_COUNT];
    double flops[FIRN_PHASE_COUNT];
};

struct firn_plan;
/* Rewrites the graph (prune, fuse), orders it, places memory. Uses limits only: touches no device and no
 * store, so a plan can be made for a device that is not here. The graph must outlive the plan. */
firn_status firn_plan_create(struct firn_plan **plan, struct firn_graph *g,
                             const struct firn_limits *limits, bool is_host, bool is_exact,
                             struct firn_error *err);
void firn_plan_destroy(struct firn_plan **plan);
void firn_plan_bytes(const struct firn_plan *plan, struct firn_plan_bytes *bytes);
/* One line a step, for people; malloc'd. */
char *firn_plan_print(const struct firn_plan *plan);

/* Binds the plan to a store: every leaf of the graph must be in it (INPUT and OUTPUT leaves, and zeroed GRAD and
 * STATE ones, are added when missing). Records the programs. */
firn_status firn_plan_bind(struct firn_plan *plan, struct firn_store *store,
                           struct firn_error *err);
/* Step `index` of a bound plan, as it is recorded; false behind the last one. For measurements of single steps. */
bool firn_plan_step(const struct firn_plan *plan, uint32_t index, struct firn_step *step, enum firn_phase *phase);
const struct firn_op *firn_plan_op(const struct firn_plan *plan, uint32_t index);
/* Records a bound plan's programs again where the store or the device changed since; firn_plan_run does it by itself. */
firn_status firn_plan_refresh(struct firn_plan *plan, struct firn_error *err);
/* Runs the phases in the order of their bits: micro, then update, in one submission. */
firn_status firn_plan_run(struct firn_plan *plan, bool micro, bool update, struct firn_error *err);

#endif
