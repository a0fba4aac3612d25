/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the keys of GGUF files. */
#include "base/gguf.h"

#include "base/str.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_KEY = 65535, MAX_KEYS = 1 << 14, MAX_TENSORS = 1 << 16 };
static const size_t value_sizes[FIRN_GGUF_N_VALUES] = { 1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8 };

firn_status firn_gguf_bad(const struct firn_gguf_cursor *c, const char *key, const char *expected, const char *got)
{
    return firn_fail(c->err, FIRN_ERR_FORMAT, .file = c->path, .key = key, .expected = expected, .got = got);
}

static uint64_t little(const uint8_t *p, size_t n)
{
    uint64_t x = 0;
    for (size_t i = 0; i < n; i++)
        x |= (uint64_t) p[i] << (8 * i);
    return x;
}

firn_status firn_gguf_take(struct firn_gguf_cursor *c, size_t n, uint64_t *out, const char *what)
{
    if ((size_t) (c->end - c->at) < n)
        return firn_gguf_bad(c, what, "more of the header", "the end of the file");
    *out = little(c->at, n);
    c->at += n;
    return FIRN_OK;
}

firn_status firn_gguf_take_text(struct firn_gguf_cursor *c, const char **text, size_t *length, size_t most, const char *what)
{
    uint64_t n = 0;
    const firn_status status = firn_gguf_take(c, 8, &n, what);
    if (status)
        return status;
    if (n > (uint64_t) (c->end - c->at) || n > most)
        return firn_gguf_bad(c, what, FIRN_STR("at most %zu bytes", (size_t) (c->end - c->at) < most ? (size_t) (c->end - c->at) : most),
                   FIRN_STR("%llu", (unsigned long long) n));
    *text = (const char *) c->at;
    *length = (size_t) n;
    c->at += n;
    return FIRN_OK;
}

static firn_status take_array(struct firn_gguf_cursor *c, struct firn_gguf_key *key, const char *name)
{
    uint64_t of = 0;
    firn_status status = firn_gguf_take(c, 4, &of, name);
    if (status == FIRN_OK)
        status = firn_gguf_take(c, 8, &key->count, name);
    if (status)
        return status;
    if (of >= FIRN_GGUF_N_VALUES || of == FIRN_GGUF_ARRAY)
        return firn_gguf_bad(c, name, "an array of numbers or texts", FIRN_STR("one of type %llu", (unsigned long long) of));
    key->of = (uint32_t) of;
    key->data = c->at;
    const size_t least = of == FIRN_GGUF_STRING ? 8 : value_sizes[of], left = (size_t) (c->end - c->at);
    if (key->count > left / least)
        return firn_gguf_bad(c, name, FIRN_STR("at most %zu items", left / least), FIRN_STR("%llu", (unsigned long long) key->count));
    if (of != FIRN_GGUF_STRING)
        c->at += key->count * least;
    for (uint64_t i = 0; of == FIRN_GGUF_STRING && i < key->count && status == FIRN_OK; i++) {
        const char *text;
        size_t length;
        status = firn_gguf_take_text(c, &text, &length, SIZE_MAX, name);
    }
    return status;
}

static firn_status take_key(struct firn_gguf_cursor *c, struct firn_gguf_key *key)
{
    uint64_t type = 0;
    firn_status status = firn_gguf_take_text(c, &key->name, &key->length, MAX_KEY, "a key");
    if (status == FIRN_OK)
        status = firn_gguf_take(c, 4, &type, "a key's type");
    if (status)
        return status;
    const char *name = FIRN_STR("%.*s", key->length < 100 ? (int) key->length : 100, key->name);
    if (key->length == 0 || memchr(key->name, '\0', key->length) != NULL)
        return firn_gguf_bad(c, "header", "keys with names", "an empty one, or one with a NUL");
    if (type >= FIRN_GGUF_N_VALUES)
        return firn_gguf_bad(c, name, "a type of the format", FIRN_STR("%llu", (unsigned long long) type));
    key->type = (uint32_t) type;
    if (type == FIRN_GGUF_ARRAY)
        return take_array(c, key, name);
    if (type == FIRN_GGUF_STRING) {
        const char *text;
        size_t length;
        status = firn_gguf_take_text(c, &text, &length, SIZE_MAX, name);
        key->data = (const uint8_t *) text;
        key->count = length;
        return status;
    }
    uint64_t ignored;
    key->data = c->at;
    key->count = 1;
    return firn_gguf_take(c, value_sizes[type], &ignored, name);
}

