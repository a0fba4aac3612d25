/* SPDX-License-Identifier: Apache-2.0 */
/* Loads Vulkan, creates an instance, and turns on the validation layers and their messages. */
#include "device/vulkan/instance.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define VALIDATION "VK_LAYER_KHRONOS_validation"

static VKAPI_ATTR VkBool32 VKAPI_CALL on_message(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
                                                 VkDebugUtilsMessageTypeFlagsEXT type,
                                                 const VkDebugUtilsMessengerCallbackDataEXT *data,
                                                 void *user)
{
    (void) type;
    struct firn_vk_instance *in = user;
    atomic_fetch_add(&in->messages, 1);
    firn_log_line(&in->log,
                  severity & VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT ? FIRN_LOG_ERROR
                                                                           : FIRN_LOG_WARN,
                  "vulkan validation: %s", data->pMessage);
    return VK_FALSE;
}

static const VkDebugUtilsMessengerCreateInfoEXT messenger_info = {
    .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
    .messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT |
                       VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT,
    .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT |
                   VK_DEBUG_UTILS_MESSAGE_TYPE_PERFORMANCE_BIT_EXT,
    .pfnUserCallback = on_message,
};

/* volk keeps the loader's entry points in globals. They are the same for every instance, and written under
 * this lock; device functions are in each device's own table. */
static pthread_mutex_t volk_lock = PTHREAD_MUTEX_INITIALIZER;

static firn_status load(struct firn_error *err)
{
    pthread_mutex_lock(&volk_lock);
    const VkResult r = volkInitialize();
    pthread_mutex_unlock(&volk_lock);
    if (r != VK_SUCCESS)
        return firn_fail(err, FIRN_ERR_UNSUPPORTED,
                         .what = "no Vulkan loader (libvulkan.so.1) on this machine");
    return FIRN_OK;
}

static bool has_extension(const char *layer, const char *name)
{
    uint32_t n = 0;
    if (vkEnumerateInstanceExtensionProperties(layer, &n, NULL) < 0 || n == 0)
        return false;
    VkExtensionProperties *list = calloc(n, sizeof *list);
    bool found = false;
    if (list != NULL && vkEnumerateInstanceExtensionProperties(layer, &n, list) >= 0)
        for (uint32_t i = 0; i < n && !found; i++)
            found = strcmp(list[i].extensionName, name) == 0;
    free(list);
    return found;
}

static bool has_layer(const char *name)
{
    uint32_t n = 0;
    if (vkEnumerateInstanceLayerProperties(&n, NULL) < 0 || n == 0)
        return false;
    VkLayerProperties *list = calloc(n, sizeof *list);
    bool found = false;
    if (list != NULL && vkEnumerateInstanceLayerProperties(&n, list) >= 0)
        for (uint32_t i = 0; i < n && !found; i++)
            found = strcmp(list[i].layerName, name) == 0;
    free(list);
    return found;
}

