/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers, each with memory of its own: mapped where the host can see it, else copied through a staging buffer. */
#include "device/vulkan/device.h"

#include <stdlib.h>

static int find_type(const struct firn_vk_device *d, uint32_t allowed, VkMemoryPropertyFlags wanted)
{
    const VkPhysicalDeviceMemoryProperties *m = &d->caps.memory;
    for (uint32_t i = 0; i < m->memoryTypeCount; i++)
        if ((allowed >> i & 1u) != 0 && (m->memoryTypes[i].propertyFlags & wanted) == wanted)
            return (int) i;
    return -1;
}

/* Wishes of each kind of memory, best first; the last holds on every driver. */
static int choose_type(const struct firn_vk_device *d, uint32_t allowed, enum firn_memory memory)
{
    enum { LOCAL = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, CACHED = VK_MEMORY_PROPERTY_HOST_CACHED_BIT,
           SEEN = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT };
    const VkMemoryPropertyFlags wishes[3][3] = {
        [FIRN_MEM_DEVICE] = { d->caps.is_unified ? LOCAL | SEEN : LOCAL, LOCAL, 0 },
        [FIRN_MEM_INPUT] = { LOCAL | SEEN, SEEN, SEEN },
        [FIRN_MEM_OUTPUT] = { SEEN | CACHED, SEEN, SEEN },
    };
    for (int i = 0; i < 3; i++) {
        const int type = find_type(d, allowed, wishes[memory][i]);
        if (type >= 0)
            return type;
    }
    return -1;
}

static firn_status allocate(struct firn_vk_device *d, struct firn_vk_buffer *b, struct firn_error *err)
{
    VkMemoryRequirements need;
    d->vk.vkGetBufferMemoryRequirements(d->handle, b->handle, &need);
    const int type = choose_type(d, need.memoryTypeBits, b->base.memory);
    if (type < 0)
        return firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = d->base.id, .what = "no memory type for storage buffers");
    if (d->caps.limits.max_alloc_bytes != 0 && need.size > d->caps.limits.max_alloc_bytes)
        return firn_fail(err, FIRN_ERR_MEMORY, .file = d->base.id, .what = "one allocation is too large",
                         .expected = FIRN_STR("at most %llu bytes", (unsigned long long) d->caps.limits.max_alloc_bytes),
                         .got = FIRN_STR("%llu", (unsigned long long) need.size));
    const VkMemoryAllocateInfo info = { .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO, .allocationSize = need.size,
                                        .memoryTypeIndex = (uint32_t) type };
    const firn_status status = FIRN_VK(d->vk.vkAllocateMemory(d->handle, &info, NULL, &b->memory), err);
    if (status == FIRN_ERR_MEMORY)
        return firn_fail(err, FIRN_ERR_MEMORY, .file = d->base.id,
                         .what = FIRN_STR("no %llu bytes of device memory; %llu are free", (unsigned long long) need.size,
                                          (unsigned long long) firn_vk_caps_free(&d->caps)));
    if (status)
        return status;
    b->allocated = need.size;
    d->stats.allocations++;
    d->stats.memory_bytes += need.size;
    if ((d->caps.memory.memoryTypes[type].propertyFlags & VK_MEMORY_PROPERTY_HOST_COHERENT_BIT) != 0) {
        void *at = NULL;
        const firn_status mapped = FIRN_VK(d->vk.vkMapMemory(d->handle, b->memory, 0, VK_WHOLE_SIZE, 0, &at), err);
        if (mapped)
            return mapped;
        b->mapped = at;
    }
    return FIRN_VK(d->vk.vkBindBufferMemory(d->handle, b->handle, b->memory, 0), err);
}

firn_status firn_vk_buffer_create(struct firn_device *device, enum firn_memory memory, size_t size,
                                  struct firn_buffer **out, struct firn_error *err)
{
    struct firn_vk_device *d = (struct firn_vk_device *) device;
    struct firn_vk_buffer *b = calloc(1, sizeof *b);
    if (b == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a buffer");
    b->base = (struct firn_buffer){ size, memory };
    const VkBufferCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
        .size = (size + 15) / 16 * 16, /* shaders read whole words and vectors of four */
        .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT,
        .sharingMode = VK_SHARING_MODE_EXCLUSIVE };
    firn_status status = FIRN_VK(d->vk.vkCreateBuffer(d->handle, &info, NULL, &b->handle), err);
    if (status == FIRN_OK)
        status = allocate(d, b, err);
    if (status) {
        firn_vk_buffer_destroy(device, &b->base);
        return status;
    }
    *out = &b->base;
    return FIRN_OK;
}

