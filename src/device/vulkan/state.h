/* SPDX-License-Identifier: Apache-2.0 */
/* The state of an open Vulkan device, shared by the files of this folder. */
#ifndef FIRN_DEVICE_VULKAN_STATE_H
#define FIRN_DEVICE_VULKAN_STATE_H

#include "device/vulkan/cache.h"
#include "device/vulkan/caps.h"
#include "device/vulkan/memory.h"
#include "device/vulkan/vulkan.h"

struct firn_vk_pipelines; /* pipeline.c */

/* A command buffer is to take a part of what is allowed: rates are measured with noise, and by mixtures of operations. */
#define FIRN_VK_MARGIN 2.5

struct firn_vk {
    struct firn_device base; /* first: a firn_device of this folder is a firn_vk */
    struct firn_vk_instance instance;
    struct firn_vk_caps caps;
    VkDevice device;
    struct VolkDeviceTable vk; /* this device's entry points */
    VkQueue queue;
    VkCommandPool commands;
    VkFence fence;
    bool is_lost;
    bool forgets_barriers; /* firn_vulkan_forget_barriers */
    double budget; /* cost of one command buffer; see submit.c */
    int lessons;   /* how often it was set anew */
    struct firn_vk_memory memory;
    struct firn_vk_cache cache;
    struct firn_vk_pipelines *pipelines;
    struct firn_buffer *dummy;             /* bound where an input is absent; never written */
    struct firn_buffer *upload, *download; /* staging, made when first needed */
    VkCommandBuffer copy;
    struct firn_vulkan_stats stats;
};

struct firn_vk_buffer {
    struct firn_buffer base;
    VkBuffer handle;
    struct firn_vk_place place;
    size_t shift;  /* an import's data starts here */
    size_t padded; /* bytes that a shader may touch, from shift */
};

static inline struct firn_vk *firn_vk_of(struct firn_device *d)
{
    return (struct firn_vk *) d;
}

static inline struct firn_vk_buffer *firn_vk_buffer_of(struct firn_buffer *b)
{
    return (struct firn_vk_buffer *) b;
}

/* buffer.c */
firn_status firn_vk_buffer_create(struct firn_device *d, enum firn_memory memory, size_t size,
                                  struct firn_buffer **out, struct firn_error *err);
firn_status firn_vk_buffer_import(struct firn_device *d, const void *data, size_t size,
                                  struct firn_buffer **out, struct firn_error *err);
void firn_vk_buffer_destroy(struct firn_device *d, struct firn_buffer *b);

/* transfer.c */
firn_status firn_vk_write(struct firn_device *d, struct firn_buffer *b, size_t offset,
                          const void *data, size_t size, struct firn_error *err);
firn_status firn_vk_read(struct firn_device *d, struct firn_buffer *b, size_t offset, void *data,
                         size_t size, struct firn_error *err);

/* submit.c: submits the command buffers in order (apart: each by itself) and waits for the last. */
firn_status firn_vk_submit(struct firn_vk *d, const VkCommandBuffer *commands, uint32_t n, bool apart,
                           struct firn_error *err);
firn_status firn_vk_run(struct firn_device *d, struct firn_program *const *programs, int n_programs,
                        struct firn_error *err);

/* record.c */
firn_status firn_vk_program_create(struct firn_device *d, const struct firn_step *steps, int n_steps,
                                   struct firn_program **out, struct firn_error *err);
void firn_vk_program_destroy(struct firn_device *d, struct firn_program *p);
/* The command buffers of a program, each within the device's budget, and the work in each. */
const VkCommandBuffer *firn_vk_program_commands(const struct firn_program *p, uint32_t *n, const double **costs);
/* How often it was run before; counts this run. */
int firn_vk_program_count_run(struct firn_program *p);

/* probe.c: runs one kernel with one input and one output, as the start-up tests do. */
firn_status firn_vk_probe_run(struct firn_vk *d, const struct firn_kernel *kernel, const char *label, const void *in,
                              size_t in_size, void *out, size_t out_size, struct firn_error *err);
/* probe.c: *works false when the device's subgroup arithmetic gives a wrong sum. `known` only looks at the cache. */
bool firn_vk_probe_known(const struct firn_vk_cache *cache, const struct firn_vk_caps *caps,
                         const struct firn_limits *limits, bool *works);
firn_status firn_vk_probe_coopmat(struct firn_vk *d, bool *works, struct firn_error *err);
firn_status firn_vk_probe_subgroup(struct firn_vk *d, bool *works, struct firn_error *err);

#endif
