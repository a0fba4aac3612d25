/* SPDX-License-Identifier: Apache-2.0 */
/* Chooses memory types and hands out places in blocks. A block is freed with its last place; places
 * inside are not reused one by one, since buffers of a run live and die together. */
#include "device/vulkan/memory.h"

#include "device/vulkan/error.h"
#include "device/vulkan/state.h"

#include <stdlib.h>

enum { OWN_BLOCK_BYTES = FIRN_VK_BLOCK_BYTES / 4 };

/* How good a memory type is for a kind of buffer; 0: cannot be used. */
static int score(const struct firn_vk *d, VkMemoryPropertyFlags f, enum firn_memory kind)
{
    const bool local = f & VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT;
    const bool visible = f & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT;
    const bool coherent = f & VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    const bool cached = f & VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
    if (f & (VK_MEMORY_PROPERTY_PROTECTED_BIT | VK_MEMORY_PROPERTY_LAZILY_ALLOCATED_BIT |
             VK_MEMORY_PROPERTY_DEVICE_UNCACHED_BIT_AMD))
        return 0;
    switch (kind) {
    case FIRN_MEM_DEVICE:
        /* on a discrete card plain device memory: the visible part of it may be a small window */
        if (d->caps.is_unified)
            return 1 + 8 * local + 4 * visible + 2 * coherent;
        return 1 + 8 * local + 2 * !visible;
    case FIRN_MEM_INPUT:
        return visible ? 1 + 4 * coherent + 2 * local : 0;
    case FIRN_MEM_OUTPUT:
        return visible ? 1 + 4 * cached + 2 * coherent : 0;
    case FIRN_MEM_COUNT:
        break;
    }
    return 0;
}

static uint64_t round_up(uint64_t n, uint64_t to)
{
    return to > 1 ? (n + to - 1) / to * to : n;
}

static firn_status map(struct firn_vk *d, struct firn_vk_block *b, struct firn_error *err)
{
    const VkMemoryPropertyFlags f = d->caps.memory.memoryTypes[b->type].propertyFlags;
    b->is_coherent = f & VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    /* DEVICE memory of a discrete card is written through staging even where it could be mapped */
    if (!(f & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT) ||
        (b->kind == FIRN_MEM_DEVICE && !d->caps.is_unified))
        return FIRN_OK;
    void *at = NULL;
    const firn_status s =
        FIRN_VK(d->vk.vkMapMemory(d->device, b->handle, 0, VK_WHOLE_SIZE, 0, &at), err);
    b->mapped = at;
    return s;
}

static void block_free(struct firn_vk *d, struct firn_vk_block *b)
{
    if (b == NULL)
        return;
    if (b->handle != VK_NULL_HANDLE) {
        d->vk.vkFreeMemory(d->device, b->handle, NULL); /* unmaps it too */
        d->memory.bytes -= b->is_import ? 0 : b->size;
        d->memory.n_blocks--;
    }
    free(b);
}

/* *result gets what the driver said, so that the caller can try another type of memory. */
static firn_status block_create(struct firn_vk *d, enum firn_memory kind, uint32_t type,
                                VkDeviceSize size, const void *pnext, VkResult *result,
                                struct firn_vk_block **out, struct firn_error *err)
{
    *out = NULL;
    *result = VK_SUCCESS;
    struct firn_vk_block *b = calloc(1, sizeof *b);
    if (b == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "no memory for a block record");
    *b = (struct firn_vk_block){ .size = size, .type = type, .kind = kind, .is_import = pnext != NULL };
    const VkMemoryAllocateInfo info = { .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                        .pNext = pnext,
                                        .allocationSize = size,
                                        .memoryTypeIndex = type };
    *result = d->vk.vkAllocateMemory(d->device, &info, NULL, &b->handle);
    firn_status s = firn_vk_check(*result, "vkAllocateMemory", err);
    if (s != FIRN_OK) {
        b->handle = VK_NULL_HANDLE;
    } else {
        d->memory.bytes += b->is_import ? 0 : size;
        d->memory.n_blocks++;
        if (!b->is_import)
            s = map(d, b, err);
    }
    if (s != FIRN_OK) {
        block_free(d, b);
        return s;
    }
    b->next = d->memory.blocks;
    d->memory.blocks = b;
    *out = b;
    return FIRN_OK;
}

static bool take_from(struct firn_vk_block *b, const VkMemoryRequirements *need,
                      struct firn_vk_place *place)
{
    const VkDeviceSize at = round_up(b->used, need->alignment);
    if (at > b->size || b->size - at < need->size)
        return false;
    b->used = at + need->size;
    b->n_live++;
    *place = (struct firn_vk_place){ b, at };
    return true;
}

static firn_status take_of_type(struct firn_vk *d, enum firn_memory kind, uint32_t type,
                                const VkMemoryRequirements *need, VkResult *result,
                                struct firn_vk_place *place, struct firn_error *err)
{
    *result = VK_SUCCESS;
    const bool own = need->size >= OWN_BLOCK_BYTES;
    for (struct firn_vk_block *b = own ? NULL : d->memory.blocks; b != NULL; b = b->next)
        if (b->type == type && b->kind == kind && b->size == FIRN_VK_BLOCK_BYTES &&
            take_from(b, need, place))
            return FIRN_OK;
    struct firn_vk_block *b;
    firn_status s =
        block_create(d, kind, type, own ? need->size : FIRN_VK_BLOCK_BYTES, NULL, result, &b, err);
    if (s == FIRN_ERR_MEMORY && !own) /* no room for a shared block: just what is asked for */
        s = block_create(d, kind, type, need->size, NULL, result, &b, err);
    if (s == FIRN_OK)
        take_from(b, need, place);
    return s;
}

