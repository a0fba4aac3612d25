/* SPDX-License-Identifier: Apache-2.0 */
/* Compiles embedded GLSL with libshaderc when a kernel is first needed, and keeps SPIR-V on disk. */
#include "device/vulkan/compile.h"

#include "base/caps.h"
#include "device/vulkan/shaders.h"

#include <shaderc/shaderc.h>
#include <stdlib.h>
#include <string.h>

#ifndef FIRN_SHADERC_VERSION
#define FIRN_SHADERC_VERSION "unknown"
#endif
/* The optimiser roughly halves the instructions that the driver has to read. */
#define OPTIMIZATION shaderc_optimization_level_performance

const char *firn_vk_compiler(void)
{
    return "libshaderc " FIRN_SHADERC_VERSION;
}

static const struct firn_shader_file *find(const char *name, const char *ending)
{
    const size_t n = strlen(name);
    for (const struct firn_shader_file *f = firn_shader_files; f->name != NULL; f++)
        if (strncmp(f->name, name, n) == 0 && strcmp(f->name + n, ending) == 0)
            return f;
    return NULL;
}

static bool needs_new_target(const struct firn_vk_source *source)
{
    return source->needs & (FIRN_CAP_COOPMAT | FIRN_CAP_BF16);
}

/* Everything that the SPIR-V depends on. All includes count: there are few and they are small. */
static struct firn_vk_key key_of(const struct firn_vk_source *source,
                                 const struct firn_shader_file *file)
{
    struct firn_vk_key key = firn_vk_key_start("spirv 1 performance");
    const uint32_t target = needs_new_target(source) ? 13 : 11;
    firn_vk_key_add(&key, firn_vk_compiler(), strlen(firn_vk_compiler()));
    unsigned version = 0, revision = 0;
    shaderc_get_spv_version(&version, &revision);
    firn_vk_key_add(&key, &version, sizeof version);
    firn_vk_key_add(&key, &revision, sizeof revision);
    firn_vk_key_add(&key, &target, sizeof target);
    firn_vk_key_add(&key, file->name, strlen(file->name));
    firn_vk_key_add(&key, file->text, file->size);
    if (source->defines != NULL)
        firn_vk_key_add(&key, source->defines, strlen(source->defines));
    for (const struct firn_shader_file *f = firn_shader_files; f->name != NULL; f++)
        if (strstr(f->name, ".glsl") != NULL)
            firn_vk_key_add(&key, f->text, f->size);
    return key;
}

static shaderc_include_result *include_open(void *user, const char *name, int type,
                                            const char *from, size_t depth)
{
    (void) user;
    (void) type;
    (void) from;
    (void) depth;
    static const char missing[] = "no such file in shaders/include";
    shaderc_include_result *result = calloc(1, sizeof *result);
    if (result == NULL)
        return NULL;
    const struct firn_shader_file *file = find(name, "");
    if (file != NULL) {
        result->source_name = file->name;
        result->source_name_length = strlen(file->name);
        result->content = file->text;
        result->content_length = file->size;
    } else { /* an empty name tells shaderc that content is an error text */
        result->source_name = "";
        result->content = missing;
        result->content_length = sizeof missing - 1;
    }
    return result;
}

static void include_close(void *user, shaderc_include_result *result)
{
    (void) user;
    free(result);
}

/* "A=1 B" -> two macros */
static void add_defines(shaderc_compile_options_t options, const char *text)
{
    while (text != NULL && *text != '\0') {
        const size_t n = strcspn(text, " "), name = strcspn(text, "= ");
        if (n > 0)
            shaderc_compile_options_add_macro_definition(options, text, name,
                                                         name < n ? text + name + 1 : NULL,
                                                         name < n ? n - name - 1 : 0);
        text += n + (text[n] != '\0');
    }
}

static firn_status run(const struct firn_vk_source *source, const struct firn_shader_file *file,
                       struct firn_vk_spirv *spirv, struct firn_error *err)
{
    firn_status s = FIRN_OK;
    shaderc_compilation_result_t result = NULL;
    shaderc_compiler_t compiler = shaderc_compiler_initialize();
    shaderc_compile_options_t options = shaderc_compile_options_initialize();
    if (compiler == NULL || options == NULL) {
        s = firn_fail(err, FIRN_ERR_MEMORY, .what = "libshaderc does not start");
        goto done;
    }
    const bool newer = needs_new_target(source);
    shaderc_compile_options_set_target_env(options, shaderc_target_env_vulkan,
                                           newer ? shaderc_env_version_vulkan_1_3
                                                 : shaderc_env_version_vulkan_1_1);
    shaderc_compile_options_set_optimization_level(options, OPTIMIZATION);
    shaderc_compile_options_set_include_callbacks(options, include_open, include_close, NULL);
    add_defines(options, source->defines);
    result = shaderc_compile_into_spv(compiler, file->text, file->size,
                                      shaderc_glsl_compute_shader, file->name, "main", options);
    if (shaderc_result_get_compilation_status(result) != shaderc_compilation_status_success) {
        const char *why = result != NULL ? shaderc_result_get_error_message(result) : "no result";
        s = firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = file->name, .key = source->defines,
                      .what = FIRN_STR("%s does not compile it: %s", firn_vk_compiler(), why));
        goto done;
    }
    const size_t size = shaderc_result_get_length(result);
    spirv->words = malloc(size);
    if (spirv->words == NULL) {
        s = firn_fail(err, FIRN_ERR_MEMORY, .what = "no memory for SPIR-V");
        goto done;
    }
    memcpy(spirv->words, shaderc_result_get_bytes(result), size);
    spirv->size = size;
done:
    if (result != NULL)
        shaderc_result_release(result);
    if (options != NULL)
        shaderc_compile_options_release(options);
    if (compiler != NULL)
        shaderc_compiler_release(compiler);
    return s;
}

firn_status firn_vk_compile(const struct firn_vk_cache *cache, const struct firn_vk_source *source,
                            struct firn_vk_spirv *spirv, struct firn_error *err)
{
    *spirv = (struct firn_vk_spirv){ 0 };
    const struct firn_shader_file *file = find(source->shader, ".comp");
    if (file == NULL)
        return firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = FIRN_STR("%s.comp", source->shader),
                         .what = "no such shader in this build");
    const struct firn_vk_key key = key_of(source, file);
    spirv->words = firn_vk_cache_load(cache, "spirv", &key, &spirv->size);
    if (spirv->words != NULL) {
        spirv->is_cached = true;
        return FIRN_OK;
    }
    const firn_status s = run(source, file, spirv, err);
    if (s == FIRN_OK)
        firn_vk_cache_store(cache, "spirv", &key, spirv->words, spirv->size);
    return s;
}
