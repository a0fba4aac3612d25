/* SPDX-License-Identifier: Apache-2.0 */
/* Lifetimes of values, storage shared by values that never live together, and offsets in the arena:
 * largest first, each at the lowest offset where no placed neighbour in time is in the way. */
#include "plan/passes.h"

#include <stdlib.h>

static void extend(const struct firn_graph *g, struct firn_life *life, firn_val v, uint32_t step)
{
    if (!firn_is_value(v))
        return;
    const firn_val root = firn_graph_root(g, v, NULL);
    struct firn_life *l = &life[root.id];
    if (!l->in_arena)
        return;
    if (step < l->first)
        l->first = step;
    if (step > l->last)
        l->last = step;
}

firn_status firn_pass_live(const struct firn_graph *g, struct firn_life *life)
{
    for (uint32_t id = 1; id < firn_graph_n_values(g); id++) {
        const struct firn_value *v = firn_graph_value(g, (firn_val){ id });
        const bool owns = v->node != FIRN_NO_NODE && !firn_is_value(v->base) &&
                          !firn_graph_node(g, v->node)->dead;
        life[id] = (struct firn_life){ .in_arena = owns, .first = UINT32_MAX, .last = 0,
                                       .size = (size_t) firn_shape_count(&v->shape) *
                                               firn_dtype_size(v->dtype) };
    }
    for (uint32_t i = 0; i < firn_graph_n_nodes(g); i++) {
        const struct firn_node *n = firn_graph_node(g, i);
        if (n->dead)
            continue;
        for (int k = 0; k < firn_node_n_reads(n); k++)
            extend(g, life, n->in[k], i);
        for (int j = 0; j < n->op->n_out; j++)
            extend(g, life, n->out[j], i);
    }
    return FIRN_OK;
}

/* True when `v` is a whole storage of its own that nothing needs after step i, and no other input of n shares. */
static bool dies_here(const struct firn_graph *g, const struct firn_life *life,
                      const struct firn_node *n, int k, uint32_t i)
{
    int64_t offset;
    const firn_val root = firn_graph_root(g, n->in[k], &offset);
    const struct firn_life *l = &life[root.id];
    const struct firn_value *v = firn_graph_value(g, n->in[k]);
    if (!l->in_arena || l->last != i || offset != 0 ||
        l->size != (size_t) firn_shape_count(&v->shape) * firn_dtype_size(v->dtype))
        return false;
    for (int other = 0; other < n->op->n_in; other++)
        if (other != k && firn_is_value(n->in[other]) &&
            firn_graph_root(g, n->in[other], NULL).id == root.id)
            return false;
    return true;
}

/* Output j of n takes the storage of an input that dies here, but for the one that another output took. Returns whose. */
static firn_val take_place(struct firn_graph *g, struct firn_life *life, const struct firn_node *n, int j, uint32_t allowed,
                           uint32_t step, firn_val taken)
{
    struct firn_value *y = firn_graph_value(g, n->out[j]);
    for (int k = 0; k < n->op->n_in && !firn_is_value(y->base); k++) {
        if ((allowed >> k & 1u) == 0 || !firn_is_value(n->in[k]) || !dies_here(g, life, n, k, step))
            continue;
        const firn_val root = firn_graph_root(g, n->in[k], NULL);
        struct firn_life *from = &life[root.id], *to = &life[n->out[j].id];
        if (from->size != to->size || firn_graph_value(g, root)->dtype != y->dtype || root.id == taken.id)
            continue;
        y->base = root;
        y->offset = 0;
        from->last = to->last > from->last ? to->last : from->last;
        to->in_arena = false;
        return root;
    }
    return (firn_val){ 0 };
}

