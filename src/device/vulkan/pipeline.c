/* SPDX-License-Identifier: Apache-2.0 */
/* Shader modules, layouts and pipelines of a device, and the driver's own pipeline cache on disk. */
#include "device/vulkan/pipeline.h"

#include "device/vulkan/compile.h"

#include <stdlib.h>
#include <string.h>

struct module {
    struct module *next;
    const char *shader, *defines; /* of the kernel record, which outlives the device */
    VkShaderModule handle;
    bool needs_size; /* of subgroups */
};

struct entry {
    const struct module *module;
    int n_spec, n_bindings;
    bool has_base;
    uint32_t spec[FIRN_MAX_SPEC];
    VkPipeline handle;
};

struct layout {
    VkDescriptorSetLayout set;
    VkPipelineLayout pipeline;
};

struct firn_vk_pipelines {
    struct module *modules;
    struct entry *entries;
    int n_entries, capacity;
    struct layout layouts[FIRN_MAX_BIND + 1]; /* by number of bindings */
    VkPipelineCache cache;
    int n_saved; /* entries when the cache was last written */
};

/* The driver checks the header of its data too, but should never be shown another driver's. */
static struct firn_vk_key cache_key(const struct firn_vk *d)
{
    const VkPhysicalDeviceProperties *p = &d->caps.props;
    struct firn_vk_key key = firn_vk_key_start("pipelines 1");
    firn_vk_key_add(&key, p->pipelineCacheUUID, sizeof p->pipelineCacheUUID);
    firn_vk_key_add(&key, d->caps.driver_uuid, sizeof d->caps.driver_uuid);
    firn_vk_key_add(&key, d->caps.uuid, sizeof d->caps.uuid);
    firn_vk_key_add(&key, &p->vendorID, sizeof p->vendorID);
    firn_vk_key_add(&key, &p->deviceID, sizeof p->deviceID);
    firn_vk_key_add(&key, &p->driverVersion, sizeof p->driverVersion);
    return key;
}

firn_status firn_vk_pipelines_open(struct firn_vk *d, struct firn_error *err)
{
    struct firn_vk_pipelines *p = d->pipelines = calloc(1, sizeof *p);
    if (p == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "no memory for the list of pipelines");
    const struct firn_vk_key key = cache_key(d);
    size_t size;
    void *data = firn_vk_cache_load(&d->cache, "pipelines", &key, &size);
    VkPipelineCacheCreateInfo info = { .sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO,
                                       .initialDataSize = size,
                                       .pInitialData = data };
    VkResult r = d->vk.vkCreatePipelineCache(d->device, &info, NULL, &p->cache);
    if (r < 0 && data != NULL) { /* an empty one then */
        info.initialDataSize = 0;
        r = d->vk.vkCreatePipelineCache(d->device, &info, NULL, &p->cache);
    }
    free(data);
    return firn_vk_check(r, "vkCreatePipelineCache", err);
}

void firn_vk_pipelines_save(struct firn_vk *d)
{
    struct firn_vk_pipelines *p = d->pipelines;
    size_t size = 0;
    if (p == NULL || p->n_entries == p->n_saved || d->cache.directory == NULL || d->is_lost ||
        d->vk.vkGetPipelineCacheData(d->device, p->cache, &size, NULL) != VK_SUCCESS || size == 0)
        return;
    p->n_saved = p->n_entries;
    void *data = malloc(size);
    if (data != NULL &&
        d->vk.vkGetPipelineCacheData(d->device, p->cache, &size, data) == VK_SUCCESS) {
        const struct firn_vk_key key = cache_key(d);
        firn_vk_cache_store(&d->cache, "pipelines", &key, data, size);
    }
    free(data);
}

