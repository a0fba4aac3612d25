/* SPDX-License-Identifier: Apache-2.0 */
/* Records a program once: descriptor sets, dispatches, and barriers only where a step meets what an
 * earlier one has left since the last barrier. */
#include "device/vulkan/error.h"
#include "device/vulkan/hazard.h"
#include "device/vulkan/pipeline.h"

#include <math.h>
#include <stdlib.h>

struct firn_program {
    VkDescriptorPool sets;
    VkCommandBuffer *commands;
    double *costs; /* of each */
    uint32_t n_commands;
    int runs; /* so far */
};

/* A step's bindings, in the order of the shader's numbers. */
struct bindings {
    int n;
    VkDescriptorBufferInfo info[FIRN_MAX_BIND];
    struct firn_vk_access access[FIRN_MAX_BIND];
};

struct recorder {
    struct firn_vk *d;
    struct firn_program *program;
    struct firn_vk_hazards hazards;
    VkCommandBuffer commands; /* being recorded */
    double cost;              /* of what it holds */
    VkPipeline bound;
    bool writes_host; /* something that the host can see was written */
};

const VkCommandBuffer *firn_vk_program_commands(const struct firn_program *p, uint32_t *n, const double **costs)
{
    *n = p->n_commands;
    *costs = p->costs;
    return p->commands;
}

int firn_vk_program_count_run(struct firn_program *p)
{
    return p->runs < 1000 ? p->runs++ : p->runs;
}

static int n_bindings(const struct firn_step *step)
{
    return step->n_in + step->n_out + (step->scratch.buffer != NULL);
}

static firn_status bind(struct recorder *r, const struct firn_step *step, const char *what, int i,
                        const struct firn_bind *bind, bool is_write, struct bindings *b,
                        struct firn_error *err)
{
    struct firn_vk *d = r->d;
    const struct firn_limits *l = &d->base.limits;
    const int at = b->n++;
    b->access[at] = (struct firn_vk_access){ 0 };
    /* an absent or empty tensor keeps its number: something valid that nobody writes */
    if (bind->buffer == NULL || bind->size == 0) {
        b->info[at] =
            (VkDescriptorBufferInfo){ firn_vk_buffer_of(d->dummy)->handle, 0, VK_WHOLE_SIZE };
        return FIRN_OK;
    }
    struct firn_vk_buffer *buffer = firn_vk_buffer_of(bind->buffer);
    if (bind->size > l->max_binding_bytes)
        return firn_fail(err, FIRN_ERR_UNSUPPORTED, .key = step->label,
                         .what = FIRN_STR("%s %d is too large to bind on %s", what, i, d->base.id),
                         .expected = FIRN_STR("at most %llu bytes",
                                              (unsigned long long) l->max_binding_bytes),
                         .got = FIRN_STR("%zu", bind->size));
    if (bind->offset > buffer->padded || bind->size > buffer->padded - bind->offset ||
        bind->offset % l->bind_align != 0)
        return firn_fail(err, FIRN_ERR_SHAPE, .key = step->label,
                         .what = FIRN_STR("%s %d does not fit its buffer", what, i),
                         .expected = FIRN_STR("offset a multiple of %u inside %zu bytes",
                                              l->bind_align, buffer->base.size),
                         .got = FIRN_STR("%zu bytes at %zu", bind->size, bind->offset));
    /* whole words: 16-bit data with an odd count is read as words */
    size_t size = (bind->size + 3) / 4 * 4;
    if (size > l->max_binding_bytes)
        size = bind->size;
    b->info[at] =
        (VkDescriptorBufferInfo){ buffer->handle, buffer->shift + bind->offset, size };
    b->access[at] =
        (struct firn_vk_access){ buffer, bind->offset, bind->offset + size, is_write };
    r->writes_host |= is_write && buffer->place.block->mapped != NULL;
    return FIRN_OK;
}

static firn_status bind_all(struct recorder *r, const struct firn_step *step, struct bindings *b,
                            struct firn_error *err)
{
    firn_status s = FIRN_OK;
    b->n = 0;
    for (int i = 0; i < step->n_in && s == FIRN_OK; i++)
        s = bind(r, step, "input", i, &step->in[i], step->updates & (1u << i), b, err);
    for (int i = 0; i < step->n_out && s == FIRN_OK; i++)
        s = bind(r, step, "output", i, &step->out[i], true, b, err);
    if (step->scratch.buffer != NULL && s == FIRN_OK)
        s = bind(r, step, "scratch", 0, &step->scratch, true, b, err);
    if (s == FIRN_OK && (uint32_t) b->n > r->d->caps.max_bindings)
        s = firn_fail(err, FIRN_ERR_UNSUPPORTED, .key = step->label,
                      .what = "more storage buffers than this device binds",
                      .expected = FIRN_STR("at most %u", r->d->caps.max_bindings),
                      .got = FIRN_STR("%d", b->n));
    return s;
}

