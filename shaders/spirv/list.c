/* SPDX-License-Identifier: Apache-2.0 */
/* A tool of the build: prints "NEEDS SHADER DEFINES" for every shader that a kernel record of this build names. The
 * records are the only list of variants. */
#include "bench/bench.h"
#include "device/vulkan/shaders.h"
#include "device/vulkan/vulkan.h"
#include "firn/ops.h"
#include "graph/op.h"

#include <stdio.h>

/* what a library with SPIR-V inside has, and this tool makes */
const struct firn_shader_binary firn_shader_binaries[] = { { 0 } };

static void print(const struct firn_kernel *k)
{
    for (; k != NULL; k = k->then)
        if (k->shader != NULL)
            printf("%x %s %s\n", (unsigned) k->needs, k->shader, k->defines != NULL ? k->defines : "");
}

int main(void)
{
    print(&firn_vulkan_probe_kernel);
    print(&firn_vulkan_coopmat_kernel);
    print(&firn_bench_fma_kernel);
    print(&firn_bench_coop_kernel);
    for (const struct firn_op *const *op = firn_op_list(); *op != NULL; op++)
        for (const struct firn_kernel *k = (*op)->kernels; k != NULL && k->name != NULL; k++)
            print(k);
    return 0;
}