firn_status firn_vk_memory_take(struct firn_vk *d, enum firn_memory kind,
                                const VkMemoryRequirements *need, struct firn_vk_place *place,
                                struct firn_error *err)
{
    const uint32_t max_count = d->caps.props.limits.maxMemoryAllocationCount;
    *place = (struct firn_vk_place){ 0 };
    uint32_t tried = 0;
    for (;;) {
        int best = 0;
        uint32_t type = 0;
        for (uint32_t i = 0; i < d->caps.memory.memoryTypeCount; i++) {
            const int points = score(d, d->caps.memory.memoryTypes[i].propertyFlags, kind);
            if ((need->memoryTypeBits & (1u << i)) && !(tried & (1u << i)) && points > best) {
                best = points;
                type = i;
            }
        }
        if (best == 0)
            break;
        tried |= 1u << type;
        VkResult result;
        struct firn_error why = { 0 };
        const firn_status s = take_of_type(d, kind, type, need, &result, place, &why);
        if (s == FIRN_OK)
            return s;
        if (result != VK_ERROR_OUT_OF_DEVICE_MEMORY)
            return firn_fail(err, s, .key = d->base.id, .what = why.text);
    }
    return firn_fail(err, FIRN_ERR_MEMORY, .key = d->base.id,
                     .what = FIRN_STR("out of device memory: asked for %llu bytes, %llu free, %llu in "
                                      "%d allocations (of %u) of this process",
                                      (unsigned long long) need->size,
                                      (unsigned long long) firn_vk_caps_free(&d->caps),
                                      (unsigned long long) d->memory.bytes, d->memory.n_blocks,
                                      max_count));
}

firn_status firn_vk_memory_import(struct firn_vk *d, void *pages, VkDeviceSize size,
                                  uint32_t type_bits, struct firn_vk_place *place,
                                  struct firn_error *err)
{
    VkMemoryHostPointerPropertiesEXT host = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_HOST_POINTER_PROPERTIES_EXT
    };
    const VkExternalMemoryHandleTypeFlagBits kind =
        VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT;
    firn_status s = FIRN_VK(
        d->vk.vkGetMemoryHostPointerPropertiesEXT(d->device, kind, pages, &host), err);
    if (s != FIRN_OK)
        return s;
    uint32_t type = 0;
    while (type < 32 && !(host.memoryTypeBits & type_bits & (1u << type)))
        type++;
    if (type == 32)
        return firn_fail(err, FIRN_ERR_UNSUPPORTED, .what = "no memory type takes these pages");
    const VkImportMemoryHostPointerInfoEXT import = {
        .sType = VK_STRUCTURE_TYPE_IMPORT_MEMORY_HOST_POINTER_INFO_EXT,
        .handleType = kind,
        .pHostPointer = pages,
    };
    VkResult result;
    struct firn_vk_block *b;
    s = block_create(d, FIRN_MEM_DEVICE, type, size, &import, &result, &b, err);
    if (s != FIRN_OK)
        return s;
    b->used = size;
    b->n_live = 1;
    *place = (struct firn_vk_place){ b, 0 };
    return FIRN_OK;
}

void firn_vk_memory_give(struct firn_vk *d, struct firn_vk_place *place)
{
    struct firn_vk_block *b = place->block;
    *place = (struct firn_vk_place){ 0 };
    if (b == NULL || --b->n_live > 0)
        return;
    for (struct firn_vk_block **at = &d->memory.blocks; *at != NULL; at = &(*at)->next)
        if (*at == b) {
            *at = b->next;
            break;
        }
    block_free(d, b);
}

/* The range in whole atoms, inside the block. */
static VkMappedMemoryRange range(const struct firn_vk *d, const struct firn_vk_place *p,
                                 VkDeviceSize offset, VkDeviceSize size)
{
    const VkDeviceSize atom = d->caps.props.limits.nonCoherentAtomSize;
    const VkDeviceSize from = (p->offset + offset) / atom * atom;
    const VkDeviceSize to = round_up(p->offset + offset + size, atom);
    return (VkMappedMemoryRange){ .sType = VK_STRUCTURE_TYPE_MAPPED_MEMORY_RANGE,
                                  .memory = p->block->handle,
                                  .offset = from,
                                  .size = to < p->block->size ? to - from : VK_WHOLE_SIZE };
}

firn_status firn_vk_memory_flush(struct firn_vk *d, const struct firn_vk_place *p,
                                 VkDeviceSize offset, VkDeviceSize size, struct firn_error *err)
{
    if (p->block->is_coherent || size == 0)
        return FIRN_OK;
    const VkMappedMemoryRange r = range(d, p, offset, size);
    return FIRN_VK(d->vk.vkFlushMappedMemoryRanges(d->device, 1, &r), err);
}

firn_status firn_vk_memory_invalidate(struct firn_vk *d, const struct firn_vk_place *p,
                                      VkDeviceSize offset, VkDeviceSize size,
                                      struct firn_error *err)
{
    if (p->block->is_coherent || size == 0)
        return FIRN_OK;
    const VkMappedMemoryRange r = range(d, p, offset, size);
    return FIRN_VK(d->vk.vkInvalidateMappedMemoryRanges(d->device, 1, &r), err);
}