static void barrier(struct recorder *r, VkPipelineStageFlags from, VkAccessFlags made,
                    VkPipelineStageFlags to, VkAccessFlags used)
{
    const VkMemoryBarrier b = { .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                                .srcAccessMask = made,
                                .dstAccessMask = used };
    r->d->vk.vkCmdPipelineBarrier(r->commands, from, to, 0, 1, &b, 0, NULL, 0, NULL);
    r->d->stats.barriers++;
}

static void barrier_between(struct recorder *r)
{
    if (!r->d->forgets_barriers)
        barrier(r, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_ACCESS_SHADER_WRITE_BIT,
                VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT);
    firn_vk_hazards_clear(&r->hazards);
}

static firn_status make_set(struct recorder *r, const struct bindings *b,
                            VkDescriptorSetLayout layout, VkDescriptorSet *set,
                            struct firn_error *err)
{
    struct firn_vk *d = r->d;
    const VkDescriptorSetAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
        .descriptorPool = r->program->sets,
        .descriptorSetCount = 1,
        .pSetLayouts = &layout,
    };
    const firn_status s = FIRN_VK(d->vk.vkAllocateDescriptorSets(d->device, &info, set), err);
    if (s != FIRN_OK)
        return s;
    VkWriteDescriptorSet writes[FIRN_MAX_BIND];
    for (int i = 0; i < b->n; i++)
        writes[i] = (VkWriteDescriptorSet){
            .sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
            .dstSet = *set,
            .dstBinding = (uint32_t) i,
            .descriptorCount = 1,
            .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
            .pBufferInfo = &b->info[i],
        };
    d->vk.vkUpdateDescriptorSets(d->device, (uint32_t) b->n, writes, 0, NULL);
    return FIRN_OK;
}

/* Fills the dispatch; *is_empty when there is nothing to do. */
static firn_status set_up(const struct recorder *r, const struct firn_step *step,
                          const struct firn_kernel *kernel, int64_t turn, struct firn_dispatch *dispatch,
                          bool *is_empty, struct firn_error *err)
{
    const struct firn_limits *l = &r->d->base.limits;
    *dispatch = (struct firn_dispatch){ .groups = { 1, 1, 1 }, .turn = turn };
    kernel->setup(&step->call, l, dispatch);
    const uint32_t *g = dispatch->groups;
    *is_empty = g[0] == 0 || g[1] == 0 || g[2] == 0;
    if (!*is_empty && (g[0] > l->max_groups[0] || g[1] > l->max_groups[1] || g[2] > l->max_groups[2]))
        return firn_fail(err, FIRN_ERR_UNSUPPORTED, .key = step->label,
                         .what = FIRN_STR("%s: too many work groups", kernel->name),
                         .expected = FIRN_STR("at most %u x %u x %u", l->max_groups[0],
                                              l->max_groups[1], l->max_groups[2]),
                         .got = FIRN_STR("%u x %u x %u", g[0], g[1], g[2]));
    return FIRN_OK;
}

static firn_status begin_part(struct recorder *r, struct firn_error *err)
{
    struct firn_vk *d = r->d;
    struct firn_program *p = r->program;
    const VkPipelineStageFlags work =
        VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT;
    const VkCommandBufferAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
        .commandPool = d->commands,
        .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
        .commandBufferCount = 1,
    };
    /* a program may be in one submission more than once */
    const VkCommandBufferBeginInfo begin = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
        .flags = VK_COMMAND_BUFFER_USAGE_SIMULTANEOUS_USE_BIT,
    };
    VkCommandBuffer *list = realloc(p->commands, sizeof *list * (p->n_commands + 1));
    if (list != NULL)
        p->commands = list;
    double *costs = list != NULL ? realloc(p->costs, sizeof *costs * (p->n_commands + 1)) : NULL;
    if (costs == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "no memory for a list of commands");
    p->costs = costs;
    firn_status s = FIRN_VK(d->vk.vkAllocateCommandBuffers(d->device, &info, &r->commands), err);
    if (s != FIRN_OK)
        return s;
    p->costs[p->n_commands] = 0;
    p->commands[p->n_commands++] = r->commands;
    d->stats.command_buffers++;
    r->cost = 0;
    r->bound = VK_NULL_HANDLE;
    s = FIRN_VK(d->vk.vkBeginCommandBuffer(r->commands, &begin), err);
    if (s != FIRN_OK)
        return s;
    /* what earlier programs, parts and copies wrote; the host's writes are visible by being submitted after */
    barrier(r, work, VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
            VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
            VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT);
    firn_vk_hazards_clear(&r->hazards);
    return FIRN_OK;
}

