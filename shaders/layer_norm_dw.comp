// SPDX-License-Identifier: Apache-2.0
// dw[c] = sum over rows of dy (x - mean) rstd, db[c] = sum over rows of dy; a lane a column.
// JOIN 0: sums (dw, db) over a block of 64 rows, in order; JOIN 1: the blocks' sums, in order.
// Scratch: (mean, rstd) of each row, then (dw, db) of each block and column.
#version 450
layout(local_size_x = 64) in;
layout(binding = 0) readonly buffer X { float x[]; };
layout(binding = 1) readonly buffer Dy { float dy[]; };
layout(binding = 2) writeonly buffer Dw { float dw[]; };
layout(binding = 3) writeonly buffer Db { float db[]; };
layout(binding = 4) buffer Scratch { vec2 scratch[]; };
layout(push_constant) uniform Push { uint rows; uint cols; float eps; };
void main()
{
    const uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    const uint across = (cols + 63u) / 64u, block = group / across;
    const uint c = group % across * 64u + gl_LocalInvocationID.x;
#if JOIN == 0
    if (c >= cols || block * 64u >= rows)
        return;
    vec2 sum = vec2(0.0);
    for (uint m = block * 64u; m < min(rows, block * 64u + 64u); m++) {
        const float g = dy[m * cols + c];
        sum += vec2(g * ((x[m * cols + c] - scratch[m].x) * scratch[m].y), g);
    }
    scratch[rows + block * cols + c] = sum;
#else
    if (c >= cols || block != 0u)
        return;
    vec2 sum = vec2(0.0);
    for (uint b = 0u; b * 64u < rows; b++)
        sum += scratch[rows + b * cols + c];
    dw[c] = sum.x;
    db[c] = sum.y;
#endif
}
