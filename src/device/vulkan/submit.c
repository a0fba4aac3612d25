/* SPDX-License-Identifier: Apache-2.0 */
/* Submits recorded command buffers and waits for them. A lost device stays lost. */
#include "device/vulkan/error.h"
#include "device/vulkan/state.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A real device's own watchdog fires long before; a driver on the CPU may take as long as it likes. */
#define WAIT_NS ((uint64_t) 300 * 1000 * 1000 * 1000)

static firn_status lost(const struct firn_vk *d, struct firn_error *err)
{
    return firn_fail(err, FIRN_ERR_DEVICE, .key = d->base.id, .what = "the device was lost");
}

firn_status firn_vk_submit(struct firn_vk *d, const VkCommandBuffer *commands, uint32_t n, bool apart,
                           struct firn_error *err)
{
    if (d->is_lost)
        return lost(d, err);
    if (d->caps.is_hollow)
        return firn_fail(err, FIRN_ERR_UNSUPPORTED, .key = d->base.id,
                         .what = "RADV_FORCE_FAMILY is set: this driver compiles and cannot run anything");
    firn_status s = FIRN_VK(d->vk.vkResetFences(d->device, 1, &d->fence), err);
    const uint32_t each = apart ? 1 : n;
    for (uint32_t i = 0; i < n && s == FIRN_OK; i += each) {
        const VkSubmitInfo info = {
            .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
            .commandBufferCount = each,
            .pCommandBuffers = commands + i,
        };
        s = FIRN_VK(d->vk.vkQueueSubmit(d->queue, 1, &info, i + each == n ? d->fence : VK_NULL_HANDLE), err);
    }
    if (s == FIRN_OK) {
        const VkResult r = d->vk.vkWaitForFences(d->device, 1, &d->fence, VK_TRUE,
                                                 d->caps.is_cpu ? UINT64_MAX : WAIT_NS);
        s = r == VK_TIMEOUT
                ? firn_fail(err, FIRN_ERR_DEVICE, .key = d->base.id,
                            .what = "no answer within 300 seconds: taken as lost")
                : firn_vk_check(r, "vkWaitForFences", err);
    }
    if (s == FIRN_ERR_DEVICE)
        d->is_lost = true;
    return s;
}

static double now(void)
{
    struct timespec t = { 0 };
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec + 1e-9 * (double) t.tv_nsec;
}

/* Work of 50 ms at the rate just seen: operations five times less efficient than the mean stay below 250 ms. Programs are recorded
 * again only when the budget is far off. */
static void learn(struct firn_vk *d, double cost, double seconds)
{
    if (d->caps.is_cpu || d->base.limits.slice_flops > 0 || cost <= 0 || seconds < 0.02)
        return;
    const double budget = 0.05 * cost / seconds;
    if (budget < 4 * d->budget && budget > d->budget / 2)
        return;
    d->budget = budget;
    d->base.tuning++;
}

firn_status firn_vk_run(struct firn_device *device, struct firn_program *const *programs,
                        int n_programs, struct firn_error *err)
{
    struct firn_vk *d = firn_vk_of(device);
    VkCommandBuffer few[8];
    VkCommandBuffer *commands = few;
    uint32_t n = 0, count;
    double cost = 0, each;
    if (n_programs <= 0)
        return FIRN_OK;
    for (int i = 0; i < n_programs; i++) {
        firn_vk_program_commands(programs[i], &count, &each);
        n += count;
        cost += each;
    }
    if (n > 8 && (commands = calloc(n, sizeof(VkCommandBuffer))) == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "no memory for a list of commands");
    n = 0;
    for (int i = 0; i < n_programs; i++) {
        const VkCommandBuffer *list = firn_vk_program_commands(programs[i], &count, &each);
        memcpy(commands + n, list, sizeof *list * count);
        n += count;
    }
    const double begin = now();
    const firn_status s = firn_vk_submit(d, commands, n, cost > d->budget, err);
    if (s == FIRN_OK)
        learn(d, cost, now() - begin);
    if (commands != few)
        free(commands);
    return s;
}
