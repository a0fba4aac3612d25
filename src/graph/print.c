/* SPDX-License-Identifier: Apache-2.0 */
/* A graph as text, one line a node. */
#include "base/str.h"
#include "graph/graph.h"

static void add_value(struct firn_str *s, const struct firn_graph *g, firn_val v)
{
    if (!firn_is_value(v)) {
        firn_str_add(s, " -");
        return;
    }
    const struct firn_value *x = firn_graph_value(g, v);
    firn_str_addf(s, " %%%u", v.id);
    if (x->node == FIRN_NO_NODE)
        firn_str_addf(s, "(%s)", x->name);
    firn_str_add(s, FIRN_SHAPE_STR(&x->shape));
}

char *firn_graph_print(const struct firn_graph *g)
{
    struct firn_str s = { 0 };
    for (uint32_t i = 0; i < firn_graph_n_nodes(g); i++) {
        const struct firn_node *n = firn_graph_node(g, i);
        if (n->dead)
            continue;
        firn_str_addf(&s, "%u %s %s:", i, n->scope != NULL ? n->scope : "", n->op->name);
        for (int j = 0; j < n->op->n_in; j++)
            add_value(&s, g, n->in[j]);
        firn_str_add(&s, " ->");
        for (int j = 0; j < n->op->n_out; j++)
            add_value(&s, g, n->out[j]);
        firn_str_add(&s, "\n");
    }
    return s.data;
}
