// SPDX-License-Identifier: Apache-2.0
// dx = x dy / y, the gradient of y = sqrt(sum of x^2); 0 where y is
#version 450
#extension GL_GOOGLE_include_directive : require
#include "flat.glsl"
layout(binding = 0) readonly buffer X { float x[]; };
layout(binding = 1) readonly buffer Y { float y[]; };
layout(binding = 2) readonly buffer Dy { float dy[]; };
layout(binding = 3) writeonly buffer Dx { float dx[]; };
layout(push_constant) uniform Push { uint n; };
void main()
{
    const float slope = y[0] > 0.0 ? dy[0] / y[0] : 0.0;
    FOR_ELEMENTS(i, n)
        dx[i] = x[i] * slope;
}
