// SPDX-License-Identifier: Apache-2.0
// y = x / sqrt(mean(x^2) + eps) (w + w_offset), a row at a time
#version 450
#extension GL_GOOGLE_include_directive : require
#include "row.glsl"
layout(binding = 0) readonly buffer X { float x[]; };
layout(binding = 1) readonly buffer W { float w[]; };
layout(binding = 2) writeonly buffer Y { float y[]; };
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
    FOR_COLS(c, cols)
        y[row * cols + c] = x[row * cols + c] * rstd * (w[c] + w_offset);
}
