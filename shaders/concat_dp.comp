// SPDX-License-Identifier: Apache-2.0
// dp[i] = sum over entries, in order, of dy[entry, i], i < front
#version 450
#extension GL_GOOGLE_include_directive : require
#include "flat.glsl"
layout(binding = 0) readonly buffer Dy { REAL dy[]; };
layout(binding = 1) writeonly buffer Dp { REAL dp[]; };
layout(push_constant) uniform Push { uint n; uint front; uint back; uint batch; };
void main()
{
    FOR_ELEMENTS(i, n)
    {
        REAL sum = REAL(0.0);
        for (uint b = 0u; b < batch; b++)
            sum += dy[b * ((front + back) / WIDE) + i];
        dp[i] = sum;
    }
}
