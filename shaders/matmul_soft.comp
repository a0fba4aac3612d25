// SPDX-License-Identifier: Apache-2.0
// y = alpha a b + u v + bias + residual on a driver that runs on a CPU: 8 lanes, 8 rows each, in registers; a is the same
// address for all lanes. b [k, n]: a lane has 4 columns. b [n, k] (TRANS_B): a lane has 2 columns, 4 of K at a time.
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
    const uint lane = gl_LocalInvocationID.x, row0 = gl_WorkGroupID.y * 8u, last = m - 1u;
#if TRANS_B == 1
    const uint col = gl_WorkGroupID.x * 16u + lane, k4 = k / 4u;
    const uint near = min(col, n - 1u) * k4, far = min(col + 8u, n - 1u) * k4;
    float s0[8], s1[8];
    for (uint i = 0u; i < 8u; i++)
        s0[i] = s1[i] = 0.0;
    for (uint q = 0u; q < k4; q++) {
        const vec4 w0 = b4_at(near + q), w1 = b4_at(far + q);
        for (uint i = 0u; i < 8u; i++) {
            const vec4 x = a4[min(row0 + i, last) * k4 + q];
            s0[i] += x.x * w0.x + x.y * w0.y + x.z * w0.z + x.w * w0.w;
            s1[i] += x.x * w1.x + x.y * w1.y + x.z * w1.z + x.w * w1.w;
        }
    }
    for (uint i = 0u; i < 8u && row0 + i < m; i++) {
        if (col < n)
            y[(row0 + i) * n + col] = finish(s0[i], row0 + i, col);
        if (col + 8u < n)
            y[(row0 + i) * n + col + 8u] = finish(s1[i], row0 + i, col + 8u);
    }
#else
    const uint n4 = n / 4u, col4 = gl_WorkGroupID.x * 8u + lane, mine = min(col4, n4 - 1u);
    vec4 s[8];
    for (uint i = 0u; i < 8u; i++)
        s[i] = vec4(0.0);
#if TRANS_A == 0
    const uint k4 = k / 4u;
    for (uint q = 0u; q < k4; q++) {
        const vec4 w0 = b4_at((4u * q) * n4 + mine), w1 = b4_at((4u * q + 1u) * n4 + mine);
        const vec4 w2 = b4_at((4u * q + 2u) * n4 + mine), w3 = b4_at((4u * q + 3u) * n4 + mine);
        for (uint i = 0u; i < 8u; i++) {
            const vec4 x = a4[min(row0 + i, last) * k4 + q];
            s[i] += x.x * w0;
            s[i] += x.y * w1;
            s[i] += x.z * w2;
            s[i] += x.w * w3;
        }
    }
#else
    const uint m4 = m / 4u, r0 = row0 / 4u, r1 = min(r0 + 1u, m4 - 1u);
    for (uint q = 0u; q < k; q++) {
        const vec4 w = b4_at(q * n4 + mine), x0 = a4[q * m4 + r0], x1 = a4[q * m4 + r1];
        for (uint i = 0u; i < 4u; i++) {
            s[i] += x0[i] * w;
            s[i + 4u] += x1[i] * w;
        }
    }
#endif
    if (col4 >= n4)
        return;
    for (uint i = 0u; i < 8u && row0 + i < m; i++)
        for (uint j = 0u; j < 4u; j++)
            y[(row0 + i) * n + 4u * col4 + j] = finish(s[i][j], row0 + i, 4u * col4 + j);
#endif
}
