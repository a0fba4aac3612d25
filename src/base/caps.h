/* SPDX-License-Identifier: Apache-2.0 */
/* What a device can do, as bits that kernels ask for, and the limits that shape a dispatch. */
#ifndef FIRN_BASE_CAPS_H
#define FIRN_BASE_CAPS_H

#include <stdbool.h>
#include <stdint.h>

enum {
    FIRN_CAP_SUBGROUP = 1u << 0, /* subgroup basic + arithmetic, proved by the start-up test */
    FIRN_CAP_SHMEM = 1u << 1,    /* shared memory and barriers are fast (not on a CPU driver) */
    FIRN_CAP_F16 = 1u << 2,      /* 16-bit float arithmetic */
    FIRN_CAP_STORAGE16 = 1u << 3,/* 16-bit storage buffers */
    FIRN_CAP_COOPMAT = 1u << 4,  /* KHR cooperative matrix, f16 x f16 -> f32 */
    FIRN_CAP_INT8DOT = 1u << 5,
    FIRN_CAP_BF16 = 1u << 6,     /* bfloat16 cooperative matrix */
    FIRN_CAP_SOFTWARE = 1u << 7, /* runs on a CPU: wants register tiles and no shared memory */
    FIRN_CAP_ROUND16 = 1u << 8,  /* asked for: matrix units may round activations to one 16-bit float, not two */
};

enum firn_class { FIRN_CLASS_HOST, FIRN_CLASS_SOFTWARE, FIRN_CLASS_BASIC, FIRN_CLASS_SUBGROUP,
                  FIRN_CLASS_TENSOR };

struct firn_limits {
    uint32_t caps;
    enum firn_class device_class;
    uint32_t subgroup_size;        /* 1 where unknown */
    uint32_t coop_m, coop_n, coop_k; /* the shape of cooperative matrices, with FIRN_CAP_COOPMAT */
    uint32_t shared_bytes;         /* shared memory of a work group */
    uint32_t max_lanes;            /* invocations of a work group */
    uint32_t max_groups[3];
    uint64_t max_binding_bytes;    /* one storage buffer binding */
    uint64_t max_alloc_bytes;      /* one allocation */
    uint32_t bind_align;           /* offset of a binding is a multiple of it */
    uint64_t memory_bytes;         /* free for this process, as far as the device says; 0 unknown */
    uint64_t slice_flops;          /* longest piece of work between two waits; 0: the device finds out */
    uint32_t patience_ms;          /* longest piece of work that is aimed at, as measured; 0: 250 */
    int n_threads;                 /* host devices */
};

#endif
