/* SPDX-License-Identifier: Apache-2.0 */
/* Lifetimes of values, storage shared by values that never live together, and offsets in the arena: in several orders (largest
 * first, ...) each value goes to the smallest gap between those that live at the same time; the best order is kept. */
#include "plan/passes.h"

#include <stdlib.h>
#include <string.h>

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
    struct firn_life *life;
    uint32_t id;
};

static size_t round_up(size_t n, size_t align)
{
    return (n + align - 1) / align * align;
}

static int earlier_first(const struct order *x, const struct order *y)
{
    if (x->life->first != y->life->first)
        return x->life->first < y->life->first ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

static int larger_first(const void *a, const void *b)
{
    const struct order *x = a, *y = b;
    if (x->life->size != y->life->size)
        return x->life->size < y->life->size ? 1 : -1;
    return earlier_first(x, y);
}

static int longer_first(const void *a, const void *b)
{
    const struct order *x = a, *y = b;
    const uint32_t m = x->life->last - x->life->first, n = y->life->last - y->life->first;
    return m != n ? (m < n ? 1 : -1) : larger_first(a, b);
}

static int wider_first(const void *a, const void *b)
{
    const struct order *x = a, *y = b;
    const double m = (double) x->life->size * (x->life->last - x->life->first + 1.0);
    const double n = (double) y->life->size * (y->life->last - y->life->first + 1.0);
    return m != n ? (m < n ? 1 : -1) : earlier_first(x, y);
}

static int as_they_come(const void *a, const void *b)
{
    return earlier_first(a, b);
}

/* The smallest gap that `l` fits in between the placed ones (by offset) that live at the same time. */
static size_t best_gap(const struct firn_life *l, struct firn_life **placed, uint32_t n_placed, size_t align)
{
    size_t at = 0, best = SIZE_MAX, gap = SIZE_MAX;
    for (uint32_t i = 0; i < n_placed; i++) {
        const struct firn_life *p = placed[i];
        if (p->first > l->last || l->first > p->last)
            continue;
        if (p->offset >= at + l->size && p->offset - at < gap) {
            best = at;
            gap = p->offset - at;
        }
        const size_t end = round_up(p->offset + p->size, align);
        at = end > at ? end : at;
    }
    return best != SIZE_MAX ? best : at;
}

/* Gives offsets in the list's order; returns what they take. */
static size_t place_in_order(const struct order *order, uint32_t n, struct firn_life **placed, size_t align)
{
    size_t size = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct firn_life *l = order[i].life;
        l->offset = best_gap(l, placed, i, align);
        uint32_t at = i;
        for (; at > 0 && placed[at - 1]->offset > l->offset; at--)
            placed[at] = placed[at - 1];
        placed[at] = l;
        const size_t end = round_up(l->offset + l->size, align);
        size = end > size ? end : size;
    }
    return size;
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

/* The ones that stick out are placed before all others, in the order they had. */
static void lift_highest(struct order *order, uint32_t n, size_t size, size_t align, struct order *spare)
{
    uint32_t front = 0, back = 0;
    for (uint32_t i = 0; i < n; i++)
        back += round_up(order[i].life->offset + order[i].life->size, align) == size;
    for (uint32_t i = 0; i < n; i++) {
        const bool is_highest = round_up(order[i].life->offset + order[i].life->size, align) == size;
        spare[is_highest ? front++ : back++] = order[i];
    }
    memcpy(order, spare, sizeof *order * n);
}

struct attempt {
    struct order *order, *spare;
    struct firn_life **placed;
    size_t *offsets, size; /* the best so far */
    uint32_t n;
};

static size_t try(struct attempt *t, size_t align)
{
    const size_t size = place_in_order(t->order, t->n, t->placed, align);
    for (uint32_t i = 0; i < t->n && size < t->size; i++)
        t->offsets[t->order[i].id] = t->order[i].life->offset;
    t->size = size < t->size ? size : t->size;
    return size;
}

/* Several orders, and from each a few where what stuck out goes first; a hundredth above the bound is good enough. Large
 * graphs get fewer attempts: each takes time with the square of their values. */
static void search(struct attempt *t, size_t bound, size_t align)
{
    static int (*const orders[])(const void *, const void *) = { larger_first, wider_first, longer_first, as_they_come };
    const size_t good = bound + bound / 100;
    const double work = (double) t->n * (double) t->n;
    const int lifts = work < 1e6 ? 24 : work < 1e7 ? 6 : 1;
    for (size_t k = 0; k < sizeof orders / sizeof orders[0] && t->size > good; k++) {
        qsort(t->order, t->n, sizeof *t->order, orders[k]);
        size_t size = try(t, align);
        for (int i = 0; i < lifts && t->size > good; i++) {
            lift_highest(t->order, t->n, size, align, t->spare);
            size = try(t, align);
        }
    }
}

firn_status firn_pass_place(struct firn_life *life, uint32_t n, size_t align, size_t *size,
                            size_t *lower_bound, struct firn_error *err)
{
    struct attempt t = { .order = calloc(n + 1, sizeof *t.order), .spare = calloc(n + 1, sizeof *t.spare),
                         .placed = calloc(n + 1, sizeof(void *)), .offsets = calloc(n + 1, sizeof *t.offsets), .size = SIZE_MAX };
    firn_status status = FIRN_OK;
    *size = *lower_bound = 0;
    if (t.order == NULL || t.spare == NULL || t.placed == NULL || t.offsets == NULL) {
        status = firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory in the planner");
        goto done;
    }
    for (uint32_t id = 0; id < n; id++)
        if (life[id].in_arena && life[id].first != UINT32_MAX)
            t.order[t.n++] = (struct order){ &life[id], id };
    *lower_bound = most_live(t.order, t.n, align);
    if (t.n > 0) {
        search(&t, *lower_bound, align);
        *size = t.size;
    }
    for (uint32_t i = 0; i < t.n; i++)
        t.order[i].life->offset = t.offsets[t.order[i].id];
done:
    free(t.order);
    free(t.spare);
    free(t.placed);
    free(t.offsets);
    return status;
}
