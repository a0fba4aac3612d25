/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a graph, for the passes that walk and rewrite it. */
#ifndef FIRN_GRAPH_GRAPH_H
#define FIRN_GRAPH_GRAPH_H

#include "graph/op.h"

struct firn_value {
    enum firn_dtype dtype;
    struct firn_shape shape;
    uint32_t node;        /* producer; FIRN_NO_NODE for leaves and views of leaves */
    int slot;             /* which output of the producer */
    enum firn_leaf leaf;  /* of leaves and their views */
    firn_val base;        /* empty: storage of its own; else a view of that value ... */
    int64_t offset;       /* ... from this element on */
    bool wanted;
    char *name;           /* may be NULL */
};

#define FIRN_NO_NODE UINT32_MAX

struct firn_node {
    const struct firn_op *op;
    firn_val in[FIRN_MAX_IN];
    firn_val out[FIRN_MAX_OUT];
    void *attrs;          /* op->attrs_size bytes owned by the graph */
    enum firn_phase phase;
    bool dead;            /* removed by a rewrite */
    char *scope;          /* where a block emitted it */
    uint32_t layer, part; /* layer of the model and sub-layer, counted from 1 through the graph; 0: outside */
};

/* How much of the forward pass is computed again instead of kept for the backward pass. */
enum firn_recompute {
    FIRN_RECOMPUTE_NONE,
    FIRN_RECOMPUTE_LAYER,  /* a layer's inputs are kept */
    FIRN_RECOMPUTE_NESTED, /* the inputs of groups of layers are kept; slower, smaller */
    FIRN_RECOMPUTE_COUNT
};

/* Nodes never move: a rule may hold a pointer while it appends others. Index 0 of values is unused. */
uint32_t firn_graph_n_nodes(const struct firn_graph *g);
struct firn_node *firn_graph_node(const struct firn_graph *g, uint32_t index);
uint32_t firn_graph_n_values(const struct firn_graph *g); /* ids are 1 .. n - 1 */
struct firn_value *firn_graph_value(const struct firn_graph *g, firn_val v);

/* Nodes emitted between these belong to one layer; firn_graph_next_part divides it into sub-layers. */
void firn_graph_begin_layer(struct firn_graph *g);
void firn_graph_next_part(struct firn_graph *g);
void firn_graph_end_layer(struct firn_graph *g);
/* What follows is the backward pass: the first call counts. */
void firn_graph_begin_backward(struct firn_graph *g);
uint32_t firn_graph_border(const struct firn_graph *g); /* nodes of the forward pass; 0: there is no other */
/* Frozen tables and weights of more bytes than one binding of the device may have are used in slices of rows, by the
 * operations that are emitted from now on; 0: no limit. */
void firn_graph_set_binding_limit(struct firn_graph *g, uint64_t bytes);
uint64_t firn_graph_binding_limit(const struct firn_graph *g);
/* For the plan that is made of this graph. */
void firn_graph_set_recompute(struct firn_graph *g, enum firn_recompute level);
enum firn_recompute firn_graph_recompute(const struct firn_graph *g);
/* Puts node order[i] at place i. For passes: pointers to nodes are of other nodes afterwards. */
firn_status firn_graph_reorder(struct firn_graph *g, const uint32_t *order, struct firn_error *err);

/* The value that owns the storage of v, and v's first element in it. */
firn_val firn_graph_root(const struct firn_graph *g, firn_val v, int64_t *offset);

/* Inputs that a node needs for its work. An alias needs what it names; gradients attached to a loss are used by the
 * backward pass or not at all. */
static inline int firn_node_n_reads(const struct firn_node *n)
{
    return n->op->alias ? 1 : n->op->n_in;
}

/* Fills shapes, types and attributes of a node into a call (no data). */
void firn_node_call(const struct firn_graph *g, const struct firn_node *n, struct firn_call *call);

/* One line per node, for people; malloc'd. */
char *firn_graph_print(const struct firn_graph *g);

#endif
