// SPDX-License-Identifier: Apache-2.0
// y[i] = a[i] * b[i]
#version 450
#extension GL_GOOGLE_include_directive : require
#include "flat.glsl"
layout(binding = 0) readonly buffer A { REAL a[]; };
layout(binding = 1) readonly buffer B { REAL b[]; };
layout(binding = 2) writeonly buffer Y { REAL y[]; };
layout(push_constant) uniform Push { uint n; };
void main()
{
    FOR_ELEMENTS(i, n)
        y[i] = a[i] * b[i];
}
