/* SPDX-License-Identifier: Apache-2.0 */
/* Walks from a result to the wanted leaves; each operation's rule appends its gradient nodes. */
#include "grad/grad.h"

#include "firn/ops.h"

#include <stdlib.h>
#include <string.h>

/* Gradients so far, by value id. */
struct walk {
    struct firn_graph *g;
    firn_val *of;
    uint32_t n;
};

static void add_gradient(struct walk *w, firn_val x, firn_val dx)
{
    if (!firn_is_value(x) || !firn_is_value(dx) || !firn_wants(w->g, x))
        return;
    firn_val *sum = &w->of[x.id];
    *sum = firn_is_value(*sum) ? firn_add(w->g, *sum, dx) : dx;
}

static void visit(struct walk *w, const struct firn_node *n, firn_val y)
{
    firn_val dy[FIRN_MAX_OUT] = { { 0 } }, dx[FIRN_MAX_IN] = { { 0 } };
    bool reached = false, wanted = false;
    for (int j = 0; j < n->op->n_out; j++) {
        dy[j] = w->of[n->out[j].id];
        reached |= firn_is_value(dy[j]) || n->out[j].id == y.id;
    }
    for (int i = 0; i < n->op->n_in; i++)
        wanted |= firn_wants(w->g, n->in[i]);
    if (!reached || !wanted || n->op->grad == NULL)
        return;
    if (!firn_is_value(dy[0]) && n->out[0].id == y.id && strcmp(n->op->name, "attach_grad") != 0) {
        firn_graph_fail(w->g, "%s: the gradient of a result that no attach_grad made needs a dy", n->op->name);
        return;
    }
    firn_graph_push(w->g, n->scope != NULL ? n->scope : "");
    n->op->grad(w->g, n, dy, dx);
    for (int i = 0; i < n->op->n_in; i++)
        add_gradient(w, n->in[i], dx[i]);
    firn_graph_pop(w->g);
}

void firn_grad(struct firn_graph *g, firn_val y, firn_val dy, const firn_val *x, int n, firn_val *dx)
{
    for (int i = 0; i < n; i++)
        dx[i] = (firn_val){ 0 };
    if (firn_graph_error(g) != NULL)
        return;
    struct walk w = { .g = g, .n = firn_graph_n_values(g) };
    w.of = calloc(w.n, sizeof *w.of);
    if (w.of == NULL) {
        firn_graph_fail(g, "out of memory");
        return;
    }
    firn_graph_begin_backward(g);
    w.of[y.id] = dy;
    for (uint32_t i = firn_graph_n_nodes(g); i-- > 0 && firn_graph_error(g) == NULL;)
        visit(&w, firn_graph_node(g, i), y);
    for (int i = 0; i < n; i++)
        if (x[i].id < w.n)
            dx[i] = w.of[x[i].id];
    free(w.of);
}
