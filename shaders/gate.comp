// SPDX-License-Identifier: Apache-2.0
// y[i] = act(a[i]) b[i]
#version 450
#extension GL_GOOGLE_include_directive : require
#include "flat.glsl"
#include "math.glsl"
layout(constant_id = 0) const uint KIND = 0;
layout(binding = 0) readonly buffer A { float a[]; };
layout(binding = 1) readonly buffer B { float b[]; };
layout(binding = 2) writeonly buffer Y { float y[]; };
layout(push_constant) uniform Push { uint n; };
void main()
{
    FOR_ELEMENTS(i, n)
        y[i] = act(KIND, a[i]) * b[i];
}
