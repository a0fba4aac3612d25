/* SPDX-License-Identifier: Apache-2.0 */
/* Results of a replay, and their verdict. */
#include "train/dump.h"

#include "base/str.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *firn_dump_add(struct firn_dump *d, const char *name, enum firn_dtype dtype, struct firn_shape shape,
                    const void *values)
{
    struct firn_named_tensor *list = realloc(d->list, sizeof *list * (d->count + 1));
    const size_t size = (size_t) firn_shape_count(&shape) * firn_dtype_size(dtype);
    void *copy = calloc(1, size + 8);
    char *own_name = firn_strdup(name);
    if (list != NULL)
        d->list = list;
    if (list == NULL || copy == NULL || own_name == NULL) {
        free(copy);
        free(own_name);
        return NULL;
    }
    if (values != NULL)
        memcpy(copy, values, size);
    d->list[d->count++] = (struct firn_named_tensor){ own_name, { dtype, shape, copy } };
    return copy;
}

const struct firn_tensor *firn_dump_find(const struct firn_dump *d, const char *name)
{
    for (size_t i = 0; i < d->count; i++)
        if (strcmp(d->list[i].name, name) == 0)
            return &d->list[i].tensor;
    return NULL;
}

void firn_dump_free(struct firn_dump *d)
{
    for (size_t i = 0; i < d->count; i++) {
        free(d->list[i].name);
        free(d->list[i].tensor.data);
    }
    free(d->list);
    memset(d, 0, sizeof *d);
}

/* Not to be compared: inputs, the schedule, and a second opinion. */
static bool is_other(const char *name)
{
    static const char *const names[] = { "lr", "loss_f64", "gen_prompt", "gen_prompt_mask", "gen_margin",
                                         "decoder_input_ids", NULL };
    for (int i = 0; names[i] != NULL; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

static double at(const struct firn_tensor *t, int64_t i)
{
    double x;
    firn_tensor_read_f64(t, i, 1, &x);
    return x;
}

static double norm_of(const struct firn_tensor *t, const struct firn_tensor *minus)
{
    double sum = 0;
    for (int64_t i = 0; i < firn_shape_count(&t->shape); i++) {
        const double x = at(t, i) - (minus != NULL ? at(minus, i) : 0);
        sum += x * x;
    }
    return sqrt(sum);
}

/* Largest difference over what is allowed; NaN counts as infinite. */
static double ratio_of(const char *name, const struct firn_tensor *got, const struct firn_tensor *want,
                       double all_grads, double *difference)
{
    const int64_t n = firn_shape_count(&want->shape);
    double most = 0, worst = 0;
    *difference = 0;
    if (strncmp(name, "grads.", 6) == 0) {
        *difference = norm_of(got, want);
        const double ratio = *difference / (1e-4 * norm_of(want, NULL) + 1e-6 * all_grads);
        return isnan(ratio) && *difference != 0 ? INFINITY : *difference == 0 ? 0 : ratio;
    }
    for (int64_t i = 0; i < n; i++)
        most = fmax(most, fabs(at(want, i)));
    for (int64_t i = 0; i < n; i++) {
        const double g = at(got, i), w = at(want, i), d = fabs(g - w);
        double allowed = 1e-4 + 1e-4 * most; /* logits and other activations */
        if (strcmp(name, "loss") == 0)
            allowed = 1e-4 * fabs(w);
        else if (strcmp(name, "grad_norm") == 0)
            allowed = 1e-3 * fabs(w);
        else if (!firn_dtype_is_float(want->dtype))
            allowed = 0;
        else if (strncmp(name, "nf4.", 4) == 0 || strncmp(name, "int8.", 5) == 0)
            allowed = 1e-6 * fabs(w);
        *difference = d > *difference || isnan(d) ? d : *difference;
        const double ratio = d == 0 ? 0 : isnan(d) ? INFINITY : d / allowed; /* exact ones: allowed is 0 */
        worst = ratio > worst ? ratio : worst;
    }
    return worst;
}

firn_status firn_dump_compare(const struct firn_dump *d, const struct firn_safetensors *expected,
                              void (*line)(void *user, const char *text), void *user, int *failed,
                              struct firn_error *err)
{
    double all_grads = 0;
    (void) err;
    *failed = 0;
    for (size_t i = 0; i < expected->count; i++)
        if (strncmp(expected->tensors[i].name, "grads.", 6) == 0)
            all_grads += pow(norm_of(&expected->tensors[i].tensor, NULL), 2);
    all_grads = sqrt(all_grads);
    for (size_t i = 0; i < expected->count; i++) {
        const char *name = expected->tensors[i].name;
        const struct firn_tensor *want = &expected->tensors[i].tensor, *got = firn_dump_find(d, name);
        if (is_other(name))
            continue;
        double difference = 0, ratio = INFINITY;
        const bool fits = got != NULL && firn_shape_eq(&got->shape, &want->shape);
        if (fits)
            ratio = ratio_of(name, got, want, all_grads, &difference);
        *failed += !(ratio <= 1);
        if (line != NULL)
            line(user, got == NULL ? FIRN_STR("FAIL %s: not computed", name)
                       : !fits     ? FIRN_STR("FAIL %s: expected %s, got %s", name, FIRN_SHAPE_STR(&want->shape),
                                              FIRN_SHAPE_STR(&got->shape))
                                   : FIRN_STR("%s %s: largest difference %.3g, %.3f of what is allowed",
                                              ratio <= 1 ? "ok  " : "FAIL", name, difference, ratio));
    }
    return FIRN_OK;
}
