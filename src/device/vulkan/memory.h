/* SPDX-License-Identifier: Apache-2.0 */
/* Device memory in blocks: small buffers share one, large ones have their own. */
#ifndef FIRN_DEVICE_VULKAN_MEMORY_H
#define FIRN_DEVICE_VULKAN_MEMORY_H

#include "device/device.h"

#include <volk.h>

struct firn_vk;

struct firn_vk_block {
    struct firn_vk_block *next;
    VkDeviceMemory handle;
    VkDeviceSize size, used; /* used: everything behind is free */
    int n_live;
    uint32_t type;
    enum firn_memory kind;
    uint8_t *mapped; /* NULL: the host cannot see it */
    bool is_coherent, is_import; /* import: the caller's pages */
};

struct firn_vk_place {
    struct firn_vk_block *block;
    VkDeviceSize offset;
};

struct firn_vk_memory {
    struct firn_vk_block *blocks;
    int n_blocks;
    uint64_t bytes; /* without imports */
};

/* Finds room for `need` in the best kind of memory that has any. */
firn_status firn_vk_memory_take(struct firn_vk *d, enum firn_memory kind,
                                const VkMemoryRequirements *need, struct firn_vk_place *place,
                                struct firn_error *err);
/* A block over the caller's pages (aligned to import_align). UNSUPPORTED when the driver will not. */
firn_status firn_vk_memory_import(struct firn_vk *d, void *pages, VkDeviceSize size,
                                  uint32_t type_bits, struct firn_vk_place *place,
                                  struct firn_error *err);
void firn_vk_memory_give(struct firn_vk *d, struct firn_vk_place *place);

/* Makes the host's writes visible to the device, or the device's to the host, where memory is not coherent. */
firn_status firn_vk_memory_flush(struct firn_vk *d, const struct firn_vk_place *place,
                                 VkDeviceSize offset, VkDeviceSize size, struct firn_error *err);
firn_status firn_vk_memory_invalidate(struct firn_vk *d, const struct firn_vk_place *place,
                                      VkDeviceSize offset, VkDeviceSize size,
                                      struct firn_error *err);

#endif
