/* SPDX-License-Identifier: Apache-2.0 */
/// Devices: opening one by its name, and listing what the machine has.
///
/// `vulkan:N` is the N-th device in the Vulkan loader's order (`vulkan:NAME`: the first whose name contains NAME);
/// `cpu` computes with BLAS and threads; `cpu:exact` is the reference: plain C, float64 accumulators;
/// `auto` is the fastest real GPU, else `cpu` (a software Vulkan driver only when it is named).
#ifndef FIRN_DEVICE_H
#define FIRN_DEVICE_H

#include "firn/log.h"
#include "firn/status.h"

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct firn_device;

struct firn_device_params {
    int n_threads;        // host devices: 0 = as many as the process may use
    const char *caps;     // "-coopmat,+round16,maxbuf=128M,shmem=16K", "none"; NULL: $FIRN_CAPS
    bool fast_matrices;   // matrix units may round activations to one 16-bit float in place of two: 2^-11 for 2^-20
    bool validation;      // Vulkan validation layers, synchronization validation included
    bool statistics;      // the driver is to tell registers and instructions of kernels: firn conform --pipelines
    struct firn_log log;  // messages of drivers and layers
};

/// Opens a device; `name` NULL or "auto": $FIRN_DEVICE, else the best there is. The caller destroys it after all
/// that uses it. A device is used from one thread at a time.
FIRN_API firn_status firn_device_open(struct firn_device **device, const char *name,
                                      const struct firn_device_params *params,
                                      struct firn_error *err);
FIRN_API void firn_device_close(struct firn_device **device);
FIRN_API const char *firn_device_name(const struct firn_device *device); // as the driver says
FIRN_API const char *firn_device_id(const struct firn_device *device);   // "vulkan:0"

struct firn_device_info {
    char id[32], name[128], driver[128], api[16];
    char device_class[16]; // tensor, subgroup, basic, software, host
    char type[16];         // discrete, integrated, virtual, cpu, other
    uint64_t memory_bytes;
    uint32_t subgroup_size, shared_bytes, max_lanes;
    uint64_t max_binding_bytes;
    char caps[128];        // "subgroup f16 storage16"
    char unusable[200];    // why firn cannot use it; empty: it can
};

/// Lists every device; free(*list). Works without any Vulkan driver: `cpu` is always there, last.
FIRN_API firn_status firn_device_list(struct firn_device_info **list, int *count,
                                      struct firn_error *err);

#ifdef __cplusplus
}
#endif
#endif
