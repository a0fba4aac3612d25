/* SPDX-License-Identifier: Apache-2.0 */
/* Computes the table that a method's network stands for (re-parametrised prefixes, p-tuning), for adapter files. */
#include "peft/files.h"

#include <stdlib.h>
#include <string.h>

static bool is_of_network(const struct firn_adapter *a, const char *name)
{
    static const char prefix[] = "prompt_encoder.";
    return a->method->table != NULL && strncmp(name, prefix, sizeof prefix - 1) == 0;
}

bool firn_is_behind_table(const struct firn_adapter *a, const char *name)
{
    return is_of_network(a, name) && !a->method->keeps_network;
}

bool firn_adapter_has_network(const struct firn_adapter *a)
{
    bool has_network = false;
    for (size_t i = 0; i < a->params.count; i++)
        has_network |= firn_is_behind_table(a, a->params.list[i].name);
    return has_network;
}

/* The graph of the table alone, run once. */
static firn_status run(const struct firn_adapter *a, struct firn_model *m, struct firn_store *store,
                       struct firn_graph *g, const float *flat, struct firn_shape *shape, struct firn_error *err)
{
    static const struct firn_build_params p = { .batch = 1, .length = 1, .task = FIRN_TASK_CAUSAL_LM };
    struct firn_adapter copy = *a; /* building changes none of it: all parameters have their places */
    struct firn_build b = { .g = g, .model = m, .adapter = &copy, .p = &p, .layer = -1 };
    struct firn_device *device = firn_store_device(store);
    struct firn_plan *plan = NULL;
    const firn_val table = a->method->table(a->settings, &b);
    if (firn_is_value(table)) {
        *shape = firn_val_shape(g, table);
        firn_graph_place(g, table, firn_graph_leaf(g, FIRN_LEAF_OUTPUT, "table", FIRN_F32, *shape));
    }
    firn_status status = firn_graph_check(g, err);
    if (status == FIRN_OK)
        status = firn_store_add(store, FIRN_LEAF_PARAM, firn_params_leaf(a), sizeof *flat * (size_t) a->params.flat, flat, err);
    if (status == FIRN_OK)
        status = firn_model_load(m, g, store, err);
    if (status == FIRN_OK)
        status = firn_plan_create(&plan, g, &device->limits, device->is_host, device->is_exact, err);
    if (status == FIRN_OK)
        status = firn_plan_bind(plan, store, err);
    if (status == FIRN_OK)
        status = firn_plan_run(plan, true, false, err);
    firn_plan_destroy(&plan);
    return status;
}

firn_status firn_adapter_table(const struct firn_adapter *a, struct firn_model *m, const float *flat, float **values,
                               struct firn_shape *shape, struct firn_error *err)
{
    struct firn_device *device = NULL;
    struct firn_store *store = NULL;
    *values = NULL;
    bool has_network = false;
    for (size_t i = 0; i < a->params.count; i++)
        has_network |= is_of_network(a, a->params.list[i].name);
    if (!has_network)
        return FIRN_OK;
    struct firn_graph *g = firn_graph_create();
    firn_status status = g == NULL ? firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a graph")
                                   : firn_device_open(&device, "cpu:exact", &(struct firn_device_params){ 0 }, err);
    if (status == FIRN_OK)
        status = firn_store_create(&store, device, err);
    if (status == FIRN_OK)
        status = run(a, m, store, g, flat, shape, err);
    const size_t size = status == FIRN_OK ? sizeof **values * (size_t) firn_shape_count(shape) : 0;
    if (status == FIRN_OK && (*values = malloc(size + 1)) == NULL)
        status = firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a table");
    if (status == FIRN_OK)
        status = firn_store_read(store, "table", 0, *values, size, err);
    firn_store_destroy(&store);
    firn_device_close(&device);
    firn_graph_destroy(&g);
    if (status) {
        free(*values);
        *values = NULL;
    }
    return status;
}
