/* SPDX-License-Identifier: Apache-2.0 */
/* Limits and capability bits of a physical device. The only place that knows drivers. */
#include "device/vulkan/caps.h"

#include "device/vulkan/coopmat.h"
#include "device/vulkan/mask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct extensions {
    VkExtensionProperties *list;
    uint32_t n;
};

static bool has(const struct extensions *e, const char *name)
{
    for (uint32_t i = 0; i < e->n; i++)
        if (strcmp(e->list[i].extensionName, name) == 0)
            return true;
    return false;
}

static void enable(struct firn_vk_caps *c, const char *name)
{
    if (c->n_extensions < FIRN_VK_MAX_EXTENSIONS)
        c->extensions[c->n_extensions++] = name;
}

static firn_status read_extensions(VkPhysicalDevice physical, struct extensions *e,
                                   struct firn_error *err)
{
    firn_status s = FIRN_VK(vkEnumerateDeviceExtensionProperties(physical, NULL, &e->n, NULL), err);
    if (s != FIRN_OK || e->n == 0)
        return s;
    e->list = calloc(e->n, sizeof *e->list);
    if (e->list == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "no memory for the list of extensions");
    return FIRN_VK(vkEnumerateDeviceExtensionProperties(physical, NULL, &e->n, e->list), err);
}

/* A family that only computes is preferred: a display does not wait for it, and watchdogs are kinder to it. */
static bool find_family(VkPhysicalDevice physical, uint32_t *family)
{
    uint32_t n = 0;
    vkGetPhysicalDeviceQueueFamilyProperties(physical, &n, NULL);
    VkQueueFamilyProperties families[32];
    n = n < 32 ? n : 32;
    vkGetPhysicalDeviceQueueFamilyProperties(physical, &n, families);
    int best = -1;
    for (uint32_t i = 0; i < n; i++) {
        if (!(families[i].queueFlags & VK_QUEUE_COMPUTE_BIT))
            continue;
        if (best < 0)
            best = (int) i;
        if (!(families[i].queueFlags & VK_QUEUE_GRAPHICS_BIT)) {
            best = (int) i;
            break;
        }
    }
    *family = best >= 0 ? (uint32_t) best : 0;
    return best >= 0;
}

static void read_properties(struct firn_vk_caps *c, const struct extensions *e)
{
    VkPhysicalDeviceExternalMemoryHostPropertiesEXT host = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_MEMORY_HOST_PROPERTIES_EXT
    };
    VkPhysicalDeviceDriverProperties driver = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES
    };
    VkPhysicalDeviceMaintenance3Properties sizes = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES
    };
    VkPhysicalDeviceIDProperties id = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_ID_PROPERTIES,
                                        .pNext = &sizes };
    VkPhysicalDeviceSubgroupProperties subgroup = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES, .pNext = &id
    };
    VkPhysicalDeviceProperties2 props = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
                                          .pNext = &subgroup };
    void **tail = &sizes.pNext;
    if (c->api >= VK_API_VERSION_1_2 || has(e, VK_KHR_DRIVER_PROPERTIES_EXTENSION_NAME)) {
        *tail = &driver;
        tail = &driver.pNext;
    }
    c->has_host_import = has(e, VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME);
    if (c->has_host_import)
        *tail = &host;
    vkGetPhysicalDeviceProperties2(c->physical, &props);

    const VkPhysicalDeviceLimits *v = &props.properties.limits;
    struct firn_limits *l = &c->limits;
    memcpy(c->uuid, id.deviceUUID, VK_UUID_SIZE);
    memcpy(c->driver_uuid, id.driverUUID, VK_UUID_SIZE);
    l->subgroup_size = subgroup.subgroupSize > 0 ? subgroup.subgroupSize : 1;
    l->shared_bytes = v->maxComputeSharedMemorySize;
    l->max_lanes = v->maxComputeWorkGroupInvocations < v->maxComputeWorkGroupSize[0]
                       ? v->maxComputeWorkGroupInvocations
                       : v->maxComputeWorkGroupSize[0];
    memcpy(l->max_groups, v->maxComputeWorkGroupCount, sizeof l->max_groups);
    l->max_binding_bytes = v->maxStorageBufferRange;
    l->max_alloc_bytes = sizes.maxMemoryAllocationSize;
    /* at least 16, so that a binding may always be read as vec4 */
    l->bind_align = v->minStorageBufferOffsetAlignment > 16
                        ? (uint32_t) v->minStorageBufferOffsetAlignment
                        : 16;
    c->import_align = host.minImportedHostPointerAlignment;
    c->max_bindings = v->maxPerStageDescriptorStorageBuffers < v->maxPerStageResources
                          ? v->maxPerStageDescriptorStorageBuffers
                          : v->maxPerStageResources;

    const VkSubgroupFeatureFlags need =
        VK_SUBGROUP_FEATURE_BASIC_BIT | VK_SUBGROUP_FEATURE_ARITHMETIC_BIT;
    if ((subgroup.supportedStages & VK_SHADER_STAGE_COMPUTE_BIT) &&
        (subgroup.supportedOperations & need) == need)
        l->caps |= FIRN_CAP_SUBGROUP;
    l->caps |= c->is_cpu ? FIRN_CAP_SOFTWARE : FIRN_CAP_SHMEM;
    if (driver.driverName[0] != '\0')
        snprintf(c->driver, sizeof c->driver, "%.60s %.60s", driver.driverName, driver.driverInfo);
    else
        snprintf(c->driver, sizeof c->driver, "vendor 0x%04x, driver 0x%08x", c->props.vendorID,
                 c->props.driverVersion);
    c->is_hollow = strncmp(driver.driverName, "radv", 4) == 0 && getenv("RADV_FORCE_FAMILY") != NULL;
}

