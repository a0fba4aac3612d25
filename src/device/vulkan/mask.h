/* SPDX-License-Identifier: Apache-2.0 */
/* FIRN_CAPS: hides what a device can do, so that one machine tests the path of every other. */
#ifndef FIRN_DEVICE_VULKAN_MASK_H
#define FIRN_DEVICE_VULKAN_MASK_H

#include "base/caps.h"
#include "firn/status.h"

/* `text` is "none" or a list with commas: "-coopmat,-f16,-bf16,-int8dot,-subgroup,-shmem,-storage16,-software",
 * "-unified" (copies through staging although host and device share their memory), "+shmem" (shared memory works
 * everywhere, it is only slow on a CPU driver), "maxbuf=128M", "shmem=16K", "lanes=128". Numbers lower a limit, never
 * raise it. NULL or "" changes nothing. Does not set the class. */
firn_status firn_vk_mask(const char *text, struct firn_limits *limits, bool *is_unified,
                         struct firn_error *err);

/* "subgroup shmem f16", in the order of the bits. */
void firn_vk_caps_text(uint32_t caps, char *text, size_t size);

#endif
