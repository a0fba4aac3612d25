/* SPDX-License-Identifier: Apache-2.0 */
/* Tensors of GGUF files: counts and offsets are compared with what is left of the file before they are used. */
#include "model/gguf.h"

#include "base/str.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_TENSOR_NAME = 1024 };

// clang-format off
static const struct type { uint32_t type; const char *name; int64_t block; size_t bytes; } types[] = {
    { FIRN_GGML_F32,  "F32",  1,  4 },
    { FIRN_GGML_F16,  "F16",  1,  2 },
    { FIRN_GGML_BF16, "BF16", 1,  2 },
    { FIRN_GGML_Q8_0, "Q8_0", 32, 34 },
    { FIRN_GGML_Q4_0, "Q4_0", 32, 18 },
};
// clang-format on

static const struct type *type_of(uint32_t type)
{
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (types[i].type == type)
            return &types[i];
    return NULL;
}

const char *firn_gguf_type_name(uint32_t type)
{
    const struct type *t = type_of(type);
    return t != NULL ? t->name : NULL;
}

static firn_status take_shape(struct firn_gguf_cursor *c, struct firn_gguf_tensor *t, int64_t *count)
{
    uint64_t rank = 0, n = 0;
    firn_status status = firn_gguf_take(c, 4, &rank, t->name);
    if (status)
        return status;
    if (rank < 1 || rank > 4)
        return firn_gguf_bad(c, t->name, "1 to 4 dimensions", FIRN_STR("%llu", (unsigned long long) rank));
    t->shape.rank = (int) rank;
    *count = 1;
    for (int i = 0; i < t->shape.rank; i++) {
        status = firn_gguf_take(c, 8, &n, t->name);
        if (status)
            return status;
        if (n < 1 || n > (uint64_t) 1 << 40 || __builtin_mul_overflow(*count, (int64_t) n, count) ||
            *count > (int64_t) 1 << 50)
            return firn_gguf_bad(c, t->name, "sizes from 1 to 2^40", FIRN_STR("%llu", (unsigned long long) n));
        t->shape.dim[t->shape.rank - 1 - i] = (int64_t) n;
    }
    return FIRN_OK;
}

static firn_status take_tensor(struct firn_gguf_cursor *c, struct firn_gguf_tensor *t)
{
    const char *name;
    size_t length;
    uint64_t type = 0;
    int64_t count = 0;
    firn_status status = firn_gguf_take_text(c, &name, &length, MAX_TENSOR_NAME, "a tensor's name");
    if (status)
        return status;
    if (length == 0 || memchr(name, '\0', length) != NULL)
        return firn_gguf_bad(c, "header", "tensors with names", "an empty one, or one with a NUL");
    t->name = strndup(name, length);
    if (t->name == NULL)
        return firn_fail(c->err, FIRN_ERR_MEMORY, .file = c->path, .what = "out of memory for its header");
    status = take_shape(c, t, &count);
    if (status == FIRN_OK)
        status = firn_gguf_take(c, 4, &type, t->name);
    if (status == FIRN_OK)
        status = firn_gguf_take(c, 8, &t->offset, t->name);
    if (status)
        return status;
    t->type = (uint32_t) type;
    const struct type *known = type_of(t->type);
    const int64_t cols = t->shape.dim[t->shape.rank - 1];
    if (known != NULL && cols % known->block != 0)
        return firn_gguf_bad(c, t->name, FIRN_STR("rows of whole blocks of %lld", (long long) known->block),
                   FIRN_STR("%lld", (long long) cols));
    t->size_bytes = known != NULL ? (size_t) (count / known->block) * known->bytes : 0;
    return FIRN_OK;
}

static firn_status take_tensors(struct firn_gguf *g, struct firn_gguf_cursor *c, uint64_t n)
{
    size_t room = 0;
    for (uint64_t i = 0; i < n; i++) {
        if (g->n_tensors == room) {
            room = room > 0 ? 2 * room : 32;
            struct firn_gguf_tensor *tensors = realloc(g->tensors, sizeof *tensors * room);
            if (tensors == NULL)
                return firn_fail(c->err, FIRN_ERR_MEMORY, .file = g->path, .what = "out of memory for its header");
            g->tensors = tensors;
        }
        struct firn_gguf_tensor *t = &g->tensors[g->n_tensors++];
        *t = (struct firn_gguf_tensor){ 0 };
        const firn_status status = take_tensor(c, t);
        if (status)
            return status;
    }
    return FIRN_OK;
}

