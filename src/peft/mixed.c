/* SPDX-License-Identifier: Apache-2.0 */
/* A method that calls the hooks of others, one after the other, and chooses rows of what they give. */
#include "peft/mixed.h"

#include <stdlib.h>
#include <string.h>

struct mix {
    struct firn_adapter *list; /* copies: what they point to is the owners' */
    size_t n;
};

/* A trained head of the module: PATH "." part; NULL: it has none. */
static const struct firn_param *head_of(const struct firn_adapter *a, const char *path, const char *part)
{
    const char *base = FIRN_STR("%s.%s", path, part);
    for (size_t i = 0; i < a->params.count; i++)
        if (a->params.list[i].base != NULL && strcmp(a->params.list[i].base, base) == 0)
            return &a->params.list[i];
    return NULL;
}

/* Every head of `a` is one of `b`, in the same shape. */
static bool has_heads_of(const struct firn_adapter *a, const struct firn_adapter *b)
{
    for (size_t i = 0; i < a->params.count; i++) {
        const struct firn_param *p = &a->params.list[i], *q = NULL;
        for (size_t k = 0; k < b->params.count && p->base != NULL; k++)
            if (b->params.list[k].base != NULL && strcmp(b->params.list[k].base, p->base) == 0)
                q = &b->params.list[k];
        if (p->base != NULL && (q == NULL || !firn_is_head(p->base) || !firn_shape_eq(&p->shape, &q->shape)))
            return false;
    }
    return true;
}

bool firn_mixed_can(const struct firn_adapter *const *list, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        const struct firn_method *m = list[k]->method;
        if (m == NULL || m->kv != NULL || m->input != NULL || list[k]->n_virtual > 0 || list[k]->n_prefix > 0 ||
            (m->anchors != NULL && m->anchors(list[k]->settings)) || !has_heads_of(list[k], list[0]) ||
            !has_heads_of(list[0], list[k]))
            return false;
    }
    return n > 1;
}

/* While a hook of adapter k runs, the graph is built as its own. */
struct turn {
    struct firn_adapter *adapter;
    firn_val params;
};

static struct turn begin(const struct mix *mix, struct firn_build *b, size_t k)
{
    const struct turn before = { b->adapter, b->params };
    b->adapter = &mix->list[k];
    b->params = firn_graph_leaf(b->g, FIRN_LEAF_PARAM, firn_params_leaf(b->adapter), FIRN_F32,
                                firn_dims(b->adapter->params.flat > 0 ? b->adapter->params.flat : 1));
    return before;
}

static void end(struct firn_build *b, struct turn before)
{
    b->adapter = before.adapter;
    b->params = before.params;
}

static firn_val choose(struct firn_build *b, firn_val y, firn_val own, size_t k)
{
    return firn_is_value(own) && own.id != y.id
               ? firn_choose_rows(b->g, y, own, firn_input(b, FIRN_MIXED_INPUT, firn_dims(b->p->batch)), (int64_t) k)
               : y;
}

static bool targets_of(const struct firn_adapter *a, const struct firn_site *s)
{
    return a->method->targets != NULL && a->method->targets(a->settings, s);
}

static bool targets(const void *settings, const struct firn_site *s)
{
    const struct mix *mix = settings;
    bool is_any = s->kind == FIRN_SITE_LINEAR && head_of(&mix->list[0], s->path, "weight") != NULL;
    for (size_t k = 0; k < mix->n; k++)
        is_any |= targets_of(&mix->list[k], s);
    return is_any;
}

static bool copies(const void *settings, const struct firn_site *s)
{
    const struct firn_adapter *a = &((const struct mix *) settings)->list[0];
    return a->method->copies != NULL && a->method->copies(a->settings, s);
}

static const char *trains(const void *settings, const struct firn_site *s, const char *part, char *text, size_t size)
{
    const struct firn_adapter *a = &((const struct mix *) settings)->list[0];
    return a->method->trains != NULL ? a->method->trains(a->settings, s, part, text, size) : NULL;
}

static firn_val linear_input(const void *settings, struct firn_build *b, const struct firn_site *s, firn_val x)
{
    const struct mix *mix = settings;
    firn_val all = x;
    for (size_t k = 0; k < mix->n; k++) {
        const struct firn_adapter *a = &mix->list[k];
        if (a->method->linear_input == NULL || !targets_of(a, s))
            continue;
        const struct turn before = begin(mix, b, k);
        const firn_val own = a->method->linear_input(a->settings, b, s, x);
        end(b, before);
        all = choose(b, all, own, k);
    }
    return all;
}

/* The head of adapter k; the first's is what `y` is. */
static firn_val head(const struct mix *mix, struct firn_build *b, const struct firn_site *s, size_t k, firn_val x)
{
    const struct firn_param *w = head_of(&mix->list[k], s->path, "weight"), *bias = head_of(&mix->list[k], s->path, "bias");
    const struct turn before = begin(mix, b, k);
    const firn_val y = firn_matmul(b->g, x, firn_param_view(b, w),
                                   firn_matmul_params(.trans_b = !s->is_conv1d,
                                                      .bias = bias != NULL ? firn_param_view(b, bias) : s->bias));
    end(b, before);
    return y;
}

