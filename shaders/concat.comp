// SPDX-License-Identifier: Apache-2.0
// y = [p; x0; p; x1; ...]: `front` elements of p, then `back` of x, in each entry
#version 450
#extension GL_GOOGLE_include_directive : require
#include "flat.glsl"
layout(binding = 0) readonly buffer P { REAL p[]; };
layout(binding = 1) readonly buffer X { REAL x[]; };
layout(binding = 2) writeonly buffer Y { REAL y[]; };
layout(push_constant) uniform Push { uint n; uint front; uint back; };
void main()
{
    FOR_ELEMENTS(i, n)
    {
        const uint f = front / WIDE, r = back / WIDE, entry = i / (f + r), at = i % (f + r);
        if (at < f)
            y[i] = p[at];
        else
            y[i] = x[entry * r + at - f];
    }
}
