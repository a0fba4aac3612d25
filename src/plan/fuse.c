/* SPDX-License-Identifier: Apache-2.0 */
/* add(product, x) becomes the product with x as its residual, and where x is itself a skinny product,
 * the product with more columns of K: the low-rank update of LoRA and its gradient cost no second pass. */
#include "ops/matmul.h"
#include "plan/passes.h"

#include <stdlib.h>
#include <string.h>

/* Longest second product that is folded in as columns of K; longer ones are better as products. */
enum { MAX_COLUMNS = 256 };

struct uses {
    uint32_t *count; /* live nodes that read a value */
};

static firn_status count_uses(const struct firn_graph *g, struct uses *uses, struct firn_error *err)
{
    uses->count = calloc(firn_graph_n_values(g), sizeof *uses->count);
    if (uses->count == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory in the planner");
    for (uint32_t i = 0; i < firn_graph_n_nodes(g); i++) {
        const struct firn_node *n = firn_graph_node(g, i);
        for (int k = 0; k < n->op->n_in && !n->dead; k++)
            uses->count[n->in[k].id]++;
    }
    return FIRN_OK;
}

/* The live product that makes v, when nobody but this add reads it and nothing else fixes its storage. */
static struct firn_node *product_of(const struct firn_graph *g, const struct uses *uses, firn_val v)
{
    const struct firn_value *x = firn_graph_value(g, v);
    if (x->node == FIRN_NO_NODE || firn_is_value(x->base) || uses->count[v.id] != 1)
        return NULL;
    struct firn_node *n = firn_graph_node(g, x->node);
    return !n->dead && n->op == &firn_op_matmul ? n : NULL;
}

static const struct firn_matmul_attrs *attrs_of(const struct firn_node *n)
{
    return n->attrs;
}

/* A product that can be the u v part of another: plain, u as stored, few columns. */
static bool is_skinny(const struct firn_graph *g, const struct firn_node *n)
{
    const struct firn_matmul_attrs *a = attrs_of(n);
    const struct firn_value *u = firn_graph_value(g, n->in[FIRN_MATMUL_A]);
    const struct firn_value *v = firn_graph_value(g, n->in[FIRN_MATMUL_B]);
    return !firn_is_value(n->in[FIRN_MATMUL_BIAS]) && !firn_is_value(n->in[FIRN_MATMUL_RESIDUAL]) &&
           !firn_is_value(n->in[FIRN_MATMUL_U]) && !a->trans_a && a->alpha == 1.0f &&
           u->dtype == v->dtype && u->shape.dim[1] <= MAX_COLUMNS;
}

/* Turns `add` into the product `p` with slots `u`, `v` or a residual; p itself dies. */
static void become(struct firn_graph *g, struct firn_node *add, struct firn_node *p)
{
    add->op = p->op;
    memcpy(add->in, p->in, sizeof add->in);
    free(add->attrs);
    add->attrs = p->attrs;
    p->attrs = NULL;
    p->dead = true;
    (void) g;
}

static bool fold_columns(struct firn_graph *g, struct firn_node *add, struct firn_node *p,
                         struct firn_node *skinny)
{
    if (p == NULL || skinny == NULL || p == skinny || firn_is_value(p->in[FIRN_MATMUL_U]) ||
        !is_skinny(g, skinny))
        return false;
    const firn_val u = skinny->in[FIRN_MATMUL_A], v = skinny->in[FIRN_MATMUL_B];
    const bool trans_v = attrs_of(skinny)->trans_b;
    become(g, add, p);
    add->in[FIRN_MATMUL_U] = u;
    add->in[FIRN_MATMUL_V] = v;
    ((struct firn_matmul_attrs *) add->attrs)->trans_v = trans_v;
    skinny->dead = true;
    return true;
}

static bool fold_residual(struct firn_graph *g, struct firn_node *add, struct firn_node *p,
                          firn_val residual)
{
    if (p == NULL || firn_is_value(p->in[FIRN_MATMUL_RESIDUAL]))
        return false;
    become(g, add, p);
    add->in[FIRN_MATMUL_RESIDUAL] = residual;
    return true;
}

/* The wider product becomes the base: the other one's K is what is added. */
static int64_t inner(const struct firn_graph *g, const struct firn_node *p)
{
    const struct firn_value *a = firn_graph_value(g, p->in[FIRN_MATMUL_A]);
    return a->shape.dim[attrs_of(p)->trans_a ? 0 : 1];
}

firn_status firn_pass_fuse(struct firn_graph *g, struct firn_error *err)
{
    struct uses uses;
    const firn_status status = count_uses(g, &uses, err);
    if (status)
        return status;
    const struct firn_op *op_add = firn_op_find("add");
    for (uint32_t i = 0; i < firn_graph_n_nodes(g); i++) {
        struct firn_node *n = firn_graph_node(g, i);
        if (n->dead || n->op != op_add || n->in[0].id == n->in[1].id)
            continue;
        const firn_val x = n->in[0], y = n->in[1];
        struct firn_node *p = product_of(g, &uses, x), *q = product_of(g, &uses, y);
        const bool swap = p != NULL && q != NULL && inner(g, q) > inner(g, p);
        if (fold_columns(g, n, swap ? q : p, swap ? p : q) ||
            fold_columns(g, n, swap ? p : q, swap ? q : p))
            continue;
        /* a product reads its residual once, when its own sums are done: either order of the sum */
        if (!fold_residual(g, n, p, y))
            fold_residual(g, n, q, x);
    }
    free(uses.count);
    return FIRN_OK;
}
