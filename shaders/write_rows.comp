// SPDX-License-Identifier: Apache-2.0
// cache[b, at[b] + t] = x[b, t]; rows that would lie outside the sequence's slots are left out
#version 450
#extension GL_GOOGLE_include_directive : require
#include "flat.glsl"
layout(binding = 0) writeonly buffer Cache { REAL cache[]; };
layout(binding = 1) readonly buffer X { REAL x[]; };
layout(binding = 2) readonly buffer At { int at[]; };
layout(push_constant) uniform Push { uint n; uint slots; uint rows; uint cols; };
void main()
{
    const uint across = cols / WIDE;
    FOR_ELEMENTS(i, n)
    {
        const uint m = i / across, b = m / rows;
        const int slot = at[b] + int(m % rows);
        if (slot >= 0 && slot < int(slots))
            cache[(b * slots + uint(slot)) * across + i % across] = x[i];
    }
}
