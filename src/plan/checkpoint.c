/* SPDX-License-Identifier: Apache-2.0 */
/* Activation checkpointing (Chen et al. 2016): what the backward pass needs of a layer is computed again from the layer's
 * input just before it is needed, instead of being kept. It runs behind the fusing pass, so that the second computation is
 * made of the same operations as the first: results are equal to the bit, dropout included (its numbers are a function of seed
 * and element). Nested: first the inputs of a group's layers from the group's input, then a layer's middle from its
 * input, then the halves. */
#include "plan/passes.h"

#include <stdlib.h>
#include <string.h>

struct rewrite {
    struct firn_graph *g;
    const uint32_t *segment;  /* of nodes before `border`; 0: none */
    uint32_t border, n_nodes, n_values, n_segments;
    bool *kept, *needed;      /* by value: used by the forward pass outside its segment; to be computed again */
    bool *copied;             /* by node */
    firn_val *copy;           /* by value */
    uint32_t *first_use;      /* by segment: the backward node in front of which its copies go */
    uint32_t *made_for;       /* by new node: its segment */
};

static uint32_t segment_of(const struct rewrite *w, firn_val v)
{
    const uint32_t node = firn_is_value(v) ? firn_graph_value(w->g, v)->node : FIRN_NO_NODE;
    return node < w->border ? w->segment[node] : 0;
}

/* Its storage is its own, a view of what its node reads, or a part of a join in the same segment. */
static bool is_own(const struct rewrite *w, const struct firn_node *n, uint32_t node, firn_val v)
{
    const firn_val base = firn_graph_value(w->g, v)->base;
    if (!firn_is_value(base) || n->op->alias)
        return firn_graph_value(w->g, firn_graph_root(w->g, v, NULL))->node != FIRN_NO_NODE || n->op->alias;
    return segment_of(w, base) == w->segment[node];
}

static void find_kept(struct rewrite *w)
{
    for (uint32_t i = 0; i < w->border; i++) {
        const struct firn_node *n = firn_graph_node(w->g, i);
        for (int k = 0; k < firn_node_n_reads(n) && !n->dead; k++) {
            const uint32_t from = segment_of(w, n->in[k]);
            if (from != 0 && from != w->segment[i])
                w->kept[n->in[k].id] = true;
        }
        for (int j = 0; j < n->op->n_out && !n->dead; j++)
            if (w->segment[i] != 0 && !is_own(w, n, i, n->out[j]))
                w->kept[n->out[j].id] = true;
    }
}

static bool is_recomputed(const struct rewrite *w, firn_val v)
{
    return segment_of(w, v) != 0 && !w->kept[v.id];
}

static void find_needed(struct rewrite *w)
{
    for (uint32_t i = w->border; i < w->n_nodes; i++) {
        const struct firn_node *n = firn_graph_node(w->g, i);
        for (int k = 0; k < firn_node_n_reads(n) && !n->dead; k++)
            if (is_recomputed(w, n->in[k]))
                w->needed[n->in[k].id] = true;
    }
}

/* An operation that writes a leaf runs once; a join whose parts come from elsewhere cannot be joined again. */
static bool can_copy(const struct rewrite *w, uint32_t node)
{
    const struct firn_node *n = firn_graph_node(w->g, node);
    if (n->op->updates != 0)
        return false;
    for (int k = 0; n->op->join && k < n->op->n_in; k++)
        if (firn_is_value(n->in[k]) && (!is_recomputed(w, n->in[k]) || segment_of(w, n->in[k]) != w->segment[node]))
            return false;
    return true;
}

