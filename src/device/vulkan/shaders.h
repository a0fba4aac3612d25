/* SPDX-License-Identifier: Apache-2.0 */
/* The shader files that the build embedded: shaders/NAME.comp as "NAME.comp", shaders/include/NAME.glsl as
 * "NAME.glsl". And the SPIR-V that it compiled, in a build that does so. */
#ifndef FIRN_DEVICE_VULKAN_SHADERS_H
#define FIRN_DEVICE_VULKAN_SHADERS_H

#include <stddef.h>
#include <stdint.h>

struct firn_shader_file {
    const char *name;
    const char *text; /* not ended by a NUL */
    size_t size;
};
extern const struct firn_shader_file firn_shader_files[]; /* sorted; ends with name == NULL */

struct firn_shader_binary {
    const char *shader;
    const char *defines; /* "" for none */
    const uint32_t *words;
    size_t size; /* bytes */
};
extern const struct firn_shader_binary firn_shader_binaries[]; /* ends with shader == NULL */

#endif
