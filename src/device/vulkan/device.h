/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of an open Vulkan device, shared by the files of this folder. */
#ifndef FIRN_DEVICE_VULKAN_DEVICE_H
#define FIRN_DEVICE_VULKAN_DEVICE_H

#include "device/device.h"
#include "device/vulkan/caps.h"
#include "device/vulkan/vulkan.h"

enum { FIRN_VK_MAX_LAYOUTS = FIRN_MAX_BIND + 2 };

/* A pipeline for one (shader, defines, constants). */
struct firn_vk_pipeline {
    const struct firn_kernel *kernel;
    uint32_t n_bindings, n_spec, spec[FIRN_MAX_SPEC];
    VkPipeline handle;
};

struct firn_vk_module {
    const char *shader, *defines; /* the kernel's own texts */
    VkShaderModule handle;
};

struct firn_vk_device {
    struct firn_device base;
    struct firn_vk_instance in;
    struct firn_vk_caps caps;
    VkDevice handle;
    struct VolkDeviceTable vk;
    VkQueue queue;
    VkCommandPool pool;
    VkFence fence;
    VkPipelineCache cache;
    size_t cache_size; /* of what was loaded: a larger one is written back */
    VkDescriptorSetLayout set_layouts[FIRN_VK_MAX_LAYOUTS]; /* by number of bindings */
    VkPipelineLayout layouts[FIRN_VK_MAX_LAYOUTS];
    struct firn_vk_pipeline *pipelines;
    struct firn_vk_module *modules;
    size_t n_pipelines, n_modules;
    struct firn_vulkan_stats stats;
};

struct firn_vk_buffer {
    struct firn_buffer base;
    VkBuffer handle;
    VkDeviceMemory memory;
    char *mapped; /* NULL: the host cannot see it; copies go through a staging buffer */
    uint64_t allocated;
};

/* buffer.c */
firn_status firn_vk_buffer_create(struct firn_device *d, enum firn_memory memory, size_t size,
                                  struct firn_buffer **out, struct firn_error *err);
void firn_vk_buffer_destroy(struct firn_device *d, struct firn_buffer *b);
firn_status firn_vk_buffer_write(struct firn_device *d, struct firn_buffer *b, size_t offset, const void *data,
                                 size_t size, struct firn_error *err);
firn_status firn_vk_buffer_read(struct firn_device *d, struct firn_buffer *b, size_t offset, void *data, size_t size,
                                struct firn_error *err);

/* pipeline.c */
firn_status firn_vk_pipeline_get(struct firn_vk_device *d, const struct firn_kernel *kernel, uint32_t n_bindings,
                                 const struct firn_dispatch *dispatch, VkPipeline *pipeline, VkPipelineLayout *layout,
                                 VkDescriptorSetLayout *set_layout, struct firn_error *err);
void firn_vk_pipelines_destroy(struct firn_vk_device *d);

/* compile.c: SPIR-V of a shader for a list of defines ("A=1 B=0", or NULL); free(*words). */
firn_status firn_vk_compile(const char *shader, const char *defines, uint32_t **words, size_t *size,
                            struct firn_error *err);
const char *firn_vk_compiler(void); /* name and version, part of cache keys */
/* The text of an embedded file ("add.comp", "flat.glsl"); NULL when there is none. */
const char *firn_vk_source(const char *name);

/* cache.c: files in $XDG_CACHE_HOME/firn, checked on load. A cache that does not work is no error. */
bool firn_vk_cache_read(const char *name, char **data, size_t *size);
void firn_vk_cache_write(const char *name, const void *data, size_t size);

/* program.c */
firn_status firn_vk_program_create(struct firn_device *d, const struct firn_step *steps, int n_steps,
                                   struct firn_program **out, struct firn_error *err);
void firn_vk_program_destroy(struct firn_device *d, struct firn_program *p);
firn_status firn_vk_run(struct firn_device *d, struct firn_program *const *programs, int n_programs,
                        struct firn_error *err);
/* Submits command buffers and waits. */
firn_status firn_vk_submit(struct firn_vk_device *d, const VkCommandBuffer *commands, uint32_t count,
                           struct firn_error *err);

#endif
