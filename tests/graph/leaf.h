/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of graphs, gradients and plans share: cmocka, a graph per test, short leaves. */
#ifndef FIRN_TESTS_GRAPH_LEAF_H
#define FIRN_TESTS_GRAPH_LEAF_H

#include "../base/check.h"
#include "firn/ops.h"
#include "graph/graph.h"

static inline int graph_setup(void **state)
{
    *state = firn_graph_create();
    return *state == NULL;
}

static inline int graph_teardown(void **state)
{
    struct firn_graph *g = *state;
    firn_graph_destroy(&g);
    return 0;
}

#define GRAPH_TEST(function) cmocka_unit_test_setup_teardown(function, graph_setup, graph_teardown)

static inline firn_val input(struct firn_graph *g, const char *name, int64_t m, int64_t n)
{
    return firn_graph_leaf(g, FIRN_LEAF_INPUT, name, FIRN_F32, firn_dims(m, n));
}

static inline firn_val weight(struct firn_graph *g, const char *name, int64_t m, int64_t n)
{
    return firn_graph_leaf(g, FIRN_LEAF_WEIGHT, name, FIRN_F32, firn_dims(m, n));
}

/* A trained leaf. */
static inline firn_val param(struct firn_graph *g, const char *name, int64_t m, int64_t n)
{
    const firn_val v = firn_graph_leaf(g, FIRN_LEAF_PARAM, name, FIRN_F32, firn_dims(m, n));
    firn_graph_want(g, v);
    return v;
}

/* Places a value in an output leaf of its shape. */
static inline void output(struct firn_graph *g, const char *name, firn_val v)
{
    firn_graph_place(g, v, firn_graph_leaf(g, FIRN_LEAF_OUTPUT, name, FIRN_F32, firn_val_shape(g, v)));
}

static inline firn_val product(struct firn_graph *g, firn_val a, firn_val b)
{
    return firn_matmul(g, a, b, firn_matmul_params(.trans_b = false));
}

/* Nodes that are alive and whose op has this name; NULL: any. */
static inline int count_nodes(const struct firn_graph *g, const char *op)
{
    int n = 0;
    for (uint32_t i = 0; i < firn_graph_n_nodes(g); i++) {
        const struct firn_node *node = firn_graph_node(g, i);
        n += !node->dead && (op == NULL || strcmp(node->op->name, op) == 0);
    }
    return n;
}

#endif
