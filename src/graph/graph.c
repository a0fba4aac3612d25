/* SPDX-License-Identifier: Apache-2.0 */
/* Building a graph: leaves, nodes, values, scopes, and the first error. */
#include "graph/graph.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 256, MAX_SCOPE = 256, MAX_DEPTH = 32 };

/* Nodes and values live in chunks that never move. */
struct list {
    void **chunks;
    uint32_t n_chunks, count;
};

struct firn_graph {
    struct list nodes, values;
    enum firn_phase phase;
    char scope[MAX_SCOPE];
    size_t scope_ends[MAX_DEPTH]; /* lengths to go back to */
    int depth;
    uint32_t n_layers, n_parts, layer, part; /* counted so far, and where nodes go now */
    uint32_t border;
    enum firn_recompute recompute;
    uint64_t binding_limit;
    char error[300];
};

static void *list_at(const struct list *l, uint32_t index, size_t size)
{
    return (char *) l->chunks[index / CHUNK] + (size_t) (index % CHUNK) * size;
}

static void *list_add(struct list *l, size_t size)
{
    if (l->count == l->n_chunks * CHUNK) {
        void **chunks = realloc(l->chunks, sizeof *chunks * (l->n_chunks + 1));
        if (chunks == NULL)
            return NULL;
        l->chunks = chunks;
        l->chunks[l->n_chunks] = calloc(CHUNK, size);
        if (l->chunks[l->n_chunks] == NULL)
            return NULL;
        l->n_chunks++;
    }
    return list_at(l, l->count++, size);
}

static void list_free(struct list *l)
{
    for (uint32_t i = 0; i < l->n_chunks; i++)
        free(l->chunks[i]);
    free(l->chunks);
}

struct firn_graph *firn_graph_create(void)
{
    struct firn_graph *g = calloc(1, sizeof *g);
    if (g != NULL && list_add(&g->values, sizeof(struct firn_value)) == NULL)
        firn_graph_destroy(&g);
    return g;
}

void firn_graph_destroy(struct firn_graph **graph)
{
    struct firn_graph *g = *graph;
    if (g == NULL)
        return;
    for (uint32_t i = 0; i < g->nodes.count; i++) {
        free(firn_graph_node(g, i)->attrs);
        free(firn_graph_node(g, i)->scope);
    }
    for (uint32_t i = 1; i < g->values.count; i++)
        free(firn_graph_value(g, (firn_val){ i })->name);
    list_free(&g->nodes);
    list_free(&g->values);
    free(g);
    *graph = NULL;
}

uint32_t firn_graph_n_nodes(const struct firn_graph *g)
{
    return g->nodes.count;
}

struct firn_node *firn_graph_node(const struct firn_graph *g, uint32_t index)
{
    return list_at(&g->nodes, index, sizeof(struct firn_node));
}

uint32_t firn_graph_n_values(const struct firn_graph *g)
{
    return g->values.count;
}

struct firn_value *firn_graph_value(const struct firn_graph *g, firn_val v)
{
    return list_at(&g->values, v.id, sizeof(struct firn_value));
}

firn_val firn_graph_root(const struct firn_graph *g, firn_val v, int64_t *offset)
{
    int64_t sum = 0;
    for (const struct firn_value *x = firn_graph_value(g, v); firn_is_value(x->base);
         x = firn_graph_value(g, v)) {
        sum += x->offset;
        v = x->base;
    }
    if (offset != NULL)
        *offset = sum;
    return v;
}

void firn_graph_fail(struct firn_graph *g, const char *format, ...)
{
    if (g->error[0] != '\0')
        return;
    const int used = g->scope[0] != '\0' ? snprintf(g->error, sizeof g->error, "%s: ", g->scope) : 0;
    va_list args;
    va_start(args, format);
    vsnprintf(g->error + used, sizeof g->error - (size_t) used, format, args);
    va_end(args);
}

const char *firn_graph_error(const struct firn_graph *g)
{
    return g->error[0] != '\0' ? g->error : NULL;
}

firn_status firn_graph_check(const struct firn_graph *g, struct firn_error *err)
{
    if (g->error[0] == '\0')
        return FIRN_OK;
    return firn_fail(err, FIRN_ERR_SHAPE, .what = g->error);
}

static char *copy_text(const char *text)
{
    return text != NULL ? strdup(text) : NULL;
}

static firn_val add_value(struct firn_graph *g, const struct firn_value *value)
{
    struct firn_value *v = list_add(&g->values, sizeof *v);
    if (v == NULL) {
        firn_graph_fail(g, "out of memory");
        return (firn_val){ 0 };
    }
    *v = *value;
    v->name = copy_text(value->name);
    return (firn_val){ g->values.count - 1 };
}

