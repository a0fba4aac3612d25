// SPDX-License-Identifier: Apache-2.0
// dx[i] = dy
#version 450
#extension GL_GOOGLE_include_directive : require
#include "flat.glsl"
layout(binding = 0) readonly buffer Dy { float dy[]; };
layout(binding = 1) writeonly buffer Dx { REAL dx[]; };
layout(push_constant) uniform Push { uint n; };
void main()
{
    FOR_ELEMENTS(i, n)
        dx[i] = REAL(dy[0]);
}
