/* SPDX-License-Identifier: Apache-2.0 */
/* A row of each entry: operations that work row by row are emitted again for the picked rows alone, so that the last layer
 * of a classifier computes one token of each example (builder only: it emits what made the rows, and `embed`). */
#include "ops/attention.h"
#include "ops/matmul.h"

#include <stdlib.h>

struct pick {
    struct firn_graph *g;
    firn_val rows;
    int64_t count;
    struct state {
        bool picked, whole; /* somebody reads its picked rows; somebody reads all */
        firn_val again;
    } *of; /* by value */
};

/* The inputs that hold rows; 0: the node's rows are not made one by one. */
static uint32_t rows_of(const struct pick *p, const struct firn_node *n)
{
    const struct firn_op *op = n->op;
    if (op == &firn_op_attention) { /* one query an entry sees what it saw, unless positions of queries count */
        const struct firn_attention_attrs *a = n->attrs;
        const bool is_free = !a->causal && !firn_is_value(n->in[FIRN_ATT_BIAS]) && a->batch == p->count;
        return is_free ? 1u << FIRN_ATT_Q : 0;
    }
    if (op == &firn_op_matmul && ((const struct firn_matmul_attrs *) n->attrs)->trans_a)
        return 0;
    return op->by_rows;
}

/* Made for the picked rows alone: nobody reads all of it, and it is no part of something else. */
static bool is_made_again(const struct pick *p, firn_val x)
{
    const struct firn_value *v = firn_graph_value(p->g, x);
    return p->of[x.id].picked && !p->of[x.id].whole && v->node != FIRN_NO_NODE && v->slot == 0 && v->shape.rank == 2 &&
           !firn_is_value(v->base) && rows_of(p, firn_graph_node(p->g, v->node)) != 0;
}

/* From the last node to the first: users come after what they use. */
static void mark(struct pick *p)
{
    for (uint32_t i = firn_graph_n_nodes(p->g); i-- > 0;) {
        const struct firn_node *n = firn_graph_node(p->g, i);
        bool others = false;
        for (int j = 1; j < n->op->n_out; j++)
            others |= p->of[n->out[j].id].whole || p->of[n->out[j].id].picked;
        p->of[n->out[0].id].whole |= others;
        const uint32_t rows = is_made_again(p, n->out[0]) ? rows_of(p, n) : 0;
        for (int k = 0; k < n->op->n_in; k++) {
            struct state *s = &p->of[n->in[k].id];
            s->picked |= (rows >> k & 1u) != 0;
            s->whole |= (rows >> k & 1u) == 0;
        }
    }
}

static firn_val pick(struct pick *p, firn_val x)
{
    firn_val in[FIRN_MAX_IN], out[FIRN_MAX_OUT];
    if (firn_is_value(p->of[x.id].again))
        return p->of[x.id].again;
    out[0] = (firn_val){ 0 };
    if (is_made_again(p, x)) {
        const struct firn_node *n = firn_graph_node(p->g, firn_graph_value(p->g, x)->node);
        const uint32_t rows = rows_of(p, n);
        for (int i = 0; i < n->op->n_in; i++)
            in[i] = (rows >> i & 1u) != 0 && firn_is_value(n->in[i]) ? pick(p, n->in[i]) : n->in[i];
        firn_graph_emit(p->g, n->op, in, n->attrs, out);
    } else {
        out[0] = firn_embed(p->g, x, p->rows);
    }
    return p->of[x.id].again = out[0];
}

firn_val firn_pick_rows(struct firn_graph *g, firn_val x, firn_val rows)
{
    if (firn_graph_error(g) != NULL || !firn_is_value(x) || !firn_is_value(rows))
        return (firn_val){ 0 };
    const struct firn_shape shape = firn_val_shape(g, rows);
    struct pick p = { .g = g, .rows = rows, .count = firn_shape_count(&shape) };
    p.of = calloc(firn_graph_n_values(g), sizeof *p.of);
    if (p.of == NULL) {
        firn_graph_fail(g, "out of memory");
        return (firn_val){ 0 };
    }
    p.of[x.id].picked = true;
    mark(&p);
    const firn_val y = pick(&p, x);
    free(p.of);
    return y;
}
