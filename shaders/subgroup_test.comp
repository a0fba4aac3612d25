#version 450
// The start-up test of subgroup arithmetic (src/device/vulkan/probe.c).
//   0: x   [groups * lanes] uint
//   1: out [groups * lanes, 4] uint: (subgroupAdd(x), subgroup id, subgroup size, lanes in the subgroup)
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
layout(local_size_x_id = 0) in;
layout(std430, binding = 0) readonly buffer In { uint x[]; };
layout(std430, binding = 1) writeonly buffer Out { uvec4 result[]; };

void main()
{
    uint i = gl_GlobalInvocationID.x;
    uint sum = subgroupAdd(x[i]);
    uint count = subgroupAdd(1u);
    result[i] = uvec4(sum, gl_SubgroupID, gl_SubgroupSize, count);
}
