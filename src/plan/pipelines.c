/* SPDX-License-Identifier: Apache-2.0 */
/* Compiles each kernel for each set of constants that the cases of its operation ask for, and runs none: what a driver
 * makes of them can be read on a machine without the device. */
#include "plan/conform.h"

#include <stdio.h>
#include <stdlib.h>

/* What was compiled already: cases differ in shapes far more often than in constants. */
struct seen {
    const struct firn_kernel *kernel;
    int n_spec;
    uint32_t spec[FIRN_MAX_SPEC];
};

struct walk {
    struct firn_device *device;
    const char *filter;
    void (*result)(void *user, const struct firn_pipeline_result *result);
    void *user;
    struct seen *seen;
    int n_seen, capacity;
};

static firn_status is_new(struct walk *w, const struct firn_kernel *k, const struct firn_dispatch *d, bool *is, struct firn_error *err)
{
    struct seen this = { .kernel = k, .n_spec = d->n_spec };
    memcpy(this.spec, d->spec, sizeof this.spec[0] * (size_t) d->n_spec);
    *is = false;
    for (int i = 0; i < w->n_seen; i++)
        if (w->seen[i].kernel == k && w->seen[i].n_spec == d->n_spec && memcmp(w->seen[i].spec, this.spec, sizeof this.spec) == 0)
            return FIRN_OK;
    if (w->n_seen == w->capacity) {
        const int capacity = w->capacity > 0 ? 2 * w->capacity : 256;
        struct seen *list = realloc(w->seen, (size_t) capacity * sizeof *list);
        if (list == NULL)
            return firn_fail(err, FIRN_ERR_MEMORY, .what = "no memory for the list of pipelines");
        w->seen = list;
        w->capacity = capacity;
    }
    w->seen[w->n_seen++] = this;
    *is = true;
    return FIRN_OK;
}

static firn_status compile(struct walk *w, const struct firn_trial *t, const struct firn_kernel *first,
                           const struct firn_kernel *k, struct firn_error *err)
{
    struct firn_dispatch d = { .groups = { 1, 1, 1 } };
    struct firn_vulkan_code code;
    struct firn_error why = { 0 };
    bool is;
    k->setup(&t->call, &w->device->limits, &d);
    firn_status status = is_new(w, k, &d, &is, err);
    if (status || !is)
        return status;
    struct firn_pipeline_result r = { .op = t->op->name, .kernel = k, .dispatch = &d, .code = &code };
    firn_trial_shapes(t, r.shapes, sizeof r.shapes);
    const int n_bindings = t->op->n_in + t->op->n_out + (first->scratch != NULL && first->scratch(&t->call, &w->device->limits) > 0);
    status = firn_vulkan_inspect(w->device, k, &d, n_bindings, &code, &why);
    if (status)
        snprintf(r.reason, sizeof r.reason, "%.199s", why.text);
    w->result(w->user, &r);
    free(code.text);
    return status == FIRN_ERR_MEMORY || status == FIRN_ERR_DEVICE ? firn_fail(err, status, .what = why.text) : FIRN_OK;
}

static firn_status try_case(struct walk *w, const struct firn_op *op, int c, struct firn_error *err)
{
    struct firn_trial t;
    firn_status status = firn_trial_create(&t, op, c, FIRN_F32, 1, err);
    if (status)
        return status;
    for (const struct firn_kernel *k = op->kernels; t.is_valid && k != NULL && k->name != NULL && status == FIRN_OK; k++) {
        const struct firn_limits *l = &w->device->limits;
        if ((l->caps & k->needs) != k->needs || (k->accepts != NULL && !k->accepts(&t.call, l)) ||
            (w->filter != NULL && strstr(op->name, w->filter) == NULL && strstr(k->name, w->filter) == NULL))
            continue;
        for (const struct firn_kernel *part = k; part != NULL && status == FIRN_OK; part = part->then)
            status = compile(w, &t, k, part, err);
    }
    firn_trial_free(&t);
    return status;
}

firn_status firn_conform_pipelines(struct firn_device *device, const char *filter,
                                   void (*result)(void *user, const struct firn_pipeline_result *result), void *user,
                                   struct firn_error *err)
{
    struct walk w = { .device = device, .filter = filter, .result = result, .user = user };
    firn_status status = FIRN_OK;
    if (device->is_host)
        return firn_fail(err, FIRN_ERR_USAGE, .key = device->id, .what = "has no pipelines", .expected = "a vulkan device");
    for (const struct firn_op *const *op = firn_op_list(); *op != NULL && status == FIRN_OK; op++)
        for (int c = 0; c < (*op)->n_cases && status == FIRN_OK; c++)
            status = try_case(&w, *op, c, err);
    free(w.seen);
    return status;
}
