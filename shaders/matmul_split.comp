// SPDX-License-Identifier: Apache-2.0
// Small results of long sums. JOIN 0: a lane sums 256 terms of one element into parts [piece, m, n]; JOIN 1: a lane adds
// the pieces of one element in order, and what else there is to add.
#version 450
#extension GL_GOOGLE_include_directive : require
layout(local_size_x = 32) in;
#include "matmul.glsl"
layout(constant_id = 3) const uint LENGTH = 256; // terms of a piece
layout(binding = 7) buffer Parts { float parts[]; };
void main()
{
    const uint at = (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * 32u + gl_LocalInvocationID.x;
    const uint pieces = (k + LENGTH - 1u) / LENGTH, size = m * n;
    float sum = 0.0;
#if JOIN == 0
    const uint piece = at / size, element = at % size;
    if (piece >= pieces)
        return;
    const uint row = element / n, col = element % n;
    for (uint i = piece * LENGTH; i < min(k, (piece + 1u) * LENGTH); i++)
        sum += A_AT(row, i) * B_AT(i, col);
    parts[at] = sum;
#else
    if (at >= size)
        return;
    for (uint p = 0u; p < pieces; p++)
        sum += parts[p * size + at];
    y[at] = finish(sum, at / n, at % n);
#endif
}
