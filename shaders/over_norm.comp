// SPDX-License-Identifier: Apache-2.0
// y[n] = m[n] / sqrt(squares[n] + sum over r of p[r, n] b[n, r]), 0 where the sum is not positive
#version 450
#extension GL_GOOGLE_include_directive : require
#include "flat.glsl"
layout(binding = 0) readonly buffer M { float m[]; };
layout(binding = 1) readonly buffer Squares { float squares[]; };
layout(binding = 2) readonly buffer P { float p[]; };
layout(binding = 3) readonly buffer B { float b[]; };
layout(binding = 4) writeonly buffer Y { float y[]; };
layout(push_constant) uniform Push { uint n; uint rank; };
void main()
{
    FOR_ELEMENTS(i, n)
    {
        float sum = squares[i];
        for (uint k = 0u; k < rank; k++)
            sum += p[k * n + i] * b[i * rank + k];
        y[i] = sum > 0.0 ? m[i] / sqrt(sum) : 0.0;
    }
}