static firn_status end_part(struct recorder *r, struct firn_error *err)
{
    if (r->writes_host)
        barrier(r, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_ACCESS_SHADER_WRITE_BIT,
                VK_PIPELINE_STAGE_HOST_BIT, VK_ACCESS_HOST_READ_BIT);
    r->program->costs[r->program->n_commands - 1] = r->cost;
    return FIRN_VK(r->d->vk.vkEndCommandBuffer(r->commands), err);
}

/* Room for work of this cost: in this part, or in one of its own. */
static firn_status make_room(struct recorder *r, double cost, struct firn_error *err)
{
    if (r->cost == 0 || r->cost + cost <= r->d->budget)
        return FIRN_OK;
    const firn_status s = end_part(r, err);
    return s ? s : begin_part(r, err);
}

/* A box of a dispatch's work groups. */
struct piece {
    uint32_t from[2], n[2]; /* along x and y */
};

static void put_dispatch(struct recorder *r, const struct firn_dispatch *dispatch, const struct firn_vk_pipeline *pipeline,
                         const VkDescriptorSet *set, const struct piece *piece)
{
    struct firn_vk *d = r->d;
    const uint32_t *groups = dispatch->groups;
    if (pipeline->handle != r->bound)
        d->vk.vkCmdBindPipeline(r->commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline->handle);
    r->bound = pipeline->handle;
    d->vk.vkCmdBindDescriptorSets(r->commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline->layout, 0, 1, set, 0, NULL);
    if (dispatch->n_push > 0)
        d->vk.vkCmdPushConstants(r->commands, pipeline->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0,
                                 (uint32_t) dispatch->n_push * 4, dispatch->push);
    if (piece->n[0] == groups[0] && piece->n[1] == groups[1])
        d->vk.vkCmdDispatch(r->commands, groups[0], groups[1], groups[2]);
    else
        d->vk.vkCmdDispatchBase(r->commands, piece->from[0], piece->from[1], 0, piece->n[0], piece->n[1], groups[2]);
    d->stats.dispatches++;
}

static uint32_t at_most(double wanted, uint32_t most)
{
    return wanted < most ? (uint32_t) wanted : most;
}

/* How often a dispatch is cut along x and y. A shader whose work groups go on from one row into the next counts with the number
 * along x, which is not the whole row's in a piece: it is cut between rows, or where it has but one. */
static void cuts_of(const struct firn_vk *d, const struct firn_dispatch *dispatch, double cost, uint32_t cuts[2])
{
    const uint32_t *groups = dispatch->groups;
    /* what is only a little longer than the aim stays whole: the limit is far above it */
    const double room = d->base.limits.slice_flops > 0 ? d->budget : FIRN_VK_MARGIN * d->budget;
    const double wanted = cost <= room ? 1 : floor(cost / d->budget) + 1;
    cuts[1] = at_most(wanted, groups[1]);
    cuts[0] = dispatch->is_flat && groups[1] > 1 ? 1 : at_most(ceil(wanted / cuts[1]), groups[0]);
}

static uint32_t part_of(uint32_t n, uint32_t i, uint32_t of)
{
    return (uint32_t) ((uint64_t) n * i / of);
}