static firn_val linear(const void *settings, struct firn_build *b, const struct firn_site *s, firn_val x, firn_val y)
{
    const struct mix *mix = settings;
    const bool is_head = head_of(&mix->list[0], s->path, "weight") != NULL;
    firn_val all = y;
    for (size_t k = is_head ? 1 : 0; k < mix->n; k++) {
        const struct firn_adapter *a = &mix->list[k];
        firn_val own = { 0 };
        if (is_head) {
            own = head(mix, b, s, k, x);
        } else if (a->method->linear != NULL && targets_of(a, s)) {
            const struct turn before = begin(mix, b, k);
            own = a->method->linear(a->settings, b, s, x, y);
            end(b, before);
        }
        all = choose(b, all, own, k);
    }
    return all;
}

static firn_val embed(const void *settings, struct firn_build *b, const struct firn_site *s, firn_val ids, firn_val y)
{
    const struct mix *mix = settings;
    firn_val all = y;
    for (size_t k = 0; k < mix->n; k++) {
        const struct firn_adapter *a = &mix->list[k];
        if (a->method->embed == NULL || !targets_of(a, s))
            continue;
        const struct turn before = begin(mix, b, k);
        const firn_val own = a->method->embed(a->settings, b, s, ids, y);
        end(b, before);
        all = choose(b, all, own, k);
    }
    return all;
}

static firn_val lookup(const void *settings, struct firn_build *b, const struct firn_site *s, firn_val ids)
{
    const struct mix *mix = settings;
    firn_val all = { 0 };
    for (size_t k = 0; k < mix->n; k++) {
        const struct firn_adapter *a = &mix->list[k];
        if (a->method->lookup == NULL)
            continue;
        const struct turn before = begin(mix, b, k);
        const firn_val own = a->method->lookup(a->settings, b, s, ids);
        end(b, before);
        if (firn_is_value(own) && !firn_is_value(all))
            all = firn_embed(b->g, s->weight, ids);
        all = choose(b, all, own, k);
    }
    return all;
}

static firn_val logits(const void *settings, struct firn_build *b, const struct firn_site *s, const char *tied, firn_val x)
{
    const struct mix *mix = settings;
    firn_val all = { 0 };
    for (size_t k = 0; k < mix->n; k++) {
        const struct firn_adapter *a = &mix->list[k];
        if (a->method->logits == NULL)
            continue;
        const struct turn before = begin(mix, b, k);
        const firn_val own = a->method->logits(a->settings, b, s, tied, x);
        end(b, before);
        if (firn_is_value(own) && !firn_is_value(all))
            all = firn_matmul(b->g, x, s->weight, firn_matmul_params(.trans_b = true, .bias = s->bias));
        all = choose(b, all, own, k);
    }
    return all;
}

static firn_val sublayer(const void *settings, struct firn_build *b, const struct firn_sublayer *s)
{
    const struct mix *mix = settings;
    firn_val all = { 0 };
    for (size_t k = 0; k < mix->n; k++) {
        const struct firn_adapter *a = &mix->list[k];
        const struct turn before = begin(mix, b, k);
        const firn_val own = a->method->sublayer != NULL ? a->method->sublayer(a->settings, b, s) : firn_join_plain(b, s);
        end(b, before);
        all = k == 0 ? own : choose(b, all, own, k);
    }
    return all;
}

static firn_val sublayer_or_plain(const void *settings, struct firn_build *b, const struct firn_sublayer *s)
{
    const struct mix *mix = settings;
    bool is_any = false;
    for (size_t k = 0; k < mix->n; k++)
        is_any |= mix->list[k].method->sublayer != NULL;
    return is_any ? sublayer(settings, b, s) : firn_join_plain(b, s);
}

static const struct firn_method method = {
    .name = "several adapters",
    .peft_type = "",
    .targets = targets,
    .copies = copies,
    .trains = trains,
    .linear_input = linear_input,
    .linear = linear,
    .embed = embed,
    .lookup = lookup,
    .logits = logits,
    .sublayer = sublayer_or_plain,
};

firn_status firn_mixed_open(struct firn_adapter *mixed, const struct firn_adapter *const *list, size_t n,
                            struct firn_error *err)
{
    struct mix *mix = calloc(1, sizeof *mix);
    struct firn_adapter *copy = calloc(n + 1, sizeof *copy);
    if (mix == NULL || copy == NULL) {
        free(mix);
        free(copy);
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for adapters");
    }
    for (size_t k = 0; k < n; k++)
        copy[k] = *list[k];
    *mix = (struct mix){ copy, n };
    *mixed = *list[0]; /* whose parameters are those that blocks ask for */
    mixed->method = &method;
    mixed->settings = mix;
    return FIRN_OK;
}

void firn_mixed_close(struct firn_adapter *mixed)
{
    struct mix *mix = mixed->settings;
    free(mix->list);
    free(mix);
    memset(mixed, 0, sizeof *mixed);
}

bool firn_adapter_is_mixed(const struct firn_adapter *a)
{
    return a->method == &method;
}
