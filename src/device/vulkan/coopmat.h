/* SPDX-License-Identifier: Apache-2.0 */
/* Cooperative matrices, where the Vulkan headers of this build know them. */
#ifndef FIRN_DEVICE_VULKAN_COOPMAT_H
#define FIRN_DEVICE_VULKAN_COOPMAT_H

#include "device/vulkan/caps.h"

/* True when the device multiplies f16 matrices into f32 at subgroup scope; limits then have the shape. */
bool firn_vk_coopmat_find(struct firn_vk_caps *caps);

#endif
