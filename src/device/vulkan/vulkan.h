/* SPDX-License-Identifier: Apache-2.0 */
/* What other folders and tests may ask of a Vulkan device beside the common table. No Vulkan types. */
#ifndef FIRN_DEVICE_VULKAN_VULKAN_H
#define FIRN_DEVICE_VULKAN_VULKAN_H

#include "device/device.h"

/* Warnings and errors that the validation layers have reported on this device (0 without them). */
uint64_t firn_vulkan_messages(const struct firn_device *d);

/* What is allocated beyond the buffers that were asked for: at most one partly filled block for each kind of memory, and where
 * the host does not see the device's memory, staging both ways. */
enum { FIRN_VK_BLOCK_BYTES = 4 << 20, FIRN_VK_STAGING_BYTES = 16 << 20 };

/* Leaves out the barriers between steps from now on: results are then wrong by chance. For the test that the validation
 * layers would notice. */
void firn_vulkan_forget_barriers(struct firn_device *d);

/* What opening and recording cost so far. */
struct firn_vulkan_stats {
    int shaders_compiled, shaders_cached; /* SPIR-V from the compiler; from the disk cache */
    int pipelines;
    int command_buffers;      /* recorded, over all programs, since the budget was set */
    int dispatches, barriers; /* likewise */
    uint64_t memory_bytes;    /* device memory allocated now; without imports */
    int allocations;          /* vkAllocateMemory blocks alive now */
    double longest_seconds;   /* of a command buffer, in the first runs of programs, since the budget was set */
    int imports;              /* buffers that use the caller's bytes in place */
};
void firn_vulkan_stats(const struct firn_device *d, struct firn_vulkan_stats *stats);

/* What the driver says of a compiled kernel (VK_KHR_pipeline_executable_properties). A driver without the extension
 * says nothing: no figures, text NULL. */
enum { FIRN_VULKAN_MAX_FIGURES = 40 };
struct firn_vulkan_code {
    uint32_t subgroup_size;
    int n_figures;
    struct {
        char name[64];
        double value;
    } figures[FIRN_VULKAN_MAX_FIGURES]; /* registers, spills, ...: names and meanings are the driver's */
    char *text;                         /* its last representation, mostly the instructions; free() */
};
/* Compiles the kernel for this dispatch and asks. The device must have been opened with `statistics`. */
firn_status firn_vulkan_inspect(struct firn_device *d, const struct firn_kernel *kernel, const struct firn_dispatch *dispatch,
                                int n_bindings, struct firn_vulkan_code *code, struct firn_error *err);

/* The start-up test of subgroup arithmetic. No operation names it; the build compiles its shader too. */
extern const struct firn_kernel firn_vulkan_probe_kernel, firn_vulkan_coopmat_kernel;

#endif
