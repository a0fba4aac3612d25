/* SPDX-License-Identifier: Apache-2.0 */
/* Reading safetensors: the header is JSON, and nothing in it is believed before it was checked. What is refused
 * follows the reference reader (tensor.rs), and where that is lenient, the format's own text. */
#include "model/safetensors.h"

#include "base/json.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_HEADER = 100000000, MAX_NAME = 1024, MAX_TENSORS = 1000000, MAX_DEPTH = 3 };

// clang-format off
const struct firn_safetensors_type firn_safetensors_types[] = {
    { "F64",  FIRN_F64,  64 }, { "I64",     FIRN_I64,  64 }, { "U64",     FIRN_NONE, 64 }, { "C64", FIRN_NONE, 64 },
    { "F32",  FIRN_F32,  32 }, { "U32",     FIRN_NONE, 32 }, { "I32",     FIRN_I32,  32 },
    { "BF16", FIRN_BF16, 16 }, { "F16",     FIRN_F16,  16 }, { "U16",     FIRN_NONE, 16 }, { "I16", FIRN_I16,  16 },
    { "F8_E8M0", FIRN_NONE, 8 }, { "F8_E4M3", FIRN_NONE, 8 }, { "F8_E5M2", FIRN_NONE, 8 },
    { "I8",   FIRN_I8,    8 }, { "U8",      FIRN_U8,    8 }, { "BOOL",    FIRN_BOOL,  8 },
    { NULL,   FIRN_NONE,  0 }
};
// clang-format on

static firn_status bad(const struct firn_safetensors *f, const char *key, const char *expected,
                       const char *got, struct firn_error *err)
{
    return firn_fail(err, FIRN_ERR_FORMAT, .file = f->path, .key = key, .expected = expected, .got = got);
}

/* What a JSON reader lets pass and this format has not: deep nesting and negative numbers (-0 too). */
static firn_status check_text(const struct firn_safetensors *f, const char *text, size_t size, struct firn_error *err)
{
    int depth = 0;
    for (size_t i = 0; i < size; i++) {
        const char c = text[i];
        if (c == '"') {
            for (i++; i < size && text[i] != '"'; i++)
                i += text[i] == '\\';
        } else if (c == '{' || c == '[') {
            if (++depth > MAX_DEPTH)
                return bad(f, "header", FIRN_STR("at most %d levels", MAX_DEPTH), "more", err);
        } else if (c == '}' || c == ']') {
            depth--;
        } else if (c == '-') {
            return bad(f, "header", "plain numbers", "a negative one", err);
        }
    }
    return FIRN_OK;
}

static bool plain_integer(const json_t *v, int64_t most, int64_t *out)
{
    if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > most)
        return false;
    *out = json_integer_value(v);
    return true;
}

static firn_status read_shape(const struct firn_safetensors *f, const char *name, const json_t *shape,
                              struct firn_shape *out, int64_t *count, struct firn_error *err)
{
    if (json_array_size(shape) > FIRN_MAX_RANK)
        return bad(f, name, "at most 8 axes", FIRN_STR("%zu", json_array_size(shape)), err);
    out->rank = (int) json_array_size(shape);
    *count = 1;
    for (int i = 0; i < out->rank; i++) {
        if (!plain_integer(json_array_get(shape, (size_t) i), (int64_t) 1 << 40, &out->dim[i]))
            return bad(f, name, "sizes from 0 to 2^40", "something else", err);
        if (__builtin_mul_overflow(*count, out->dim[i], count))
            return bad(f, name, "a size that fits in memory", FIRN_SHAPE_STR(out), err);
    }
    return FIRN_OK;
}

/* Types of the host must lie at multiples of their size; a file need not do so. */
static firn_status align(struct firn_named_tensor *t, struct firn_error *err)
{
    const size_t size = firn_dtype_size(t->tensor.dtype);
    if (size == 0 || (uintptr_t) t->tensor.data % size == 0 || t->size_bytes == 0)
        return FIRN_OK;
    void *copy = malloc(t->size_bytes);
    if (copy == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .key = t->name, .what = "out of memory for it");
    memcpy(copy, t->tensor.data, t->size_bytes);
    t->tensor.data = copy;
    t->is_copied = true;
    return FIRN_OK;
}

