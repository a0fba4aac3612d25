/* SPDX-License-Identifier: Apache-2.0 */
/* A build without Vulkan: no device is listed, and opening one says why. */
#include "device/vulkan/vulkan.h"

firn_status firn_vulkan_open(struct firn_device **out, int index, const char *name,
                             const struct firn_device_params *params, struct firn_error *err)
{
    (void) index;
    (void) name;
    (void) params;
    *out = NULL;
    return firn_fail(err, FIRN_ERR_UNSUPPORTED, .what = "this build has no Vulkan");
}

firn_status firn_vulkan_list(struct firn_device_info **list, int *count, struct firn_error *err)
{
    (void) err;
    *list = NULL;
    *count = 0;
    return FIRN_OK;
}

uint64_t firn_vulkan_messages(const struct firn_device *d)
{
    (void) d;
    return 0;
}

void firn_vulkan_forget_barriers(struct firn_device *d)
{
    (void) d;
}

void firn_vulkan_stats(const struct firn_device *d, struct firn_vulkan_stats *stats)
{
    (void) d;
    *stats = (struct firn_vulkan_stats){ 0 };
}

firn_status firn_vulkan_inspect(struct firn_device *d, const struct firn_kernel *kernel, const struct firn_dispatch *dispatch,
                                int n_bindings, struct firn_vulkan_code *code, struct firn_error *err)
{
    (void) d;
    (void) kernel;
    (void) dispatch;
    (void) n_bindings;
    *code = (struct firn_vulkan_code){ 0 };
    return firn_fail(err, FIRN_ERR_UNSUPPORTED, .what = "this build has no Vulkan");
}
