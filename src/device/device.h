/* SPDX-License-Identifier: Apache-2.0 */
/* A device: buffers, and programs of steps that are recorded once and run many times. It knows no
 * operation, graph or model. device.c checks arguments, then calls the table. */
#ifndef FIRN_DEVICE_DEVICE_H
#define FIRN_DEVICE_DEVICE_H

#include "firn/device.h"
#include "tensor/call.h"

enum firn_memory {
    FIRN_MEM_DEVICE, /* fast for the device; weights, parameters, activations */
    FIRN_MEM_INPUT,  /* the host writes it often, the device reads it */
    FIRN_MEM_OUTPUT, /* the device writes it, the host reads it often */
    FIRN_MEM_COUNT,
};

struct firn_buffer {
    size_t size;
    enum firn_memory memory;
    bool is_borrowed; /* the caller's bytes in place: nothing is allocated */
    /* device-specific parts follow */
};

struct firn_bind {
    struct firn_buffer *buffer; /* NULL: absent input */
    size_t offset, size;        /* bytes */
};

/* One step of a program. `call` has the shapes; its data pointers are filled by host devices. Binds are
 * in[0..n_in), out[0..n_out), scratch (when scratch.buffer is set). */
struct firn_step {
    const char *label;          /* "layer.0.attention.self.query matmul"; owned by the plan */
    struct firn_call call;
    int n_in, n_out;
    struct firn_bind in[FIRN_MAX_IN], out[FIRN_MAX_OUT], scratch;
    double cost;                                 /* about its floating-point operations; 0: unknown, short */
    uint32_t updates;                            /* bit i: input i is written too */
    void (*host)(const struct firn_call *call);  /* host devices */
    const struct firn_kernel *kernel;            /* shader devices */
};

struct firn_program; /* device-specific */

struct firn_device_ops {
    firn_status (*buffer_create)(struct firn_device *d, enum firn_memory memory, size_t size,
                                 struct firn_buffer **out, struct firn_error *err);
    /* Uses the caller's bytes in place (host devices); NULL where a device must copy. They must stay. */
    firn_status (*buffer_import)(struct firn_device *d, const void *data, size_t size,
                                 struct firn_buffer **out, struct firn_error *err);
    void (*buffer_destroy)(struct firn_device *d, struct firn_buffer *b);
    firn_status (*write)(struct firn_device *d, struct firn_buffer *b, size_t offset,
                         const void *data, size_t size, struct firn_error *err);
    firn_status (*read)(struct firn_device *d, struct firn_buffer *b, size_t offset, void *data,
                        size_t size, struct firn_error *err);
    firn_status (*program_create)(struct firn_device *d, const struct firn_step *steps, int n_steps,
                                  struct firn_program **out, struct firn_error *err);
    void (*program_destroy)(struct firn_device *d, struct firn_program *p);
    /* Runs the programs in order, in one submission where the device has submissions, and waits. */
    firn_status (*run)(struct firn_device *d, struct firn_program *const *programs, int n_programs,
                       struct firn_error *err);
    void (*destroy)(struct firn_device *d);
};

struct firn_device {
    const struct firn_device_ops *ops;
    struct firn_limits limits;
    char name[128];   /* "llvmpipe (LLVM 15.0.6, 256 bits)", "cpu" */
    char id[32];      /* "vulkan:0", "cpu", "cpu:exact" */
    char driver[128]; /* driver name and version */
    bool is_host;     /* runs step->host; kernels are not used */
    bool is_exact;    /* cpu:exact: plans take op->ref */
    uint64_t tuning;  /* changes when programs would be recorded otherwise than before: record them again */
    bool is_software; /* a Vulkan driver on the CPU */
    uint64_t bytes[FIRN_MEM_COUNT]; /* of the buffers alive now; of those that the device allocated */
    uint64_t borrowed;              /* of those that use the caller's bytes in place */
    struct firn_log log;
};

firn_status firn_buffer_create(struct firn_device *d, enum firn_memory memory, size_t size,
                               struct firn_buffer **out, struct firn_error *err);
firn_status firn_buffer_import(struct firn_device *d, const void *data, size_t size,
                               struct firn_buffer **out, struct firn_error *err);
void firn_buffer_destroy(struct firn_device *d, struct firn_buffer **b);
firn_status firn_buffer_write(struct firn_device *d, struct firn_buffer *b, size_t offset,
                              const void *data, size_t size, struct firn_error *err);
firn_status firn_buffer_read(struct firn_device *d, struct firn_buffer *b, size_t offset, void *data,
                             size_t size, struct firn_error *err);
firn_status firn_program_create(struct firn_device *d, const struct firn_step *steps, int n_steps,
                                struct firn_program **out, struct firn_error *err);
void firn_program_destroy(struct firn_device *d, struct firn_program **p);
firn_status firn_program_run(struct firn_device *d, struct firn_program *const *programs,
                             int n_programs, struct firn_error *err);

/* cpu/cpu.c */
firn_status firn_cpu_open(struct firn_device **out, bool exact, int n_threads,
                          struct firn_error *err);
/* vulkan/vulkan.c; index in the loader's order, or a part of the name when index < 0. Both exist in a
 * build without Vulkan too and then say so. */
firn_status firn_vulkan_open(struct firn_device **out, int index, const char *name,
                             const struct firn_device_params *params, struct firn_error *err);
firn_status firn_vulkan_list(struct firn_device_info **list, int *count, struct firn_error *err);

#endif
