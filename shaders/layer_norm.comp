// SPDX-License-Identifier: Apache-2.0
// y = (x - mean) rstd w + b, a row at a time
#version 450
#extension GL_GOOGLE_include_directive : require
#include "row.glsl"
layout(binding = 0) readonly buffer X { float x[]; };
layout(binding = 1) readonly buffer W { float w[]; };
layout(binding = 2) readonly buffer B { float b[]; };
layout(binding = 3) writeonly buffer Y { float y[]; };
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
    FOR_COLS(c, cols)
        y[row * cols + c] = (x[row * cols + c] - mean) * rstd * w[c] + b[c];
}
