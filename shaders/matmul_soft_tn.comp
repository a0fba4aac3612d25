// SPDX-License-Identifier: Apache-2.0
// y = alpha at b + u v + bias + residual on a driver that runs on a CPU: a [k, m], b [k, n], m and n multiples of 4. 8 lanes; a
// lane has 4 neighbouring columns and 8 rows, whose a is at the same address for all lanes.
#version 450
#extension GL_GOOGLE_include_directive : require
layout(local_size_x = 8) in;
#include "matmul.glsl"
layout(binding = 0) readonly buffer A4 { vec4 a4[]; };
#if B_TYPE == 0
layout(binding = 1) readonly buffer B4 { vec4 b4[]; };
vec4 b4_at(uint i) { return b4[i]; }
#else
layout(binding = 1) readonly buffer B4 { uvec2 b4[]; };
vec4 b4_at(uint i)
{
    const uvec2 w = b4[i];
#if B_TYPE == 1
    return vec4(unpackHalf2x16(w.x), unpackHalf2x16(w.y));
#else
    return uintBitsToFloat(uvec4(w.x << 16, w.x & 0xffff0000u, w.y << 16, w.y & 0xffff0000u));
#endif
}
#endif

void main()
{
    const uint row0 = gl_WorkGroupID.y * 8u, col4 = gl_WorkGroupID.x * 8u + gl_LocalInvocationID.x;
    const uint m4 = m / 4u, n4 = n / 4u, r0 = row0 / 4u, r1 = min(r0 + 1u, m4 - 1u), mine = min(col4, n4 - 1u);
    vec4 s[8];
    for (uint i = 0u; i < 8u; i++)
        s[i] = vec4(0.0);
    for (uint q = 0u; q < k; q++) {
        const vec4 w = b4_at(q * n4 + mine), x0 = a4[q * m4 + r0], x1 = a4[q * m4 + r1];
        for (uint i = 0u; i < 4u; i++) {
            s[i] += x0[i] * w;
            s[i + 4u] += x1[i] * w;
        }
    }
    if (col4 >= n4)
        return;
    for (uint i = 0u; i < 8u && row0 + i < m; i++)
        for (uint j = 0u; j < 4u; j++)
            y[(row0 + i) * n + 4u * col4 + j] = finish(s[i][j], row0 + i, 4u * col4 + j);
}
