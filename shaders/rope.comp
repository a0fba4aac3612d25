// SPDX-License-Identifier: Apache-2.0
// y1 = x1 cos - x2 sin, y2 = x2 cos + x1 sin for the pairs (i, i + half) of each head; a lane a pair
// X, Y [rows, cols]; Pos [rows]; Table [positions, 2 half]: cosines, then sines
#version 450
layout(local_size_x = 64) in;
layout(binding = 0) readonly buffer X { float x[]; };
layout(binding = 1) readonly buffer Pos { int pos[]; };
layout(binding = 2) readonly buffer Table { float table[]; };
layout(binding = 3) writeonly buffer Y { float y[]; };
layout(push_constant) uniform Push { uint n; uint cols; uint half_size; uint positions; float sign; };
void main()
{
    const uint i = (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * 64u +
                   gl_LocalInvocationID.x;
    if (i >= n)
        return;
    const uint row = i / (cols / 2u), pair = i % (cols / 2u);
    const uint k = pair % half_size, a = row * cols + pair / half_size * 2u * half_size + k;
    const uint p = uint(pos[row]); // a negative position is a large one
    float cosine = 1.0, sine = 0.0;
    if (p < positions) {
        cosine = table[p * 2u * half_size + k];
        sine = sign * table[p * 2u * half_size + half_size + k];
    }
    const float x1 = x[a], x2 = x[a + half_size];
    y[a] = x1 * cosine - x2 * sine;
    y[a + half_size] = x2 * cosine + x1 * sine;
}
