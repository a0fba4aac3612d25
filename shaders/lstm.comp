// SPDX-License-Identifier: Apache-2.0
// One step of every sequence: z = x + W h'; i f o = sigmoid z, g = tanh z; c = f c' + i g; h = o tanh c. A lane a unit.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "math.glsl"
layout(local_size_x = 32) in;
layout(binding = 0) readonly buffer X { float x[]; };         // [B T, 4 H]
layout(binding = 1) readonly buffer W { float w[]; };         // [4 H, H]
layout(binding = 2) buffer Y { float y[]; };                  // [B T, H]
layout(binding = 3) writeonly buffer Gates { float gates[]; }; // [B T, 4 H]
layout(binding = 4) buffer C { float c[]; };                  // [B T, H]
layout(push_constant) uniform Push { uint batch; uint steps; uint h; uint reverse; uint turn; };
void main()
{
    const uint i = (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * 32u + gl_LocalInvocationID.x;
    if (i >= batch * h)
        return;
    const uint b = i / h, k = i % h, at = b * steps + (reverse != 0u ? steps - 1u - turn : turn);
    const uint before = reverse != 0u ? at + 1u : at - 1u;
    float z[4];
    for (uint q = 0u; q < 4u; q++)
        z[q] = x[(at * 4u + q) * h + k];
    float old = 0.0;
    if (turn > 0u) {
        for (uint q = 0u; q < 4u; q++) {
            const uint row = (q * h + k) * h;
            float sum = 0.0;
            for (uint m = 0u; m < h; m++)
                sum += w[row + m] * y[before * h + m];
            z[q] += sum;
        }
        old = c[before * h + k];
    }
    const float gi = sigmoid_at(z[0]).x, gf = sigmoid_at(z[1]).x, gg = tanh_(z[2]), go = sigmoid_at(z[3]).x;
    const float cell = gf * old + gi * gg;
    gates[at * 4u * h + k] = gi;
    gates[(at * 4u + 1u) * h + k] = gf;
    gates[(at * 4u + 2u) * h + k] = gg;
    gates[(at * 4u + 3u) * h + k] = go;
    c[at * h + k] = cell;
    y[at * h + k] = go * tanh_(cell);
}
