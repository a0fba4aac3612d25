/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of tensors for files. */
#include "peft/files.h"

#include <stdlib.h>
#include <string.h>

firn_status firn_tensors_add(struct firn_tensors *t, const struct firn_named_tensor *tensor, struct firn_error *err)
{
    struct firn_named_tensor *list = realloc(t->list, sizeof *list * (t->count + 1));
    if (list == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for an adapter's files");
    t->list = list;
    list[t->count++] = *tensor;
    return FIRN_OK;
}

const struct firn_named_tensor *firn_tensors_find(const struct firn_tensors *t, const char *name)
{
    for (size_t i = 0; i < t->count; i++)
        if (strcmp(t->list[i].name, name) == 0)
            return &t->list[i];
    return NULL;
}

static bool own(struct firn_tensors *t, void *data)
{
    void **owned = data != NULL ? realloc(t->owned, sizeof *owned * (t->n_owned + 1)) : NULL;
    if (owned == NULL) {
        free(data);
        return false;
    }
    t->owned = owned;
    owned[t->n_owned++] = data;
    return true;
}

float *firn_tensors_put(struct firn_tensors *t, const char *name, struct firn_shape shape)
{
    struct firn_named_tensor *at = (struct firn_named_tensor *) firn_tensors_find(t, name);
    float *values = calloc((size_t) firn_shape_count(&shape) + 1, sizeof *values);
    if (!own(t, values))
        return NULL;
    if (at == NULL) {
        char *copy = firn_strdup(name);
        if (!own(t, copy) || firn_tensors_add(t, &(struct firn_named_tensor){ .name = copy }, NULL) != FIRN_OK)
            return NULL;
        at = &t->list[t->count - 1];
    }
    at->tensor = (struct firn_tensor){ FIRN_F32, shape, values };
    return values;
}

void firn_tensors_free(struct firn_tensors *t)
{
    for (size_t i = 0; i < t->n_owned; i++)
        free(t->owned[i]);
    free(t->owned);
    free(t->list);
    memset(t, 0, sizeof *t);
}
