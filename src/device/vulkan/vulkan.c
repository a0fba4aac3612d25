/* SPDX-License-Identifier: Apache-2.0 */
/* Opens and closes a Vulkan device. */
#include "device/vulkan/device.h"
#include "device/vulkan/mask.h"
#include "device/vulkan/pick.h"

#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>

/* Pipelines of one device and driver build. */
static void cache_name(const struct firn_vk_device *d, char *name, size_t size)
{
    uint64_t key = firn_fnv1a(FIRN_FNV_START, d->caps.driver_uuid, VK_UUID_SIZE);
    key = firn_fnv1a(key, d->caps.props.pipelineCacheUUID, VK_UUID_SIZE);
    key = firn_fnv1a(key, &d->caps.props.driverVersion, sizeof d->caps.props.driverVersion);
    snprintf(name, size, "%016llx.pipelines", (unsigned long long) key);
}

static firn_status open_cache(struct firn_vk_device *d, struct firn_error *err)
{
    char name[64], *data = NULL;
    size_t size = 0;
    cache_name(d, name, sizeof name);
    firn_vk_cache_read(name, &data, &size);
    const VkPipelineCacheCreateInfo info = { .sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO,
                                             .initialDataSize = data != NULL ? size : 0, .pInitialData = data };
    const firn_status status = FIRN_VK(d->vk.vkCreatePipelineCache(d->handle, &info, NULL, &d->cache), err);
    d->cache_size = data != NULL ? size : 0;
    free(data);
    return status;
}

static void save_cache(struct firn_vk_device *d)
{
    char name[64];
    size_t size = 0;
    if (d->cache == VK_NULL_HANDLE || d->stats.pipelines == 0 ||
        d->vk.vkGetPipelineCacheData(d->handle, d->cache, &size, NULL) != VK_SUCCESS || size <= d->cache_size)
        return;
    void *data = malloc(size);
    if (data != NULL && d->vk.vkGetPipelineCacheData(d->handle, d->cache, &size, data) == VK_SUCCESS) {
        cache_name(d, name, sizeof name);
        firn_vk_cache_write(name, data, size);
    }
    free(data);
}

static void destroy(struct firn_device *device)
{
    struct firn_vk_device *d = (struct firn_vk_device *) device;
    if (d->handle != VK_NULL_HANDLE) {
        d->vk.vkDeviceWaitIdle(d->handle);
        save_cache(d);
        firn_vk_pipelines_destroy(d);
        if (d->cache != VK_NULL_HANDLE)
            d->vk.vkDestroyPipelineCache(d->handle, d->cache, NULL);
        if (d->fence != VK_NULL_HANDLE)
            d->vk.vkDestroyFence(d->handle, d->fence, NULL);
        if (d->pool != VK_NULL_HANDLE)
            d->vk.vkDestroyCommandPool(d->handle, d->pool, NULL);
        d->vk.vkDestroyDevice(d->handle, NULL);
    }
    firn_vk_instance_close(&d->in);
    free(d);
}

static const struct firn_device_ops vulkan_ops = {
    .buffer_create = firn_vk_buffer_create,
    .buffer_destroy = firn_vk_buffer_destroy,
    .write = firn_vk_buffer_write,
    .read = firn_vk_buffer_read,
    .program_create = firn_vk_program_create,
    .program_destroy = firn_vk_program_destroy,
    .run = firn_vk_run,
    .destroy = destroy,
};

static firn_status create_objects(struct firn_vk_device *d, struct firn_error *err)
{
    const VkCommandPoolCreateInfo pool = { .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                           .queueFamilyIndex = d->caps.family };
    const VkFenceCreateInfo fence = { .sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO };
    firn_status status = firn_vk_caps_create_device(&d->caps, d->base.limits.caps, &d->handle, err);
    if (status)
        return status;
    volkLoadDeviceTable(&d->vk, d->handle);
    d->vk.vkGetDeviceQueue(d->handle, d->caps.family, 0, &d->queue);
    status = FIRN_VK(d->vk.vkCreateCommandPool(d->handle, &pool, NULL, &d->pool), err);
    if (status == FIRN_OK)
        status = FIRN_VK(d->vk.vkCreateFence(d->handle, &fence, NULL, &d->fence), err);
    return status ? status : open_cache(d, err);
}

firn_status firn_vulkan_open(struct firn_device **out, int index, const char *name,
                             const struct firn_device_params *params, struct firn_error *err)
{
    struct firn_vk_device *d = calloc(1, sizeof *d);
    int picked = -1;
    *out = NULL;
    if (d == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a device");
    d->base.ops = &vulkan_ops;
    firn_status status = firn_vk_instance_open(&d->in, params->validation, &params->log, err);
    if (status == FIRN_OK)
        status = firn_vk_pick(&d->in, index, name, &d->caps, &picked, err);
    if (status == FIRN_OK) {
        d->base.limits = d->caps.limits;
        status = firn_vk_mask(params->caps != NULL ? params->caps : getenv("FIRN_CAPS"), &d->base.limits, err);
    }
    if (status == FIRN_OK) {
        firn_vk_caps_classify(&d->base.limits);
        snprintf(d->base.id, sizeof d->base.id, "vulkan:%d", picked);
        snprintf(d->base.name, sizeof d->base.name, "%.127s", d->caps.props.deviceName);
        snprintf(d->base.driver, sizeof d->base.driver, "%.127s", d->caps.driver);
        d->base.is_software = d->caps.is_cpu;
        status = create_objects(d, err);
    }
    if (status) {
        destroy(&d->base);
        return status;
    }
    *out = &d->base;
    return FIRN_OK;
}

uint64_t firn_vulkan_messages(const struct firn_device *d)
{
    return d->is_host ? 0 : atomic_load(&((const struct firn_vk_device *) d)->in.messages);
}

void firn_vulkan_stats(const struct firn_device *d, struct firn_vulkan_stats *stats)
{
    *stats = d->is_host ? (struct firn_vulkan_stats){ 0 } : ((const struct firn_vk_device *) d)->stats;
}
