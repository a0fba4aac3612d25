// SPDX-License-Identifier: Apache-2.0
// y = alpha a b + u v + bias + residual for every shape: a lane computes 4 rows of one column
#version 450
#extension GL_GOOGLE_include_directive : require
layout(local_size_x = 32) in;
#include "matmul.glsl"
void main()
{
    const uint at = (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * 32u + gl_LocalInvocationID.x;
    const uint row = at / n * 4u, col = at % n;
    if (row >= m)
        return;
    const uint last = m - 1u;
    const uvec4 rows = min(row + uvec4(0u, 1u, 2u, 3u), uvec4(last));
    vec4 sum = vec4(0.0);
    for (uint i = 0u; i < k; i++) {
        const float x = B_AT(i, col);
        sum += vec4(A_AT(rows.x, i), A_AT(rows.y, i), A_AT(rows.z, i), A_AT(rows.w, i)) * x;
    }
    for (uint j = 0u; j < 4u && row + j < m; j++)
        y[(row + j) * n + col] = finish(sum[j], row + j, col);
}
