/* SPDX-License-Identifier: Apache-2.0 */
/* Reading GGUF: counts, lengths and offsets are compared with what is left of the file before they are used. */
#include "model/gguf.h"

#include "base/str.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_TENSOR_NAME = 1024, MAX_KEY = 65535, MAX_KEYS = 1 << 14, MAX_TENSORS = 1 << 16 };
static const size_t value_sizes[FIRN_GGUF_N_VALUES] = { 1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8 };

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

/* What is left of the header. */
struct cursor {
    const struct firn_gguf *g;
    const uint8_t *at, *end;
    struct firn_error *err;
};

static firn_status bad(const struct cursor *c, const char *key, const char *expected, const char *got)
{
    return firn_fail(c->err, FIRN_ERR_FORMAT, .file = c->g->path, .key = key, .expected = expected, .got = got);
}

static uint64_t little(const uint8_t *p, size_t n)
{
    uint64_t x = 0;
    for (size_t i = 0; i < n; i++)
        x |= (uint64_t) p[i] << (8 * i);
    return x;
}

static firn_status take(struct cursor *c, size_t n, uint64_t *out, const char *what)
{
    if ((size_t) (c->end - c->at) < n)
        return bad(c, what, "more of the header", "the end of the file");
    *out = little(c->at, n);
    c->at += n;
    return FIRN_OK;
}

static firn_status take_text(struct cursor *c, const char **text, size_t *length, size_t most, const char *what)
{
    uint64_t n = 0;
    const firn_status status = take(c, 8, &n, what);
    if (status)
        return status;
    if (n > (uint64_t) (c->end - c->at) || n > most)
        return bad(c, what, FIRN_STR("at most %zu bytes", (size_t) (c->end - c->at) < most ? (size_t) (c->end - c->at) : most),
                   FIRN_STR("%llu", (unsigned long long) n));
    *text = (const char *) c->at;
    *length = (size_t) n;
    c->at += n;
    return FIRN_OK;
}

static firn_status take_array(struct cursor *c, struct firn_gguf_key *key, const char *name)
{
    uint64_t of = 0;
    firn_status status = take(c, 4, &of, name);
    if (status == FIRN_OK)
        status = take(c, 8, &key->count, name);
    if (status)
        return status;
    if (of >= FIRN_GGUF_N_VALUES || of == FIRN_GGUF_ARRAY)
        return bad(c, name, "an array of numbers or texts", FIRN_STR("one of type %llu", (unsigned long long) of));
    key->of = (uint32_t) of;
    key->data = c->at;
    const size_t least = of == FIRN_GGUF_STRING ? 8 : value_sizes[of], left = (size_t) (c->end - c->at);
    if (key->count > left / least)
        return bad(c, name, FIRN_STR("at most %zu items", left / least), FIRN_STR("%llu", (unsigned long long) key->count));
    if (of != FIRN_GGUF_STRING)
        c->at += key->count * least;
    for (uint64_t i = 0; of == FIRN_GGUF_STRING && i < key->count && status == FIRN_OK; i++) {
        const char *text;
        size_t length;
        status = take_text(c, &text, &length, SIZE_MAX, name);
    }
    return status;
}

static firn_status take_key(struct cursor *c, struct firn_gguf_key *key)
{
    uint64_t type = 0;
    firn_status status = take_text(c, &key->name, &key->length, MAX_KEY, "a key");
    if (status == FIRN_OK)
        status = take(c, 4, &type, "a key's type");
    if (status)
        return status;
    const char *name = FIRN_STR("%.*s", key->length < 100 ? (int) key->length : 100, key->name);
    if (key->length == 0 || memchr(key->name, '\0', key->length) != NULL)
        return bad(c, "header", "keys with names", "an empty one, or one with a NUL");
    if (type >= FIRN_GGUF_N_VALUES)
        return bad(c, name, "a type of the format", FIRN_STR("%llu", (unsigned long long) type));
    key->type = (uint32_t) type;
    if (type == FIRN_GGUF_ARRAY)
        return take_array(c, key, name);
    if (type == FIRN_GGUF_STRING) {
        const char *text;
        size_t length;
        status = take_text(c, &text, &length, SIZE_MAX, name);
        key->data = (const uint8_t *) text;
        key->count = length;
        return status;
    }
    uint64_t ignored;
    key->data = c->at;
    key->count = 1;
    return take(c, value_sizes[type], &ignored, name);
}

