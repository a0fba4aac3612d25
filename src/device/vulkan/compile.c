/* SPDX-License-Identifier: Apache-2.0 */
/* GLSL to SPIR-V by libshaderc, from the sources that are embedded in the library; results stay in the cache. */
#include "device/vulkan/device.h"

#include "base/hash.h"
#include "base/str.h"

#include <shaderc/shaderc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct include {
    shaderc_include_result result;
};

static shaderc_include_result *resolve(void *user, const char *name, int type, const char *from, size_t depth)
{
    (void) user;
    (void) type;
    (void) from;
    (void) depth;
    const char *text = firn_vk_source(name);
    struct include *i = calloc(1, sizeof *i);
    if (i == NULL)
        return NULL;
    i->result = (shaderc_include_result){ .source_name = text != NULL ? name : "",
                                          .source_name_length = text != NULL ? strlen(name) : 0,
                                          .content = text != NULL ? text : "no such embedded file",
                                          .content_length = strlen(text != NULL ? text : "no such embedded file") };
    return &i->result;
}

static void release(void *user, shaderc_include_result *result)
{
    (void) user;
    free(result);
}

const char *firn_vk_compiler(void)
{
    static char text[64];
    unsigned version = 0, revision = 0;
    shaderc_get_spv_version(&version, &revision);
    snprintf(text, sizeof text, "shaderc spv %u.%u", version, revision);
    return text;
}

static shaderc_compile_options_t options_for(const char *defines)
{
    shaderc_compile_options_t o = shaderc_compile_options_initialize();
    if (o == NULL)
        return NULL;
    shaderc_compile_options_set_target_env(o, shaderc_target_env_vulkan, shaderc_env_version_vulkan_1_1);
    shaderc_compile_options_set_optimization_level(o, shaderc_optimization_level_performance);
    shaderc_compile_options_set_include_callbacks(o, resolve, release, NULL);
    while (defines != NULL && *defines != '\0') {
        const size_t n = strcspn(defines, " "), key = strcspn(defines, "=");
        if (key < n)
            shaderc_compile_options_add_macro_definition(o, defines, key, defines + key + 1, n - key - 1);
        defines += n + (defines[n] == ' ');
    }
    return o;
}

static firn_status run_compiler(const char *shader, const char *defines, const char *text, uint32_t **words,
                                size_t *size, struct firn_error *err)
{
    shaderc_compiler_t compiler = shaderc_compiler_initialize();
    shaderc_compile_options_t options = options_for(defines);
    shaderc_compilation_result_t result = NULL;
    firn_status status = FIRN_OK;
    if (compiler != NULL && options != NULL)
        result = shaderc_compile_into_spv(compiler, text, strlen(text), shaderc_compute_shader, shader, "main", options);
    if (result == NULL) {
        status = firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for the shader compiler");
    } else if (shaderc_result_get_compilation_status(result) != shaderc_compilation_status_success) {
        status = firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = FIRN_STR("shaders/%s.comp", shader),
                           .key = defines != NULL ? defines : "", .what = shaderc_result_get_error_message(result));
    } else {
        *size = shaderc_result_get_length(result);
        *words = malloc(*size);
        if (*words != NULL)
            memcpy(*words, shaderc_result_get_bytes(result), *size);
        else
            status = firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a shader");
    }
    shaderc_result_release(result);
    shaderc_compile_options_release(options);
    shaderc_compiler_release(compiler);
    return status;
}

/* The key covers the file, everything it includes, the defines and the compiler. */
static uint64_t key_of(const char *text, const char *defines)
{
    uint64_t key = firn_fnv1a(FIRN_FNV_START, text, strlen(text));
    for (const char *at = strstr(text, "#include \""); at != NULL; at = strstr(at + 1, "#include \"")) {
        char name[64] = "";
        sscanf(at, "#include \"%63[^\"]\"", name);
        const char *included = firn_vk_source(name);
        if (included != NULL)
            key = firn_fnv1a(key, included, strlen(included));
    }
    if (defines != NULL)
        key = firn_fnv1a(key, defines, strlen(defines));
    return firn_fnv1a(key, firn_vk_compiler(), strlen(firn_vk_compiler()));
}

firn_status firn_vk_compile(const char *shader, const char *defines, uint32_t **words, size_t *size,
                            struct firn_error *err)
{
    char file[64], name[80], *cached = NULL;
    snprintf(file, sizeof file, "%s.comp", shader);
    const char *text = firn_vk_source(file);
    *words = NULL;
    if (text == NULL)
        return firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = file, .what = "is not embedded in this build");
    snprintf(name, sizeof name, "%016llx.spv", (unsigned long long) key_of(text, defines));
    if (firn_vk_cache_read(name, &cached, size) && *size % 4 == 0) {
        *words = (uint32_t *) cached;
        return FIRN_OK;
    }
    free(cached);
    const firn_status status = run_compiler(shader, defines, text, words, size, err);
    if (status == FIRN_OK)
        firn_vk_cache_write(name, *words, *size);
    return status;
}
