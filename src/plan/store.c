/* SPDX-License-Identifier: Apache-2.0 */
/* Leaf storage by name, and the arena that the plans of a store share. */
#include "plan/store.h"

#include <stdlib.h>
#include <string.h>

firn_status firn_store_create(struct firn_store **out, struct firn_device *device,
                              struct firn_error *err)
{
    struct firn_store *s = calloc(1, sizeof *s);
    if (s == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a store");
    s->device = device;
    *out = s;
    return FIRN_OK;
}

void firn_store_destroy(struct firn_store **store)
{
    struct firn_store *s = *store;
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->count; i++) {
        firn_buffer_destroy(s->device, &s->entries[i]->buffer);
        free(s->entries[i]->name);
        free(s->entries[i]);
    }
    free(s->entries);
    firn_buffer_destroy(s->device, &s->arena);
    free(s);
    *store = NULL;
}

struct firn_device *firn_store_device(const struct firn_store *store)
{
    return store->device;
}

static int compare(const void *key, const void *entry)
{
    const struct firn_entry *const *e = entry;
    return strcmp(key, (*e)->name);
}

struct firn_entry *firn_store_find(const struct firn_store *s, const char *name)
{
    if (s->count == 0)
        return NULL;
    struct firn_entry **e = bsearch(name, s->entries, s->count, sizeof *s->entries, compare);
    return e != NULL ? *e : NULL;
}

bool firn_store_has(const struct firn_store *store, const char *name)
{
    return firn_store_find(store, name) != NULL;
}

void firn_store_remove(struct firn_store *s, const char *name)
{
    for (size_t i = 0; i < s->count; i++) {
        struct firn_entry *e = s->entries[i];
        if (strcmp(e->name, name) != 0)
            continue;
        memmove(&s->entries[i], &s->entries[i + 1], sizeof *s->entries * (s->count - i - 1));
        s->count--;
        firn_buffer_destroy(s->device, &e->buffer);
        free(e->name);
        free(e);
        return;
    }
}

static enum firn_memory memory_of(enum firn_leaf kind)
{
    return kind == FIRN_LEAF_INPUT    ? FIRN_MEM_INPUT
           : kind == FIRN_LEAF_OUTPUT ? FIRN_MEM_OUTPUT
                                      : FIRN_MEM_DEVICE;
}

static firn_status zero(struct firn_device *d, struct firn_buffer *b, struct firn_error *err)
{
    static const char zeros[65536];
    firn_status status = FIRN_OK;
    for (size_t at = 0; at < b->size && status == FIRN_OK; at += sizeof zeros) {
        const size_t n = b->size - at < sizeof zeros ? b->size - at : sizeof zeros;
        status = firn_buffer_write(d, b, at, zeros, n, err);
    }
    return status;
}

static firn_status make_buffer(struct firn_store *s, enum firn_leaf kind, size_t size,
                               const void *data, struct firn_buffer **out, struct firn_error *err)
{
    if (kind == FIRN_LEAF_WEIGHT && data != NULL && size > 0 && s->device->ops->buffer_import != NULL)
        return firn_buffer_import(s->device, data, size, out, err);
    firn_status status = firn_buffer_create(s->device, memory_of(kind), firn_store_room(size), out, err);
    if (status == FIRN_OK)
        status = data != NULL ? firn_buffer_write(s->device, *out, 0, data, size, err)
                              : zero(s->device, *out, err);
    if (status != FIRN_OK)
        firn_buffer_destroy(s->device, out);
    return status;
}

static firn_status insert(struct firn_store *s, const char *name, struct firn_entry **out,
                          struct firn_error *err)
{
    struct firn_entry **entries = realloc(s->entries, sizeof(void *) * (s->count + 1));
    struct firn_entry *e = calloc(1, sizeof *e);
    if (entries != NULL)
        s->entries = entries;
    if (e != NULL)
        e->name = strdup(name);
    if (entries == NULL || e == NULL || e->name == NULL) {
        free(e);
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a store");
    }
    size_t at = s->count++;
    for (; at > 0 && strcmp(s->entries[at - 1]->name, name) > 0; at--)
        s->entries[at] = s->entries[at - 1];
    s->entries[at] = e;
    *out = e;
    return FIRN_OK;
}

