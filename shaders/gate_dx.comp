// SPDX-License-Identifier: Apache-2.0
// da[i] = dy[i] b[i] act'(a[i]); db[i] = dy[i] act(a[i])
#version 450
#extension GL_GOOGLE_include_directive : require
#include "flat.glsl"
#include "math.glsl"
layout(constant_id = 0) const uint KIND = 0;
layout(binding = 0) readonly buffer A { REAL a[]; };
layout(binding = 1) readonly buffer B { REAL b[]; };
layout(binding = 2) readonly buffer Dy { REAL dy[]; };
layout(binding = 3) writeonly buffer Da { REAL da[]; };
layout(binding = 4) writeonly buffer Db { REAL db[]; };
layout(push_constant) uniform Push { uint n; };
float f(float v) { return act_at(KIND, v).x; }
float slope(float v) { return act_at(KIND, v).y; }
void main()
{
    FOR_ELEMENTS(i, n)
    {
        const REAL x = a[i], g = dy[i];
        da[i] = g * b[i] * EACH(slope, x);
        db[i] = g * EACH(f, x);
    }
}
