/* SPDX-License-Identifier: Apache-2.0 */
/// A graph of operations: leaves, nodes and the values they make.
///
/// A graph is built once per shape of batch. Shapes and types are checked as nodes are emitted, so the
/// error points at the block that made it. A graph keeps its FIRST error; after it every call returns
/// the empty value, so blocks read as mathematics and are checked once, with firn_graph_check().
/// A graph belongs to one thread.
#ifndef FIRN_GRAPH_H
#define FIRN_GRAPH_H

#include "firn/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

struct firn_graph;
struct firn_op;

/// A value: the output of a node, or a leaf. {0} is the empty value.
typedef struct firn_val {
    uint32_t id;
} firn_val;

static inline bool firn_is_value(firn_val v)
{
    return v.id != 0;
}

/// Where a leaf's bytes live and who writes them.
enum firn_leaf {
    FIRN_LEAF_INPUT,  // the host writes it before each run: ids, masks, labels, rates
    FIRN_LEAF_WEIGHT, // frozen base; never written
    FIRN_LEAF_PARAM,  // trained; written by the optimizer
    FIRN_LEAF_GRAD,   // gradients of the step, laid out as PARAM
    FIRN_LEAF_STATE,  // optimizer state
    FIRN_LEAF_OUTPUT, // the host reads it after a run: loss, logits
    FIRN_LEAF_COUNT
};

/// Nodes run in phases; a program is made of each: the micro-batch (forward, backward), then the
/// update. Values cross from one to the other only through leaves.
enum firn_phase { FIRN_PHASE_MICRO, FIRN_PHASE_UPDATE, FIRN_PHASE_COUNT };

FIRN_API struct firn_graph *firn_graph_create(void); // NULL without memory
FIRN_API void firn_graph_destroy(struct firn_graph **g);

/// A leaf with its own storage, named as in the file it comes from. Names are unique per graph: the same name, type
/// and shape again returns the same leaf.
FIRN_API firn_val firn_graph_leaf(struct firn_graph *g, enum firn_leaf kind, const char *name,
                                  enum firn_dtype dtype, struct firn_shape shape);
/// A part of a leaf: `count(shape)` elements from element `offset`. Trained tensors are views of one
/// flat leaf, so that the optimizer runs over all of them at once.
FIRN_API firn_val firn_graph_view(struct firn_graph *g, firn_val leaf, const char *name,
                                  int64_t offset, struct firn_shape shape);
/// Lets a leaf grow until the graph is finished (the flat leaf of trained tensors). elements > 0.
FIRN_API void firn_graph_resize_leaf(struct firn_graph *g, firn_val leaf, int64_t elements);

/// Emits a node. `in` has op->n_in entries (empty ones for absent inputs), `out` gets op->n_out values.
FIRN_API void firn_graph_emit(struct firn_graph *g, const struct firn_op *op, const firn_val *in,
                              const void *attrs, firn_val *out);
/// Stores a node's output in a view of a leaf instead of in the arena (a gradient, a loss, logits).
/// Same count and type; the value must not be placed already, nor be a leaf or alias.
FIRN_API void firn_graph_place(struct firn_graph *g, firn_val value, firn_val view);

FIRN_API void firn_graph_set_phase(struct firn_graph *g, enum firn_phase phase);
/// Prefixes the names of nodes emitted from now on: "layer.3.attention". Nested pushes join with '.'.
FIRN_API void firn_graph_push(struct firn_graph *g, const char *scope);
FIRN_API void firn_graph_pop(struct firn_graph *g);

/// Marks a leaf (or view) as differentiated; all that is computed from it then is too.
FIRN_API void firn_graph_want(struct firn_graph *g, firn_val leaf);
/// True when a gradient of `v` is needed by some trainable leaf.
FIRN_API bool firn_wants(const struct firn_graph *g, firn_val v);

FIRN_API struct firn_shape firn_val_shape(const struct firn_graph *g, firn_val v);
FIRN_API enum firn_dtype firn_val_dtype(const struct firn_graph *g, firn_val v);
FIRN_API const char *firn_val_name(const struct firn_graph *g, firn_val v);

/// Fails the graph from a block: the text is kept if it is the first.
FIRN_API void firn_graph_fail(struct firn_graph *g, const char *format, ...) FIRN_PRINTF(2, 3);
FIRN_API const char *firn_graph_error(const struct firn_graph *g); // NULL while all is well
FIRN_API firn_status firn_graph_check(const struct firn_graph *g, struct firn_error *err);

#ifdef __cplusplus
}
#endif
#endif
