/* SPDX-License-Identifier: Apache-2.0 */
/* One Vulkan instance, with validation when asked for. Each open device has its own. */
#ifndef FIRN_DEVICE_VULKAN_INSTANCE_H
#define FIRN_DEVICE_VULKAN_INSTANCE_H

#include "device/vulkan/error.h"
#include "firn/log.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Must not move while it is open: the messenger keeps a pointer to it. */
struct firn_vk_instance {
    VkInstance handle;
    uint32_t api; /* what instance and firn both speak: at most 1.3 */
    VkDebugUtilsMessengerEXT messenger;
    _Atomic uint64_t messages;
    struct firn_log log;
};

/* FIRN_ERR_UNSUPPORTED "no Vulkan loader" on a machine without one. */
firn_status firn_vk_instance_open(struct firn_vk_instance *in, bool validation,
                                  const struct firn_log *log, struct firn_error *err);
void firn_vk_instance_close(struct firn_vk_instance *in);

#endif
