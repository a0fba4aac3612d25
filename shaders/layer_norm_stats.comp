// SPDX-License-Identifier: Apache-2.0
// stats[row] = (mean, rstd) of each row of x
#version 450
#extension GL_GOOGLE_include_directive : require
#include "row.glsl"
layout(binding = 0) readonly buffer X { float x[]; };
layout(binding = 4) writeonly buffer Stats { vec2 stats[]; };
layout(push_constant) uniform Push { uint rows; uint cols; float eps; };
void main()
{
    const uint row = ROW;
    if (row >= rows)
        return;
    float sum = 0.0;
    FOR_COLS(c, cols)
        sum += x[row * cols + c];
    const float mean = row_sum(sum) / float(cols);
    sum = 0.0;
    FOR_COLS(c, cols)
    {
        const float d = x[row * cols + c] - mean;
        sum += d * d;
    }
    const float rstd = 1.0 / sqrt(row_sum(sum) / float(cols) + eps);
    if (COL == 0u)
        stats[row] = vec2(mean, rstd);
}
