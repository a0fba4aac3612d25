// SPDX-License-Identifier: Apache-2.0
// [y0, y1] = x: left columns, then right ones
#version 450
#extension GL_GOOGLE_include_directive : require
#include "flat.glsl"
layout(binding = 0) readonly buffer X { REAL x[]; };
layout(binding = 1) writeonly buffer Y0 { REAL y0[]; };
layout(binding = 2) writeonly buffer Y1 { REAL y1[]; };
layout(push_constant) uniform Push { uint n; uint left; uint right; };
void main()
{
    FOR_ELEMENTS(i, n)
    {
        const uint l = left / WIDE, r = right / WIDE, row = i / (l + r), c = i % (l + r);
        if (c < l)
            y0[row * l + c] = x[i];
        else
            y1[row * r + c - l] = x[i];
    }
}