static int by_offset(const void *a, const void *b)
{
    const struct firn_gguf_tensor *x = a, *y = b;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static int by_name(const void *a, const void *b)
{
    const struct firn_gguf_tensor *x = a, *y = b;
    return strcmp(x->name, y->name);
}

/* Aligned, inside the file, and none in another. */
static firn_status place(struct firn_gguf *g, struct firn_gguf_cursor *c)
{
    const size_t header = (size_t) (c->at - g->map.data), align = (size_t) g->alignment;
    const size_t start = header + (align - header % align) % align;
    const uint64_t room = start <= g->map.size ? g->map.size - start : 0;
    uint64_t next = 0;
    if (g->n_tensors == 0)
        return FIRN_OK;
    qsort(g->tensors, g->n_tensors, sizeof *g->tensors, by_offset);
    for (size_t i = 0; i < g->n_tensors; i++) {
        struct firn_gguf_tensor *t = &g->tensors[i];
        if (t->offset % align != 0 || t->offset < next || t->offset > room || t->size_bytes > room - t->offset)
            return firn_gguf_bad(c, t->name, FIRN_STR("%zu bytes of its own at a multiple of %zu (the file may be cut short)",
                                            t->size_bytes, align),
                       FIRN_STR("offset %llu of %llu", (unsigned long long) t->offset, (unsigned long long) room));
        t->data = g->map.data + start + t->offset;
        next = t->offset + (t->size_bytes > 0 ? t->size_bytes : 1);
    }
    qsort(g->tensors, g->n_tensors, sizeof *g->tensors, by_name);
    for (size_t i = 1; i < g->n_tensors; i++)
        if (strcmp(g->tensors[i - 1].name, g->tensors[i].name) == 0)
            return firn_gguf_bad(c, g->tensors[i].name, "one tensor of a name", "two");
    return FIRN_OK;
}

static firn_status check_keys(struct firn_gguf *g, struct firn_gguf_cursor *c)
{
    double alignment = 32;
    const struct firn_gguf_key *key = firn_gguf_find(g, "general.alignment");
    if (key != NULL && (!firn_gguf_number(g, "general.alignment", &alignment) || alignment < 1 || alignment > 65536 ||
                        alignment != (double) (uint64_t) alignment))
        return firn_gguf_bad(c, "general.alignment", "a number from 1 to 65536", "something else");
    g->alignment = (uint64_t) alignment;
    return FIRN_OK;
}

static firn_status parse(struct firn_gguf *g, struct firn_error *err)
{
    struct firn_gguf_cursor c = { g->path, g->map.data, g->map.data + g->map.size, err };
    if (g->path == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a path");
    firn_status status = firn_gguf_keys_read(&g->keys, &c);
    if (status == FIRN_OK)
        status = check_keys(g, &c);
    if (status == FIRN_OK)
        status = take_tensors(g, &c, g->keys.n_tensors);
    return status ? status : place(g, &c);
}

firn_status firn_gguf_open(struct firn_gguf *g, const char *path, struct firn_error *err)
{
    memset(g, 0, sizeof *g);
    g->path = firn_strdup(path);
    firn_status status = firn_map_open(&g->map, path, err);
    if (status == FIRN_OK)
        status = parse(g, err);
    if (status)
        firn_gguf_close(g);
    return status;
}

firn_status firn_gguf_parse(struct firn_gguf *g, const char *name, const void *data, size_t size, struct firn_error *err)
{
    memset(g, 0, sizeof *g);
    g->path = firn_strdup(name);
    g->map = (struct firn_map){ data, size };
    g->is_borrowed = true;
    const firn_status status = parse(g, err);
    if (status)
        firn_gguf_close(g);
    return status;
}

void firn_gguf_close(struct firn_gguf *g)
{
    for (size_t i = 0; i < g->n_tensors; i++)
        free(g->tensors[i].name);
    free(g->tensors);
    firn_gguf_keys_free(&g->keys);
    free(g->path);
    if (!g->is_borrowed)
        firn_map_close(&g->map);
    memset(g, 0, sizeof *g);
}

const struct firn_gguf_key *firn_gguf_find(const struct firn_gguf *g, const char *key)
{
    return firn_gguf_key(&g->keys, key);
}

const struct firn_gguf_tensor *firn_gguf_tensor(const struct firn_gguf *g, const char *name)
{
    const struct firn_gguf_tensor key = { .name = (char *) name };
    return g->n_tensors > 0 ? bsearch(&key, g->tensors, g->n_tensors, sizeof key, by_name) : NULL;
}

bool firn_gguf_number(const struct firn_gguf *g, const char *key, double *value)
{
    return firn_gguf_key_number(&g->keys, key, value);
}

bool firn_gguf_is_text(const struct firn_gguf *g, const char *key, const char *text)
{
    return firn_gguf_key_is_text(&g->keys, key, text);
}

const char *firn_gguf_text(const struct firn_gguf *g, const char *key, char *text, size_t size)
{
    return firn_gguf_key_text(&g->keys, key, text, size);
}
