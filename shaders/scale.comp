// SPDX-License-Identifier: Apache-2.0
// y[i] = factor x[i]
#version 450
#extension GL_GOOGLE_include_directive : require
#include "flat.glsl"
layout(binding = 0) readonly buffer X { REAL x[]; };
layout(binding = 1) writeonly buffer Y { REAL y[]; };
layout(push_constant) uniform Push { uint n; float factor; };
void main()
{
    FOR_ELEMENTS(i, n)
        y[i] = factor * x[i];
}