#ifdef VK_KHR_cooperative_matrix
/* Tiles are shared out among subgroups of one size: a driver that picks sizes by itself must be told which. */
static void read_subgroup_control(struct firn_vk_caps *c)
{
    VkPhysicalDeviceSubgroupSizeControlFeatures control = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES
    };
    VkPhysicalDeviceFeatures2 features = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &control };
    VkPhysicalDeviceSubgroupSizeControlProperties sizes = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES
    };
    VkPhysicalDeviceProperties2 props = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &sizes };
    vkGetPhysicalDeviceFeatures2(c->physical, &features);
    vkGetPhysicalDeviceProperties2(c->physical, &props);
    c->sets_subgroup_size = control.subgroupSizeControl && control.computeFullSubgroups &&
                            (sizes.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT) &&
                            c->limits.subgroup_size >= sizes.minSubgroupSize &&
                            c->limits.subgroup_size <= sizes.maxSubgroupSize;
}
#endif

static void read_features(struct firn_vk_caps *c, const struct extensions *e)
{
    VkPhysicalDeviceShaderFloat16Int8Features small = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES
    };
    VkPhysicalDevice16BitStorageFeatures storage = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES
    };
    VkPhysicalDeviceFeatures2 features = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
                                           .pNext = &storage };
    const bool has_small = has(e, VK_KHR_SHADER_FLOAT16_INT8_EXTENSION_NAME);
    if (has_small)
        storage.pNext = &small;
    vkGetPhysicalDeviceFeatures2(c->physical, &features);
    if (small.shaderFloat16) {
        c->limits.caps |= FIRN_CAP_F16;
        enable(c, VK_KHR_SHADER_FLOAT16_INT8_EXTENSION_NAME);
    }
    if (storage.storageBuffer16BitAccess)
        c->limits.caps |= FIRN_CAP_STORAGE16;
    if (c->has_host_import) {
        if (c->api < VK_API_VERSION_1_1)
            c->has_host_import = false;
        else
            enable(c, VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME);
    }
    VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR figures = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR
    };
    VkPhysicalDeviceFeatures2 more = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &figures };
    if (has(e, VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME))
        vkGetPhysicalDeviceFeatures2(c->physical, &more);
    c->has_figures = figures.pipelineExecutableInfo;
    /* Mesa 25.0's RADV without hardware falls over when asked for its budget: tests/isa */
    c->has_budget = has(e, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME) && !c->is_hollow;
    if (c->has_budget)
        enable(c, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
    /* a portability driver must have it enabled when it offers it */
    if (has(e, "VK_KHR_portability_subset"))
        enable(c, "VK_KHR_portability_subset");
#ifdef VK_KHR_cooperative_matrix
    if (has(e, VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME) && (c->limits.caps & FIRN_CAP_F16) &&
        (c->limits.caps & FIRN_CAP_STORAGE16) && firn_vk_coopmat_find(c)) {
        c->limits.caps |= FIRN_CAP_COOPMAT;
        read_subgroup_control(c);
        enable(c, VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME);
    }
#endif
}

