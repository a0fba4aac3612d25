/* SPDX-License-Identifier: Apache-2.0 */
/* What a driver says of a compiled kernel: registers, spills, instructions. For `firn conform --pipelines`. */
#include "device/vulkan/error.h"
#include "device/vulkan/pipeline.h"

#include <stdio.h>
#include <stdlib.h>

static double value_of(const VkPipelineExecutableStatisticKHR *s)
{
    switch (s->format) {
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_BOOL32_KHR: return s->value.b32 ? 1 : 0;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_INT64_KHR: return (double) s->value.i64;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_UINT64_KHR: return (double) s->value.u64;
    default: return s->value.f64;
    }
}

static firn_status read_figures(struct firn_vk *d, const VkPipelineExecutableInfoKHR *which,
                                struct firn_vulkan_code *code, struct firn_error *err)
{
    VkPipelineExecutableStatisticKHR list[FIRN_VULKAN_MAX_FIGURES];
    uint32_t n = FIRN_VULKAN_MAX_FIGURES;
    for (uint32_t i = 0; i < n; i++)
        list[i] = (VkPipelineExecutableStatisticKHR){ .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR };
    const firn_status s =
        FIRN_VK(d->vk.vkGetPipelineExecutableStatisticsKHR(d->device, which, &n, list), err); /* VK_INCOMPLETE is no error */
    for (uint32_t i = 0; s == FIRN_OK && i < n; i++) {
        snprintf(code->figures[i].name, sizeof code->figures[i].name, "%.63s", list[i].name);
        code->figures[i].value = value_of(&list[i]);
    }
    code->n_figures = s == FIRN_OK ? (int) n : 0;
    return s;
}

/* The last text among the representations: drivers list them from the first to the machine's own. */
static firn_status read_text(struct firn_vk *d, const VkPipelineExecutableInfoKHR *which, struct firn_vulkan_code *code,
                             struct firn_error *err)
{
    uint32_t n = 0;
    firn_status s = FIRN_VK(d->vk.vkGetPipelineExecutableInternalRepresentationsKHR(d->device, which, &n, NULL), err);
    if (s != FIRN_OK || n == 0)
        return s;
    const uint32_t count = n;
    VkPipelineExecutableInternalRepresentationKHR *list = calloc(count, sizeof *list);
    if (list == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "no memory for a pipeline's representations");
    for (uint32_t i = 0; i < count; i++)
        list[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INTERNAL_REPRESENTATION_KHR;
    s = FIRN_VK(d->vk.vkGetPipelineExecutableInternalRepresentationsKHR(d->device, which, &n, list), err);
    for (uint32_t i = 0; s == FIRN_OK && i < count; i++) {
        list[i].pData = calloc(1, list[i].dataSize + 1);
        if (list[i].pData == NULL)
            s = firn_fail(err, FIRN_ERR_MEMORY, .what = "no memory for a pipeline's representations");
    }
    if (s == FIRN_OK)
        s = FIRN_VK(d->vk.vkGetPipelineExecutableInternalRepresentationsKHR(d->device, which, &n, list), err);
    for (uint32_t i = 0; i < count; i++) {
        if (s == FIRN_OK && i == n - 1 && list[i].isText)
            code->text = list[i].pData;
        else
            free(list[i].pData);
    }
    free(list);
    return s;
}

static firn_status read_all(struct firn_vk *d, VkPipeline pipeline, struct firn_vulkan_code *code, struct firn_error *err)
{
    const VkPipelineInfoKHR which = { .sType = VK_STRUCTURE_TYPE_PIPELINE_INFO_KHR, .pipeline = pipeline };
    const VkPipelineExecutableInfoKHR first = { .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR,
                                                .pipeline = pipeline };
    VkPipelineExecutablePropertiesKHR props = { .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_PROPERTIES_KHR };
    uint32_t n = 1; /* a compute pipeline is one executable */
    firn_status s = FIRN_VK(d->vk.vkGetPipelineExecutablePropertiesKHR(d->device, &which, &n, &props), err);
    if (s != FIRN_OK || n == 0)
        return s;
    code->subgroup_size = props.subgroupSize;
    s = read_figures(d, &first, code, err);
    return s ? s : read_text(d, &first, code, err);
}

firn_status firn_vulkan_inspect(struct firn_device *device, const struct firn_kernel *kernel,
                                const struct firn_dispatch *dispatch, int n_bindings, struct firn_vulkan_code *code,
                                struct firn_error *err)
{
    struct firn_vk *d = firn_vk_of(device);
    VkPipeline pipeline = VK_NULL_HANDLE;
    *code = (struct firn_vulkan_code){ 0 };
    const VkPipelineCreateFlags flags = d->caps.has_figures ? VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR |
                                                                  VK_PIPELINE_CREATE_CAPTURE_INTERNAL_REPRESENTATIONS_BIT_KHR
                                                            : 0;
    firn_status s = firn_vk_pipeline_create(d, kernel, dispatch, n_bindings, flags, &pipeline, err);
    if (s == FIRN_OK && d->caps.has_figures)
        s = read_all(d, pipeline, code, err);
    d->vk.vkDestroyPipeline(d->device, pipeline, NULL);
    return s;
}