/* Backwards, so that what a copy reads is seen after the copy. */
static void close_over(struct rewrite *w)
{
    for (uint32_t i = w->border; i-- > 0;) {
        const struct firn_node *n = firn_graph_node(w->g, i);
        bool wanted = false;
        for (int j = 0; j < n->op->n_out; j++)
            wanted |= w->needed[n->out[j].id];
        if (!wanted || n->dead)
            continue;
        if (!can_copy(w, i)) {
            for (int j = 0; j < n->op->n_out; j++) {
                w->kept[n->out[j].id] = true;
                w->needed[n->out[j].id] = false;
            }
            continue;
        }
        w->copied[i] = true;
        for (int k = 0; k < firn_node_n_reads(n); k++)
            if (is_recomputed(w, n->in[k]) && segment_of(w, n->in[k]) == w->segment[i])
                w->needed[n->in[k].id] = true;
    }
}

static void emit_copies(struct rewrite *w)
{
    for (uint32_t i = 0; i < w->border; i++) {
        if (!w->copied[i])
            continue;
        const struct firn_node *n = firn_graph_node(w->g, i);
        firn_val in[FIRN_MAX_IN] = { { 0 } }, out[FIRN_MAX_OUT] = { { 0 } };
        for (int k = 0; k < n->op->n_in; k++)
            in[k] = firn_is_value(n->in[k]) && firn_is_value(w->copy[n->in[k].id]) ? w->copy[n->in[k].id] : n->in[k];
        firn_graph_set_phase(w->g, n->phase);
        firn_graph_push(w->g, n->scope != NULL ? n->scope : "");
        firn_graph_emit(w->g, n->op, in, n->attrs, out);
        firn_graph_pop(w->g);
        if (firn_graph_error(w->g) != NULL)
            return;
        for (int j = 0; j < n->op->n_out; j++)
            if (!w->kept[n->out[j].id])
                w->copy[n->out[j].id] = out[j];
        w->made_for[firn_graph_n_nodes(w->g) - 1 - w->n_nodes] = w->segment[i];
    }
}

static void replace_uses(struct rewrite *w)
{
    for (uint32_t i = w->border; i < w->n_nodes; i++) {
        struct firn_node *n = firn_graph_node(w->g, i);
        for (int k = 0; k < n->op->n_in; k++) {
            const firn_val v = n->in[k];
            if (n->dead || !firn_is_value(v) || !firn_is_value(w->copy[v.id]))
                continue;
            n->in[k] = w->copy[v.id];
            struct firn_value *y = n->op->alias && k == 0 ? firn_graph_value(w->g, n->out[0]) : NULL;
            if (y != NULL && y->base.id == v.id)
                y->base = n->in[k];
            const uint32_t s = segment_of(w, v);
            if (i < w->first_use[s])
                w->first_use[s] = i;
        }
    }
}

/* Forward nodes stay; each segment's copies go in front of the node that needs them first. */
static firn_status sort(struct rewrite *w, struct firn_error *err)
{
    const uint32_t n = firn_graph_n_nodes(w->g), n_new = n - w->n_nodes;
    uint32_t *order = malloc(sizeof *order * (n + 1)), *by_use = calloc(w->n_nodes + 2, sizeof *by_use), at = 0;
    uint32_t *copies = malloc(sizeof *copies * (n_new + 1));
    if (order == NULL || by_use == NULL || copies == NULL) {
        free(order);
        free(by_use);
        free(copies);
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory in the planner");
    }
    for (uint32_t i = 0; i < n_new; i++) { /* counting sort by the place; copies of one segment keep their order */
        const uint32_t use = w->first_use[w->made_for[i]];
        by_use[(use < w->n_nodes ? use : w->n_nodes) + 1]++;
    }
    for (uint32_t i = 0; i <= w->n_nodes; i++)
        by_use[i + 1] += by_use[i];
    uint32_t *next = malloc(sizeof *next * (w->n_nodes + 2));
    if (next != NULL) {
        memcpy(next, by_use, sizeof *next * (w->n_nodes + 2));
        for (uint32_t i = 0; i < n_new; i++) {
            const uint32_t use = w->first_use[w->made_for[i]];
            copies[next[use < w->n_nodes ? use : w->n_nodes]++] = w->n_nodes + i;
        }
        for (uint32_t i = 0; i <= w->n_nodes; i++) {
            for (uint32_t k = by_use[i]; k < by_use[i + 1]; k++)
                order[at++] = copies[k];
            if (i < w->n_nodes)
                order[at++] = i;
        }
    }
    const firn_status status = next != NULL ? firn_graph_reorder(w->g, order, err)
                                            : firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory in the planner");
    free(next);
    free(order);
    free(by_use);
    free(copies);
    return status;
}

