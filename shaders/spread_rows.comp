// SPDX-License-Identifier: Apache-2.0
// y[m, c] = x[c]
#version 450
#extension GL_GOOGLE_include_directive : require
#include "flat.glsl"
layout(binding = 0) readonly buffer X { float x[]; };
layout(binding = 1) writeonly buffer Y { float y[]; };
layout(push_constant) uniform Push { uint n; uint cols; };
void main()
{
    FOR_ELEMENTS(i, n)
        y[i] = x[i % cols];
}