static void judge(struct firn_vk_caps *c, bool has_family)
{
    if (VK_API_VERSION_MAJOR(c->props.apiVersion) == 1 && c->api < VK_API_VERSION_1_1)
        snprintf(c->unusable, sizeof c->unusable, "Vulkan 1.0; firn needs 1.1");
    else if (!has_family)
        snprintf(c->unusable, sizeof c->unusable, "no compute queue");
    else if (c->props.limits.maxPushConstantsSize < 128)
        snprintf(c->unusable, sizeof c->unusable, "%u bytes of push constants; firn needs 128",
                 c->props.limits.maxPushConstantsSize);
}

firn_status firn_vk_caps_read(const struct firn_vk_instance *in, VkPhysicalDevice physical,
                              struct firn_vk_caps *c, struct firn_error *err)
{
    *c = (struct firn_vk_caps){ .physical = physical };
    vkGetPhysicalDeviceProperties(physical, &c->props);
    vkGetPhysicalDeviceMemoryProperties(physical, &c->memory);
    c->api = c->props.apiVersion < in->api ? c->props.apiVersion : in->api;
    c->is_cpu = c->props.deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU;
    c->is_unified = c->is_cpu || c->props.deviceType == VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU;
    judge(c, find_family(physical, &c->family));
    if (c->api < VK_API_VERSION_1_1)
        return FIRN_OK;
    struct extensions e = { 0 };
    const firn_status s = read_extensions(physical, &e, err);
    if (s == FIRN_OK) {
        read_properties(c, &e);
        read_features(c, &e);
        c->limits.memory_bytes = firn_vk_caps_free(c);
        firn_vk_caps_classify(&c->limits);
    }
    free(e.list);
    return s;
}

void firn_vk_caps_classify(struct firn_limits *l)
{
    if (l->caps & FIRN_CAP_SOFTWARE)
        l->device_class = FIRN_CLASS_SOFTWARE;
    else if (l->caps & FIRN_CAP_COOPMAT)
        l->device_class = FIRN_CLASS_TENSOR;
    else if ((l->caps & FIRN_CAP_SUBGROUP) && (l->caps & FIRN_CAP_SHMEM))
        l->device_class = FIRN_CLASS_SUBGROUP;
    else
        l->device_class = FIRN_CLASS_BASIC;
}

uint64_t firn_vk_caps_free(const struct firn_vk_caps *c)
{
    VkPhysicalDeviceMemoryBudgetPropertiesEXT budget = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT
    };
    VkPhysicalDeviceMemoryProperties2 memory = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2,
        .pNext = c->has_budget ? &budget : NULL
    };
    vkGetPhysicalDeviceMemoryProperties2(c->physical, &memory);
    uint64_t best = 0;
    for (uint32_t i = 0; i < memory.memoryProperties.memoryHeapCount; i++) {
        const VkMemoryHeap *heap = &memory.memoryProperties.memoryHeaps[i];
        uint64_t bytes = heap->size;
        if (!(heap->flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT))
            continue;
        if (c->has_budget && budget.heapBudget[i] > 0)
            bytes = budget.heapBudget[i] > budget.heapUsage[i]
                        ? budget.heapBudget[i] - budget.heapUsage[i]
                        : 0;
        best = bytes > best ? bytes : best;
    }
    return best;
}

firn_status firn_vk_caps_create_device(const struct firn_vk_caps *c, uint32_t enabled,
                                       VkDevice *device, struct firn_error *err)
{
    const bool f16 = enabled & c->limits.caps & FIRN_CAP_F16;
    const bool storage16 = enabled & c->limits.caps & FIRN_CAP_STORAGE16;
    const bool coopmat = enabled & c->limits.caps & FIRN_CAP_COOPMAT;
    const void *chain = NULL;
    VkPhysicalDeviceShaderFloat16Int8Features small = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES,
        .pNext = NULL, .shaderFloat16 = VK_TRUE
    };
    if (f16)
        chain = &small;
    VkPhysicalDevice16BitStorageFeatures storage = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES,
        .pNext = (void *) chain, .storageBuffer16BitAccess = VK_TRUE
    };
    if (storage16)
        chain = &storage;
