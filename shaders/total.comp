// SPDX-License-Identifier: Apache-2.0
// y = sum of x, or sqrt(sum of x^2) with NORM 1. JOIN 0: pieces of 4096 elements into parts; JOIN 1: the n parts,
// compensated (Kahan 1965). A lane or a work group of 64 a piece, and for the join.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "row.glsl"
layout(binding = 0) readonly buffer X { float x[]; };
layout(binding = 1) writeonly buffer Y { float y[]; };
layout(binding = 2) buffer Parts { float parts[]; };
layout(push_constant) uniform Push { uint n; };
void main()
{
    const uint piece = ROW;
#if JOIN == 0
    if (piece >= (n + 4095u) / 4096u)
        return;
    const uint begin = piece * 4096u, count = min(4096u, n - begin);
    float sum = 0.0;
    FOR_COLS(i, count)
    {
        const float v = x[begin + i];
        sum += NORM == 1 ? v * v : v;
    }
    sum = row_sum(sum);
    if (COL == 0u)
        parts[piece] = sum;
#else
    if (piece > 0u)
        return;
    precise float sum = 0.0, lost = 0.0;
    FOR_COLS(p, n)
    {
        precise const float add = parts[p] - lost;
        precise const float next = sum + add;
        lost = (next - sum) - add;
        sum = next;
    }
    const float total = row_sum(sum);
    if (COL == 0u)
        y[0] = NORM == 1 ? sqrt(total) : total;
#endif
}
