/* SPDX-License-Identifier: Apache-2.0 */
/* A tool of the build: exits 0 when libshaderc really compiles a shader. */
#include <shaderc/shaderc.h>
#include <string.h>

static const char text[] = "#version 450\n"
                           "layout(local_size_x = 8) in;\n"
                           "layout(binding = 0) buffer B { float x[]; };\n"
                           "void main() { x[gl_GlobalInvocationID.x] *= 2.0; }\n";

int main(void)
{
    shaderc_compiler_t compiler = shaderc_compiler_initialize();
    shaderc_compile_options_t options = shaderc_compile_options_initialize();
    if (compiler == NULL || options == NULL)
        return 1;
    shaderc_compile_options_set_target_env(options, shaderc_target_env_vulkan,
                                           shaderc_env_version_vulkan_1_1);
    shaderc_compile_options_set_optimization_level(options,
                                                   shaderc_optimization_level_performance);
    shaderc_compilation_result_t result = shaderc_compile_into_spv(
        compiler, text, strlen(text), shaderc_glsl_compute_shader, "test", "main", options);
    return shaderc_result_get_compilation_status(result) != shaderc_compilation_status_success ||
           shaderc_result_get_length(result) < 100;
}
