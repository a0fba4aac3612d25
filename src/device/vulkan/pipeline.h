/* SPDX-License-Identifier: Apache-2.0 */
/* Compute pipelines, made once per (shader, defines, constants) and kept for the life of the device. */
#ifndef FIRN_DEVICE_VULKAN_PIPELINE_H
#define FIRN_DEVICE_VULKAN_PIPELINE_H

#include "device/vulkan/state.h"

struct firn_vk_pipeline {
    VkPipeline handle;
    VkPipelineLayout layout;
    VkDescriptorSetLayout set_layout;
};

firn_status firn_vk_pipelines_open(struct firn_vk *d, struct firn_error *err);
void firn_vk_pipelines_close(struct firn_vk *d);
/* has_base: for dispatches that do not start at work group 0. */
firn_status firn_vk_pipeline_get(struct firn_vk *d, const struct firn_kernel *kernel,
                                 const struct firn_dispatch *dispatch, int n_bindings, bool has_base,
                                 struct firn_vk_pipeline *out, struct firn_error *err);
/* One that the caller destroys and that no dispatch uses: for what the driver says of it. */
firn_status firn_vk_pipeline_create(struct firn_vk *d, const struct firn_kernel *kernel,
                                    const struct firn_dispatch *dispatch, int n_bindings,
                                    VkPipelineCreateFlags flags, VkPipeline *handle, struct firn_error *err);
/* Writes the driver's cache to disk when pipelines were made since. */
void firn_vk_pipelines_save(struct firn_vk *d);

#endif
