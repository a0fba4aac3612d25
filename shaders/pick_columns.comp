// SPDX-License-Identifier: Apache-2.0
// y[m, k] = x[m, at[k]], y [M, cols], x [M, from]; 0 where at[k] is outside [0, from). `back` is its gradient's.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "flat.glsl"
layout(binding = 0) readonly buffer X { float x[]; };
layout(binding = 1) readonly buffer At { int at[]; };
layout(binding = 2) readonly buffer Back { int back[]; };
layout(binding = 3) writeonly buffer Y { float y[]; };
layout(push_constant) uniform Push { uint n; uint cols; uint from; };
void main()
{
    FOR_ELEMENTS(i, n)
    {
        const int k = at[i % cols];
        float value = 0.0;
        if (k >= 0 && uint(k) < from)
            value = x[(i / cols) * from + uint(k)];
        y[i] = value;
    }
}
