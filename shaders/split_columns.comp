// SPDX-License-Identifier: Apache-2.0
// JOIN 0: part j [M, C] = columns j C .. (j + 1) C of whole [M, 3 C]; JOIN 1: the other way round. A lane takes the
// same place of all three parts.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "flat.glsl"
#if JOIN == 1
layout(binding = 0) readonly buffer P0 { REAL p0[]; };
layout(binding = 1) readonly buffer P1 { REAL p1[]; };
layout(binding = 2) readonly buffer P2 { REAL p2[]; };
layout(binding = 3) writeonly buffer Whole { REAL whole[]; };
#else
layout(binding = 0) readonly buffer Whole { REAL whole[]; };
layout(binding = 1) writeonly buffer P0 { REAL p0[]; };
layout(binding = 2) writeonly buffer P1 { REAL p1[]; };
layout(binding = 3) writeonly buffer P2 { REAL p2[]; };
#endif
layout(push_constant) uniform Push { uint n; uint cols; };
void main()
{
    FOR_ELEMENTS(i, n)
    {
        const uint c = cols / WIDE;
        const uint at = i + i / c * 2u * c;
#if JOIN == 1
        whole[at] = p0[i];
        whole[at + c] = p1[i];
        whole[at + 2u * c] = p2[i];
#else
        p0[i] = whole[at];
        p1[i] = whole[at + c];
        p2[i] = whole[at + 2u * c];
#endif
    }
}
