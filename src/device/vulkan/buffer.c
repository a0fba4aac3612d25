/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers: one VkBuffer each, in a place of a memory block. */
#include "device/vulkan/error.h"
#include "device/vulkan/state.h"

#include <stdlib.h>

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
    const uint64_t most = d->base.limits.max_alloc_bytes;
    if (size > SIZE_MAX - 64 || (most > 0 && size > most))
        return firn_fail(err, FIRN_ERR_MEMORY, .key = d->base.id,
                         .what = "a buffer is larger than one allocation may be",
                         .expected = FIRN_STR("at most %llu bytes", (unsigned long long) most),
                         .got = FIRN_STR("%zu", size));
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

/* Whole pages are imported, so data starts `shift` bytes into the buffer. */
static firn_status import_pages(struct firn_vk *d, const void *data, size_t size, size_t shift,
                                struct firn_vk_buffer *b, struct firn_error *err)
{
    const uint64_t page = d->caps.import_align;
    const VkDeviceSize whole = (shift + size + page - 1) / page * page;
    const VkExternalMemoryBufferCreateInfo external = {
        .sType = VK_STRUCTURE_TYPE_EXTERNAL_MEMORY_BUFFER_CREATE_INFO,
        .handleTypes = VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT,
    };
    VkMemoryRequirements need;
    b->base.size = size;
    b->base.memory = FIRN_MEM_DEVICE;
    b->base.is_borrowed = true;
    b->shift = shift;
    b->padded = (size + 15) / 16 * 16; /* still inside the last page */
    firn_status s = create_handle(d, whole, &external, &b->handle, err);
    if (s != FIRN_OK)
        return s;
    d->vk.vkGetBufferMemoryRequirements(d->device, b->handle, &need);
    if (need.size > whole)
        return firn_fail(err, FIRN_ERR_UNSUPPORTED, .what = "the driver wants padding");
    s = firn_vk_memory_import(d, (char *) (uintptr_t) data - shift, whole, need.memoryTypeBits,
                              &b->place, err);
    if (s != FIRN_OK)
        return s;
    return FIRN_VK(d->vk.vkBindBufferMemory(d->device, b->handle, b->place.block->handle, 0), err);
}

/* In place where host memory is the device's memory and the data is aligned as bindings are; everything else, and
 * what the driver will not take, is copied. */
firn_status firn_vk_buffer_import(struct firn_device *device, const void *data, size_t size,
                                  struct firn_buffer **out, struct firn_error *err)
{
    struct firn_vk *d = firn_vk_of(device);
    const uint64_t page = d->caps.import_align;
    const size_t shift = page > 0 ? (uintptr_t) data % page : 0;
    *out = NULL;
    if (d->caps.has_host_import && d->caps.is_unified && page > 0 && size > 0 &&
        shift % d->base.limits.bind_align == 0) {
        struct firn_vk_buffer *b = calloc(1, sizeof *b);
        if (b == NULL)
            return firn_fail(err, FIRN_ERR_MEMORY, .what = "no memory for a buffer record");
        if (import_pages(d, data, size, shift, b, NULL) == FIRN_OK) {
            *out = &b->base;
            d->stats.imports++;
            return FIRN_OK;
        }
        firn_vk_buffer_destroy(device, &b->base);
    }
    firn_status s = firn_vk_buffer_create(device, FIRN_MEM_DEVICE, size, out, err);
    if (s == FIRN_OK)
        s = firn_vk_write(device, *out, 0, data, size, err);
    if (s != FIRN_OK) {
        firn_vk_buffer_destroy(device, *out);
        *out = NULL;
    }
    return s;
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
