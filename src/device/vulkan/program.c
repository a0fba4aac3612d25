/* SPDX-License-Identifier: Apache-2.0 */
/* Records steps once into a command buffer, with barriers only where a step meets what an earlier one touched, and
 * submits recorded programs. */
#include "device/vulkan/device.h"

#include <stdlib.h>

struct vk_program {
    VkCommandBuffer commands;
    VkDescriptorPool sets;
};

/* What was touched since the last barrier. */
struct access {
    VkBuffer buffer;
    size_t begin, end;
    bool is_write;
};

struct recorder {
    struct firn_vk_device *d;
    struct vk_program *p;
    struct access *seen;
    size_t n_seen, capacity;
};

static struct firn_vk_buffer *buffer_of(const struct firn_bind *bind)
{
    return (struct firn_vk_buffer *) bind->buffer;
}

static bool clashes(const struct recorder *r, const struct access *a)
{
    for (size_t i = 0; i < r->n_seen; i++) {
        const struct access *b = &r->seen[i];
        if (b->buffer == a->buffer && (a->is_write || b->is_write) && a->begin < b->end && b->begin < a->end)
            return true;
    }
    return false;
}

static void barrier(const struct recorder *r)
{
    const VkMemoryBarrier all = { .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                                  .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_SHADER_READ_BIT,
                                  .dstAccessMask = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT };
    r->d->vk.vkCmdPipelineBarrier(r->p->commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                                  VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, 0, 1, &all, 0, NULL, 0, NULL);
    r->d->stats.barriers++;
}

static firn_status touch(struct recorder *r, const struct access *list, int n, struct firn_error *err)
{
    bool needs = false;
    for (int i = 0; i < n; i++)
        needs |= clashes(r, &list[i]);
    if (needs) {
        barrier(r);
        r->n_seen = 0;
    }
    if (r->n_seen + (size_t) n > r->capacity) {
        const size_t capacity = 2 * r->capacity + (size_t) n + 64;
        struct access *seen = realloc(r->seen, capacity * sizeof *seen);
        if (seen == NULL)
            return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a program");
        r->seen = seen;
        r->capacity = capacity;
    }
    if (n > 0)
        memcpy(r->seen + r->n_seen, list, sizeof *list * (size_t) n);
    r->n_seen += (size_t) n;
    return FIRN_OK;
}

/* All bindings of a step in the order of their numbers; absent ones repeat one that is there. */
static uint32_t gather(const struct firn_step *s, struct firn_bind *binds, bool *writes)
{
    uint32_t n = 0;
    struct firn_bind some = { 0 };
    for (int i = 0; i < s->n_in; i++) {
        writes[n] = (s->updates >> i & 1u) != 0;
        binds[n++] = s->in[i];
    }
    for (int j = 0; j < s->n_out; j++) {
        writes[n] = true;
        binds[n++] = s->out[j];
    }
    if (s->scratch.buffer != NULL) {
        writes[n] = true;
        binds[n++] = s->scratch;
    }
    for (uint32_t i = 0; i < n; i++)
        if (binds[i].buffer != NULL && binds[i].size > 0)
            some = binds[i];
    for (uint32_t i = 0; i < n; i++)
        if (binds[i].buffer == NULL || binds[i].size == 0) {
            binds[i] = some;
            writes[i] = false;
        }
    return n;
}

static firn_status check_bind(const struct firn_vk_device *d, const struct firn_step *s, const struct firn_bind *b,
                              struct firn_error *err)
{
    const struct firn_limits *l = &d->base.limits;
    if (b->size > l->max_binding_bytes)
        return firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = d->base.id, .key = s->label,
                         .what = "a tensor is larger than this device binds",
                         .expected = FIRN_STR("at most %llu bytes", (unsigned long long) l->max_binding_bytes),
                         .got = FIRN_STR("%zu", b->size));
    if (l->bind_align > 1 && b->offset % l->bind_align != 0)
        return firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = d->base.id, .key = s->label,
                         .expected = FIRN_STR("an offset that is a multiple of %u", l->bind_align),
                         .got = FIRN_STR("%zu", b->offset));
    return FIRN_OK;
}

