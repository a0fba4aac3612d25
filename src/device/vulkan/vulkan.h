/* SPDX-License-Identifier: Apache-2.0 */
/* What other folders and tests may ask of a Vulkan device beside the common table. No Vulkan types. */
#ifndef FIRN_DEVICE_VULKAN_VULKAN_H
#define FIRN_DEVICE_VULKAN_VULKAN_H

#include "device/device.h"

/* Warnings and errors that the validation layers have reported on this device (0 without them). */
uint64_t firn_vulkan_messages(const struct firn_device *d);

/* What opening and recording cost so far. */
struct firn_vulkan_stats {
    int shaders_compiled, shaders_cached; /* SPIR-V from the compiler; from the disk cache */
    int pipelines;
    int command_buffers;      /* recorded, over all programs */
    int dispatches, barriers; /* recorded, over all programs */
    uint64_t memory_bytes;    /* device memory allocated now */
    int allocations;          /* vkAllocateMemory blocks alive now */
    int imports;              /* buffers that use the caller's bytes in place */
};
void firn_vulkan_stats(const struct firn_device *d, struct firn_vulkan_stats *stats);

/* The start-up test of subgroup arithmetic. No operation names it; the build compiles its shader too. */
extern const struct firn_kernel firn_vulkan_probe_kernel, firn_vulkan_coopmat_kernel;

#endif
