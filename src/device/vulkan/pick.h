/* SPDX-License-Identifier: Apache-2.0 */
/* The physical devices of an instance, in the loader's order. */
#ifndef FIRN_DEVICE_VULKAN_PICK_H
#define FIRN_DEVICE_VULKAN_PICK_H

#include "device/vulkan/caps.h"

/* free(*list). No driver: zero devices, no error. */
firn_status firn_vk_physical_list(const struct firn_vk_instance *in, VkPhysicalDevice **list,
                                  uint32_t *count, struct firn_error *err);
/* Number `index`, or for index < 0 the first whose name contains `name` (letter case ignored). */
firn_status firn_vk_pick(const struct firn_vk_instance *in, int index, const char *name,
                         struct firn_vk_caps *caps, int *picked, struct firn_error *err);

#endif
