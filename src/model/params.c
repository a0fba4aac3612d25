/* SPDX-License-Identifier: Apache-2.0 */
/* The set of trained tensors and its flat run. */
#include "model/params.h"

#include "base/hash.h"
#include "base/rng.h"
#include "base/str.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGN = 64 }; /* 256 bytes: the largest offset alignment that Vulkan allows a device to ask for */

struct firn_param *firn_params_find(const struct firn_param_set *set, const char *name)
{
    for (size_t i = 0; i < set->count; i++)
        if (strcmp(set->list[i].name, name) == 0)
            return &set->list[i];
    return NULL;
}

/* transformers' get_parameter_names: no decay for norms and biases, by class and by name. */
static bool is_bias_or_norm(const char *name)
{
    char low[512];
    size_t n = 0;
    for (; name[n] != '\0' && n + 1 < sizeof low; n++)
        low[n] = (char) tolower((unsigned char) name[n]);
    low[n] = '\0';
    if (strstr(low, "bias") != NULL || strstr(low, "layernorm") != NULL || strstr(low, "rmsnorm") != NULL)
        return true;
    for (const char *part = low; part != NULL; part = strchr(part, '.') ? strchr(part, '.') + 1 : NULL) {
        const size_t length = strcspn(part, ".");
        if ((length == 4 && strncmp(part, "norm", 4) == 0) ||
            (length > 5 && strncmp(part + length - 5, "_norm", 5) == 0))
            return true;
    }
    return false;
}

struct firn_param *firn_params_add(struct firn_param_set *set, const char *name, const char *base,
                                   struct firn_shape shape, enum firn_init init, double scale)
{
    struct firn_param *p = firn_params_find(set, name);
    if (p != NULL)
        return p;
    struct firn_param *list = realloc(set->list, sizeof *list * (set->count + 1));
    if (list == NULL)
        return NULL;
    set->list = list;
    p = &list[set->count];
    *p = (struct firn_param){ .name = firn_strdup(name), .base = firn_strdup(base), .shape = shape,
                              .decays = set->decays_all || !is_bias_or_norm(name), .init = init,
                              .scale = scale, .rate = 1 };
    if (p->name == NULL || (base != NULL && p->base == NULL)) {
        free(p->name);
        free(p->base);
        return NULL;
    }
    set->count++;
    return p;
}

static bool is_of(const struct firn_param_group *g, const struct firn_param *p)
{
    return g->decays == p->decays && g->is_peak == p->is_peak && !(g->rate < p->rate) && !(g->rate > p->rate);
}

static struct firn_param_group *group_of(struct firn_param_set *set, const struct firn_param *p)
{
    for (int i = 0; i < set->n_groups; i++)
        if (is_of(&set->groups[i], p))
            return &set->groups[i];
    assert(set->n_groups < FIRN_MAX_GROUPS);
    struct firn_param_group *g = &set->groups[set->n_groups++];
    *g = (struct firn_param_group){ .decays = p->decays, .is_peak = p->is_peak, .rate = p->rate };
    return g;
}

void firn_params_finish(struct firn_param_set *set)
{
    set->flat = 0;
    set->n_groups = 0;
    for (int decays = 1; decays >= 0; decays--) {
        for (size_t i = 0; i < set->count; i++)
            if (set->list[i].decays == (decays != 0))
                group_of(set, &set->list[i]);
        for (int k = 0; k < set->n_groups; k++) {
            struct firn_param_group *g = &set->groups[k];
            if (g->decays != (decays != 0))
                continue;
            g->from = set->flat;
            for (size_t i = 0; i < set->count; i++) {
                if (!is_of(g, &set->list[i]))
                    continue;
                set->list[i].offset = set->flat;
                set->flat += (firn_shape_count(&set->list[i].shape) + ALIGN - 1) / ALIGN * ALIGN;
            }
            g->count = set->flat - g->from;
        }
        if (decays)
            set->flat_decay = set->flat;
    }
    set->is_finished = true;
}

void firn_params_free(struct firn_param_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        free(set->list[i].name);
        free(set->list[i].base);
    }
    free(set->list);
    memset(set, 0, sizeof *set);
}

int64_t firn_params_count(const struct firn_param_set *set)
{
    int64_t n = 0;
    for (size_t i = 0; i < set->count; i++)
        n += firn_shape_count(&set->list[i].shape);
    return n;
}

/* Draws again, from the next step of the same element's stream, until the value lies within two deviations: one in 22
 * does not. */
static double truncated(uint64_t seed, uint32_t stream, uint64_t element)
{
    double x = 0;
    for (uint32_t step = 0; step < 32; step++) {
        x = (double) firn_normal(seed, stream, step, element);
        if (x >= -2 && x <= 2)
            return x;
    }
    return 0;
}

void firn_params_init(const struct firn_param_set *set, uint64_t seed, float *flat)
{
    for (size_t i = 0; i < set->count; i++) {
        const struct firn_param *p = &set->list[i];
        const uint32_t stream = (uint32_t) firn_fnv1a(FIRN_FNV_START, p->name, strlen(p->name));
        float *x = flat + p->offset;
        for (int64_t k = 0; k < firn_shape_count(&p->shape) && p->init != FIRN_INIT_BASE; k++)
            switch (p->init) {
            case FIRN_INIT_NORMAL:
                x[k] = (float) (p->scale * (double) firn_normal(seed, stream, 0, (uint64_t) k));
                break;
            case FIRN_INIT_UNIFORM:
                x[k] = (float) (p->scale * (2.0 * (double) firn_uniform(seed, stream, 0, (uint64_t) k) - 1.0));
                break;
            case FIRN_INIT_TRUNCATED:
                x[k] = (float) (p->scale * truncated(seed, stream, (uint64_t) k));
                break;
            case FIRN_INIT_CONSTANT:
                x[k] = (float) p->scale;
                break;
            default:
                x[k] = p->init == FIRN_INIT_ONE ? 1 : 0;
            }
    }
}

