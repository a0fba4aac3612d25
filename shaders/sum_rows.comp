// SPDX-License-Identifier: Apache-2.0
// y[c] = sum over rows, in order, of x[row, c]; a lane a column
#version 450
layout(local_size_x = 32) in;
layout(binding = 0) readonly buffer X { float x[]; };
layout(binding = 1) writeonly buffer Y { float y[]; };
layout(push_constant) uniform Push { uint rows; uint cols; };
void main()
{
    const uint c = (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * 32u + gl_LocalInvocationID.x;
    if (c >= cols)
        return;
    float sum = 0.0;
    for (uint m = 0u; m < rows; m++)
        sum += x[m * cols + c];
    y[c] = sum;
}
