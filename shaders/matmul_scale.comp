// SPDX-License-Identifier: Apache-2.0
// Before a product on matrix units of 16-bit floats: powers of two that bring the largest element of each row of a, each row of u
// and each column of v near 1, so that neither range nor subnormal numbers cost accuracy; of u and v no further than sums of a b
// can follow. A work group a row or column.
#version 450
#extension GL_GOOGLE_include_directive : require
layout(local_size_x = 64) in;
#include "matmul.glsl"
layout(binding = 7) writeonly buffer Scale { float scale[]; }; // [m] of a, [m] of u, [n] of v
shared float most[64];

// The power of two; 1 where there is nothing to scale (zero, infinity, not a number).
float scale_of(float largest)
{
    const uint e = floatBitsToUint(largest) >> 23;
    return e == 0u || e >= 255u ? 1.0 : uintBitsToFloat(max(254u - e, 1u) << 23);
}

float reduce(float x)
{
    const uint lane = gl_LocalInvocationID.x;
    most[lane] = x;
    barrier();
    for (uint n = 32u; n > 0u; n /= 2u) {
        if (lane < n)
            most[lane] = max(most[lane], most[lane + n]);
        barrier();
    }
    const float all = most[0];
    barrier();
    return all;
}

void main()
{
    const uint lane = gl_LocalInvocationID.x, at = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    if (at >= m + (MORE != 0u ? n : 0u))
        return;
    float x = 0.0;
    if (at >= m) {
        const uint col = at - m;
        for (uint i = lane; i < r; i += 64u)
            x = max(x, abs(v[MORE == 2u ? col * r + i : i * n + col]));
        x = reduce(x);
        if (lane == 0u)
            scale[m + at] = min(scale_of(x), 1.09951163e12); // 2^40
        return;
    }
    for (uint i = lane; i < k; i += 64u)
        x = max(x, abs(a[at * k + i]));
    const float scale_a = scale_of(reduce(x));
    if (lane == 0u)
        scale[at] = scale_a;
    if (MORE == 0u)
        return;
    x = 0.0;
    for (uint i = lane; i < r; i += 64u)
        x = max(x, abs(u[at * r + i]));
    x = reduce(x);
    if (lane == 0u)
        scale[m + at] = min(scale_of(x), scale_a * 16777216.0);
}
