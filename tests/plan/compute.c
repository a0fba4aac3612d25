/* SPDX-License-Identifier: Apache-2.0 */
#include "compute.h"

#include "base/hash.h"
#include "base/rng.h"
#include "plan/plan.h"

/* The same name gives the same numbers, in whatever order a graph names its leaves. */
static void *fill(struct firn_store *store, const struct firn_value *v)
{
    const int64_t n = firn_shape_count(&v->shape);
    float *values = calloc((size_t) n + 1, sizeof *values);
    assert_non_null(values);
    const uint32_t stream = firn_crc32c(0, v->name, strlen(v->name));
    for (int64_t i = 0; i < n; i++)
        values[i] = firn_normal(1, stream, 0, (uint64_t) i);
    for (int64_t i = 0; i < n && v->dtype == FIRN_I32; i++) /* the middle one of each three rows */
        ((int32_t *) values)[i] = (int32_t) (3 * i + 1);
    struct firn_error err = { 0 };
    check_ok(firn_store_add(store, v->leaf, v->name, sizeof *values * (size_t) n, values, &err), &err);
    check_ok(firn_store_write(store, v->name, 0, values, sizeof *values * (size_t) n, &err), &err);
    if (v->leaf == FIRN_LEAF_WEIGHT) /* used where it is */
        return values;
    free(values);
    return NULL;
}

void compute(struct firn_graph *g, const char *name, float *values, size_t n)
{
    struct firn_device *device = NULL;
    struct firn_store *store = NULL;
    struct firn_plan *plan = NULL;
    struct firn_error err = { 0 };
    void *weights[8];
    size_t n_weights = 0;
    check_ok(firn_graph_check(g, &err), &err);
    check_ok(firn_cpu_open(&device, true, 1, &err), &err);
    check_ok(firn_store_create(&store, device, &err), &err);
    for (uint32_t i = 1; i < firn_graph_n_values(g); i++) {
        const struct firn_value *v = firn_graph_value(g, (firn_val){ i });
        if (v->node != FIRN_NO_NODE || firn_is_value(v->base) ||
            (v->leaf != FIRN_LEAF_INPUT && v->leaf != FIRN_LEAF_PARAM && v->leaf != FIRN_LEAF_WEIGHT))
            continue;
        void *const weight = fill(store, v);
        assert_true(n_weights < sizeof weights / sizeof weights[0]);
        if (weight != NULL)
            weights[n_weights++] = weight;
    }
    check_ok(firn_plan_create(&plan, g, &device->limits, true, true, &err), &err);
    check_ok(firn_plan_bind(plan, store, &err), &err);
    check_ok(firn_plan_run(plan, true, false, &err), &err);
    check_ok(firn_store_read(store, name, 0, values, sizeof *values * n, &err), &err);
    firn_plan_destroy(&plan);
    firn_store_destroy(&store);
    firn_device_close(&device);
    while (n_weights > 0)
        free(weights[--n_weights]);
}
