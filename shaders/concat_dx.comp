// SPDX-License-Identifier: Apache-2.0
// dx[entry, i] = dy[entry, front + i]
#version 450
#extension GL_GOOGLE_include_directive : require
#include "flat.glsl"
layout(binding = 0) readonly buffer Dy { REAL dy[]; };
layout(binding = 1) writeonly buffer Dx { REAL dx[]; };
layout(push_constant) uniform Push { uint n; uint front; uint back; uint batch; };
void main()
{
    FOR_ELEMENTS(i, n)
    {
        const uint r = back / WIDE, entry = i / r;
        dx[i] = dy[entry * ((front + back) / WIDE) + front / WIDE + i % r];
    }
}
