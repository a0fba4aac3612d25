// SPDX-License-Identifier: Apache-2.0
// loss[m] = scale sum_c max(z, 0) - z t + log(1 + e^-|z|); dz = scale (sigmoid(z) - t); a lane a row
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
        const float e = exp(max(-abs(z[i]), -87.0));
        sum += max(z[i], 0.0) - z[i] * t[i] + log(1.0 + e);
        dz[i] = scale[0] * ((z[i] >= 0.0 ? 1.0 : e) / (1.0 + e) - t[i]);
    }
    loss[row] = scale[0] * sum;
}
