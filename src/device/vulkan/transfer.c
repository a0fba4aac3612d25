/* SPDX-License-Identifier: Apache-2.0 */
/* Host to device and back: straight through a mapping where there is one, else in pieces through a
 * staging buffer. */
#include "device/vulkan/error.h"
#include "device/vulkan/state.h"

#include <string.h>

static firn_status staging(struct firn_vk *d, struct firn_buffer **buffer, enum firn_memory kind,
                           struct firn_error *err)
{
    if (d->copy == VK_NULL_HANDLE) {
        const VkCommandBufferAllocateInfo info = {
            .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
            .commandPool = d->commands,
            .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
            .commandBufferCount = 1,
        };
        const firn_status s =
            FIRN_VK(d->vk.vkAllocateCommandBuffers(d->device, &info, &d->copy), err);
        if (s != FIRN_OK)
            return s;
    }
    return *buffer != NULL ? FIRN_OK
                           : firn_vk_buffer_create(&d->base, kind, FIRN_VK_STAGING_BYTES, buffer, err);
}

static void barrier(struct firn_vk *d, VkPipelineStageFlags from, VkAccessFlags made,
                    VkPipelineStageFlags to, VkAccessFlags used)
{
    const VkMemoryBarrier b = { .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                                .srcAccessMask = made,
                                .dstAccessMask = used };
    d->vk.vkCmdPipelineBarrier(d->copy, from, to, 0, 1, &b, 0, NULL, 0, NULL);
}

static firn_status copy(struct firn_vk *d, VkBuffer from, VkDeviceSize from_offset, VkBuffer to,
                        VkDeviceSize to_offset, VkDeviceSize size, struct firn_error *err)
{
    const VkPipelineStageFlags work =
        VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT;
    const VkCommandBufferBeginInfo begin = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
        .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT,
    };
    const VkBufferCopy region = { from_offset, to_offset, size };
    firn_status s = FIRN_VK(d->vk.vkBeginCommandBuffer(d->copy, &begin), err);
    if (s != FIRN_OK)
        return s;
    barrier(d, work, VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
            VK_PIPELINE_STAGE_TRANSFER_BIT,
            VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT);
    d->vk.vkCmdCopyBuffer(d->copy, from, to, 1, &region);
    barrier(d, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_ACCESS_TRANSFER_WRITE_BIT,
            VK_PIPELINE_STAGE_HOST_BIT, VK_ACCESS_HOST_READ_BIT);
    s = FIRN_VK(d->vk.vkEndCommandBuffer(d->copy), err);
    return s != FIRN_OK ? s : firn_vk_submit(d, &d->copy, 1, false, err);
}

firn_status firn_vk_write(struct firn_device *device, struct firn_buffer *buffer, size_t offset,
                          const void *data, size_t size, struct firn_error *err)
{
    struct firn_vk *d = firn_vk_of(device);
    struct firn_vk_buffer *b = firn_vk_buffer_of(buffer);
    if (size == 0)
        return FIRN_OK;
    if (b->place.block->mapped != NULL) {
        memcpy(b->place.block->mapped + b->place.offset + offset, data, size);
        return firn_vk_memory_flush(d, &b->place, offset, size, err);
    }
    firn_status s = staging(d, &d->upload, FIRN_MEM_INPUT, err);
    for (size_t at = 0; s == FIRN_OK && at < size;) {
        const size_t n = size - at < FIRN_VK_STAGING_BYTES ? size - at : FIRN_VK_STAGING_BYTES;
        s = firn_vk_write(device, d->upload, 0, (const char *) data + at, n, err);
        if (s == FIRN_OK)
            s = copy(d, firn_vk_buffer_of(d->upload)->handle, 0, b->handle,
                     b->shift + offset + at, n, err);
        at += n;
    }
    return s;
}

firn_status firn_vk_read(struct firn_device *device, struct firn_buffer *buffer, size_t offset,
                         void *data, size_t size, struct firn_error *err)
{
    struct firn_vk *d = firn_vk_of(device);
    struct firn_vk_buffer *b = firn_vk_buffer_of(buffer);
    if (size == 0)
        return FIRN_OK;
    if (b->place.block->mapped != NULL) {
        const firn_status s = firn_vk_memory_invalidate(d, &b->place, offset, size, err);
        if (s == FIRN_OK)
            memcpy(data, b->place.block->mapped + b->place.offset + offset, size);
        return s;
    }
    firn_status s = staging(d, &d->download, FIRN_MEM_OUTPUT, err);
    for (size_t at = 0; s == FIRN_OK && at < size;) {
        const size_t n = size - at < FIRN_VK_STAGING_BYTES ? size - at : FIRN_VK_STAGING_BYTES;
        s = copy(d, b->handle, b->shift + offset + at, firn_vk_buffer_of(d->download)->handle, 0, n, err);
        if (s == FIRN_OK)
            s = firn_vk_read(device, d->download, 0, (char *) data + at, n, err);
        at += n;
    }
    return s;
}