static firn_status write_set(struct recorder *r, const struct firn_bind *binds, uint32_t n,
                             VkDescriptorSetLayout layout, VkDescriptorSet *set, struct firn_error *err)
{
    VkDescriptorBufferInfo infos[FIRN_VK_MAX_LAYOUTS];
    VkWriteDescriptorSet writes[FIRN_VK_MAX_LAYOUTS];
    const VkDescriptorSetAllocateInfo info = { .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
                                               .descriptorPool = r->p->sets, .descriptorSetCount = 1,
                                               .pSetLayouts = &layout };
    const firn_status status = FIRN_VK(r->d->vk.vkAllocateDescriptorSets(r->d->handle, &info, set), err);
    if (status)
        return status;
    for (uint32_t i = 0; i < n; i++) {
        infos[i] = (VkDescriptorBufferInfo){ buffer_of(&binds[i])->handle, binds[i].offset, (binds[i].size + 3) / 4 * 4 };
        writes[i] = (VkWriteDescriptorSet){ .sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET, .dstSet = *set,
                                            .dstBinding = i, .descriptorCount = 1,
                                            .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                            .pBufferInfo = &infos[i] };
    }
    r->d->vk.vkUpdateDescriptorSets(r->d->handle, n, writes, 0, NULL);
    return FIRN_OK;
}

static firn_status record_kernel(struct recorder *r, const struct firn_step *s, const struct firn_kernel *k,
                                 struct firn_error *err)
{
    struct firn_vk_device *d = r->d;
    struct firn_dispatch dispatch = { 0 };
    struct firn_bind binds[FIRN_VK_MAX_LAYOUTS] = { { 0 } };
    bool writes[FIRN_VK_MAX_LAYOUTS] = { false };
    struct access accesses[FIRN_VK_MAX_LAYOUTS];
    VkPipeline pipeline;
    VkPipelineLayout layout;
    VkDescriptorSetLayout set_layout;
    VkDescriptorSet set;
    k->setup(&s->call, &d->base.limits, &dispatch);
    if (dispatch.groups[0] == 0 || dispatch.groups[1] == 0 || dispatch.groups[2] == 0)
        return FIRN_OK;
    for (int i = 0; i < 3; i++)
        if (dispatch.groups[i] > d->base.limits.max_groups[i])
            return firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = d->base.id, .key = s->label,
                             .expected = FIRN_STR("at most %u work groups", d->base.limits.max_groups[i]),
                             .got = FIRN_STR("%u", dispatch.groups[i]));
    const uint32_t n = gather(s, binds, writes);
    firn_status status = FIRN_OK;
    for (uint32_t i = 0; i < n && status == FIRN_OK; i++) {
        status = check_bind(d, s, &binds[i], err);
        accesses[i] = (struct access){ buffer_of(&binds[i])->handle, binds[i].offset, binds[i].offset + binds[i].size,
                                       writes[i] };
    }
    if (status == FIRN_OK)
        status = firn_vk_pipeline_get(d, k, n, &dispatch, &pipeline, &layout, &set_layout, err);
    if (status == FIRN_OK)
        status = write_set(r, binds, n, set_layout, &set, err);
    if (status == FIRN_OK)
        status = touch(r, accesses, (int) n, err);
    if (status)
        return status;
    d->vk.vkCmdBindPipeline(r->p->commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline);
    d->vk.vkCmdBindDescriptorSets(r->p->commands, VK_PIPELINE_BIND_POINT_COMPUTE, layout, 0, 1, &set, 0, NULL);
    d->vk.vkCmdPushConstants(r->p->commands, layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof dispatch.push, dispatch.push);
    d->vk.vkCmdDispatch(r->p->commands, dispatch.groups[0], dispatch.groups[1], dispatch.groups[2]);
    d->stats.dispatches++;
    return FIRN_OK;
}

static firn_status begin(struct recorder *r, int n_dispatches, struct firn_error *err)
{
    struct firn_vk_device *d = r->d;
    const VkDescriptorPoolSize size = { VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                        (uint32_t) n_dispatches * FIRN_VK_MAX_LAYOUTS + 1 };
    const VkDescriptorPoolCreateInfo pool = { .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
                                              .maxSets = (uint32_t) n_dispatches + 1, .poolSizeCount = 1,
                                              .pPoolSizes = &size };
    const VkCommandBufferAllocateInfo info = { .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                               .commandPool = d->pool, .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                               .commandBufferCount = 1 };
    const VkCommandBufferBeginInfo start = { .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO };
    firn_status status = FIRN_VK(d->vk.vkCreateDescriptorPool(d->handle, &pool, NULL, &r->p->sets), err);
    if (status == FIRN_OK)
        status = FIRN_VK(d->vk.vkAllocateCommandBuffers(d->handle, &info, &r->p->commands), err);
    if (status == FIRN_OK)
        status = FIRN_VK(d->vk.vkBeginCommandBuffer(r->p->commands, &start), err);
    if (status == FIRN_OK)
        barrier(r); /* what the program before it in the same submission wrote */
    return status;
}

