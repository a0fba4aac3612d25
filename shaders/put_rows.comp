// SPDX-License-Identifier: Apache-2.0
// y = 0 but for y[start .. start + count] = x (in elements)
#version 450
#extension GL_GOOGLE_include_directive : require
#include "flat.glsl"
layout(binding = 0) readonly buffer X { REAL x[]; };
layout(binding = 1) writeonly buffer Y { REAL y[]; };
layout(push_constant) uniform Push { uint n; uint start; uint count; };
void main()
{
    FOR_ELEMENTS(i, n)
    {
        const uint at = i * WIDE - start; /* before it: wraps to more than there are */
        if (at < count)
            y[i] = x[at / WIDE];
        else
            y[i] = REAL(0.0);
    }
}
