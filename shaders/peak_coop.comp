// SPDX-License-Identifier: Apache-2.0
// Products of cooperative matrices that touch no memory: 8 sums in each of 4 subgroups, `turns` long. What they reach is the
// peak of the device's matrix units with f16 operands and f32 sums.
#version 450
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_cooperative_matrix : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_EXT_control_flow_attributes : require
#pragma use_vulkan_memory_model
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint MM = 16;
layout(constant_id = 2) const uint NN = 16;
layout(constant_id = 3) const uint KK = 16;
layout(binding = 0) writeonly buffer Y { float y[]; };
layout(push_constant) uniform Push { uint turns; float a; float b; };
#define SUM coopmat<float, gl_ScopeSubgroup, MM, NN, gl_MatrixUseAccumulator>
void main()
{
    // no product comes twice: a compiler that knows what a product is would compute it once
    coopmat<float16_t, gl_ScopeSubgroup, MM, KK, gl_MatrixUseA> x[8];
    coopmat<float16_t, gl_ScopeSubgroup, KK, NN, gl_MatrixUseB> w =
        coopmat<float16_t, gl_ScopeSubgroup, KK, NN, gl_MatrixUseB>(float16_t(b));
    SUM s[8];
    [[unroll]] for (uint i = 0u; i < 8u; i++) {
        x[i] = coopmat<float16_t, gl_ScopeSubgroup, MM, KK, gl_MatrixUseA>(float16_t(a + float(i)));
        s[i] = SUM(float(i));
    }
    for (uint turn = 0u; turn < turns; turn++) {
        w = w * float16_t(a);
        [[unroll]] for (uint i = 0u; i < 8u; i++)
            s[i] = coopMatMulAdd(x[i], w, s[i]);
    }
    [[unroll]] for (uint i = 1u; i < 8u; i++)
        s[0] += s[i];
    y[gl_GlobalInvocationID.x] = s[0][0];
}