static firn_status take_keys(struct firn_gguf *g, struct cursor *c, uint64_t n)
{
    size_t room = 0;
    for (uint64_t i = 0; i < n; i++) {
        if (g->n_keys == room) { /* grows with what is there, not with what the file says */
            room = room > 0 ? 2 * room : 32;
            struct firn_gguf_key *keys = realloc(g->keys, sizeof *keys * room);
            if (keys == NULL)
                return firn_fail(c->err, FIRN_ERR_MEMORY, .file = g->path, .what = "out of memory for its header");
            g->keys = keys;
        }
        g->keys[g->n_keys] = (struct firn_gguf_key){ 0 };
        const firn_status status = take_key(c, &g->keys[g->n_keys]);
        if (status)
            return status;
        g->n_keys++;
    }
    return FIRN_OK;
}

static firn_status take_shape(struct cursor *c, struct firn_gguf_tensor *t, int64_t *count)
{
    uint64_t rank = 0, n = 0;
    firn_status status = take(c, 4, &rank, t->name);
    if (status)
        return status;
    if (rank < 1 || rank > 4)
        return bad(c, t->name, "1 to 4 dimensions", FIRN_STR("%llu", (unsigned long long) rank));
    t->shape.rank = (int) rank;
    *count = 1;
    for (int i = 0; i < t->shape.rank; i++) {
        status = take(c, 8, &n, t->name);
        if (status)
            return status;
        if (n < 1 || n > (uint64_t) 1 << 40 || __builtin_mul_overflow(*count, (int64_t) n, count) ||
            *count > (int64_t) 1 << 50)
            return bad(c, t->name, "sizes from 1 to 2^40", FIRN_STR("%llu", (unsigned long long) n));
        t->shape.dim[t->shape.rank - 1 - i] = (int64_t) n;
    }
    return FIRN_OK;
}

static firn_status take_tensor(struct cursor *c, struct firn_gguf_tensor *t)
{
    const char *name;
    size_t length;
    uint64_t type = 0;
    int64_t count = 0;
    firn_status status = take_text(c, &name, &length, MAX_TENSOR_NAME, "a tensor's name");
    if (status)
        return status;
    if (length == 0 || memchr(name, '\0', length) != NULL)
        return bad(c, "header", "tensors with names", "an empty one, or one with a NUL");
    t->name = strndup(name, length);
    if (t->name == NULL)
        return firn_fail(c->err, FIRN_ERR_MEMORY, .file = c->g->path, .what = "out of memory for its header");
    status = take_shape(c, t, &count);
    if (status == FIRN_OK)
        status = take(c, 4, &type, t->name);
    if (status == FIRN_OK)
        status = take(c, 8, &t->offset, t->name);
    if (status)
        return status;
    t->type = (uint32_t) type;
    const struct type *known = type_of(t->type);
    const int64_t cols = t->shape.dim[t->shape.rank - 1];
    if (known != NULL && cols % known->block != 0)
        return bad(c, t->name, FIRN_STR("rows of whole blocks of %lld", (long long) known->block),
                   FIRN_STR("%lld", (long long) cols));
    t->size_bytes = known != NULL ? (size_t) (count / known->block) * known->bytes : 0;
    return FIRN_OK;
}

static firn_status take_tensors(struct firn_gguf *g, struct cursor *c, uint64_t n)
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
static firn_status place(struct firn_gguf *g, struct cursor *c)
{
    const size_t header = (size_t) (c->at - g->map.data), align = (size_t) g->alignment;
    const size_t start = header + (align - header % align) % align;
    const uint64_t room = start <= g->map.size ? g->map.size - start : 0;
    uint64_t next = 0;
    qsort(g->tensors, g->n_tensors, sizeof *g->tensors, by_offset);
    for (size_t i = 0; i < g->n_tensors; i++) {
        struct firn_gguf_tensor *t = &g->tensors[i];
        if (t->offset % align != 0 || t->offset < next || t->offset > room || t->size_bytes > room - t->offset)
            return bad(c, t->name, FIRN_STR("%zu bytes of its own at a multiple of %zu (the file may be cut short)",
                                            t->size_bytes, align),
                       FIRN_STR("offset %llu of %llu", (unsigned long long) t->offset, (unsigned long long) room));
        t->data = g->map.data + start + t->offset;
        next = t->offset + (t->size_bytes > 0 ? t->size_bytes : 1);
    }
    qsort(g->tensors, g->n_tensors, sizeof *g->tensors, by_name);
    for (size_t i = 1; i < g->n_tensors; i++)
        if (strcmp(g->tensors[i - 1].name, g->tensors[i].name) == 0)
            return bad(c, g->tensors[i].name, "one tensor of a name", "two");
    return FIRN_OK;
}

