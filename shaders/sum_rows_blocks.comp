// SPDX-License-Identifier: Apache-2.0
// y[c] = sum over rows of x[row, c]; a lane a column. JOIN 0: sums over a block of 64 rows, in order, into scratch [block, cols];
// JOIN 1: the blocks' sums, in order.
#version 450
layout(local_size_x = 64) in;
layout(binding = 0) readonly buffer X { float x[]; };
layout(binding = 1) writeonly buffer Y { float y[]; };
layout(binding = 2) buffer Scratch { float scratch[]; };
layout(push_constant) uniform Push { uint rows; uint cols; };
void main()
{
    const uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    const uint across = (cols + 63u) / 64u, block = group / across;
    const uint c = group % across * 64u + gl_LocalInvocationID.x;
    float sum = 0.0;
#if JOIN == 0
    if (c >= cols || block * 64u >= rows)
        return;
    for (uint m = block * 64u; m < min(rows, block * 64u + 64u); m++)
        sum += x[m * cols + c];
    scratch[block * cols + c] = sum;
#else
    if (c >= cols || block != 0u)
        return;
    for (uint b = 0u; b * 64u < rows; b++)
        sum += scratch[b * cols + c];
    y[c] = sum;
#endif
}
