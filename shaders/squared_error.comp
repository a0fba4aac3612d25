// SPDX-License-Identifier: Apache-2.0
// loss[m] = scale sum_c (z - t)^2; dz = 2 scale (z - t); a lane a row
#version 450
#extension GL_GOOGLE_include_directive : require
#define LANES 1
#include "row.glsl"
layout(binding = 0) readonly buffer Z { float z[]; };
layout(binding = 1) readonly buffer T { float t[]; };
layout(binding = 2) readonly buffer Scale { float scale[]; };
layout(binding = 3) writeonly buffer Loss { float loss[]; };
layout(binding = 4) writeonly buffer Dz { float dz[]; };
layout(push_constant) uniform Push { uint rows; uint cols; };
void main()
{
    const uint row = ROW;
    if (row >= rows)
        return;
    float sum = 0.0;
    FOR_COLS(c, cols)
    {
        const uint i = row * cols + c;
        const float d = z[i] - t[i];
        sum += d * d;
        dz[i] = 2.0 * scale[0] * d;
    }
    loss[row] = scale[0] * sum;
}
