// SPDX-License-Identifier: Apache-2.0
// dx[i] = dy[i] act'(x[i])
#version 450
#extension GL_GOOGLE_include_directive : require
#include "flat.glsl"
#include "math.glsl"
layout(constant_id = 0) const uint KIND = 0;
layout(binding = 0) readonly buffer X { REAL x[]; };
layout(binding = 1) readonly buffer Dy { REAL dy[]; };
layout(binding = 2) writeonly buffer Dx { REAL dx[]; };
layout(push_constant) uniform Push { uint n; };
float slope(float v) { return act_at(KIND, v).y; }
void main()
{
    FOR_ELEMENTS(i, n)
        dx[i] = dy[i] * EACH(slope, x[i]);
}
