// SPDX-License-Identifier: Apache-2.0
// y[i] = act(x[i])
#version 450
#extension GL_GOOGLE_include_directive : require
#include "flat.glsl"
#include "math.glsl"
layout(constant_id = 0) const uint KIND = 0;
layout(binding = 0) readonly buffer X { REAL x[]; };
layout(binding = 1) writeonly buffer Y { REAL y[]; };
layout(push_constant) uniform Push { uint n; };
float f(float v) { return act_at(KIND, v).x; }
void main()
{
    FOR_ELEMENTS(i, n)
        y[i] = EACH(f, x[i]);
}