firn_status firn_gguf_keys_read(struct firn_gguf_keys *keys, struct firn_gguf_cursor *c)
{
    uint64_t magic = 0, version = 0, n = 0;
    size_t room = 0;
    *keys = (struct firn_gguf_keys){ 0 };
    firn_status status = firn_gguf_take(c, 4, &magic, "header");
    if (status == FIRN_OK && magic != 0x46554747) /* "GGUF" */
        status = firn_gguf_bad(c, NULL, "a GGUF file", "something else");
    if (status == FIRN_OK)
        status = firn_gguf_take(c, 4, &version, "header");
    if (status == FIRN_OK && (version < 2 || version > 3))
        status = firn_gguf_bad(c, "version", "2 or 3, little-endian", FIRN_STR("%llu", (unsigned long long) version));
    if (status == FIRN_OK)
        status = firn_gguf_take(c, 8, &keys->n_tensors, "header");
    if (status == FIRN_OK)
        status = firn_gguf_take(c, 8, &n, "header");
    if (status == FIRN_OK && (n > MAX_KEYS || keys->n_tensors > MAX_TENSORS))
        status = firn_gguf_bad(c, "header", FIRN_STR("at most %d keys and %d tensors", MAX_KEYS, MAX_TENSORS), "more");
    for (uint64_t i = 0; i < n && status == FIRN_OK; i++) {
        if (keys->n == room) { /* grows with what is there, not with what the file says */
            room = room > 0 ? 2 * room : 32;
            struct firn_gguf_key *list = realloc(keys->list, sizeof *list * room);
            if (list == NULL)
                return firn_fail(c->err, FIRN_ERR_MEMORY, .file = c->path, .what = "out of memory for its header");
            keys->list = list;
        }
        keys->list[keys->n] = (struct firn_gguf_key){ 0 };
        status = take_key(c, &keys->list[keys->n]);
        keys->n += status == FIRN_OK;
    }
    return status;
}

void firn_gguf_keys_free(struct firn_gguf_keys *keys)
{
    free(keys->list);
    *keys = (struct firn_gguf_keys){ 0 };
}

