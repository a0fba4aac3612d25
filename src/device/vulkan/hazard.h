/* SPDX-License-Identifier: Apache-2.0 */
/* Which byte ranges were read and written since the last barrier. */
#ifndef FIRN_DEVICE_VULKAN_HAZARD_H
#define FIRN_DEVICE_VULKAN_HAZARD_H

#include <stdbool.h>
#include <stddef.h>

struct firn_vk_access {
    const void *buffer;
    size_t from, to; /* bytes, `to` excluded */
    bool is_write;
};

struct firn_vk_hazards {
    struct firn_vk_access *list;
    int n, capacity;
};

/* True when one of the accesses has to wait for an earlier one: read after write, write after read, or
 * write after write of a common byte. */
bool firn_vk_hazards_meet(const struct firn_vk_hazards *h, const struct firn_vk_access *list, int n);
/* Remembers accesses; false without memory. */
bool firn_vk_hazards_add(struct firn_vk_hazards *h, const struct firn_vk_access *list, int n);
void firn_vk_hazards_clear(struct firn_vk_hazards *h); /* a barrier was placed */
void firn_vk_hazards_free(struct firn_vk_hazards *h);

#endif
