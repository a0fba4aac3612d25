/* SPDX-License-Identifier: Apache-2.0 */
/* Vulkan results become firn errors in one macro, which keeps the call's text and the result's name. */
#ifndef FIRN_DEVICE_VULKAN_ERROR_H
#define FIRN_DEVICE_VULKAN_ERROR_H

#include "firn/status.h"

#include <volk.h>

/* firn_status s = FIRN_VK(d->vk.vkCreateFence(...), err); positive results (VK_INCOMPLETE) are no errors. */
#define FIRN_VK(call, err) firn_vk_check((call), #call, (err))

firn_status firn_vk_check(VkResult result, const char *call, struct firn_error *err);
const char *firn_vk_result_name(VkResult result);

#endif
