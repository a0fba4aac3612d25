// SPDX-License-Identifier: Apache-2.0
// y[i] = kept(i) ? factor x[i] : 0; a lane takes one Philox block, four elements
#version 450
#extension GL_GOOGLE_include_directive : require
#include "philox.glsl"
layout(local_size_x = 64) in;
layout(binding = 0) readonly buffer X { float x[]; };
layout(binding = 1) readonly buffer Rng { ivec4 rng; };
layout(binding = 2) writeonly buffer Y { float y[]; };
layout(push_constant) uniform Push { uint n; uint stream; uint below; float factor; uint first; };
void main()
{
    const uint block = (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * 64u +
                       gl_LocalInvocationID.x;
    if (block >= (n + 3u) / 4u)
        return;
    const uvec4 words = draw_block(rng, stream, uvec2(block + first, 0u));
    for (uint k = 0u; k < 4u && 4u * block + k < n; k++)
        y[4u * block + k] = words[k] >= below ? factor * x[4u * block + k] : 0.0;
}
