/* SPDX-License-Identifier: Apache-2.0 */
/* What one physical device is and can do. caps.c is the only place that knows drivers. */
#ifndef FIRN_DEVICE_VULKAN_CAPS_H
#define FIRN_DEVICE_VULKAN_CAPS_H

#include "device/vulkan/instance.h"
#include "firn/device.h"

#include "base/caps.h"

enum { FIRN_VK_MAX_EXTENSIONS = 16 };
/* what falls when the test of subgroup arithmetic fails: cooperative matrices are worked on by subgroups */
#define FIRN_VK_SUBGROUP_CAPS ((uint32_t) (FIRN_CAP_SUBGROUP | FIRN_CAP_COOPMAT))

struct firn_vk_caps {
    VkPhysicalDevice physical;
    VkPhysicalDeviceProperties props;
    VkPhysicalDeviceMemoryProperties memory;
    uint8_t uuid[VK_UUID_SIZE];        /* device */
    uint8_t driver_uuid[VK_UUID_SIZE]; /* driver build */
    uint32_t api;                      /* what the device and firn both speak */
    uint32_t family;                   /* queue family */
    uint32_t max_bindings;             /* storage buffers of one shader */
    struct firn_limits limits;         /* before FIRN_CAPS and the self-test */
    bool is_cpu, is_unified;           /* host memory is the device's memory */
    bool has_budget, has_host_import;
    bool has_figures; /* the driver tells registers and instructions of a pipeline; off unless asked for */
    bool is_hollow;   /* compiles for a device that is not there: nothing can be run */
    bool sets_subgroup_size;           /* a pipeline may ask for the size that limits name */
    uint64_t import_align;
    const char *extensions[FIRN_VK_MAX_EXTENSIONS]; /* to enable, given limits.caps */
    uint32_t n_extensions;
    char driver[128];
    char unusable[200]; /* empty: it can be used */
};

firn_status firn_vk_caps_read(const struct firn_vk_instance *in, VkPhysicalDevice physical,
                              struct firn_vk_caps *caps, struct firn_error *err);
/* Sets limits.device_class from limits.caps. */
void firn_vk_caps_classify(struct firn_limits *limits);
/* Creates the logical device with the extensions and features that `enabled` capability bits need. */
firn_status firn_vk_caps_create_device(const struct firn_vk_caps *caps, uint32_t enabled,
                                       VkDevice *device, struct firn_error *err);
/* Bytes that the device says are still free for this process; the heap's size where it does not say. */
uint64_t firn_vk_caps_free(const struct firn_vk_caps *caps);
void firn_vk_caps_info(const struct firn_vk_caps *caps, int index, struct firn_device_info *info);

#endif
