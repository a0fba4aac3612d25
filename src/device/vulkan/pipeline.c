/* SPDX-License-Identifier: Apache-2.0 */
/* Pipelines, made when a program first needs them. */
#include "device/vulkan/device.h"

#include <stdlib.h>

enum { PUSH_BYTES = 4 * FIRN_MAX_PUSH };

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static firn_status get_module(struct firn_vk_device *d, const struct firn_kernel *k, VkShaderModule *out,
                              struct firn_error *err)
{
    for (size_t i = 0; i < d->n_modules; i++)
        if (same_text(d->modules[i].shader, k->shader) && same_text(d->modules[i].defines, k->defines)) {
            *out = d->modules[i].handle;
            return FIRN_OK;
        }
    struct firn_vk_module *modules = realloc(d->modules, sizeof *modules * (d->n_modules + 1));
    if (modules == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a shader");
    d->modules = modules;
    uint32_t *words = NULL;
    size_t size = 0;
    firn_status status = firn_vk_compile(k->shader, k->defines, &words, &size, err);
    if (status)
        return status;
    const VkShaderModuleCreateInfo info = { .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, .codeSize = size,
                                            .pCode = words };
    status = FIRN_VK(d->vk.vkCreateShaderModule(d->handle, &info, NULL, out), err);
    free(words);
    if (status == FIRN_OK)
        modules[d->n_modules++] = (struct firn_vk_module){ k->shader, k->defines, *out };
    return status;
}

static firn_status get_layout(struct firn_vk_device *d, uint32_t n, struct firn_error *err)
{
    VkDescriptorSetLayoutBinding bindings[FIRN_VK_MAX_LAYOUTS] = { { 0 } };
    if (d->layouts[n] != VK_NULL_HANDLE)
        return FIRN_OK;
    for (uint32_t i = 0; i < n; i++)
        bindings[i] = (VkDescriptorSetLayoutBinding){ .binding = i, .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                                      .descriptorCount = 1, .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT };
    const VkDescriptorSetLayoutCreateInfo set = { .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
                                                  .bindingCount = n, .pBindings = bindings };
    firn_status status = FIRN_VK(d->vk.vkCreateDescriptorSetLayout(d->handle, &set, NULL, &d->set_layouts[n]), err);
    if (status)
        return status;
    const VkPushConstantRange push = { VK_SHADER_STAGE_COMPUTE_BIT, 0, PUSH_BYTES };
    const VkPipelineLayoutCreateInfo info = { .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                              .setLayoutCount = 1, .pSetLayouts = &d->set_layouts[n],
                                              .pushConstantRangeCount = 1, .pPushConstantRanges = &push };
    return FIRN_VK(d->vk.vkCreatePipelineLayout(d->handle, &info, NULL, &d->layouts[n]), err);
}

static firn_status create(struct firn_vk_device *d, struct firn_vk_pipeline *p, struct firn_error *err)
{
    VkSpecializationMapEntry entries[FIRN_MAX_SPEC];
    VkShaderModule module = VK_NULL_HANDLE;
    for (uint32_t i = 0; i < p->n_spec; i++)
        entries[i] = (VkSpecializationMapEntry){ i, 4 * i, 4 };
    const VkSpecializationInfo spec = { p->n_spec, entries, 4 * p->n_spec, p->spec };
    const firn_status status = get_module(d, p->kernel, &module, err);
    if (status)
        return status;
    const VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .stage = { .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO, .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                   .module = module, .pName = "main", .pSpecializationInfo = p->n_spec > 0 ? &spec : NULL },
        .layout = d->layouts[p->n_bindings] };
    return FIRN_VK(d->vk.vkCreateComputePipelines(d->handle, d->cache, 1, &info, NULL, &p->handle), err);
}

firn_status firn_vk_pipeline_get(struct firn_vk_device *d, const struct firn_kernel *kernel, uint32_t n_bindings,
                                 const struct firn_dispatch *dispatch, VkPipeline *pipeline, VkPipelineLayout *layout,
                                 VkDescriptorSetLayout *set_layout, struct firn_error *err)
{
    struct firn_vk_pipeline p = { .kernel = kernel, .n_bindings = n_bindings, .n_spec = (uint32_t) dispatch->n_spec };
    memcpy(p.spec, dispatch->spec, sizeof p.spec);
    firn_status status = get_layout(d, n_bindings, err);
    if (status)
        return status;
    *layout = d->layouts[n_bindings];
    *set_layout = d->set_layouts[n_bindings];
    for (size_t i = 0; i < d->n_pipelines; i++) {
        const struct firn_vk_pipeline *q = &d->pipelines[i];
        if (q->kernel == kernel && q->n_bindings == n_bindings && q->n_spec == p.n_spec &&
            memcmp(q->spec, p.spec, 4 * p.n_spec) == 0) {
            *pipeline = q->handle;
            return FIRN_OK;
        }
    }
    struct firn_vk_pipeline *pipelines = realloc(d->pipelines, sizeof *pipelines * (d->n_pipelines + 1));
    if (pipelines == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a pipeline");
    d->pipelines = pipelines;
    status = create(d, &p, err);
    if (status)
        return status;
    d->pipelines[d->n_pipelines++] = p;
    d->stats.pipelines++;
    *pipeline = p.handle;
    return FIRN_OK;
}

void firn_vk_pipelines_destroy(struct firn_vk_device *d)
{
    for (size_t i = 0; i < d->n_pipelines; i++)
        d->vk.vkDestroyPipeline(d->handle, d->pipelines[i].handle, NULL);
    for (size_t i = 0; i < d->n_modules; i++)
        d->vk.vkDestroyShaderModule(d->handle, d->modules[i].handle, NULL);
    for (int i = 0; i < FIRN_VK_MAX_LAYOUTS; i++) {
        if (d->layouts[i] != VK_NULL_HANDLE)
            d->vk.vkDestroyPipelineLayout(d->handle, d->layouts[i], NULL);
        if (d->set_layouts[i] != VK_NULL_HANDLE)
            d->vk.vkDestroyDescriptorSetLayout(d->handle, d->set_layouts[i], NULL);
    }
    free(d->pipelines);
    free(d->modules);
}
