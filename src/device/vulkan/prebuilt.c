/* SPDX-License-Identifier: Apache-2.0 */
/* SPIR-V that the build compiled with glslc, for builds without libshaderc. */
#include "device/vulkan/compile.h"
#include "device/vulkan/shaders.h"

#include <stdlib.h>
#include <string.h>

const char *firn_vk_compiler(void)
{
    return "glslc at build time";
}

firn_status firn_vk_compile(const struct firn_vk_cache *cache, const struct firn_vk_source *source,
                            struct firn_vk_spirv *spirv, struct firn_error *err)
{
    (void) cache;
    *spirv = (struct firn_vk_spirv){ .is_cached = true };
    const char *defines = source->defines != NULL ? source->defines : "";
    for (const struct firn_shader_binary *b = firn_shader_binaries; b->shader != NULL; b++) {
        if (strcmp(b->shader, source->shader) != 0 || strcmp(b->defines, defines) != 0)
            continue;
        spirv->words = malloc(b->size);
        if (spirv->words == NULL)
            return firn_fail(err, FIRN_ERR_MEMORY, .what = "no memory for SPIR-V");
        memcpy(spirv->words, b->words, b->size);
        spirv->size = b->size;
        return FIRN_OK;
    }
    return firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = FIRN_STR("%s.comp", source->shader),
                     .key = source->defines,
                     .what = "the glslc that built this firn did not compile it");
}
