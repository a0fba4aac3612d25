/* SPDX-License-Identifier: Apache-2.0 */
/* Walks over the operation records: every kernel that a device can run against the reference, and
 * every backward rule against finite differences in double. */
#ifndef FIRN_PLAN_CONFORM_H
#define FIRN_PLAN_CONFORM_H

#include "device/vulkan/vulkan.h"
#include "firn/ops.h"
#include "plan/difference.h"

enum firn_verdict { FIRN_PASS, FIRN_FAILED, FIRN_SKIPPED };

/* One comparison. The texts live until the callback returns. */
struct firn_conform_result {
    const char *op, *kernel; /* kernel: a shader variant, "cpu", "gradient" */
    int case_index;
    char shapes[256];
    enum firn_verdict verdict;
    char reason[200];       /* of a skip, or of an error that is not a difference */
    struct firn_difference most; /* its `what` may be "d input 1" */
};

struct firn_conform_params {
    const char *filter;     /* NULL: all; else a part of the op's or the kernel's name */
    uint64_t seed;
    void (*result)(void *user, const struct firn_conform_result *result);
    void *user;
};

struct firn_conform_counts {
    int passed, failed, skipped;
};

/* Every kernel (shader devices) or the fast function (`cpu`) of every op, on every case. */
firn_status firn_conform_kernels(struct firn_device *device,
                                 const struct firn_conform_params *params,
                                 struct firn_conform_counts *counts, struct firn_error *err);
/* Every op with a backward rule, on the host in double. */
firn_status firn_conform_gradients(const struct firn_conform_params *params,
                                   struct firn_conform_counts *counts, struct firn_error *err);

/* One kernel compiled with one set of constants. The texts live until the callback returns. */
struct firn_pipeline_result {
    const char *op;
    const struct firn_kernel *kernel; /* a `then` too */
    const struct firn_dispatch *dispatch;
    char shapes[256];
    char reason[200]; /* why it could not be compiled; empty: it was */
    const struct firn_vulkan_code *code;
};
/* Compiles every kernel that the device can run, once for each set of constants that the cases ask for, and runs none. */
firn_status firn_conform_pipelines(struct firn_device *device, const char *filter,
                                   void (*result)(void *user, const struct firn_pipeline_result *result), void *user,
                                   struct firn_error *err);

/* Shared by both: settles the verdict of a result that is no skip, counts it and hands it out. */
void firn_conform_report(const struct firn_conform_params *params, struct firn_conform_counts *counts,
                         struct firn_conform_result *result);

/* A case's call with host memory, filled from the seed. */
struct firn_trial {
    const struct firn_op *op;
    struct firn_call call;      /* data owned by the trial */
    bool is_valid;              /* the shape rule accepted it */
    char reason[200];
};
firn_status firn_trial_create(struct firn_trial *t, const struct firn_op *op, int case_index,
                              enum firn_dtype floats, uint64_t seed, struct firn_error *err);
void firn_trial_free(struct firn_trial *t);
void firn_trial_shapes(const struct firn_trial *t, char *text, size_t size);

#endif