const struct firn_gguf_key *firn_gguf_key(const struct firn_gguf_keys *keys, const char *key)
{
    const size_t n = strlen(key);
    for (size_t i = 0; i < keys->n; i++)
        if (keys->list[i].length == n && memcmp(keys->list[i].name, key, n) == 0)
            return &keys->list[i];
    return NULL;
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

double firn_gguf_item(const struct firn_gguf_key *key, uint64_t i)
{
    return number_at(key->of, key->data + i * value_sizes[key->of]);
}

const char *firn_gguf_next_text(const uint8_t **at, size_t *length)
{
    const char *text = (const char *) *at + 8;
    *length = (size_t) little(*at, 8);
    *at += 8 + *length;
    return text;
}

bool firn_gguf_key_number(const struct firn_gguf_keys *keys, const char *key, double *value)
{
    const struct firn_gguf_key *k = firn_gguf_key(keys, key);
    const uint32_t type = k == NULL ? FIRN_GGUF_STRING : k->type == FIRN_GGUF_ARRAY ? k->of : k->type;
    if (type == FIRN_GGUF_STRING || type == FIRN_GGUF_BOOL || k->count == 0)
        return false;
    *value = number_at(type, k->data);
    for (uint64_t i = 1; i < k->count; i++)
        if (number_at(type, k->data + i * value_sizes[type]) != *value)
            return false;
    return true;
}

int32_t firn_gguf_key_whole(const struct firn_gguf_keys *keys, const char *key, int32_t missing)
{
    const struct firn_gguf_key *k = firn_gguf_key(keys, key);
    double value;
    if (k != NULL && k->type == FIRN_GGUF_BOOL)
        return k->data[0] != 0;
    if (k == NULL || k->type == FIRN_GGUF_ARRAY || !firn_gguf_key_number(keys, key, &value) || !(value >= 0 && value <= INT32_MAX) ||
        value != (double) (int32_t) value)
        return missing;
    return (int32_t) value;
}

bool firn_gguf_key_is_text(const struct firn_gguf_keys *keys, const char *key, const char *text)
{
    const struct firn_gguf_key *k = firn_gguf_key(keys, key);
    return k != NULL && k->type == FIRN_GGUF_STRING && k->count == strlen(text) && memcmp(k->data, text, k->count) == 0;
}

const char *firn_gguf_key_text(const struct firn_gguf_keys *keys, const char *key, char *text, size_t size)
{
    const struct firn_gguf_key *k = firn_gguf_key(keys, key);
    const size_t n = k == NULL || k->type != FIRN_GGUF_STRING ? 0 : k->count < size ? (size_t) k->count : size - 1;
    if (n > 0)
        memcpy(text, k->data, n);
    text[n] = '\0';
    return text;
}

/* ---- files ---- */

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static bool is_file(const char *path)
{
    return firn_path_exists(path) && !firn_path_is_dir(path);
}

static bool has_safetensors(const char *directory)
{
    return firn_path_exists(FIRN_STR("%s/model.safetensors", directory)) ||
           firn_path_exists(FIRN_STR("%s/model.safetensors.index.json", directory));
}

bool firn_gguf_split_of(const char *path, int *index, int *count, size_t *stem)
{
    const size_t n = strlen(path), tail = sizeof "-00001-of-00002.gguf" - 1;
    int used = 0;
    if (n < tail || path[n - tail] != '-' || sscanf(path + n - tail, "-%5d-of-%5d%n", index, count, &used) != 2 ||
        used != (int) tail - 5 || strcmp(path + n - 5, ".gguf") != 0)
        return false;
    *stem = n - tail;
    return *index >= 1 && *index <= *count;
}

firn_status firn_gguf_locate(const char *path, char **file, struct firn_error *err)
{
    int index = 1, count;
    size_t stem;
    *file = NULL;
    if (ends_with(path, ".gguf") && is_file(path)) {
        *file = firn_strdup(path);
        return *file != NULL ? FIRN_OK : firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a path");
    }
    DIR *d = strlen(path) < 3000 && firn_path_is_dir(path) && !has_safetensors(path) ? opendir(path) : NULL;
    firn_status status = FIRN_OK;
    for (struct dirent *e = d != NULL ? readdir(d) : NULL; e != NULL && status == FIRN_OK; e = readdir(d)) {
        if (!ends_with(e->d_name, ".gguf") || (firn_gguf_split_of(e->d_name, &index, &count, &stem) && index > 1))
            continue; /* of a model in parts, the first stands for all */
        if (*file != NULL)
            status = firn_fail(err, FIRN_ERR_USAGE, .file = path, .expected = "one .gguf file, or the path of one of them",
                               .got = "several");
        else if ((*file = firn_path_join(path, e->d_name)) == NULL)
            status = firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a path");
    }
    if (d != NULL)
        closedir(d);
    if (status) {
        free(*file);
        *file = NULL;
    }
    return status;
}

firn_status firn_gguf_keys_open(struct firn_gguf_keys *keys, struct firn_map *map, const char *path, struct firn_error *err)
{
    *keys = (struct firn_gguf_keys){ 0 };
    firn_status status = firn_map_open(map, path, err);
    if (status)
        return status;
    struct firn_gguf_cursor c = { path, map->data, map->data + map->size, err };
    status = firn_gguf_keys_read(keys, &c);
    if (status) {
        firn_gguf_keys_free(keys);
        firn_map_close(map);
    }
    return status;
}