static firn_status check_keys(struct firn_gguf *g, struct cursor *c)
{
    double alignment = 32;
    const struct firn_gguf_key *key = firn_gguf_find(g, "general.alignment");
    if (key != NULL && (!firn_gguf_number(g, "general.alignment", &alignment) || alignment < 1 || alignment > 65536 ||
                        alignment != (double) (uint64_t) alignment))
        return bad(c, "general.alignment", "a number from 1 to 65536", "something else");
    g->alignment = (uint64_t) alignment;
    return FIRN_OK;
}

static firn_status parse(struct firn_gguf *g, struct firn_error *err)
{
    struct cursor c = { g, g->map.data, g->map.data + g->map.size, err };
    uint64_t magic = 0, version = 0, n_tensors = 0, n_keys = 0;
    if (g->path == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a path");
    firn_status status = take(&c, 4, &magic, "header");
    if (status == FIRN_OK && magic != 0x46554747) /* "GGUF" */
        status = bad(&c, NULL, "a GGUF file", "something else");
    if (status == FIRN_OK)
        status = take(&c, 4, &version, "header");
    if (status == FIRN_OK && (version < 2 || version > 3))
        status = bad(&c, "version", "2 or 3, little-endian", FIRN_STR("%llu", (unsigned long long) version));
    if (status == FIRN_OK)
        status = take(&c, 8, &n_tensors, "header");
    if (status == FIRN_OK)
        status = take(&c, 8, &n_keys, "header");
    if (status == FIRN_OK && (n_keys > MAX_KEYS || n_tensors > MAX_TENSORS))
        status = bad(&c, "header", FIRN_STR("at most %d keys and %d tensors", MAX_KEYS, MAX_TENSORS), "more");
    if (status == FIRN_OK)
        status = take_keys(g, &c, n_keys);
    if (status == FIRN_OK)
        status = check_keys(g, &c);
    if (status == FIRN_OK)
        status = take_tensors(g, &c, n_tensors);
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
    free(g->keys);
    free(g->path);
    if (!g->is_borrowed)
        firn_map_close(&g->map);
    memset(g, 0, sizeof *g);
}

const struct firn_gguf_key *firn_gguf_find(const struct firn_gguf *g, const char *key)
{
    const size_t n = strlen(key);
    for (size_t i = 0; i < g->n_keys; i++)
        if (g->keys[i].length == n && memcmp(g->keys[i].name, key, n) == 0)
            return &g->keys[i];
    return NULL;
}

const struct firn_gguf_tensor *firn_gguf_tensor(const struct firn_gguf *g, const char *name)
{
    const struct firn_gguf_tensor key = { .name = (char *) name };
    return g->n_tensors > 0 ? bsearch(&key, g->tensors, g->n_tensors, sizeof key, by_name) : NULL;
}

static double number_at(uint32_t type, const uint8_t *p)
{
    const uint64_t x = little(p, value_sizes[type]);
    const uint32_t low = (uint32_t) x;
    float f;
    double d;
    switch (type) {
    case FIRN_GGUF_I8: return (int8_t) x;
    case FIRN_GGUF_I16: return (int16_t) x;
    case FIRN_GGUF_I32: return (int32_t) x;
    case FIRN_GGUF_I64: return (double) (int64_t) x;
    case FIRN_GGUF_F32: memcpy(&f, &low, sizeof f); return (double) f;
    case FIRN_GGUF_F64: memcpy(&d, &x, sizeof d); return d;
    default: return (double) x;
    }
}

bool firn_gguf_number(const struct firn_gguf *g, const char *key, double *value)
{
    const struct firn_gguf_key *k = firn_gguf_find(g, key);
    const uint32_t type = k == NULL ? FIRN_GGUF_STRING : k->type == FIRN_GGUF_ARRAY ? k->of : k->type;
    if (type == FIRN_GGUF_STRING || type == FIRN_GGUF_BOOL || k->count == 0)
        return false;
    *value = number_at(type, k->data);
    for (uint64_t i = 1; i < k->count; i++)
        if (number_at(type, k->data + i * value_sizes[type]) != *value)
            return false;
    return true;
}

bool firn_gguf_is_text(const struct firn_gguf *g, const char *key, const char *text)
{
    const struct firn_gguf_key *k = firn_gguf_find(g, key);
    return k != NULL && k->type == FIRN_GGUF_STRING && k->count == strlen(text) && memcmp(k->data, text, k->count) == 0;
}

const char *firn_gguf_text(const struct firn_gguf *g, const char *key, char *text, size_t size)
{
    const struct firn_gguf_key *k = firn_gguf_find(g, key);
    const size_t n = k == NULL || k->type != FIRN_GGUF_STRING ? 0 : k->count < size ? (size_t) k->count : size - 1;
    if (n > 0)
        memcpy(text, k->data, n);
    text[n] = '\0';
    return text;
}
