/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers: one VkBuffer each, in a place of a memory block. */
#include "device/vulkan/error.h"
#include "device/vulkan/state.h"

#include <stdlib.h>
#include <unistd.h>

static firn_status create_handle(struct firn_vk *d, size_t size, const void *pnext,
                                 VkBuffer *handle, struct firn_error *err)
{
    const VkBufferCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
        .pNext = pnext,
        .size = size,
        .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
                 VK_BUFFER_USAGE_TRANSFER_DST_BIT,
        .sharingMode = VK_SHARING_MODE_EXCLUSIVE,
    };
    return FIRN_VK(d->vk.vkCreateBuffer(d->device, &info, NULL, handle), err);
}

firn_status firn_vk_buffer_create(struct firn_device *device, enum firn_memory memory, size_t size,
                                  struct firn_buffer **out, struct firn_error *err)
{
    struct firn_vk *d = firn_vk_of(device);
    *out = NULL;
    if (size > SIZE_MAX - 64)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "a buffer this large cannot be");
    struct firn_vk_buffer *b = calloc(1, sizeof *b);
    if (b == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "no memory for a buffer record");
    b->base.size = size;
    b->base.memory = memory;
    /* whole vec4s: shaders read 16-bit data as words and floats four at a time */
    b->padded = size > 0 ? (size + 15) / 16 * 16 : 16;
    firn_status s = create_handle(d, b->padded, NULL, &b->handle, err);
    if (s == FIRN_OK) {
        VkMemoryRequirements need;
        d->vk.vkGetBufferMemoryRequirements(d->device, b->handle, &need);
        s = firn_vk_memory_take(d, memory, &need, &b->place, err);
    }
    if (s == FIRN_OK)
        s = FIRN_VK(d->vk.vkBindBufferMemory(d->device, b->handle, b->place.block->handle,
                                             b->place.offset),
                    err);
    if (s != FIRN_OK) {
        firn_vk_buffer_destroy(device, &b->base);
        return s;
    }
    *out = &b->base;
    return FIRN_OK;
}

/* Uses the caller's pages in place: only where host memory is the device's memory, and where data starts
 * and ends on pages that the driver takes. Everything else is copied by the caller. */
firn_status firn_vk_buffer_import(struct firn_device *device, const void *data, size_t size,
                                  struct firn_buffer **out, struct firn_error *err)
{
    struct firn_vk *d = firn_vk_of(device);
    *out = NULL;
    const uint64_t page = d->caps.import_align;
    if (!d->caps.has_host_import || !d->caps.is_unified || page == 0)
        return firn_fail(err, FIRN_ERR_UNSUPPORTED, .what = "this device copies");
    const uintptr_t from = (uintptr_t) data;
    if (size == 0 || from % page != 0)
        return firn_fail(err, FIRN_ERR_UNSUPPORTED, .what = "the data does not start on a page");
    struct firn_vk_buffer *b = calloc(1, sizeof *b);
    if (b == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "no memory for a buffer record");
    b->base.size = size;
    b->base.memory = FIRN_MEM_DEVICE;
    b->padded = (size + 15) / 16 * 16; /* the rest of the last page belongs to the mapping */
    const VkExternalMemoryBufferCreateInfo external = {
        .sType = VK_STRUCTURE_TYPE_EXTERNAL_MEMORY_BUFFER_CREATE_INFO,
        .handleTypes = VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT,
    };
    firn_status s = create_handle(d, b->padded, &external, &b->handle, err);
    if (s == FIRN_OK) {
        VkMemoryRequirements need;
        d->vk.vkGetBufferMemoryRequirements(d->device, b->handle, &need);
        const VkDeviceSize whole = (size + page - 1) / page * page;
        s = need.size > whole ? firn_fail(err, FIRN_ERR_UNSUPPORTED, .what = "padding is needed")
                              : firn_vk_memory_import(d, (void *) from, whole, need.memoryTypeBits,
                                                      &b->place, err);
    }
    if (s == FIRN_OK)
        s = FIRN_VK(d->vk.vkBindBufferMemory(d->device, b->handle, b->place.block->handle, 0), err);
    if (s != FIRN_OK) {
        firn_vk_buffer_destroy(device, &b->base);
        return s == FIRN_ERR_MEMORY ? s : FIRN_ERR_UNSUPPORTED;
    }
    *out = &b->base;
    return FIRN_OK;
}

void firn_vk_buffer_destroy(struct firn_device *device, struct firn_buffer *buffer)
{
    struct firn_vk *d = firn_vk_of(device);
    if (buffer == NULL)
        return;
    struct firn_vk_buffer *b = firn_vk_buffer_of(buffer);
    if (b->handle != VK_NULL_HANDLE)
        d->vk.vkDestroyBuffer(d->device, b->handle, NULL);
    firn_vk_memory_give(d, &b->place);
    free(b);
}
