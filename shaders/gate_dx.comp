// SPDX-License-Identifier: Apache-2.0
// da[i] = dy[i] b[i] act'(a[i]); db[i] = dy[i] act(a[i])
#version 450
#extension GL_GOOGLE_include_directive : require
#include "flat.glsl"
#include "math.glsl"
layout(constant_id = 0) const uint KIND = 0;
layout(binding = 0) readonly buffer A { float a[]; };
layout(binding = 1) readonly buffer B { float b[]; };
layout(binding = 2) readonly buffer Dy { float dy[]; };
layout(binding = 3) writeonly buffer Da { float da[]; };
layout(binding = 4) writeonly buffer Db { float db[]; };
layout(push_constant) uniform Push { uint n; };
void main()
{
    FOR_ELEMENTS(i, n)
    {
        const float x = a[i], g = dy[i];
        da[i] = g * b[i] * act_slope(KIND, x);
        db[i] = g * act(KIND, x);
    }
}
