// SPDX-License-Identifier: Apache-2.0
// dw[c] = sum over rows of dy (x - mean) rstd; db[c] = sum over rows of dy; a lane a column, rows in order
#version 450
layout(local_size_x = 8) in;
layout(binding = 0) readonly buffer X { float x[]; };
layout(binding = 1) readonly buffer Dy { float dy[]; };
layout(binding = 2) writeonly buffer Dw { float dw[]; };
layout(binding = 3) writeonly buffer Db { float db[]; };
layout(binding = 4) readonly buffer Stats { vec2 stats[]; };
layout(push_constant) uniform Push { uint rows; uint cols; float eps; };
void main()
{
    const uint c = (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * 8u + gl_LocalInvocationID.x;
    if (c >= cols)
        return;
    float w_sum = 0.0, b_sum = 0.0;
    for (uint m = 0u; m < rows; m++) {
        const float g = dy[m * cols + c];
        w_sum += g * ((x[m * cols + c] - stats[m].x) * stats[m].y);
        b_sum += g;
    }
    dw[c] = w_sum;
    db[c] = b_sum;
}
