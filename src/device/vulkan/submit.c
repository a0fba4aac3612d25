/* SPDX-License-Identifier: Apache-2.0 */
/* Submits recorded command buffers and waits for them. A lost device stays lost. */
#include "device/vulkan/error.h"
#include "device/vulkan/state.h"

#include <math.h>
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

/* Watchdogs end what takes too long. The first runs of a program wait for each command buffer by itself, so that the slowest is
 * seen; where it takes longer than it should, or much less, the budget follows the slowest rate and programs are recorded
 * once more. Later runs only submit. */
enum { WATCHED_RUNS = 2, MOST_LESSONS = 12 };
#define PATIENCE 0.25 /* seconds of one dispatch; a submission may take twice that */

struct watch {
    double longest, seconds_per_cost; /* of the slowest command buffers */
    uint32_t parts;
};

static void learn(struct firn_vk *d, const struct watch *w)
{
    const uint32_t ms = d->base.limits.patience_ms;
    const double patience = ms > 0 ? 1e-3 * ms : PATIENCE;
    d->stats.longest_seconds = fmax(d->stats.longest_seconds, w->longest);
    if (d->base.limits.slice_flops > 0 || w->seconds_per_cost <= 0 || d->lessons >= MOST_LESSONS)
        return;
    double budget = patience / FIRN_VK_MARGIN / w->seconds_per_cost;
    if (w->longest > patience)
        budget = fmin(budget, d->budget / 2);
    else if (w->parts == 1 || budget < 4 * d->budget)
        return;
    d->budget = budget;
    d->stats.longest_seconds = 0;
    d->stats.command_buffers = d->stats.dispatches = d->stats.barriers = 0;
    d->lessons++;
    d->base.tuning++;
}

/* Runs a program's command buffers one by one. */
static firn_status run_watched(struct firn_vk *d, const VkCommandBuffer *list, const double *costs, uint32_t n, struct watch *w,
                               struct firn_error *err)
{
    firn_status s = FIRN_OK;
    for (uint32_t i = 0; i < n && s == FIRN_OK; i++) {
        const double begin = now();
        s = firn_vk_submit(d, &list[i], 1, false, err);
        const double seconds = now() - begin;
        w->longest = fmax(w->longest, seconds);
        if (costs[i] > 0 && seconds > 1e-3) /* what is short tells of the submission only */
            w->seconds_per_cost = fmax(w->seconds_per_cost, seconds / costs[i]);
        w->parts++;
    }
    return s;
}

firn_status firn_vk_run(struct firn_device *device, struct firn_program *const *programs,
                        int n_programs, struct firn_error *err)
{
    struct firn_vk *d = firn_vk_of(device);
    VkCommandBuffer few[8];
    VkCommandBuffer *commands = few;
    const double *costs;
    double cost = 0;
    uint32_t n = 0, count;
    bool is_new = false;
    if (n_programs <= 0)
        return FIRN_OK;
    for (int i = 0; i < n_programs; i++) {
        firn_vk_program_commands(programs[i], &count, &costs);
        n += count;
        for (uint32_t k = 0; k < count; k++)
            cost += costs[k];
        is_new |= firn_vk_program_count_run(programs[i]) < WATCHED_RUNS;
    }
    if (is_new) {
        struct watch w = { 0 };
        firn_status s = FIRN_OK;
        for (int i = 0; i < n_programs && s == FIRN_OK; i++) {
            const VkCommandBuffer *list = firn_vk_program_commands(programs[i], &count, &costs);
            s = run_watched(d, list, costs, count, &w, err);
        }
        if (s == FIRN_OK)
            learn(d, &w);
        return s;
    }
    if (n > 8 && (commands = calloc(n, sizeof(VkCommandBuffer))) == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "no memory for a list of commands");
    n = 0;
    for (int i = 0; i < n_programs; i++) {
        const VkCommandBuffer *list = firn_vk_program_commands(programs[i], &count, &costs);
        memcpy(commands + n, list, sizeof *list * count);
        n += count;
    }
    const firn_status s = firn_vk_submit(d, commands, n, cost > d->budget, err);
    if (commands != few)
        free(commands);
    return s;
}
