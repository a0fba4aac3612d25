// SPDX-License-Identifier: Apache-2.0
// dx = rstd (g - h mean(g h)), g = dy (w + w_offset), h = x rstd
#version 450
#extension GL_GOOGLE_include_directive : require
#include "row.glsl"
layout(binding = 0) readonly buffer X { float x[]; };
layout(binding = 1) readonly buffer W { float w[]; };
layout(binding = 2) readonly buffer Dy { float dy[]; };
layout(binding = 3) writeonly buffer Dx { float dx[]; };
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
    float dot = 0.0;
    FOR_COLS(c, cols)
        dot += dy[row * cols + c] * (w[c] + w_offset) * (x[row * cols + c] * rstd);
    dot = row_sum(dot) / float(cols);
    FOR_COLS(c, cols)
        dx[row * cols + c] = rstd * (dy[row * cols + c] * (w[c] + w_offset) - x[row * cols + c] * rstd * dot);
}
