// SPDX-License-Identifier: Apache-2.0
// The start-up test of cooperative matrices (src/device/vulkan/probe_coopmat.c): c = a b by the first subgroup, whole numbers.
//   0: a [MM, KK], then b [KK, NN] float    1: c [MM, NN] float, then the subgroup's size
#version 450
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#pragma use_vulkan_memory_model
layout(local_size_x = 128) in;
layout(constant_id = 0) const uint MM = 16;
layout(constant_id = 1) const uint NN = 16;
layout(constant_id = 2) const uint KK = 16;
layout(binding = 0) readonly buffer In { float x[]; };
layout(binding = 1) writeonly buffer Out { float y[]; };
shared float16_t a[MM * KK];
shared float16_t b[KK * NN];
shared float c[MM * NN];

void main()
{
    for (uint i = gl_LocalInvocationID.x; i < MM * KK; i += gl_WorkGroupSize.x)
        a[i] = float16_t(x[i]);
    for (uint i = gl_LocalInvocationID.x; i < KK * NN; i += gl_WorkGroupSize.x)
        b[i] = float16_t(x[MM * KK + i]);
    barrier();
    if (gl_SubgroupID == 0u) {
        coopmat<float16_t, gl_ScopeSubgroup, MM, KK, gl_MatrixUseA> u;
        coopmat<float16_t, gl_ScopeSubgroup, KK, NN, gl_MatrixUseB> v;
        coopMatLoad(u, a, 0u, KK, gl_CooperativeMatrixLayoutRowMajor);
        coopMatLoad(v, b, 0u, NN, gl_CooperativeMatrixLayoutRowMajor);
        coopmat<float, gl_ScopeSubgroup, MM, NN, gl_MatrixUseAccumulator> w =
            coopmat<float, gl_ScopeSubgroup, MM, NN, gl_MatrixUseAccumulator>(0.0);
        w = coopMatMulAdd(u, v, w);
        coopMatStore(w, c, 0u, NN, gl_CooperativeMatrixLayoutRowMajor);
    }
    barrier();
    for (uint i = gl_LocalInvocationID.x; i < MM * NN; i += gl_WorkGroupSize.x)
        y[i] = c[i];
    if (gl_LocalInvocationID.x == 0u)
        y[MM * NN] = float(gl_SubgroupSize);
}
