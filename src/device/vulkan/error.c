/* SPDX-License-Identifier: Apache-2.0 */
/* Names of Vulkan results, and what kind of error each one is. */
#include "device/vulkan/error.h"

#include <string.h>

const char *firn_vk_result_name(VkResult result)
{
    switch (result) {
#define CASE(name)                                                                                \
    case name:                                                                                    \
        return #name
        CASE(VK_SUCCESS);
        CASE(VK_NOT_READY);
        CASE(VK_TIMEOUT);
        CASE(VK_INCOMPLETE);
        CASE(VK_ERROR_OUT_OF_HOST_MEMORY);
        CASE(VK_ERROR_OUT_OF_DEVICE_MEMORY);
        CASE(VK_ERROR_INITIALIZATION_FAILED);
        CASE(VK_ERROR_DEVICE_LOST);
        CASE(VK_ERROR_MEMORY_MAP_FAILED);
        CASE(VK_ERROR_LAYER_NOT_PRESENT);
        CASE(VK_ERROR_EXTENSION_NOT_PRESENT);
        CASE(VK_ERROR_FEATURE_NOT_PRESENT);
        CASE(VK_ERROR_INCOMPATIBLE_DRIVER);
        CASE(VK_ERROR_TOO_MANY_OBJECTS);
        CASE(VK_ERROR_FORMAT_NOT_SUPPORTED);
        CASE(VK_ERROR_FRAGMENTED_POOL);
        CASE(VK_ERROR_OUT_OF_POOL_MEMORY);
        CASE(VK_ERROR_INVALID_EXTERNAL_HANDLE);
        CASE(VK_ERROR_FRAGMENTATION);
        CASE(VK_ERROR_UNKNOWN);
#undef CASE
    default:
        return NULL;
    }
}

static firn_status kind(VkResult result)
{
    switch (result) {
    case VK_ERROR_OUT_OF_HOST_MEMORY:
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
    case VK_ERROR_OUT_OF_POOL_MEMORY:
    case VK_ERROR_FRAGMENTED_POOL:
    case VK_ERROR_FRAGMENTATION:
    case VK_ERROR_TOO_MANY_OBJECTS:
        return FIRN_ERR_MEMORY;
    case VK_ERROR_INCOMPATIBLE_DRIVER:
    case VK_ERROR_EXTENSION_NOT_PRESENT:
    case VK_ERROR_FEATURE_NOT_PRESENT:
    case VK_ERROR_LAYER_NOT_PRESENT:
        return FIRN_ERR_UNSUPPORTED;
    default:
        return FIRN_ERR_DEVICE;
    }
}

firn_status firn_vk_check(VkResult result, const char *call, struct firn_error *err)
{
    if (result >= 0)
        return FIRN_OK;
    /* "d->vk.vkCreateBuffer(...)" reads better without the table's name */
    const char *from = strstr(call, "vk.vk");
    const char *name = firn_vk_result_name(result);
    return firn_fail(err, kind(result), .key = from != NULL ? from + 3 : call,
                     .what = name != NULL ? name : FIRN_STR("VkResult %d", (int) result));
}
