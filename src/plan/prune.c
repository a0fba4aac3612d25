/* SPDX-License-Identifier: Apache-2.0 */
/* Removes nodes whose results nobody can see. */
#include "plan/passes.h"

#include <stdlib.h>

static bool has_effect(const struct firn_graph *g, const struct firn_node *n)
{
    if (n->op->updates != 0)
        return true;
    for (int j = 0; j < n->op->n_out; j++) {
        const firn_val root = firn_graph_root(g, n->out[j], NULL);
        if (firn_graph_value(g, root)->node == FIRN_NO_NODE && !n->op->alias)
            return true;
    }
    return false;
}

firn_status firn_pass_prune(struct firn_graph *g, struct firn_error *err)
{
    bool *used = calloc(firn_graph_n_values(g), sizeof *used);
    if (used == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory in the planner");
    for (uint32_t i = firn_graph_n_nodes(g); i-- > 0;) {
        struct firn_node *n = firn_graph_node(g, i);
        bool alive = has_effect(g, n);
        for (int j = 0; j < n->op->n_out; j++)
            alive |= used[n->out[j].id];
        n->dead |= !alive;
        for (int k = 0; k < firn_node_n_reads(n) && !n->dead; k++)
            used[n->in[k].id] = true;
    }
    free(used);
    return FIRN_OK;
}