static firn_status finish(struct recorder *r, struct firn_error *err)
{
    const VkMemoryBarrier seen = { .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                                   .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT,
                                   .dstAccessMask = VK_ACCESS_HOST_READ_BIT | VK_ACCESS_TRANSFER_READ_BIT };
    r->d->vk.vkCmdPipelineBarrier(r->p->commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                                  VK_PIPELINE_STAGE_HOST_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT, 0, 1, &seen, 0, NULL, 0,
                                  NULL);
    return FIRN_VK(r->d->vk.vkEndCommandBuffer(r->p->commands), err);
}

firn_status firn_vk_program_create(struct firn_device *device, const struct firn_step *steps, int n_steps,
                                   struct firn_program **out, struct firn_error *err)
{
    struct vk_program *p = calloc(1, sizeof *p);
    struct recorder r = { .d = (struct firn_vk_device *) device, .p = p };
    int n_dispatches = 0;
    if (p == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a program");
    for (int i = 0; i < n_steps; i++)
        for (const struct firn_kernel *k = steps[i].kernel; k != NULL; k = k->then)
            n_dispatches++;
    firn_status status = begin(&r, n_dispatches, err);
    for (int i = 0; i < n_steps && status == FIRN_OK; i++)
        for (const struct firn_kernel *k = steps[i].kernel; k != NULL && status == FIRN_OK; k = k->then)
            status = record_kernel(&r, &steps[i], k, err);
    if (status == FIRN_OK)
        status = finish(&r, err);
    free(r.seen);
    if (status) {
        firn_vk_program_destroy(device, (struct firn_program *) p);
        return status;
    }
    *out = (struct firn_program *) p;
    return FIRN_OK;
}

void firn_vk_program_destroy(struct firn_device *device, struct firn_program *program)
{
    struct firn_vk_device *d = (struct firn_vk_device *) device;
    struct vk_program *p = (struct vk_program *) program;
    if (p->commands != VK_NULL_HANDLE)
        d->vk.vkFreeCommandBuffers(d->handle, d->pool, 1, &p->commands);
    if (p->sets != VK_NULL_HANDLE)
        d->vk.vkDestroyDescriptorPool(d->handle, p->sets, NULL);
    free(p);
}

firn_status firn_vk_submit(struct firn_vk_device *d, const VkCommandBuffer *commands, uint32_t count,
                           struct firn_error *err)
{
    const uint64_t wait_ns = 600ull * 1000000000ull; /* longer than any watchdog; a hang must end */
    const VkSubmitInfo info = { .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = count,
                                .pCommandBuffers = commands };
    firn_status status = FIRN_VK(d->vk.vkResetFences(d->handle, 1, &d->fence), err);
    if (status == FIRN_OK)
        status = FIRN_VK(d->vk.vkQueueSubmit(d->queue, 1, &info, d->fence), err);
    if (status)
        return status;
    const VkResult waited = d->vk.vkWaitForFences(d->handle, 1, &d->fence, VK_TRUE, wait_ns);
    if (waited == VK_TIMEOUT)
        return firn_fail(err, FIRN_ERR_DEVICE, .file = d->base.id, .what = "a submission did not end within 10 minutes");
    return FIRN_VK(waited, err);
}

firn_status firn_vk_run(struct firn_device *device, struct firn_program *const *programs, int n_programs,
                        struct firn_error *err)
{
    enum { MOST = 8 };
    VkCommandBuffer commands[MOST];
    assert(n_programs <= MOST);
    for (int i = 0; i < n_programs; i++)
        commands[i] = ((const struct vk_program *) programs[i])->commands;
    return firn_vk_submit((struct firn_vk_device *) device, commands, (uint32_t) n_programs, err);
}
