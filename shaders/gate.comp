// SPDX-License-Identifier: Apache-2.0
// y[i] = act(a[i]) b[i]
#version 450
#extension GL_GOOGLE_include_directive : require
#include "flat.glsl"
#include "math.glsl"
layout(constant_id = 0) const uint KIND = 0;
layout(binding = 0) readonly buffer A { REAL a[]; };
layout(binding = 1) readonly buffer B { REAL b[]; };
layout(binding = 2) writeonly buffer Y { REAL y[]; };
layout(push_constant) uniform Push { uint n; };
float f(float v) { return act_at(KIND, v).x; }
void main()
{
    FOR_ELEMENTS(i, n)
        y[i] = EACH(f, a[i]) * b[i];
}
