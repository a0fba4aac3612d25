/* SPDX-License-Identifier: Apache-2.0 */
/* Asks for the shapes of cooperative matrices. Headers older than 1.3.255 do not know the extension:
 * then no device has it. */
#include "device/vulkan/coopmat.h"

#include <stdlib.h>

#ifdef VK_KHR_cooperative_matrix

/* f16 x f16 -> f32 of a subgroup, in sizes that tiles of 64 x 64 x 32 are made of. */
static bool fits(const VkCooperativeMatrixPropertiesKHR *p)
{
    return (p->MSize == 8 || p->MSize == 16) && (p->NSize == 8 || p->NSize == 16) &&
           (p->KSize == 8 || p->KSize == 16 || p->KSize == 32) && p->AType == VK_COMPONENT_TYPE_FLOAT16_KHR &&
           p->BType == VK_COMPONENT_TYPE_FLOAT16_KHR && p->CType == VK_COMPONENT_TYPE_FLOAT32_KHR &&
           p->ResultType == VK_COMPONENT_TYPE_FLOAT32_KHR && p->scope == VK_SCOPE_SUBGROUP_KHR;
}

bool firn_vk_coopmat_find(struct firn_vk_caps *c)
{
    VkPhysicalDeviceCooperativeMatrixFeaturesKHR matrix = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR
    };
    VkPhysicalDeviceVulkanMemoryModelFeatures model = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES, .pNext = &matrix
    };
    VkPhysicalDeviceFeatures2 features = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
                                           .pNext = &model };
    if (c->api < VK_API_VERSION_1_3 || vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR == NULL)
        return false;
    vkGetPhysicalDeviceFeatures2(c->physical, &features);
    uint32_t n = 0;
    if (!matrix.cooperativeMatrix || !model.vulkanMemoryModel ||
        vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR(c->physical, &n, NULL) < 0 || n == 0)
        return false;
    VkCooperativeMatrixPropertiesKHR *list = calloc(n, sizeof *list);
    if (list == NULL)
        return false;
    for (uint32_t i = 0; i < n; i++)
        list[i].sType = VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR;
    bool found = false;
    if (vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR(c->physical, &n, list) >= 0)
        for (uint32_t i = 0; i < n; i++) { /* the largest: fewest instructions */
            struct firn_limits *l = &c->limits;
            if (!fits(&list[i]) || list[i].MSize * list[i].NSize * list[i].KSize <= l->coop_m * l->coop_n * l->coop_k)
                continue;
            l->coop_m = list[i].MSize;
            l->coop_n = list[i].NSize;
            l->coop_k = list[i].KSize;
            found = true;
        }
    free(list);
    return found;
}

#else

bool firn_vk_coopmat_find(struct firn_vk_caps *c)
{
    (void) c;
    return false;
}

#endif