void firn_vk_pipelines_close(struct firn_vk *d)
{
    struct firn_vk_pipelines *p = d->pipelines;
    if (p == NULL)
        return;
    for (int i = 0; i < p->n_entries; i++)
        d->vk.vkDestroyPipeline(d->device, p->entries[i].handle, NULL);
    for (struct module *m = p->modules, *next; m != NULL; m = next) {
        next = m->next;
        d->vk.vkDestroyShaderModule(d->device, m->handle, NULL);
        free(m);
    }
    for (int i = 0; i <= FIRN_MAX_BIND; i++) {
        d->vk.vkDestroyPipelineLayout(d->device, p->layouts[i].pipeline, NULL);
        d->vk.vkDestroyDescriptorSetLayout(d->device, p->layouts[i].set, NULL);
    }
    d->vk.vkDestroyPipelineCache(d->device, p->cache, NULL);
    free(p->entries);
    free(p);
    d->pipelines = NULL;
}

static firn_status layout_get(struct firn_vk *d, int n, const struct layout **out,
                              struct firn_error *err)
{
    struct layout *l = &d->pipelines->layouts[n];
    *out = l;
    if (l->pipeline != VK_NULL_HANDLE)
        return FIRN_OK;
    VkDescriptorSetLayoutBinding bindings[FIRN_MAX_BIND];
    for (int i = 0; i < n; i++)
        bindings[i] = (VkDescriptorSetLayoutBinding){
            .binding = (uint32_t) i,
            .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
            .descriptorCount = 1,
            .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT,
        };
    const VkDescriptorSetLayoutCreateInfo set_info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
        .bindingCount = (uint32_t) n,
        .pBindings = bindings,
    };
    firn_status s = FIRN_OK;
    if (l->set == VK_NULL_HANDLE)
        s = FIRN_VK(d->vk.vkCreateDescriptorSetLayout(d->device, &set_info, NULL, &l->set), err);
    const VkPushConstantRange push = { VK_SHADER_STAGE_COMPUTE_BIT, 0,
                                       FIRN_MAX_PUSH * sizeof(uint32_t) };
    const VkPipelineLayoutCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
        .setLayoutCount = 1,
        .pSetLayouts = &l->set,
        .pushConstantRangeCount = 1,
        .pPushConstantRanges = &push,
    };
    if (s == FIRN_OK)
        s = FIRN_VK(d->vk.vkCreatePipelineLayout(d->device, &info, NULL, &l->pipeline), err);
    return s;
}

static bool same(const char *a, const char *b)
{
    return strcmp(a != NULL ? a : "", b != NULL ? b : "") == 0;
}

static firn_status module_get(struct firn_vk *d, const struct firn_kernel *kernel,
                              const struct module **out, struct firn_error *err)
{
    struct firn_vk_pipelines *p = d->pipelines;
    for (struct module *m = p->modules; m != NULL; m = m->next)
        if (same(m->shader, kernel->shader) && same(m->defines, kernel->defines)) {
            *out = m;
            return FIRN_OK;
        }
    struct firn_vk_spirv spirv = { 0 };
    const struct firn_vk_source source = { kernel->shader, kernel->defines, kernel->needs };
    struct module *m = calloc(1, sizeof *m);
    firn_status s = m != NULL ? firn_vk_compile(&d->cache, &source, &spirv, err)
                              : firn_fail(err, FIRN_ERR_MEMORY, .what = "no memory for a module");
    if (s == FIRN_OK) {
        spirv.is_cached ? d->stats.shaders_cached++ : d->stats.shaders_compiled++;
        *m = (struct module){ p->modules, kernel->shader, kernel->defines, VK_NULL_HANDLE,
                              (kernel->needs & FIRN_CAP_COOPMAT) != 0 };
        const VkShaderModuleCreateInfo info = {
            .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
            .codeSize = spirv.size,
            .pCode = spirv.words,
        };
        s = FIRN_VK(d->vk.vkCreateShaderModule(d->device, &info, NULL, &m->handle), err);
    }
    free(spirv.words);
    if (s != FIRN_OK) {
        free(m);
        return s;
    }
    p->modules = m;
    *out = m;
    return FIRN_OK;
}

