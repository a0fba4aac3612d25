/* SPDX-License-Identifier: Apache-2.0 */
/* Lists the devices and chooses one by number or by a part of its name. */
#include "device/vulkan/pick.h"

#include "base/str.h"
#include "device/vulkan/mask.h"
#include "device/vulkan/state.h"

#include <stdlib.h>
#include <string.h>

firn_status firn_vk_physical_list(const struct firn_vk_instance *in, VkPhysicalDevice **list,
                                  uint32_t *count, struct firn_error *err)
{
    *list = NULL;
    *count = 0;
    uint32_t n = 0;
    const VkResult first = vkEnumeratePhysicalDevices(in->handle, &n, NULL);
    if (first == VK_ERROR_INITIALIZATION_FAILED) /* loaders say so when no driver loads */
        return FIRN_OK;
    firn_status s = firn_vk_check(first, "vkEnumeratePhysicalDevices", err);
    if (s != FIRN_OK || n == 0)
        return s;
    VkPhysicalDevice *devices = calloc(n, sizeof(VkPhysicalDevice));
    if (devices == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "no memory for the list of devices");
    s = FIRN_VK(vkEnumeratePhysicalDevices(in->handle, &n, devices), err);
    if (s != FIRN_OK) {
        free(devices);
        return s;
    }
    *list = devices;
    *count = n;
    return FIRN_OK;
}

static void add_name(struct firn_str *names, uint32_t i, VkPhysicalDevice physical)
{
    VkPhysicalDeviceProperties props;
    vkGetPhysicalDeviceProperties(physical, &props);
    firn_str_addf(names, "%svulkan:%u %s", i > 0 ? ", " : "", i, props.deviceName);
}

firn_status firn_vk_pick(const struct firn_vk_instance *in, int index, const char *name,
                         struct firn_vk_caps *caps, int *picked, struct firn_error *err)
{
    VkPhysicalDevice *list;
    uint32_t n;
    firn_status s = firn_vk_physical_list(in, &list, &n, err);
    if (s != FIRN_OK)
        return s;
    int found = index >= 0 && (uint32_t) index < n ? index : -1;
    struct firn_str names = { 0 };
    for (uint32_t i = 0; i < n; i++) {
        VkPhysicalDeviceProperties props;
        vkGetPhysicalDeviceProperties(list[i], &props);
        if (index < 0 && found < 0 && name != NULL && strcasestr(props.deviceName, name) != NULL)
            found = (int) i;
        add_name(&names, i, list[i]);
    }
    if (found >= 0)
        s = firn_vk_caps_read(in, list[found], caps, err);
    else if (n == 0)
        s = firn_fail(err, FIRN_ERR_UNSUPPORTED, .what = "no Vulkan driver on this machine");
    else
        s = firn_fail(err, FIRN_ERR_USAGE,
                      .key = index >= 0 ? FIRN_STR("vulkan:%d", index)
                                        : FIRN_STR("vulkan:%s", name != NULL ? name : ""),
                      .what = "no such device",
                      .expected = names.data != NULL ? names.data : "one that is there");
    if (s == FIRN_OK && caps->unusable[0] != '\0')
        s = firn_fail(err, FIRN_ERR_UNSUPPORTED, .key = caps->props.deviceName,
                      .what = caps->unusable);
    *picked = found;
    firn_str_free(&names);
    free(list);
    return s;
}

static firn_status describe(const struct firn_vk_instance *in, VkPhysicalDevice physical, int index,
                            struct firn_device_info *info, struct firn_error *err)
{
    struct firn_vk_caps caps;
    firn_status s = firn_vk_caps_read(in, physical, &caps, err);
    if (s == FIRN_OK)
        s = firn_vk_mask(getenv("FIRN_CAPS"), &caps.limits, &caps.is_unified, err);
    if (s != FIRN_OK)
        return s;
    /* opening the device would test it; the list only knows what an earlier opening has found */
    struct firn_vk_cache cache;
    bool works = true;
    firn_vk_cache_open(&cache);
    if (firn_vk_probe_known(&cache, &caps, &caps.limits, &works) && !works)
        caps.limits.caps &= ~FIRN_VK_SUBGROUP_CAPS;
    firn_vk_cache_close(&cache);
    firn_vk_caps_classify(&caps.limits);
    firn_vk_caps_info(&caps, index, info);
    return FIRN_OK;
}

firn_status firn_vulkan_list(struct firn_device_info **list, int *count, struct firn_error *err)
{
    *list = NULL;
    *count = 0;
    struct firn_vk_instance in;
    struct firn_error why = { 0 };
    firn_status s = firn_vk_instance_open(&in, false, NULL, &why);
    if (s == FIRN_ERR_MEMORY)
        return firn_fail(err, s, .what = why.text);
    if (s != FIRN_OK) /* no loader, or no driver at all: nothing to list */
        return FIRN_OK;
    VkPhysicalDevice *devices = NULL;
    struct firn_device_info *infos = NULL;
    uint32_t n = 0;
    s = firn_vk_physical_list(&in, &devices, &n, err);
    if (s != FIRN_OK || n == 0)
        goto done;
    infos = calloc(n, sizeof *infos);
    if (infos == NULL) {
        s = firn_fail(err, FIRN_ERR_MEMORY, .what = "no memory for the list of devices");
        goto done;
    }
    for (uint32_t i = 0; i < n && s == FIRN_OK; i++)
        s = describe(&in, devices[i], (int) i, &infos[i], err);
    if (s == FIRN_OK) {
        *list = infos;
        *count = (int) n;
        infos = NULL;
    }
done:
    free(infos);
    free(devices);
    firn_vk_instance_close(&in);
    return s;
}
