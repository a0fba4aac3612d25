/* SPDX-License-Identifier: Apache-2.0 */
/* From a shader's name and defines to SPIR-V. compile.c asks libshaderc; prebuilt.c looks up what the
 * build compiled. One of them is in a build. */
#ifndef FIRN_DEVICE_VULKAN_COMPILE_H
#define FIRN_DEVICE_VULKAN_COMPILE_H

#include "device/vulkan/cache.h"
#include "firn/status.h"

struct firn_vk_source {
    const char *shader;
    const char *defines; /* NULL: none */
    uint32_t needs;      /* capability bits; cooperative matrices ask for a newer SPIR-V */
};

struct firn_vk_spirv {
    uint32_t *words; /* free() */
    size_t size;     /* bytes */
    bool is_cached;
};

firn_status firn_vk_compile(const struct firn_vk_cache *cache, const struct firn_vk_source *source,
                            struct firn_vk_spirv *spirv, struct firn_error *err);
/* "libshaderc 2023.2", or how else shaders come in this build. */
const char *firn_vk_compiler(void);

#endif
