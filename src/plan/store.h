/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a store, for plans that bind to it. */
#ifndef FIRN_PLAN_STORE_H
#define FIRN_PLAN_STORE_H

#include "plan/plan.h"

struct firn_entry {
    char *name;
    enum firn_leaf kind;
    size_t size;
    size_t planned; /* bytes that a plan which was bound has for it; 0: none was */
    struct firn_buffer *buffer;
};

struct firn_store {
    struct firn_device *device;
    struct firn_entry **entries; /* sorted by name */
    size_t count;
    struct firn_buffer *arena;
    size_t planned; /* the largest arena of a plan that was bound */
    uint64_t generation; /* grows when a buffer moved: programs recorded before are stale */
};

struct firn_entry *firn_store_find(const struct firn_store *s, const char *name);
/* No device has empty buffers: what a leaf of so many bytes takes. */
static inline size_t firn_store_room(size_t size)
{
    return size > 0 ? size : 4;
}
/* Makes the arena at least `size` bytes. */
firn_status firn_store_arena(struct firn_store *s, size_t size, struct firn_error *err);

#endif
