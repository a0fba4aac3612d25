// SPDX-License-Identifier: Apache-2.0
// y = [x0, x1]: left columns, then right ones; an absent part is zero
#version 450
#extension GL_GOOGLE_include_directive : require
#include "flat.glsl"
layout(constant_id = 0) const uint HAS_LEFT = 1;
layout(constant_id = 1) const uint HAS_RIGHT = 1;
layout(binding = 0) readonly buffer X0 { REAL x0[]; };
layout(binding = 1) readonly buffer X1 { REAL x1[]; };
layout(binding = 2) writeonly buffer Y { REAL y[]; };
layout(push_constant) uniform Push { uint n; uint left; uint right; };
void main()
{
    FOR_ELEMENTS(i, n)
    {
        const uint l = left / WIDE, r = right / WIDE, row = i / (l + r), c = i % (l + r);
        REAL v = REAL(0.0);
        if (c < l && HAS_LEFT != 0u)
            v = x0[row * l + c];
        if (c >= l && HAS_RIGHT != 0u)
            v = x1[row * r + c - l];
        y[i] = v;
    }
}