#ifdef VK_KHR_cooperative_matrix
    VkPhysicalDeviceVulkanMemoryModelFeatures model = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES,
        .pNext = (void *) chain, .vulkanMemoryModel = VK_TRUE
    };
    /* work groups sized by a constant, in SPIR-V 1.6; every device of Vulkan 1.3 has it */
    VkPhysicalDeviceMaintenance4Features sized = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_4_FEATURES,
        .pNext = &model, .maintenance4 = VK_TRUE
    };
    VkPhysicalDeviceCooperativeMatrixFeaturesKHR matrix = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR,
        .pNext = &sized, .cooperativeMatrix = VK_TRUE
    };
    VkPhysicalDeviceSubgroupSizeControlFeatures control = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES,
        .pNext = &matrix, .subgroupSizeControl = VK_TRUE, .computeFullSubgroups = VK_TRUE
    };
    if (coopmat)
        chain = c->sets_subgroup_size ? (const void *) &control : &matrix;
#endif
    VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR figures = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR,
        .pNext = (void *) chain, .pipelineExecutableInfo = VK_TRUE
    };
    if (c->has_figures)
        chain = &figures;
    const char *extensions[FIRN_VK_MAX_EXTENSIONS + 1];
    uint32_t n_extensions = 0;
    for (uint32_t i = 0; i < c->n_extensions; i++) {
        const char *name = c->extensions[i];
        if ((strcmp(name, VK_KHR_SHADER_FLOAT16_INT8_EXTENSION_NAME) == 0 && !f16) ||
            (strcmp(name, "VK_KHR_cooperative_matrix") == 0 && !coopmat))
            continue;
        extensions[n_extensions++] = name;
    }
    if (c->has_figures)
        extensions[n_extensions++] = VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME;
    const float priority = 1.0f;
    const VkDeviceQueueCreateInfo queue = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
        .queueFamilyIndex = c->family,
        .queueCount = 1,
        .pQueuePriorities = &priority,
    };
    const VkDeviceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
        .pNext = chain,
        .queueCreateInfoCount = 1,
        .pQueueCreateInfos = &queue,
        .enabledExtensionCount = n_extensions,
        .ppEnabledExtensionNames = extensions,
    };
    return FIRN_VK(vkCreateDevice(c->physical, &info, NULL, device), err);
}

void firn_vk_caps_info(const struct firn_vk_caps *c, int index, struct firn_device_info *info)
{
    static const char *const types[] = { "other", "integrated", "discrete", "virtual", "cpu" };
    static const char *const classes[] = { "host", "software", "basic", "subgroup", "tensor" };
    const struct firn_limits *l = &c->limits;
    *info = (struct firn_device_info){ .memory_bytes = l->memory_bytes,
                                       .subgroup_size = l->subgroup_size,
                                       .shared_bytes = l->shared_bytes,
                                       .max_lanes = l->max_lanes,
                                       .max_binding_bytes = l->max_binding_bytes };
    snprintf(info->id, sizeof info->id, "vulkan:%d", index);
    snprintf(info->name, sizeof info->name, "%.127s", c->props.deviceName);
    snprintf(info->driver, sizeof info->driver, "%s", c->driver);
    snprintf(info->api, sizeof info->api, "%u.%u.%u", VK_API_VERSION_MAJOR(c->props.apiVersion),
             VK_API_VERSION_MINOR(c->props.apiVersion), VK_API_VERSION_PATCH(c->props.apiVersion));
    snprintf(info->device_class, sizeof info->device_class, "%s", classes[l->device_class]);
    const uint32_t type = (uint32_t) c->props.deviceType;
    snprintf(info->type, sizeof info->type, "%s", types[type < 5 ? type : 0]);
    firn_vk_caps_text(l->caps, info->caps, sizeof info->caps);
    snprintf(info->unusable, sizeof info->unusable, "%s", c->unusable);
}
