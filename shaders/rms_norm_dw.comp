// SPDX-License-Identifier: Apache-2.0
// dw[c] = sum over rows of dy x rstd; a lane a column, rows in order
#version 450
layout(local_size_x = 8) in;
layout(binding = 0) readonly buffer X { float x[]; };
layout(binding = 1) readonly buffer Dy { float dy[]; };
layout(binding = 2) writeonly buffer Dw { float dw[]; };
layout(binding = 3) readonly buffer Stats { float stats[]; };
layout(push_constant) uniform Push { uint rows; uint cols; float eps; float w_offset; };
void main()
{
    const uint c = (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * 8u + gl_LocalInvocationID.x;
    if (c >= cols)
        return;
    float sum = 0.0;
    for (uint m = 0u; m < rows; m++)
        sum += dy[m * cols + c] * (x[m * cols + c] * stats[m]);
    dw[c] = sum;
}