firn_status firn_pass_inplace(struct firn_graph *g, struct firn_error *err)
{
    struct firn_life *life = calloc(firn_graph_n_values(g), sizeof *life);
    if (life == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory in the planner");
    firn_pass_live(g, life);
    for (uint32_t i = 0; i < firn_graph_n_nodes(g); i++) {
        const struct firn_node *n = firn_graph_node(g, i);
        firn_val taken = { 0 };
        if (!n->dead && n->op->inplace != 0 && n->op->n_out > 0)
            taken = take_place(g, life, n, 0, n->op->inplace, i, taken);
        if (!n->dead && n->op->inplace1 != 0 && n->op->n_out > 1)
            take_place(g, life, n, 1, n->op->inplace1, i, taken);
    }
    free(life);
    return FIRN_OK;
}

struct order {
    const struct firn_life *life;
    uint32_t id;
};

static int larger_first(const void *a, const void *b)
{
    const struct order *x = a, *y = b;
    if (x->life->size != y->life->size)
        return x->life->size < y->life->size ? 1 : -1;
    if (x->life->first != y->life->first)
        return x->life->first < y->life->first ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

static int by_offset(const void *a, const void *b)
{
    const struct firn_life *const *x = a, *const *y = b;
    return (*x)->offset < (*y)->offset ? -1 : (*x)->offset > (*y)->offset;
}

static size_t round_up(size_t n, size_t align)
{
    return (n + align - 1) / align * align;
}

/* The lowest offset for `l` between the placed ones that live at the same time. */
static size_t lowest_gap(const struct firn_life *l, struct firn_life **placed, uint32_t n_placed,
                         struct firn_life **near, size_t align)
{
    uint32_t n_near = 0;
    for (uint32_t i = 0; i < n_placed; i++)
        if (placed[i]->first <= l->last && l->first <= placed[i]->last)
            near[n_near++] = placed[i];
    qsort(near, n_near, sizeof *near, by_offset);
    size_t at = 0, best = SIZE_MAX, best_gap = SIZE_MAX;
    for (uint32_t i = 0; i < n_near; i++) {
        if (near[i]->offset >= at + l->size && near[i]->offset - at < best_gap) {
            best = at;
            best_gap = near[i]->offset - at;
        }
        const size_t end = round_up(near[i]->offset + near[i]->size, align);
        at = end > at ? end : at;
    }
    return best != SIZE_MAX ? best : at;
}

static size_t most_live(const struct order *order, uint32_t n, size_t align)
{
    size_t most = 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t step = order[i].life->first; /* sums only grow where something is born */
        size_t sum = 0;
        for (uint32_t k = 0; k < n; k++)
            if (order[k].life->first <= step && step <= order[k].life->last)
                sum += round_up(order[k].life->size, align);
        most = sum > most ? sum : most;
    }
    return most;
}

firn_status firn_pass_place(struct firn_life *life, uint32_t n, size_t align, size_t *size,
                            size_t *lower_bound, struct firn_error *err)
{
    struct order *order = calloc(n + 1, sizeof *order);
    struct firn_life **placed = calloc(n + 1, sizeof(void *));
    struct firn_life **near = calloc(n + 1, sizeof(void *));
    firn_status status = FIRN_OK;
    uint32_t count = 0, n_placed = 0;
    *size = 0;
    if (order == NULL || placed == NULL || near == NULL) {
        status = firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory in the planner");
        goto done;
    }
    for (uint32_t id = 0; id < n; id++)
        if (life[id].in_arena && life[id].first != UINT32_MAX)
            order[count++] = (struct order){ &life[id], id };
    qsort(order, count, sizeof *order, larger_first);
    for (uint32_t i = 0; i < count; i++) {
        struct firn_life *l = &life[order[i].id];
        l->offset = lowest_gap(l, placed, n_placed, near, align);
        placed[n_placed++] = l;
        const size_t end = round_up(l->offset + l->size, align);
        *size = end > *size ? end : *size;
    }
    *lower_bound = most_live(order, count, align);
done:
    free(order);
    free(placed);
    free(near);
    return status;
}
