// SPDX-License-Identifier: Apache-2.0
// y = alpha a b + u v + bias + residual on a driver that runs on a CPU: 8 lanes, no shared memory. A lane has 4 columns, 8 apart,
// and 8 rows (NARROW: 4 rows and 8 columns); the operand of the 8 is at the same address for all lanes. Sums are stored once
// per turn of the loop (such drivers keep them in memory), so a turn is 16 of K, then 4 at a time. k is a multiple of 4.
#version 450
#extension GL_GOOGLE_include_directive : require
layout(local_size_x = 8) in;
#include "matmul.glsl"
#if TRANS_A == 0
layout(binding = 0) readonly buffer A4 { vec4 a4[]; };
#define A4_AT(row, q) a4[(row) * k4 + (q)]
#else
#define A4_AT(row, q) vec4(A_AT(row, 4u * (q)), A_AT(row, 4u * (q) + 1u), A_AT(row, 4u * (q) + 2u), A_AT(row, 4u * (q) + 3u))
#endif
#if TRANS_B == 1 && B_TYPE == 0
layout(binding = 1) readonly buffer B4 { vec4 b4[]; };
#define B4_AT(q, col) b4[(col) * k4 + (q)]
#elif TRANS_B == 1
layout(binding = 1) readonly buffer B4 { uvec2 b4[]; };
#if B_TYPE == 1
vec4 decode(uvec2 w) { return vec4(unpackHalf2x16(w.x), unpackHalf2x16(w.y)); }
#else
vec4 decode(uvec2 w) { return uintBitsToFloat(uvec4(w.x << 16, w.x & 0xffff0000u, w.y << 16, w.y & 0xffff0000u)); }
#endif
#define B4_AT(q, col) decode(b4[(col) * k4 + (q)])
#else
#define B4_AT(q, col) vec4(B_AT(4u * (q), col), B_AT(4u * (q) + 1u, col), B_AT(4u * (q) + 2u, col), B_AT(4u * (q) + 3u, col))
#endif

uint k4, mine[4], same[8]; // indices, inside the matrix
float s[4][8];

void turn(uint q)
{
    vec4 w[4];
    for (uint c = 0u; c < 4u; c++)
#if NARROW == 0
        w[c] = B4_AT(q, mine[c]);
#else
        w[c] = A4_AT(mine[c], q);
#endif
    for (uint i = 0u; i < 8u; i++) {
#if NARROW == 0
        const vec4 x = A4_AT(same[i], q);
#else
        const vec4 x = B4_AT(q, same[i]);
#endif
        for (uint c = 0u; c < 4u; c++)
            s[c][i] += x.x * w[c].x + x.y * w[c].y + x.z * w[c].z + x.w * w[c].w;
    }
}

void main()
{
    const uint lane = gl_LocalInvocationID.x;
#if NARROW == 0
    const uint first = gl_WorkGroupID.x * 32u + lane, n_mine = n, base = gl_WorkGroupID.y * 8u, n_base = m;
#else
    const uint first = gl_WorkGroupID.y * 32u + lane, n_mine = m, base = gl_WorkGroupID.x * 8u, n_base = n;
#endif
    k4 = k / 4u;
    for (uint c = 0u; c < 4u; c++)
        mine[c] = min(first + 8u * c, n_mine - 1u);
    for (uint i = 0u; i < 8u; i++) {
        same[i] = min(base + i, n_base - 1u);
        for (uint c = 0u; c < 4u; c++)
            s[c][i] = 0.0;
    }
    uint q = 0u;
    for (; q + 4u <= k4; q += 4u) {
        turn(q);
        turn(q + 1u);
        turn(q + 2u);
        turn(q + 3u);
    }
    for (; q < k4; q++)
        turn(q);
    for (uint c = 0u; c < 4u; c++)
        for (uint i = 0u; i < 8u; i++) {
            const uint x = first + 8u * c, z = base + i;
            if (x < n_mine && z < n_base) {
#if NARROW == 0
                y[z * n + x] = finish(s[c][i], z, x);
#else
                y[x * n + z] = finish(s[c][i], x, z);
#endif
            }
        }
}