static firn_status read_entry(struct firn_safetensors *f, const char *name, const json_t *entry,
                              size_t data_size, size_t data_start, struct firn_error *err)
{
    const json_t *shape = json_object_get(entry, "shape"), *at = json_object_get(entry, "data_offsets");
    const char *word = json_string_value(json_object_get(entry, "dtype"));
    const struct firn_safetensors_type *type = firn_safetensors_types;
    struct firn_tensor t = { .dtype = FIRN_NONE };
    int64_t begin, end, count = 1, bits;
    if (name[0] == '\0' || strlen(name) > MAX_NAME)
        return bad(f, "header", "names of 1 to 1024 bytes", FIRN_STR("%zu bytes", strlen(name)), err);
    if (!json_is_object(entry) || json_object_size(entry) != 3 || word == NULL || !json_is_array(shape) ||
        !json_is_array(at) || json_array_size(at) != 2)
        return bad(f, name, "dtype, shape and data_offsets", "something else", err);
    while (type->name != NULL && strcmp(type->name, word) != 0)
        type++;
    if (type->name == NULL)
        return bad(f, name, "a type of the format (F32, BF16, I64, ...)", word, err);
    t.dtype = type->dtype;
    const firn_status status = read_shape(f, name, shape, &t.shape, &count, err);
    if (status)
        return status;
    if (!plain_integer(json_array_get(at, 0), INT64_MAX, &begin) ||
        !plain_integer(json_array_get(at, 1), INT64_MAX, &end) || begin > end || (uint64_t) end > data_size)
        return bad(f, name, FIRN_STR("data_offsets within %zu bytes", data_size), "something else", err);
    if (__builtin_mul_overflow(count, (int64_t) type->bits, &bits) || bits / 8 != end - begin)
        return bad(f, name, FIRN_STR("%s %s", word, FIRN_SHAPE_STR(&t.shape)),
                   FIRN_STR("%lld bytes", (long long) (end - begin)), err);
    t.data = (char *) f->map.data + data_start + begin;
    char *copy = firn_strdup(name);
    if (copy == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a file's header");
    f->tensors[f->count++] = (struct firn_named_tensor){ copy, t, .size_bytes = (size_t) (end - begin) };
    return FIRN_OK;
}

static firn_status read_metadata(const struct firn_safetensors *f, const json_t *entry, struct firn_error *err)
{
    const char *key;
    json_t *value;
    if (!json_is_object(entry))
        return bad(f, "__metadata__", "a mapping of texts", "something else", err);
    json_object_foreach ((json_t *) entry, key, value)
        if (!json_is_string(value))
            return bad(f, "__metadata__", FIRN_STR("a text for %s", key), "something else", err);
    return FIRN_OK;
}

static int by_place(const void *a, const void *b)
{
    const struct firn_named_tensor *x = a, *y = b;
    const char *p = x->tensor.data, *q = y->tensor.data;
    if (p != q)
        return p < q ? -1 : 1;
    return x->size_bytes < y->size_bytes ? -1 : x->size_bytes > y->size_bytes;
}

static int by_name(const void *a, const void *b)
{
    const struct firn_named_tensor *x = a, *y = b;
    return strcmp(x->name, y->name);
}

/* The tensors must cover the data without gap, overlap or tail. */
static firn_status check_cover(struct firn_safetensors *f, size_t data_start, struct firn_error *err)
{
    const char *next = (const char *) f->map.data + data_start;
    const char *end = (const char *) f->map.data + f->map.size;
    qsort(f->tensors, f->count, sizeof *f->tensors, by_place);
    for (size_t i = 0; i < f->count; i++) {
        if ((const char *) f->tensors[i].tensor.data != next)
            return bad(f, f->tensors[i].name, "data that follows the tensor before it", "a gap or an overlap", err);
        next += f->tensors[i].size_bytes;
    }
    if (next != end)
        return bad(f, NULL, "a file that ends with its last tensor",
                   FIRN_STR("%zu bytes more", (size_t) (end - next)), err);
    for (size_t i = 0; i < f->count; i++) {
        const firn_status status = align(&f->tensors[i], err);
        if (status)
            return status;
    }
    qsort(f->tensors, f->count, sizeof *f->tensors, by_name);
    return FIRN_OK;
}

static firn_status read_header(struct firn_safetensors *f, const json_t *root, size_t data_start,
                               struct firn_error *err)
{
    const char *name;
    json_t *entry;
    if (json_object_size(root) > MAX_TENSORS)
        return bad(f, "header", FIRN_STR("at most %d tensors", MAX_TENSORS),
                   FIRN_STR("%zu", json_object_size(root)), err);
    f->tensors = calloc(json_object_size(root) + 1, sizeof *f->tensors);
    if (f->tensors == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a file's header");
    json_object_foreach ((json_t *) root, name, entry) {
        const firn_status status = strcmp(name, "__metadata__") == 0
                                       ? read_metadata(f, entry, err)
                                       : read_entry(f, name, entry, f->map.size - data_start, data_start, err);
        if (status)
            return status;
    }
    return check_cover(f, data_start, err);
}

static firn_status parse(struct firn_safetensors *f, struct firn_error *err)
{
    uint64_t header = 0;
    if (f->path == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a path");
    if (f->map.size < 8)
        return bad(f, NULL, "a safetensors file of at least 8 bytes", FIRN_STR("%zu", f->map.size), err);
    for (int i = 0; i < 8; i++)
        header |= (uint64_t) f->map.data[i] << (8 * i);
    const size_t most = f->map.size - 8 < MAX_HEADER ? f->map.size - 8 : MAX_HEADER;
    if (header > most)
        return bad(f, "header", FIRN_STR("at most %zu bytes (the file may be cut short)", most),
                   FIRN_STR("%llu", (unsigned long long) header), err);
    if (header == 0 || f->map.data[8] != '{')
        return bad(f, "header", "a JSON object", "something else", err);
    const char *text = (const char *) f->map.data + 8;
    json_t *root = NULL;
    firn_status status = check_text(f, text, (size_t) header, err);
    if (status == FIRN_OK)
        status = firn_json_parse_part(text, (size_t) header, f->map.size, f->path, &root, err);
    if (status == FIRN_OK)
        status = read_header(f, root, 8 + (size_t) header, err);
    json_decref(root);
    return status;
}

firn_status firn_safetensors_open(struct firn_safetensors *f, const char *path, struct firn_error *err)
{
    memset(f, 0, sizeof *f);
    f->path = firn_strdup(path);
    firn_status status = firn_map_open(&f->map, path, err);
    if (status == FIRN_OK)
        status = parse(f, err);
    if (status)
        firn_safetensors_close(f);
    return status;
}

firn_status firn_safetensors_parse(struct firn_safetensors *f, const char *name, const void *data, size_t size,
                                   struct firn_error *err)
{
    memset(f, 0, sizeof *f);
    f->path = firn_strdup(name);
    f->map = (struct firn_map){ data, size };
    f->is_borrowed = true;
    const firn_status status = parse(f, err);
    if (status)
        firn_safetensors_close(f);
    return status;
}

void firn_safetensors_close(struct firn_safetensors *f)
{
    for (size_t i = 0; i < f->count; i++) {
        if (f->tensors[i].is_copied)
            free(f->tensors[i].tensor.data);
        free(f->tensors[i].packed);
        free(f->tensors[i].name);
    }
    free(f->tensors);
    free(f->path);
    if (!f->is_borrowed)
        firn_map_close(&f->map);
    memset(f, 0, sizeof *f);
}

const struct firn_tensor *firn_safetensors_find(const struct firn_safetensors *f, const char *name)
{
    const struct firn_named_tensor key = { .name = (char *) name };
    const struct firn_named_tensor *found =
        f->count > 0 ? bsearch(&key, f->tensors, f->count, sizeof key, by_name) : NULL;
    return found != NULL ? &found->tensor : NULL;
}
