// SPDX-License-Identifier: Apache-2.0
// hit[m] = 1 where z[m, label] is the first largest of its row, else 0; -1 where the label is not in [0, cols). A lane a row.
#version 450
layout(local_size_x = 8) in;
layout(binding = 0) readonly buffer Z { float z[]; };
layout(binding = 1) readonly buffer Labels { int labels[]; };
layout(binding = 2) writeonly buffer Hit { float hit[]; };
layout(push_constant) uniform Push { uint rows; uint cols; };
void main()
{
    const uint row = (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * 8u + gl_LocalInvocationID.x;
    if (row >= rows)
        return;
    const int label = labels[row];
    if (label < 0 || uint(label) >= cols) {
        hit[row] = -1.0;
        return;
    }
    const float at_label = z[row * cols + uint(label)];
    bool is_best = true;
    for (uint c = 0u; c < cols && is_best; c++) {
        const float x = z[row * cols + c];
        is_best = x < at_label || (x == at_label && c >= uint(label));
    }
    hit[row] = is_best ? 1.0 : 0.0;
}
