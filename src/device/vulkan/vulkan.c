/* SPDX-License-Identifier: Apache-2.0 */
/* Opens and closes a Vulkan device. */
#include "device/vulkan/compile.h"
#include "device/vulkan/error.h"
#include "device/vulkan/mask.h"
#include "device/vulkan/pick.h"
#include "device/vulkan/pipeline.h"
#include "device/vulkan/state.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void destroy(struct firn_device *device)
{
    struct firn_vk *d = firn_vk_of(device);
    if (device == NULL)
        return;
    if (d->device != VK_NULL_HANDLE) {
        if (!d->is_lost && !d->caps.is_hollow && d->queue != VK_NULL_HANDLE)
            d->vk.vkDeviceWaitIdle(d->device);
        firn_vk_pipelines_save(d);
        firn_vk_pipelines_close(d);
        firn_vk_buffer_destroy(device, d->dummy);
        firn_vk_buffer_destroy(device, d->upload);
        firn_vk_buffer_destroy(device, d->download);
        d->vk.vkDestroyFence(d->device, d->fence, NULL);
        d->vk.vkDestroyCommandPool(d->device, d->commands, NULL); /* and what was allocated from it */
        d->vk.vkDestroyDevice(d->device, NULL);
    }
    firn_vk_cache_close(&d->cache);
    firn_vk_instance_close(&d->instance);
    free(d);
}

static const struct firn_device_ops ops = {
    .buffer_create = firn_vk_buffer_create,
    .buffer_import = firn_vk_buffer_import,
    .buffer_destroy = firn_vk_buffer_destroy,
    .write = firn_vk_write,
    .read = firn_vk_read,
    .program_create = firn_vk_program_create,
    .program_destroy = firn_vk_program_destroy,
    .run = firn_vk_run,
    .destroy = destroy,
};

static firn_status make_objects(struct firn_vk *d, struct firn_error *err)
{
    const VkCommandPoolCreateInfo pool = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
        .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
        .queueFamilyIndex = d->caps.family,
    };
    const VkFenceCreateInfo fence = { .sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO };
    d->vk.vkGetDeviceQueue(d->device, d->caps.family, 0, &d->queue);
    firn_status s = FIRN_VK(d->vk.vkCreateCommandPool(d->device, &pool, NULL, &d->commands), err);
    if (s == FIRN_OK && !d->caps.is_hollow)
        s = FIRN_VK(d->vk.vkCreateFence(d->device, &fence, NULL, &d->fence), err);
    if (s == FIRN_OK)
        s = firn_vk_pipelines_open(d, err);
    if (s == FIRN_OK && !d->caps.is_hollow) /* such a driver has neither fences nor memory */
        s = firn_vk_buffer_create(&d->base, FIRN_MEM_DEVICE, 256, &d->dummy, err);
    return s;
}

static firn_status open(struct firn_vk *d, int index, const char *name,
                        const struct firn_device_params *params, struct firn_error *err)
{
    static const struct firn_device_params defaults;
    const struct firn_device_params *p = params != NULL ? params : &defaults;
    const char *mask = p->caps != NULL ? p->caps : getenv("FIRN_CAPS");
    int picked = -1;
    firn_status s = firn_vk_instance_open(&d->instance, p->validation, &p->log, err);
    if (s == FIRN_OK)
        s = firn_vk_pick(&d->instance, index, name, &d->caps, &picked, err);
    if (s != FIRN_OK)
        return s;
    d->caps.has_figures &= p->statistics;
    d->base.ops = &ops;
    d->base.log = p->log;
    d->base.limits = d->caps.limits;
    d->base.is_software = d->caps.is_cpu;
    snprintf(d->base.name, sizeof d->base.name, "%.127s", d->caps.props.deviceName);
    snprintf(d->base.id, sizeof d->base.id, "vulkan:%d", picked);
    snprintf(d->base.driver, sizeof d->base.driver, "%s", d->caps.driver);
    if (p->fast_matrices)
        d->base.limits.caps |= FIRN_CAP_ROUND16;
    s = firn_vk_mask(mask, &d->base.limits, &d->caps.is_unified, err);
    if (s == FIRN_OK)
        s = firn_vk_caps_create_device(&d->caps, d->base.limits.caps, &d->device, err);
    if (s != FIRN_OK)
        return s;
    /* a first guess that a slow device does in 250 ms; submit.c learns better */
    d->budget = d->base.limits.slice_flops > 0 ? (double) d->base.limits.slice_flops : d->caps.is_cpu ? INFINITY : 5e9;
    volkLoadDeviceTable(&d->vk, d->device);
    firn_vk_cache_open(&d->cache);
    firn_vk_caps_classify(&d->base.limits);
    s = make_objects(d, err);
    bool works = true;
    if (d->caps.is_hollow) /* no start-up test can run */
        return s;
    if (s == FIRN_OK && (d->base.limits.caps & FIRN_CAP_SUBGROUP))
        s = firn_vk_probe_subgroup(d, &works, err);
    if (!works)
        d->base.limits.caps &= ~FIRN_VK_SUBGROUP_CAPS;
    if (s == FIRN_OK && (d->base.limits.caps & FIRN_CAP_COOPMAT))
        s = firn_vk_probe_coopmat(d, &works, err);
    if (!works)
        d->base.limits.caps &= ~(uint32_t) FIRN_CAP_COOPMAT;
    firn_vk_caps_classify(&d->base.limits);
    return s;
}

firn_status firn_vulkan_open(struct firn_device **out, int index, const char *name,
                             const struct firn_device_params *params, struct firn_error *err)
{
    *out = NULL;
    struct firn_vk *d = calloc(1, sizeof *d);
    if (d == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "no memory for a device record");
    const firn_status s = open(d, index, name, params, err);
    if (s != FIRN_OK) {
        destroy(&d->base);
        return s;
    }
    *out = &d->base;
    return FIRN_OK;
}

uint64_t firn_vulkan_messages(const struct firn_device *device)
{
    const struct firn_vk *d = (const struct firn_vk *) device;
    return device->ops == &ops ? atomic_load(&d->instance.messages) : 0;
}

void firn_vulkan_forget_barriers(struct firn_device *device)
{
    if (device->ops == &ops)
        firn_vk_of(device)->forgets_barriers = true;
}

void firn_vulkan_stats(const struct firn_device *device, struct firn_vulkan_stats *stats)
{
    const struct firn_vk *d = (const struct firn_vk *) device;
    *stats = (struct firn_vulkan_stats){ 0 };
    if (device->ops != &ops)
        return;
    *stats = d->stats;
    stats->memory_bytes = d->memory.bytes;
    stats->allocations = d->memory.n_blocks;
}