static firn_status create(struct firn_vk *d, const struct entry *e, const struct layout *layout,
                          VkPipelineCreateFlags flags, VkPipeline *handle, struct firn_error *err)
{
    VkSpecializationMapEntry map[FIRN_MAX_SPEC];
    for (int i = 0; i < e->n_spec; i++)
        map[i] = (VkSpecializationMapEntry){ (uint32_t) i, (uint32_t) i * 4, 4 };
    const VkSpecializationInfo spec = { (uint32_t) e->n_spec, map, (size_t) e->n_spec * 4,
                                        e->spec };
    const VkPipelineShaderStageRequiredSubgroupSizeCreateInfo size = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO,
        .requiredSubgroupSize = d->base.limits.subgroup_size,
    };
    const bool sets_size = e->module->needs_size && d->caps.sets_subgroup_size;
    const VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .flags = flags | (e->has_base ? VK_PIPELINE_CREATE_DISPATCH_BASE_BIT : 0),
        .stage = { .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                   .pNext = sets_size ? &size : NULL,
                   .flags = sets_size ? VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT : 0,
                   .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                   .module = e->module->handle,
                   .pName = "main",
                   .pSpecializationInfo = &spec },
        .layout = layout->pipeline,
    };
    return FIRN_VK(d->vk.vkCreateComputePipelines(d->device, d->pipelines->cache, 1, &info, NULL,
                                                  handle),
                   err);
}

static firn_status grow(struct firn_vk_pipelines *p, struct firn_error *err)
{
    if (p->n_entries < p->capacity)
        return FIRN_OK;
    const int capacity = p->capacity > 0 ? 2 * p->capacity : 64;
    struct entry *entries = realloc(p->entries, (size_t) capacity * sizeof *entries);
    if (entries == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "no memory for the list of pipelines");
    p->entries = entries;
    p->capacity = capacity;
    return FIRN_OK;
}

firn_status firn_vk_pipeline_create(struct firn_vk *d, const struct firn_kernel *kernel,
                                    const struct firn_dispatch *dispatch, int n_bindings,
                                    VkPipelineCreateFlags flags, VkPipeline *handle, struct firn_error *err)
{
    const struct layout *layout;
    struct entry e = { .n_spec = dispatch->n_spec, .n_bindings = n_bindings };
    memcpy(e.spec, dispatch->spec, sizeof e.spec[0] * (size_t) e.n_spec);
    firn_status s = module_get(d, kernel, &e.module, err);
    if (s == FIRN_OK)
        s = layout_get(d, n_bindings, &layout, err);
    return s ? s : create(d, &e, layout, flags, handle, err);
}

firn_status firn_vk_pipeline_get(struct firn_vk *d, const struct firn_kernel *kernel,
                                 const struct firn_dispatch *dispatch, int n_bindings, bool has_base,
                                 struct firn_vk_pipeline *out, struct firn_error *err)
{
    struct firn_vk_pipelines *p = d->pipelines;
    const struct layout *layout;
    struct entry e = { .n_spec = dispatch->n_spec, .n_bindings = n_bindings, .has_base = has_base };
    memcpy(e.spec, dispatch->spec, sizeof e.spec[0] * (size_t) e.n_spec);
    firn_status s = module_get(d, kernel, &e.module, err);
    if (s == FIRN_OK)
        s = layout_get(d, n_bindings, &layout, err);
    if (s != FIRN_OK)
        return s;
    for (int i = 0; i < p->n_entries; i++) {
        const struct entry *have = &p->entries[i];
        if (have->module == e.module && have->n_spec == e.n_spec &&
            have->n_bindings == n_bindings && have->has_base == has_base && memcmp(have->spec, e.spec, sizeof e.spec) == 0) {
            *out = (struct firn_vk_pipeline){ have->handle, layout->pipeline, layout->set };
            return FIRN_OK;
        }
    }
    s = grow(p, err);
    if (s == FIRN_OK)
        s = create(d, &e, layout, 0, &e.handle, err);
    if (s != FIRN_OK)
        return s;
    p->entries[p->n_entries++] = e;
    d->stats.pipelines++;
    *out = (struct firn_vk_pipeline){ e.handle, layout->pipeline, layout->set };
    return FIRN_OK;
}