static firn_status create(struct firn_vk_instance *in, bool validation, struct firn_error *err)
{
    uint32_t api = VK_API_VERSION_1_0;
    if (vkEnumerateInstanceVersion != NULL)
        vkEnumerateInstanceVersion(&api);
    if (api < VK_API_VERSION_1_1)
        return firn_fail(err, FIRN_ERR_UNSUPPORTED, .key = "Vulkan loader", .expected = "1.1 or newer",
                         .got = "1.0");
    in->api = api < VK_API_VERSION_1_3 ? VK_MAKE_API_VERSION(0, 1, VK_API_VERSION_MINOR(api), 0)
                                       : VK_API_VERSION_1_3;
    if (validation && !has_layer(VALIDATION))
        return firn_fail(err, FIRN_ERR_UNSUPPORTED, .key = VALIDATION,
                         .what = "the validation layers are not installed");

    const char *extensions[3];
    uint32_t n_extensions = 0;
    VkInstanceCreateFlags flags = 0;
#ifdef VK_KHR_portability_enumeration
    if (has_extension(NULL, VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME)) {
        extensions[n_extensions++] = VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME;
        flags |= VK_INSTANCE_CREATE_ENUMERATE_PORTABILITY_BIT_KHR;
    }
#endif
    if (validation) {
        extensions[n_extensions++] = VK_EXT_DEBUG_UTILS_EXTENSION_NAME;
        if (has_extension(VALIDATION, VK_EXT_VALIDATION_FEATURES_EXTENSION_NAME))
            extensions[n_extensions++] = VK_EXT_VALIDATION_FEATURES_EXTENSION_NAME;
    }
    const VkValidationFeatureEnableEXT enable =
        VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT;
    VkDebugUtilsMessengerCreateInfoEXT messenger = messenger_info;
    messenger.pUserData = in;
    const VkValidationFeaturesEXT features = {
        .sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT,
        .pNext = &messenger,
        .enabledValidationFeatureCount = 1,
        .pEnabledValidationFeatures = &enable,
    };
    const char *layer = VALIDATION;
    const VkApplicationInfo app = {
        .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
        .pApplicationName = "firn",
        .pEngineName = "firn",
        .apiVersion = in->api,
    };
    const VkInstanceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
        .pNext = validation ? &features : NULL,
        .flags = flags,
        .pApplicationInfo = &app,
        .enabledLayerCount = validation ? 1 : 0,
        .ppEnabledLayerNames = &layer,
        .enabledExtensionCount = n_extensions,
        .ppEnabledExtensionNames = extensions,
    };
    const VkResult result = vkCreateInstance(&info, NULL, &in->handle);
    if (result == VK_ERROR_INCOMPATIBLE_DRIVER)
        return firn_fail(err, FIRN_ERR_UNSUPPORTED, .what = "no Vulkan driver on this machine; use --device cpu");
    return firn_vk_check(result, "vkCreateInstance", err);
}

static firn_status listen(struct firn_vk_instance *in, struct firn_error *err)
{
    const PFN_vkCreateDebugUtilsMessengerEXT create_messenger =
        (PFN_vkCreateDebugUtilsMessengerEXT) vkGetInstanceProcAddr(
            in->handle, "vkCreateDebugUtilsMessengerEXT");
    if (create_messenger == NULL)
        return firn_fail(err, FIRN_ERR_UNSUPPORTED, .key = VK_EXT_DEBUG_UTILS_EXTENSION_NAME,
                         .what = "missing, needed for validation");
    VkDebugUtilsMessengerCreateInfoEXT info = messenger_info;
    info.pUserData = in;
    return FIRN_VK(create_messenger(in->handle, &info, NULL, &in->messenger), err);
}

firn_status firn_vk_instance_open(struct firn_vk_instance *in, bool validation,
                                  const struct firn_log *log, struct firn_error *err)
{
    *in = (struct firn_vk_instance){ .handle = VK_NULL_HANDLE };
    if (log != NULL)
        in->log = *log;
    firn_status s = load(err);
    if (s == FIRN_OK)
        s = create(in, validation, err);
    if (s != FIRN_OK)
        return s;
    pthread_mutex_lock(&volk_lock);
    volkLoadInstanceOnly(in->handle);
    pthread_mutex_unlock(&volk_lock);
    if (validation)
        s = listen(in, err);
    if (s != FIRN_OK)
        firn_vk_instance_close(in);
    return s;
}

void firn_vk_instance_close(struct firn_vk_instance *in)
{
    if (in->handle == VK_NULL_HANDLE)
        return;
    if (in->messenger != VK_NULL_HANDLE) {
        const PFN_vkDestroyDebugUtilsMessengerEXT destroy =
            (PFN_vkDestroyDebugUtilsMessengerEXT) vkGetInstanceProcAddr(
                in->handle, "vkDestroyDebugUtilsMessengerEXT");
        if (destroy != NULL)
            destroy(in->handle, in->messenger, NULL);
    }
    vkDestroyInstance(in->handle, NULL);
    in->handle = VK_NULL_HANDLE;
}