/* One round: `segment` says for each node of the forward pass where it belongs. */
static firn_status recompute(struct firn_graph *g, const uint32_t *segment, struct firn_error *err)
{
    struct rewrite w = { .g = g, .segment = segment, .border = firn_graph_border(g), .n_nodes = firn_graph_n_nodes(g),
                         .n_values = firn_graph_n_values(g) };
    for (uint32_t i = 0; i < w.border; i++)
        w.n_segments = segment[i] + 1 > w.n_segments ? segment[i] + 1 : w.n_segments;
    w.kept = calloc(w.n_values, sizeof *w.kept);
    w.needed = calloc(w.n_values, sizeof *w.needed);
    w.copied = calloc(w.border + 1, sizeof *w.copied);
    w.copy = calloc(w.n_values, sizeof *w.copy);
    w.first_use = malloc(sizeof *w.first_use * (w.n_segments + 1));
    w.made_for = malloc(sizeof *w.made_for * (w.border + 1));
    firn_status status = FIRN_OK;
    if (w.kept == NULL || w.needed == NULL || w.copied == NULL || w.copy == NULL || w.first_use == NULL || w.made_for == NULL)
        status = firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory in the planner");
    if (status == FIRN_OK) {
        for (uint32_t i = 0; i <= w.n_segments; i++)
            w.first_use[i] = UINT32_MAX;
        find_kept(&w);
        find_needed(&w);
        close_over(&w);
        emit_copies(&w);
        status = firn_graph_check(g, err);
    }
    if (status == FIRN_OK) {
        replace_uses(&w);
        status = sort(&w, err);
    }
    free(w.kept);
    free(w.needed);
    free(w.copied);
    free(w.copy);
    free(w.first_use);
    free(w.made_for);
    return status;
}

/* As many layers as make the sum of groups and of layers in a group smallest. */
static uint32_t group_size(uint32_t n_layers)
{
    uint32_t size = 1;
    while (size * size < n_layers)
        size++;
    return size;
}

firn_status firn_pass_checkpoint(struct firn_graph *g, enum firn_recompute level, struct firn_error *err)
{
    const uint32_t border = firn_graph_border(g);
    if (level == FIRN_RECOMPUTE_NONE || border == 0)
        return FIRN_OK;
    uint32_t *segment = calloc(border + 1, sizeof *segment), n_layers = 0;
    firn_status status = segment != NULL ? FIRN_OK : firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory in the planner");
    for (uint32_t i = 0; i < border && status == FIRN_OK; i++) {
        const struct firn_node *n = firn_graph_node(g, i);
        n_layers = n->layer > n_layers ? n->layer : n_layers;
        segment[i] = n->part;
    }
    const bool nested = level == FIRN_RECOMPUTE_NESTED;
    if (status == FIRN_OK && nested)
        status = recompute(g, segment, err);
    for (uint32_t i = 0; i < border && status == FIRN_OK; i++)
        segment[i] = firn_graph_node(g, i)->layer;
    if (status == FIRN_OK)
        status = recompute(g, segment, err);
    for (uint32_t i = 0; i < border && status == FIRN_OK && nested; i++) {
        const uint32_t layer = firn_graph_node(g, i)->layer;
        segment[i] = layer > 0 ? (layer - 1) / group_size(n_layers) + 1 : 0;
    }
    if (status == FIRN_OK && nested)
        status = recompute(g, segment, err);
    free(segment);
    return status;
}