void firn_vk_buffer_destroy(struct firn_device *device, struct firn_buffer *buffer)
{
    struct firn_vk_device *d = (struct firn_vk_device *) device;
    struct firn_vk_buffer *b = (struct firn_vk_buffer *) buffer;
    if (b->handle != VK_NULL_HANDLE)
        d->vk.vkDestroyBuffer(d->handle, b->handle, NULL);
    if (b->memory != VK_NULL_HANDLE) {
        d->vk.vkFreeMemory(d->handle, b->memory, NULL);
        d->stats.allocations--;
        d->stats.memory_bytes -= b->allocated;
    }
    free(b);
}

static firn_status copy(struct firn_vk_device *d, VkBuffer from, size_t from_at, VkBuffer to, size_t to_at, size_t size,
                        struct firn_error *err)
{
    const VkCommandBufferAllocateInfo info = { .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                               .commandPool = d->pool, .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                               .commandBufferCount = 1 };
    const VkCommandBufferBeginInfo begin = { .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                             .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT };
    const VkBufferCopy region = { from_at, to_at, size };
    const VkMemoryBarrier seen = { .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                                   .srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT,
                                   .dstAccessMask = VK_ACCESS_HOST_READ_BIT };
    VkCommandBuffer commands = VK_NULL_HANDLE;
    firn_status status = FIRN_VK(d->vk.vkAllocateCommandBuffers(d->handle, &info, &commands), err);
    if (status)
        return status;
    status = FIRN_VK(d->vk.vkBeginCommandBuffer(commands, &begin), err);
    if (status == FIRN_OK) {
        d->vk.vkCmdCopyBuffer(commands, from, to, 1, &region);
        d->vk.vkCmdPipelineBarrier(commands, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &seen, 0,
                                   NULL, 0, NULL);
        status = FIRN_VK(d->vk.vkEndCommandBuffer(commands), err);
    }
    if (status == FIRN_OK)
        status = firn_vk_submit(d, &commands, 1, err);
    d->vk.vkFreeCommandBuffers(d->handle, d->pool, 1, &commands);
    return status;
}

/* Pieces of up to 16 MiB through a buffer that the host sees. */
static firn_status stage(struct firn_vk_device *d, struct firn_vk_buffer *b, size_t offset, char *data, size_t size,
                         bool is_write, struct firn_error *err)
{
    enum { PIECE = 16 << 20 };
    struct firn_buffer *base = NULL;
    firn_status status = firn_vk_buffer_create(&d->base, is_write ? FIRN_MEM_INPUT : FIRN_MEM_OUTPUT,
                                               size < PIECE ? size : PIECE, &base, err);
    for (size_t at = 0; at < size && status == FIRN_OK; at += PIECE) {
        const size_t n = size - at < PIECE ? size - at : PIECE;
        struct firn_vk_buffer *s = (struct firn_vk_buffer *) base;
        if (is_write)
            memcpy(s->mapped, data + at, n);
        status = is_write ? copy(d, s->handle, 0, b->handle, offset + at, n, err)
                          : copy(d, b->handle, offset + at, s->handle, 0, n, err);
        if (!is_write && status == FIRN_OK)
            memcpy(data + at, s->mapped, n);
    }
    if (base != NULL)
        firn_vk_buffer_destroy(&d->base, base);
    return status;
}

firn_status firn_vk_buffer_write(struct firn_device *device, struct firn_buffer *buffer, size_t offset,
                                 const void *data, size_t size, struct firn_error *err)
{
    struct firn_vk_buffer *b = (struct firn_vk_buffer *) buffer;
    if (b->mapped == NULL)
        return stage((struct firn_vk_device *) device, b, offset, (char *) data, size, true, err);
    memcpy(b->mapped + offset, data, size);
    return FIRN_OK;
}

firn_status firn_vk_buffer_read(struct firn_device *device, struct firn_buffer *buffer, size_t offset, void *data,
                                size_t size, struct firn_error *err)
{
    const struct firn_vk_buffer *b = (const struct firn_vk_buffer *) buffer;
    if (b->mapped == NULL)
        return stage((struct firn_vk_device *) device, (struct firn_vk_buffer *) buffer, offset, data, size, false, err);
    memcpy(data, b->mapped + offset, size);
    return FIRN_OK;
}
