/* SPDX-License-Identifier: Apache-2.0 */
/* Files in $XDG_CACHE_HOME/firn that may be lost at any time: checked when read, replaced as a whole.
 * No failure here is an error; the work is then done again. */
#ifndef FIRN_DEVICE_VULKAN_CACHE_H
#define FIRN_DEVICE_VULKAN_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct firn_vk_cache {
    char *directory; /* NULL: there is none */
};

/* What an entry depends on: two independent hashes, one in the file's name and both in the file. */
struct firn_vk_key {
    uint64_t a, b;
};
struct firn_vk_key firn_vk_key_start(const char *kind);
void firn_vk_key_add(struct firn_vk_key *key, const void *data, size_t size); /* the size counts too */

void firn_vk_cache_open(struct firn_vk_cache *cache);
void firn_vk_cache_close(struct firn_vk_cache *cache);
/* malloc'd content, or NULL when it is not there or not whole. */
void *firn_vk_cache_load(const struct firn_vk_cache *cache, const char *kind,
                         const struct firn_vk_key *key, size_t *size);
void firn_vk_cache_store(const struct firn_vk_cache *cache, const char *kind,
                         const struct firn_vk_key *key, const void *data, size_t size);

#endif
