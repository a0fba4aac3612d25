/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a store, for plans that bind to it. */
#ifndef FIRN_PLAN_STORE_H
#define FIRN_PLAN_STORE_H

#include "plan/plan.h"

struct firn_entry {
    char *name;
    enum firn_leaf kind;
    size_t size;
    struct firn_buffer *buffer;
};

struct firn_store {
    struct firn_device *device;
    struct firn_entry **entries; /* sorted by name */
    size_t count;
    struct firn_buffer *arena;
    uint64_t generation; /* grows when a buffer moved: programs recorded before are stale */
};

struct firn_entry *firn_store_find(const struct firn_store *s, const char *name);
/* Makes the arena at least `size` bytes. */
firn_status firn_store_arena(struct firn_store *s, size_t size, struct firn_error *err);

#endif