firn_val firn_graph_leaf(struct firn_graph *g, enum firn_leaf kind, const char *name,
                         enum firn_dtype dtype, struct firn_shape shape)
{
    if (g->error[0] != '\0')
        return (firn_val){ 0 };
    for (uint32_t i = 1; i < g->values.count; i++) {
        const struct firn_value *v = firn_graph_value(g, (firn_val){ i });
        if (v->node != FIRN_NO_NODE || firn_is_value(v->base) || strcmp(v->name, name) != 0)
            continue;
        if (v->leaf == kind && v->dtype == dtype && firn_shape_eq(&v->shape, &shape))
            return (firn_val){ i };
        firn_graph_fail(g, "leaf %s exists as %s %s, not %s %s", name, firn_dtype_name(v->dtype),
                        FIRN_SHAPE_STR(&v->shape), firn_dtype_name(dtype), FIRN_SHAPE_STR(&shape));
        return (firn_val){ 0 };
    }
    return add_value(g, &(struct firn_value){ .dtype = dtype, .shape = shape, .node = FIRN_NO_NODE,
                                              .leaf = kind, .name = (char *) name });
}

firn_val firn_graph_view(struct firn_graph *g, firn_val leaf, const char *name, int64_t offset,
                         struct firn_shape shape)
{
    if (g->error[0] != '\0' || !firn_is_value(leaf))
        return (firn_val){ 0 };
    const struct firn_value *of = firn_graph_value(g, leaf);
    assert(of->node == FIRN_NO_NODE);
    return add_value(g, &(struct firn_value){ .dtype = of->dtype, .shape = shape,
                                              .node = FIRN_NO_NODE, .leaf = of->leaf, .base = leaf,
                                              .offset = offset, .name = (char *) name });
}

void firn_graph_resize_leaf(struct firn_graph *g, firn_val leaf, int64_t elements)
{
    if (firn_is_value(leaf))
        firn_graph_value(g, leaf)->shape = firn_dims(elements);
}

void firn_graph_set_phase(struct firn_graph *g, enum firn_phase phase)
{
    g->phase = phase;
}

void firn_graph_begin_layer(struct firn_graph *g)
{
    g->layer = ++g->n_layers;
    g->part = ++g->n_parts;
}

void firn_graph_next_part(struct firn_graph *g)
{
    if (g->layer != 0)
        g->part = ++g->n_parts;
}

void firn_graph_end_layer(struct firn_graph *g)
{
    g->layer = g->part = 0;
}

void firn_graph_begin_backward(struct firn_graph *g)
{
    if (g->border == 0)
        g->border = g->nodes.count;
}

uint32_t firn_graph_border(const struct firn_graph *g)
{
    return g->border;
}

void firn_graph_set_binding_limit(struct firn_graph *g, uint64_t bytes)
{
    g->binding_limit = bytes;
}

uint64_t firn_graph_binding_limit(const struct firn_graph *g)
{
    return g->binding_limit;
}

void firn_graph_set_recompute(struct firn_graph *g, enum firn_recompute level)
{
    g->recompute = level;
}

enum firn_recompute firn_graph_recompute(const struct firn_graph *g)
{
    return g->recompute;
}