firn_status firn_store_add(struct firn_store *s, enum firn_leaf kind, const char *name, size_t size,
                           const void *data, struct firn_error *err)
{
    struct firn_entry *e = firn_store_find(s, name);
    const bool per_run = kind == FIRN_LEAF_INPUT || kind == FIRN_LEAF_OUTPUT;
    if (e != NULL && e->kind == kind && (e->size == size || (per_run && e->size > size)))
        return data != NULL ? firn_buffer_write(s->device, e->buffer, 0, data, size, err) : FIRN_OK;
    if (e != NULL && !(e->kind == kind && per_run))
        return firn_fail(err, FIRN_ERR_SHAPE, .key = name, .expected = FIRN_STR("%zu bytes", e->size),
                         .got = FIRN_STR("%zu bytes", size));
    struct firn_buffer *buffer = NULL;
    firn_status status = make_buffer(s, kind, size, data, &buffer, err);
    if (status == FIRN_OK && e == NULL)
        status = insert(s, name, &e, err);
    if (status != FIRN_OK) {
        firn_buffer_destroy(s->device, &buffer);
        return status;
    }
    if (e->buffer != NULL) { /* grown: programs that were recorded with the old one record again */
        firn_buffer_destroy(s->device, &e->buffer);
        s->generation++;
    }
    e->kind = kind;
    e->size = size;
    e->buffer = buffer;
    return FIRN_OK;
}

static firn_status find_range(const struct firn_store *s, const char *name, size_t offset,
                              size_t size, struct firn_entry **e, struct firn_error *err)
{
    *e = firn_store_find(s, name);
    if (*e == NULL)
        return firn_fail(err, FIRN_ERR_USAGE, .key = name, .what = "no such leaf in the store");
    if (offset > (*e)->size || size > (*e)->size - offset)
        return firn_fail(err, FIRN_ERR_SHAPE, .key = name,
                         .expected = FIRN_STR("at most %zu bytes", (*e)->size),
                         .got = FIRN_STR("%zu at %zu", size, offset));
    return FIRN_OK;
}

firn_status firn_store_write(struct firn_store *store, const char *name, size_t offset,
                             const void *data, size_t size, struct firn_error *err)
{
    struct firn_entry *e;
    const firn_status status = find_range(store, name, offset, size, &e, err);
    return status ? status : firn_buffer_write(store->device, e->buffer, offset, data, size, err);
}

firn_status firn_store_read(struct firn_store *store, const char *name, size_t offset, void *data,
                            size_t size, struct firn_error *err)
{
    struct firn_entry *e;
    const firn_status status = find_range(store, name, offset, size, &e, err);
    return status ? status : firn_buffer_read(store->device, e->buffer, offset, data, size, err);
}

firn_status firn_store_arena(struct firn_store *s, size_t size, struct firn_error *err)
{
    if (size > s->planned)
        s->planned = size;
    if (size == 0 || (s->arena != NULL && s->arena->size >= size))
        return FIRN_OK;
    if (s->arena != NULL)
        s->generation++;
    firn_buffer_destroy(s->device, &s->arena);
    return firn_buffer_create(s->device, FIRN_MEM_DEVICE, size, &s->arena, err);
}

/* Trained tensors of an adapter whose turn has not come yet, and moments out of a checkpoint, are in no plan so far. */
static size_t planned_of(const struct firn_entry *e)
{
    const bool comes_first = e->kind == FIRN_LEAF_PARAM || e->kind == FIRN_LEAF_GRAD || e->kind == FIRN_LEAF_STATE;
    return e->planned == 0 && comes_first ? firn_store_room(e->size) : e->planned;
}

firn_status firn_store_check(const struct firn_store *s, struct firn_error *err)
{
    static const char *const words[FIRN_MEM_COUNT] = { "device memory", "inputs", "outputs" };
    uint64_t planned[FIRN_MEM_COUNT] = { [FIRN_MEM_DEVICE] = s->planned };
    for (size_t i = 0; i < s->count; i++)
        planned[memory_of(s->entries[i]->kind)] += planned_of(s->entries[i]);
    for (int m = 0; m < FIRN_MEM_COUNT; m++) {
        const uint64_t have = s->device->bytes[m] + (m == FIRN_MEM_DEVICE ? s->device->borrowed : 0);
        if (have != planned[m])
            return firn_fail(err, FIRN_ERR_DEVICE, .file = s->device->id, .key = words[m],
                             .what = "the plan's bytes are not what is allocated",
                             .expected = FIRN_STR("%llu bytes", (unsigned long long) planned[m]),
                             .got = FIRN_STR("%llu", (unsigned long long) have));
    }
    return FIRN_OK;
}
