/* SPDX-License-Identifier: Apache-2.0 */
/* Weights without files: what a model of this config.json would hold, with values from a seed. */
#include "base/str.h"
#include "model/gguf.h"
#include "model/weights.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void firn_weights_open_made(struct firn_weights *w, enum firn_dtype matrices, double range)
{
    memset(w, 0, sizeof *w);
    w->is_made = true;
    w->made_dtype = matrices;
    w->made_range = range;
}

const struct firn_tensor *firn_weights_find_made(const struct firn_weights *w, const char *path)
{
    for (size_t i = 0; i < w->n_made; i++)
        if (strcmp(w->made[i]->name, path) == 0)
            return &w->made[i]->tensor;
    return NULL;
}

const struct firn_tensor *firn_weights_make(struct firn_weights *w, const char *path, struct firn_shape shape)
{
    struct firn_named_tensor **made = realloc(w->made, sizeof *made * (w->n_made + 1));
    struct firn_named_tensor *t = calloc(1, sizeof *t);
    if (made != NULL)
        w->made = made;
    if (made == NULL || t == NULL || (t->name = firn_strdup(path)) == NULL) {
        free(t);
        return NULL;
    }
    t->tensor = (struct firn_tensor){ .dtype = shape.rank > 1 ? w->made_dtype : FIRN_F32, .shape = shape };
    t->size_bytes = (size_t) firn_shape_count(&shape) * firn_dtype_size(t->tensor.dtype);
    w->made[w->n_made++] = t;
    return &t->tensor;
}

/* splitmix64 of a counter (Steele et al. 2014): a whole model is filled in seconds. */
static inline float value_at(uint64_t seed, uint64_t i, float most)
{
    uint64_t z = seed + i * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return ((float) (int32_t) (uint32_t) (z >> 32)) * 0x1p-31f * most;
}

static void fill_matrix(struct firn_tensor *t, uint64_t seed, float most)
{
    enum { BLOCK = 1024 };
    float values[BLOCK];
    const int64_t n = firn_shape_count(&t->shape);
    for (int64_t from = 0; from < n; from += BLOCK) {
        const int64_t count = n - from < BLOCK ? n - from : BLOCK;
        for (int64_t i = 0; i < count; i++)
            values[i] = value_at(seed, (uint64_t) (from + i), most);
        firn_tensor_write_f32(t, from, count, values);
    }
}

/* A packed tensor's floats in its own type; they stay as long as the file. */
static firn_status unpack(struct firn_named_tensor *t, struct firn_error *err)
{
    enum { PIECE = 1024 };
    const int64_t n = firn_shape_count(&t->tensor.shape);
    float values[PIECE];
    t->tensor.data = malloc((size_t) n * firn_dtype_size(t->tensor.dtype) + 1);
    if (t->tensor.data == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .key = t->name, .what = "out of memory for it");
    t->is_copied = true;
    for (int64_t at = 0; at < n; at += PIECE) {
        const int64_t count = n - at < PIECE ? n - at : PIECE;
        firn_packed_read(t->packed, at, count, values);
        firn_tensor_write_f32(&t->tensor, at, count, values);
    }
    return FIRN_OK;
}

firn_status firn_weights_fill(const struct firn_weights *w, const struct firn_tensor *tensor, struct firn_error *err)
{
    if (firn_weights_packed(tensor) != NULL)
        return tensor->data != NULL
                   ? FIRN_OK
                   : unpack((struct firn_named_tensor *) ((char *) (uintptr_t) tensor - offsetof(struct firn_named_tensor, tensor)), err);
    struct firn_named_tensor *t = NULL;
    for (size_t i = 0; i < w->n_made && t == NULL; i++)
        t = &w->made[i]->tensor == tensor ? w->made[i] : NULL;
    if (t == NULL || t->tensor.data != NULL)
        return FIRN_OK;
    t->tensor.data = calloc(1, t->size_bytes + 1);
    if (t->tensor.data == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .key = t->name, .what = "out of memory for it");
    const size_t n = strlen(t->name);
    uint64_t seed = 0xcbf29ce484222325u; /* FNV-1a of the name */
    for (size_t i = 0; i < n; i++)
        seed = (seed ^ (unsigned char) t->name[i]) * 0x100000001b3u;
    const bool is_bias = n >= 4 && strcmp(t->name + n - 4, "bias") == 0;
    if (t->tensor.shape.rank > 1)
        fill_matrix(&t->tensor, seed, (float) (sqrt(3.0) * w->made_range));
    for (int64_t i = 0; t->tensor.shape.rank == 1 && !is_bias && i < t->tensor.shape.dim[0]; i++)
        ((float *) t->tensor.data)[i] = 1;
    return FIRN_OK;
}
