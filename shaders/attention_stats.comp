// SPDX-License-Identifier: Apache-2.0
// stats = (lse, sum over d of y dy) of each query row of each head; a lane a row of a head. Summed like dy v in the
// passes that read it, FOURS where those add up dot products: where a query sees one key, y is its v, and
// dy v - delta is zero without a rest.
// Y, Dy [B Tq, H D]; Lse [B, H, Tq]; Stats [B, H, Tq]
#version 450
layout(local_size_x = 64) in;
layout(binding = 0) readonly buffer Y { float y[]; };
layout(binding = 1) readonly buffer Dy { float dy[]; };
layout(binding = 2) readonly buffer Lse { float lse[]; };
layout(binding = 3) writeonly buffer Stats { vec2 stats[]; };
layout(push_constant) uniform Push { uint n; uint h; uint tq; uint d; };
#define FOUR(x, at, left) \
    vec4(x[at], left > 1u ? x[at + 1u] : 0.0, left > 2u ? x[at + 2u] : 0.0, left > 3u ? x[at + 3u] : 0.0)
void main()
{
    // neighbours are heads of one row, whose floats lie side by side
    const uint e = (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * 64u + gl_LocalInvocationID.x;
    if (e >= n)
        return;
    float sum = 0.0;
#if FOURS == 1
    for (uint c = 0u; c < d; c += 4u)
        sum += dot(FOUR(y, e * d + c, d - c), FOUR(dy, e * d + c, d - c));
#else
    for (uint c = 0u; c < d; c++)
        sum += y[e * d + c] * dy[e * d + c];
#endif
    const uint row = e / h, out_row = (row / tq * h + e % h) * tq + row % tq;
    stats[out_row] = vec2(lse[out_row], sum);
}
