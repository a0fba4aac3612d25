/* SPDX-License-Identifier: Apache-2.0 */
/* Builds the backward pass and the update behind a loss. */
#include "train/step.h"

#include "grad/grad.h"

#include <stdlib.h>

static bool can_place(const struct firn_graph *g, firn_val x)
{
    int64_t offset;
    const firn_val root = firn_graph_root(g, x, &offset);
    const struct firn_value *r = firn_graph_value(g, root);
    return offset == 0 && r->node != FIRN_NO_NODE && root.id == x.id;
}

/* A gradient into its place: added to what earlier micro-batches gave, or computed there. */
static void store_gradient(struct firn_build *b, const struct firn_param *p, firn_val grads, firn_val dx,
                           firn_val keep)
{
    const firn_val view = firn_graph_view(b->g, grads, p->name, p->offset, p->shape);
    if (firn_is_value(keep))
        firn_accumulate(b->g, view, dx, keep);
    else /* a value that lives elsewhere already (shared with another gradient) is copied */
        firn_graph_place(b->g, can_place(b->g, dx) ? dx : firn_scale(b->g, dx, 1.0f), view);
}

static void update(struct firn_build *b, firn_val grads, const struct firn_param_set *set)
{
    static const char *const names[] = { "params", "grads", "moment1", "moment2" };
    const struct firn_shape all = firn_dims(set->flat);
    const firn_val m = firn_graph_leaf(b->g, FIRN_LEAF_STATE, "moment1", FIRN_F32, all);
    const firn_val v = firn_graph_leaf(b->g, FIRN_LEAF_STATE, "moment2", FIRN_F32, all);
    const firn_val whole[] = { b->params, grads, m, v };
    firn_graph_set_phase(b->g, FIRN_PHASE_UPDATE);
    const firn_val norm = firn_norm2(b->g, grads);
    firn_graph_place(b->g, norm, firn_graph_leaf(b->g, FIRN_LEAF_OUTPUT, "grad_norm", FIRN_F32, firn_dims(1)));
    for (int group = 0; group < set->n_groups; group++) {
        const struct firn_param_group *of = &set->groups[group];
        firn_val part[4];
        if (of->count == 0)
            continue;
        for (int i = 0; i < 4; i++)
            part[i] = firn_graph_view(b->g, whole[i], names[i], of->from, firn_dims(of->count));
        const firn_val rates = firn_graph_leaf(b->g, FIRN_LEAF_INPUT, FIRN_STR("rates.%d", group), FIRN_F32, firn_dims(8));
        firn_adamw(b->g, part[0], part[1], part[2], part[3], rates, norm);
    }
}

/* The penalty's gradients, added to those of the loss. */
static void add_penalty(struct firn_build *b, const firn_val *x, int n, firn_val *dx)
{
    firn_val *more = firn_is_value(b->penalty) ? calloc((size_t) n + 1, sizeof *more) : NULL;
    if (!firn_is_value(b->penalty))
        return;
    if (more == NULL) {
        firn_graph_fail(b->g, "out of memory");
        return;
    }
    firn_grad(b->g, b->penalty, b->share, x, n, more);
    for (int i = 0; i < n; i++)
        if (firn_is_value(more[i]))
            dx[i] = firn_is_value(dx[i]) ? firn_add(b->g, dx[i], more[i]) : more[i];
    free(more);
}

firn_status firn_step_build(struct firn_build *b, bool accumulates, struct firn_error *err)
{
    const struct firn_param_set *set = &b->adapter->params;
    firn_val *x = calloc(set->count + 1, sizeof *x), *dx = calloc(set->count + 1, sizeof *dx);
    if (x == NULL || dx == NULL) {
        free(x);
        free(dx);
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for gradients");
    }
    for (size_t i = 0; i < set->count; i++)
        x[i] = firn_param_view(b, &set->list[i]);
    firn_grad(b->g, b->loss, (firn_val){ 0 }, x, (int) set->count, dx);
    add_penalty(b, x, (int) set->count, dx);
    const firn_val grads = firn_graph_leaf(b->g, FIRN_LEAF_GRAD, "grads", FIRN_F32, firn_dims(set->flat));
    const firn_val keep = accumulates ? firn_graph_leaf(b->g, FIRN_LEAF_INPUT, "keep", FIRN_F32, firn_dims(1))
                                      : (firn_val){ 0 };
    for (size_t i = 0; i < set->count; i++)
        if (firn_is_value(dx[i]))
            store_gradient(b, &set->list[i], grads, dx[i], keep);
    update(b, grads, set);
    free(x);
    free(dx);
    return firn_graph_check(b->g, err);
}
