/* SPDX-License-Identifier: Apache-2.0 */
/* Submits recorded command buffers and waits for them. A lost device stays lost. */
#include "device/vulkan/error.h"
#include "device/vulkan/state.h"

#include <stdlib.h>

/* A real device's own watchdog fires long before; a driver on the CPU may take as long as it likes. */
#define WAIT_NS ((uint64_t) 300 * 1000 * 1000 * 1000)

static firn_status lost(const struct firn_vk *d, struct firn_error *err)
{
    return firn_fail(err, FIRN_ERR_DEVICE, .key = d->base.id, .what = "the device was lost");
}

firn_status firn_vk_submit(struct firn_vk *d, const VkCommandBuffer *commands, uint32_t n,
                           struct firn_error *err)
{
    if (d->is_lost)
        return lost(d, err);
    const VkSubmitInfo info = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
        .commandBufferCount = n,
        .pCommandBuffers = commands,
    };
    firn_status s = FIRN_VK(d->vk.vkResetFences(d->device, 1, &d->fence), err);
    if (s == FIRN_OK)
        s = FIRN_VK(d->vk.vkQueueSubmit(d->queue, 1, &info, d->fence), err);
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

firn_status firn_vk_run(struct firn_device *device, struct firn_program *const *programs,
                        int n_programs, struct firn_error *err)
{
    struct firn_vk *d = firn_vk_of(device);
    VkCommandBuffer few[8];
    VkCommandBuffer *commands = few;
    if (n_programs <= 0)
        return FIRN_OK;
    if (n_programs > 8 &&
        (commands = calloc((size_t) n_programs, sizeof(VkCommandBuffer))) == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "no memory for a list of commands");
    for (int i = 0; i < n_programs; i++)
        commands[i] = firn_vk_program_commands(programs[i]);
    const firn_status s = firn_vk_submit(d, commands, (uint32_t) n_programs, err);
    if (commands != few)
        free(commands);
    return s;
}