firn_status firn_graph_reorder(struct firn_graph *g, const uint32_t *order, struct firn_error *err)
{
    struct firn_node *nodes = malloc(sizeof *nodes * ((size_t) g->nodes.count + 1));
    if (nodes == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a graph");
    for (uint32_t i = 0; i < g->nodes.count; i++)
        nodes[i] = *firn_graph_node(g, order[i]);
    for (uint32_t i = 0; i < g->nodes.count; i++) {
        *firn_graph_node(g, i) = nodes[i];
        for (int j = 0; j < nodes[i].op->n_out; j++)
            firn_graph_value(g, nodes[i].out[j])->node = i;
    }
    free(nodes);
    return FIRN_OK;
}

void firn_graph_push(struct firn_graph *g, const char *scope)
{
    const size_t used = strlen(g->scope);
    assert(g->depth < MAX_DEPTH);
    g->scope_ends[g->depth++] = used;
    snprintf(g->scope + used, sizeof g->scope - used, "%s%s", used > 0 ? "." : "", scope);
}

void firn_graph_pop(struct firn_graph *g)
{
    assert(g->depth > 0);
    g->scope[g->scope_ends[--g->depth]] = '\0';
}

void firn_graph_want(struct firn_graph *g, firn_val leaf)
{
    if (firn_is_value(leaf))
        firn_graph_value(g, leaf)->wanted = true;
}

bool firn_wants(const struct firn_graph *g, firn_val v)
{
    return firn_is_value(v) && firn_graph_value(g, v)->wanted;
}

struct firn_shape firn_val_shape(const struct firn_graph *g, firn_val v)
{
    return firn_graph_value(g, v)->shape;
}

enum firn_dtype firn_val_dtype(const struct firn_graph *g, firn_val v)
{
    return firn_graph_value(g, v)->dtype;
}

const char *firn_val_name(const struct firn_graph *g, firn_val v)
{
    const struct firn_value *x = firn_graph_value(g, v);
    if (x->name != NULL)
        return x->name;
    return x->node != FIRN_NO_NODE ? firn_graph_node(g, x->node)->op->name : "";
}

static struct firn_tensor describe(const struct firn_graph *g, firn_val v)
{
    if (!firn_is_value(v))
        return (struct firn_tensor){ .dtype = FIRN_NONE };
    const struct firn_value *x = firn_graph_value(g, v);
    return (struct firn_tensor){ .dtype = x->dtype, .shape = x->shape };
}

void firn_node_call(const struct firn_graph *g, const struct firn_node *n, struct firn_call *call)
{
    memset(call, 0, sizeof *call);
    for (int i = 0; i < n->op->n_in; i++)
        call->in[i] = describe(g, n->in[i]);
    for (int j = 0; j < n->op->n_out; j++)
        call->out[j] = describe(g, n->out[j]);
    call->attrs = n->attrs;
}

/* Which inputs there must be, and the op's own shape rule. */
static bool infer(struct firn_graph *g, const struct firn_op *op, const firn_val *in,
                  const void *attrs, struct firn_infer *s)
{
    s->n_in = op->n_in;
    s->attrs = attrs;
    for (int i = 0; i < op->n_in; i++) {
        s->in[i] = describe(g, in[i]);
        if (!firn_is_value(in[i]) && (op->optional >> i & 1u) == 0) {
            firn_graph_fail(g, "%s: input %d is missing", op->name, i);
            return false;
        }
        const bool any_type = op->alias || op->join;
        if (firn_is_value(in[i]) && !any_type &&
            (s->in[i].dtype == FIRN_I32) != ((op->integer >> i & 1u) != 0)) {
            firn_graph_fail(g, "%s: input %d is %s", op->name, i, firn_dtype_name(s->in[i].dtype));
            return false;
        }
    }
    if (op->shape(s))
        return true;
    firn_graph_fail(g, "%s: %s", op->name, s->text);
    return false;
}

static bool any_wanted(const struct firn_graph *g, const struct firn_op *op, const firn_val *in)
{
    if (op->grad == NULL)
        return false;
    for (int i = 0; i < op->n_in; i++)
        if (firn_wants(g, in[i]))
            return true;
    return false;
}

void firn_graph_emit(struct firn_graph *g, const struct firn_op *op, const firn_val *in,
                     const void *attrs, firn_val *out)
{
    struct firn_infer s = { 0 };
    for (int j = 0; j < op->n_out; j++)
        out[j] = (firn_val){ 0 };
    if (g->error[0] != '\0' || !infer(g, op, in, attrs, &s))
        return;
    struct firn_node *n = list_add(&g->nodes, sizeof *n);
    if (n == NULL) {
        firn_graph_fail(g, "out of memory");
        return;
    }
    n->op = op;
    n->phase = g->phase;
    n->layer = g->layer;
    n->part = g->part;
    n->scope = copy_text(g->scope);
    memcpy(n->in, in, sizeof *in * (size_t) op->n_in);
    if (op->attrs_size > 0) {
        n->attrs = malloc(op->attrs_size);
        if (n->attrs == NULL) {
            firn_graph_fail(g, "out of memory");
            return;
        }
        memcpy(n->attrs, attrs, op->attrs_size);
    }
    const bool wanted = any_wanted(g, op, in);
    for (int j = 0; j < op->n_out; j++)
        out[j] = n->out[j] = add_value(g, &(struct firn_value){ .dtype = s.out[j].dtype,
                                                  .shape = s.out[j].shape,
                                                  .node = g->nodes.count - 1, .slot = j,
                                                  .wanted = wanted });
    if (op->alias) {
        struct firn_call call;
        firn_node_call(g, n, &call);
        struct firn_value *y = firn_graph_value(g, out[0]);
        y->base = in[0];
        y->offset = op->alias_offset != NULL ? op->alias_offset(&call) : 0;
    }
    if (op->join) {
        int64_t offset = 0;
        for (int i = 0; i < op->n_in && firn_is_value(in[i]); i++) {
            struct firn_value *part = firn_graph_value(g, in[i]);
            if (firn_is_value(part->base) || part->node == FIRN_NO_NODE) {
                firn_graph_fail(g, "%s: part %d has its storage elsewhere", op->name, i);
                return;
            }
            part->base = out[0];
            part->offset = offset;
            offset += firn_shape_count(&part->shape);
        }
    }
}

void firn_graph_place(struct firn_graph *g, firn_val value, firn_val view)
{
    if (g->error[0] != '\0' || !firn_is_value(value) || !firn_is_value(view))
        return;
    int64_t offset;
    const firn_val root = firn_graph_root(g, value, &offset); /* an alias is placed with what it names */
    const struct firn_value *at = firn_graph_value(g, view);
    struct firn_value *v = firn_graph_value(g, root);
    if (offset != 0 || v->node == FIRN_NO_NODE || firn_is_value(v->base) || v->dtype != at->dtype ||
        firn_shape_count(&v->shape) != firn_shape_count(&at->shape)) {
        firn_graph_fail(g, "%s cannot be placed in %s", firn_val_name(g, value),
                        firn_val_name(g, view));
        return;
    }
    v->base = view;
    v->offset = 0;
}
