// SPDX-License-Identifier: Apache-2.0
// MUL 1: y[m, c] = x[m, c] w[c]; MUL 0: y[m, c] = x[m, c] + w[c]
#version 450
#extension GL_GOOGLE_include_directive : require
#include "flat.glsl"
layout(binding = 0) readonly buffer X { REAL x[]; };
layout(binding = 1) readonly buffer W { REAL w[]; };
layout(binding = 2) writeonly buffer Y { REAL y[]; };
layout(push_constant) uniform Push { uint n; uint cols; };
void main()
{
    FOR_ELEMENTS(i, n)
#if MUL == 1
        y[i] = x[i] * w[i % (cols / WIDE)];
#else
        y[i] = x[i] + w[i % (cols / WIDE)];
#endif
}
