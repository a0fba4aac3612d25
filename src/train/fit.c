/* SPDX-License-Identifier: Apache-2.0 */
/* Plans a training step in all the ways that give the same mathematics, and takes the fastest that fits. */
#include "train/fit.h"

#include "train/step.h"

#include <stdlib.h>

const char *const firn_recompute_words[] = { "none", "layer", "nested", NULL };

static uint64_t total_of(const struct firn_plan_bytes *b)
{
    uint64_t total = b->activations;
    for (int kind = 0; kind < FIRN_LEAF_COUNT; kind++)
        total += b->leaf[kind];
    return total;
}

static firn_status make(struct firn_graph **g, struct firn_plan **plan, const struct firn_fit_params *p,
                        const struct firn_build_params *build, bool accumulates, enum firn_recompute recompute, bool trains,
                        struct firn_error *err)
{
    struct firn_build b;
    *g = firn_graph_create();
    if (*g == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a graph");
    firn_graph_set_binding_limit(*g, p->limits->max_binding_bytes);
    firn_status status = firn_model_build(&b, *g, p->model, p->adapter, build, err);
    if (status == FIRN_OK && trains)
        status = firn_step_build(&b, accumulates, err);
    firn_graph_set_recompute(*g, recompute);
    return status ? status : firn_plan_create(plan, *g, p->limits, p->is_host, p->is_exact, err);
}

static firn_status measure(struct firn_plan_bytes *bytes, const struct firn_fit_params *p,
                           const struct firn_build_params *build, bool accumulates, enum firn_recompute recompute,
                           bool trains, struct firn_error *err)
{
    struct firn_graph *g = NULL;
    struct firn_plan *plan = NULL;
    const firn_status status = make(&g, &plan, p, build, accumulates, recompute, trains, err);
    if (status == FIRN_OK)
        firn_plan_bytes(plan, bytes);
    firn_plan_destroy(&plan);
    firn_graph_destroy(&g);
    return status;
}

firn_status firn_fit_plan(struct firn_graph **g, struct firn_plan **plan, const struct firn_fit_params *p,
                          const struct firn_fit *fit, struct firn_error *err)
{
    struct firn_build_params build = p->build;
    build.batch = fit->batch;
    return make(g, plan, p, &build, fit->accumulation > 1, fit->recompute, true, err);
}

firn_status firn_fit_measure(struct firn_fit *fit, const struct firn_fit_params *p, int64_t parts,
                             enum firn_recompute recompute, struct firn_error *err)
{
    struct firn_build_params build = p->build;
    build.batch = p->build.batch / parts;
    *fit = (struct firn_fit){ .batch = build.batch, .accumulation = p->accumulation * parts, .recompute = recompute };
    const firn_status status = measure(&fit->bytes, p, &build, fit->accumulation > 1, recompute, true, err);
    fit->total = total_of(&fit->bytes);
    fit->fits = p->limit == 0 || fit->total <= p->limit;
    return status;
}

firn_status firn_fit_forward(uint64_t *total, const struct firn_fit_params *p, int64_t batch, struct firn_error *err)
{
    struct firn_build_params build = p->build;
    struct firn_plan_bytes bytes = { 0 };
    build.batch = batch;
    build.training = false;
    build.packed = 0;
    const firn_status status = measure(&bytes, p, &build, false, FIRN_RECOMPUTE_NONE, false, err);
    *total = total_of(&bytes);
    return status;
}

struct choice {
    int64_t parts;
    enum firn_recompute recompute;
    double cost; /* time against the recipe's own way, roughly */
};

static int cheaper_first(const void *a, const void *b)
{
    const struct choice *x = a, *y = b;
    if (x->cost != y->cost)
        return x->cost < y->cost ? -1 : 1;
    return x->parts < y->parts ? -1 : x->parts > y->parts;
}

/* Recomputing costs a third, nested two thirds; a micro-batch costs what some 64 tokens do, whatever its size. */
static size_t list_choices(const struct firn_fit_params *p, struct choice *list)
{
    static const double factor[FIRN_RECOMPUTE_COUNT] = { 1, 4.0 / 3, 5.0 / 3 };
    size_t n = 0;
    for (int64_t parts = 1; parts <= p->build.batch; parts++)
        for (int level = 0; level < FIRN_RECOMPUTE_COUNT && p->build.batch % parts == 0; level++) {
            const double tokens = (double) (p->build.batch / parts) * (double) (p->build.length + p->build.target);
            if ((p->is_fixed && level != (int) p->recompute) || (parts > 1 && !p->may_split))
                continue;
            list[n++] = (struct choice){ parts, (enum firn_recompute) level, factor[level] * (1 + 64 / tokens) };
        }
    qsort(list, n, sizeof *list, cheaper_first);
    return n;
}

firn_status firn_fit_choose(struct firn_fit *fit, const struct firn_fit_params *p, struct firn_error *err)
{
    struct choice *list = calloc((size_t) (p->build.batch + 1) * FIRN_RECOMPUTE_COUNT, sizeof *list);
    struct firn_fit smallest = { .total = UINT64_MAX };
    if (list == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a plan");
    const size_t n = list_choices(p, list);
    firn_status status = FIRN_OK;
    *fit = smallest;
    for (size_t i = 0; i < n && status == FIRN_OK && !fit->fits; i++) {
        status = firn_fit_measure(fit, p, list[i].parts, list[i].recompute, err);
        if (status == FIRN_OK && fit->total < smallest.total)
            smallest = *fit;
    }
    if (!fit->fits)
        *fit = smallest;
    free(list);
    return status;
}

firn_status firn_fit_fail(const struct firn_fit *fit, uint64_t limit, const char *file, struct firn_error *err)
{
    uint64_t leaves = fit->total - fit->bytes.activations;
    return firn_fail(err, FIRN_ERR_MEMORY, .file = file, .key = "memory_limit",
                     .expected = FIRN_STR("a plan within %llu bytes", (unsigned long long) limit),
                     .got = FIRN_STR("%llu bytes at least: base %llu, trained tensors and optimizer %llu, activations %llu of "
                                     "micro-batches of %lld with gradient_checkpointing %s",
                                     (unsigned long long) fit->total,
                                     (unsigned long long) fit->bytes.leaf[FIRN_LEAF_WEIGHT],
                                     (unsigned long long) (leaves - fit->bytes.leaf[FIRN_LEAF_WEIGHT]),
                                     (unsigned long long) fit->bytes.activations, (long long) fit->batch,
                                     firn_recompute_words[fit->recompute]));
}
