// SPDX-License-Identifier: Apache-2.0
// One step back of every sequence: dh = dy + Wt dz'; dc = dc' f' + dh o (1 - tanh(c)^2); dz by gate. A lane a unit.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "math.glsl"
layout(local_size_x = 32) in;
layout(binding = 0) readonly buffer Dy { float dy[]; };       // [B T, H]
layout(binding = 1) readonly buffer W { float w[]; };         // [4 H, H]
layout(binding = 2) readonly buffer Y { float y[]; };         // [B T, H]
layout(binding = 3) readonly buffer Gates { float gates[]; }; // [B T, 4 H]
layout(binding = 4) readonly buffer C { float c[]; };         // [B T, H]
layout(binding = 5) buffer Dz { float dz[]; };                // [B T, 4 H]
layout(binding = 6) writeonly buffer Prev { float prev[]; };  // [B T, H]
layout(binding = 7) buffer Carry { float carry[]; };          // [B, H]
layout(push_constant) uniform Push { uint batch; uint steps; uint h; uint reverse; uint turn; };
void main()
{
    const uint i = (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * 32u + gl_LocalInvocationID.x;
    if (i >= batch * h)
        return;
    const uint s = steps - 1u - turn; // the step forward
    const uint b = i / h, k = i % h, at = b * steps + (reverse != 0u ? steps - 1u - s : s);
    const uint before = reverse != 0u ? at + 1u : at - 1u, after = reverse != 0u ? at - 1u : at + 1u;
    float dh = dy[at * h + k], dc = 0.0;
    if (turn > 0u) {
        float sum = 0.0;
        for (uint j = 0u; j < 4u * h; j++)
            sum += dz[after * 4u * h + j] * w[j * h + k];
        dh += sum;
        dc = carry[i];
    }
    const float gi = gates[at * 4u * h + k], gf = gates[(at * 4u + 1u) * h + k];
    const float gg = gates[(at * 4u + 2u) * h + k], go = gates[(at * 4u + 3u) * h + k];
    const float t = tanh_(c[at * h + k]);
    float old = 0.0, last = 0.0;
    if (s > 0u) {
        old = c[before * h + k];
        last = y[before * h + k];
    }
    dc += dh * go * (1.0 - t * t);
    dz[at * 4u * h + k] = dc * gg * gi * (1.0 - gi);
    dz[(at * 4u + 1u) * h + k] = dc * old * gf * (1.0 - gf);
    dz[(at * 4u + 2u) * h + k] = dc * gi * (1.0 - gg * gg);
    dz[(at * 4u + 3u) * h + k] = dh * t * go * (1.0 - go);
    prev[at * h + k] = last;
    carry[i] = dc * gf;
}
