// SPDX-License-Identifier: Apache-2.0
// dx = rstd (dy w - mean(dy w) - h mean(dy w h)), h = (x - mean) rstd, a row at a time
#version 450
#extension GL_GOOGLE_include_directive : require
#include "row.glsl"
layout(binding = 0) readonly buffer X { float x[]; };
layout(binding = 1) readonly buffer W { float w[]; };
layout(binding = 2) readonly buffer Dy { float dy[]; };
layout(binding = 3) writeonly buffer Dx { float dx[]; };
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
    float total = 0.0, dot = 0.0;
    FOR_COLS(c, cols)
    {
        const float g = dy[row * cols + c] * w[c];
        total += g;
        dot += g * ((x[row * cols + c] - mean) * rstd);
    }
    total = row_sum(total) / float(cols);
    dot = row_sum(dot) / float(cols);
    FOR_COLS(c, cols)
        dx[row * cols + c] = rstd * (dy[row * cols + c] * w[c] - total -
                                     (x[row * cols + c] - mean) * rstd * dot);
}
