// SPDX-License-Identifier: Apache-2.0
// y = sum of x: JOIN 0, a lane a piece of 4096 elements into parts; JOIN 1, one lane over the parts, compensated (Kahan 1965)
#version 450
layout(local_size_x = 8) in;
layout(binding = 0) readonly buffer X { float x[]; };
layout(binding = 1) writeonly buffer Y { float y[]; };
layout(binding = 2) buffer Parts { float parts[]; };
layout(push_constant) uniform Push { uint n; };
void main()
{
#if JOIN == 0
    const uint piece = (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * 8u + gl_LocalInvocationID.x;
    if (piece * 4096u >= n)
        return;
    float sum = 0.0;
    for (uint i = piece * 4096u; i < min(n, (piece + 1u) * 4096u); i++)
        sum += x[i];
    parts[piece] = sum;
#else
    if (gl_LocalInvocationID.x != 0u)
        return;
    precise float sum = 0.0, lost = 0.0;
    for (uint p = 0u; p < n; p++) {
        precise const float add = parts[p] - lost;
        precise const float next = sum + add;
        lost = (next - sum) - add;
        sum = next;
    }
    y[0] = sum;
#endif
}
