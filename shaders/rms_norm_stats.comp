// SPDX-License-Identifier: Apache-2.0
// stats[row] = 1 / sqrt(mean(x^2) + eps)
#version 450
#extension GL_GOOGLE_include_directive : require
#include "row.glsl"
layout(binding = 0) readonly buffer X { float x[]; };
layout(binding = 3) writeonly buffer Stats { float stats[]; };
layout(push_constant) uniform Push { uint rows; uint cols; float eps; float w_offset; };
void main()
{
    const uint row = ROW;
    if (row >= rows)
        return;
    float sum = 0.0;
    FOR_COLS(c, cols)
        sum += x[row * cols + c] * x[row * cols + c];
    const float rstd = 1.0 / sqrt(row_sum(sum) / float(cols) + eps);
    if (COL == 0u)
        stats[row] = rstd;
}