/* to [cols, rows] = transpose of from [rows, cols] */
static void transpose(const float *from, int64_t rows, int64_t cols, float *to)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++)
            to[j * rows + i] = from[i * cols + j];
}

struct firn_shape firn_param_shape(const struct firn_param *p)
{
    return p->is_transposed ? firn_dims(p->shape.dim[1], p->shape.dim[0]) : p->shape;
}

static size_t copied_elements(const struct firn_param_set *set)
{
    size_t n = 0;
    for (size_t i = 0; i < set->count; i++)
        if (set->list[i].is_transposed)
            n += (size_t) firn_shape_count(&set->list[i].shape);
    return n;
}

/* The list and the copies of transposed tensors are one block. */
firn_status firn_params_tensors(const struct firn_param_set *set, const char *suffix, float *flat,
                                struct firn_named_tensor **out, struct firn_error *err)
{
    const size_t head = sizeof **out * (set->count + 1);
    struct firn_named_tensor *list = calloc(1, head + sizeof(float) * copied_elements(set));
    float *copy = list != NULL ? (float *) (void *) ((char *) list + head) : NULL;
    for (size_t i = 0; list != NULL && i < set->count; i++) {
        const struct firn_param *p = &set->list[i];
        struct firn_str name = { 0 };
        firn_str_add(&name, p->name);
        firn_str_add(&name, suffix);
        list[i].name = name.data;
        list[i].tensor = (struct firn_tensor){ FIRN_F32, firn_param_shape(p), flat + p->offset };
        if (p->is_transposed) {
            transpose(flat + p->offset, p->shape.dim[0], p->shape.dim[1], copy);
            list[i].tensor.data = copy;
            copy += firn_shape_count(&p->shape);
        }
        if (name.failed || name.data == NULL) {
            firn_params_tensors_free(list, set->count);
            list = NULL;
        }
    }
    *out = list;
    return list != NULL ? FIRN_OK : firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for tensor names");
}

void firn_params_tensors_free(struct firn_named_tensor *list, size_t count)
{
    for (size_t i = 0; list != NULL && i < count; i++)
        free(list[i].name);
    free(list);
}

firn_status firn_param_read(const struct firn_param *p, const struct firn_tensor *t, const char *file,
                            const char *name, float *flat, struct firn_error *err)
{
    const struct firn_shape want = firn_param_shape(p);
    const int64_t n = firn_shape_count(&want);
    if (!firn_shape_eq(&t->shape, &want))
        return firn_fail(err, FIRN_ERR_SHAPE, .file = file, .key = name, .expected = FIRN_SHAPE_STR(&want),
                         .got = FIRN_SHAPE_STR(&t->shape));
    if (!firn_dtype_is_float(t->dtype))
        return firn_fail(err, FIRN_ERR_FORMAT, .file = file, .key = name, .expected = "a float type",
                         .got = t->dtype != FIRN_NONE ? firn_dtype_name(t->dtype) : "another type");
    if (!p->is_transposed) {
        firn_tensor_read_f32(t, 0, n, flat + p->offset);
        return FIRN_OK;
    }
    float *values = malloc(sizeof *values * (size_t) (n + 1));
    if (values == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a tensor");
    firn_tensor_read_f32(t, 0, n, values);
    transpose(values, want.dim[0], want.dim[1], flat + p->offset);
    free(values);
    return FIRN_OK;
}

firn_status firn_params_read_one(const struct firn_param *p, const char *suffix, const struct firn_safetensors *file,
                                 float *flat, struct firn_error *err)
{
    const struct firn_shape want = firn_param_shape(p);
    const char *name = FIRN_STR("%s%s", p->name, suffix);
    const struct firn_tensor *t = firn_safetensors_find(file, name);
    return t != NULL ? firn_param_read(p, t, file->path, name, flat, err)
                     : firn_fail(err, FIRN_ERR_FORMAT, .file = file->path, .key = name,
                                 .expected = FIRN_SHAPE_STR(&want), .got = "no such tensor");
}

firn_status firn_params_read(const struct firn_param_set *set, const char *suffix,
                             const struct firn_safetensors *file, float *flat, struct firn_error *err)
{
    for (size_t i = 0; i < set->count; i++) {
        const firn_status status = firn_params_read_one(&set->list[i], suffix, file, flat, err);
        if (status)
            return status;
    }
    return FIRN_OK;
}

firn_status firn_params_overlay(const struct firn_param_set *set, const struct firn_safetensors *file, float *flat,
                                struct firn_error *err)
{
    for (size_t i = 0; i < file->count; i++) {
        const struct firn_named_tensor *t = &file->tensors[i];
        const struct firn_param *p = firn_params_find(set, t->name);
        if (p == NULL)
            return firn_fail(err, FIRN_ERR_FORMAT, .file = file->path, .key = t->name,
                             .what = "is not a tensor that this method trains");
        const firn_status status = firn_param_read(p, &t->tensor, file->path, t->name, flat, err);
        if (status)
            return status;
    }
    return FIRN_OK;
}