/* One dispatch of a step, in as many pieces as the budget asks for; *set is made by the first. */
static firn_status record_dispatch(struct recorder *r, const struct firn_step *step, const struct firn_kernel *k,
                                   int64_t turn, double cost, const struct bindings *b, VkDescriptorSet *set,
                                   struct firn_error *err)
{
    struct firn_vk *d = r->d;
    struct firn_dispatch dispatch;
    struct firn_vk_pipeline pipeline;
    uint32_t cuts[2];
    bool is_empty;
    firn_status s = set_up(r, step, k, turn, &dispatch, &is_empty, err);
    if (s != FIRN_OK || is_empty)
        return s;
    cuts_of(d, &dispatch, cost, cuts);
    const uint32_t pieces = cuts[0] * cuts[1];
    s = firn_vk_pipeline_get(d, k, &dispatch, b->n, pieces > 1, &pipeline, err);
    if (s == FIRN_OK && *set == VK_NULL_HANDLE)
        s = make_set(r, b, pipeline.set_layout, set, err);
    for (uint32_t i = 0; i < pieces && s == FIRN_OK; i++) {
        s = make_room(r, cost / pieces, err);
        if (s == FIRN_OK && i == 0 && firn_vk_hazards_meet(&r->hazards, b->access, b->n))
            barrier_between(r);
        if (s == FIRN_OK && !firn_vk_hazards_add(&r->hazards, b->access, b->n))
            s = firn_fail(err, FIRN_ERR_MEMORY, .what = "no memory for the list of accesses");
        if (s != FIRN_OK)
            break;
        const uint32_t at[2] = { i % cuts[0], i / cuts[0] };
        struct piece piece;
        for (int a = 0; a < 2; a++) {
            piece.from[a] = part_of(dispatch.groups[a], at[a], cuts[a]);
            piece.n[a] = part_of(dispatch.groups[a], at[a] + 1, cuts[a]) - piece.from[a];
        }
        put_dispatch(r, &dispatch, &pipeline, set, &piece);
        r->cost += cost / pieces;
    }
    return s;
}

static firn_status record_step(struct recorder *r, const struct firn_step *step,
                               struct firn_error *err)
{
    VkDescriptorSet set = VK_NULL_HANDLE;
    struct bindings b;
    if (step->kernel == NULL)
        return firn_fail(err, FIRN_ERR_UNSUPPORTED, .key = step->label,
                         .what = FIRN_STR("no kernel for %s", r->d->base.id));
    firn_status s = bind_all(r, step, &b, err);
    for (const struct firn_kernel *k = step->kernel; k != NULL && s == FIRN_OK; k = k->then) {
        const int64_t turns = k->turns != NULL ? k->turns(&step->call) : 1;
        for (int64_t turn = 0; turn < turns && s == FIRN_OK; turn++)
            s = record_dispatch(r, step, k, turn, step->cost / (double) turns, &b, &set, err);
    }
    return s;
}

static firn_status record(struct recorder *r, const struct firn_step *steps, int n_steps,
                          struct firn_error *err)
{
    firn_status s = begin_part(r, err);
    for (int i = 0; i < n_steps && s == FIRN_OK; i++) {
        struct firn_error why = { 0 };
        s = record_step(r, &steps[i], &why);
        if (s != FIRN_OK && steps[i].label != NULL && strstr(why.text, steps[i].label) == NULL)
            firn_fail(err, s, .key = steps[i].label, .what = why.text);
        else if (s != FIRN_OK && err != NULL)
            *err = why;
    }
    return s ? s : end_part(r, err);
}

static firn_status make_pool(struct firn_vk *d, const struct firn_step *steps, int n_steps,
                             VkDescriptorPool *pool, struct firn_error *err)
{
    uint32_t count = 0;
    for (int i = 0; i < n_steps; i++)
        count += (uint32_t) n_bindings(&steps[i]);
    const VkDescriptorPoolSize size = { VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, count > 0 ? count : 1 };
    const VkDescriptorPoolCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
        .maxSets = n_steps > 0 ? (uint32_t) n_steps : 1,
        .poolSizeCount = 1,
        .pPoolSizes = &size,
    };
    return FIRN_VK(d->vk.vkCreateDescriptorPool(d->device, &info, NULL, pool), err);
}

firn_status firn_vk_program_create(struct firn_device *device, const struct firn_step *steps,
                                   int n_steps, struct firn_program **out, struct firn_error *err)
{
    struct firn_vk *d = firn_vk_of(device);
    *out = NULL;
    struct firn_program *p = calloc(1, sizeof *p);
    if (p == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "no memory for a program");
    struct recorder r = { .d = d, .program = p };
    firn_status s = make_pool(d, steps, n_steps, &p->sets, err);
    if (s == FIRN_OK)
        s = record(&r, steps, n_steps, err);
    firn_vk_hazards_free(&r.hazards);
    firn_vk_pipelines_save(d);
    if (s != FIRN_OK) {
        firn_vk_program_destroy(device, p);
        return s;
    }
    *out = p;
    return FIRN_OK;
}

void firn_vk_program_destroy(struct firn_device *device, struct firn_program *p)
{
    struct firn_vk *d = firn_vk_of(device);
    if (p == NULL)
        return;
    if (p->n_commands > 0)
        d->vk.vkFreeCommandBuffers(d->device, d->commands, p->n_commands, p->commands);
    free(p->commands);
    free(p->costs);
    d->vk.vkDestroyDescriptorPool(d->device, p->sets, NULL);
    free(p);
}
