// SPDX-License-Identifier: Apache-2.0
// acc[i] = keep acc[i] + x[i]; keep 0: acc[i] = x[i] whatever acc held
#version 450
#extension GL_GOOGLE_include_directive : require
#include "flat.glsl"
layout(binding = 0) buffer Acc { REAL acc[]; };
layout(binding = 1) readonly buffer X { REAL x[]; };
layout(binding = 2) readonly buffer Keep { float keep[]; };
layout(push_constant) uniform Push { uint n; };
void main()
{
    const float k = keep[0];
    FOR_ELEMENTS(i, n)
        acc[i] = k == 0.0 ? x[i] : k * acc[i] + x[i];
}
