// SPDX-License-Identifier: Apache-2.0
// loss[m] = scale ((1 - e) -log p[y] + e mean(-log p)), dz = d loss / d z, p = softmax(z), a row at a time;
// rows whose label is not in [0, cols) give zeros
#version 450
#extension GL_GOOGLE_include_directive : require
#include "row.glsl"
layout(binding = 0) readonly buffer Z { float z[]; };
layout(binding = 1) readonly buffer Labels { int labels[]; };
layout(binding = 2) readonly buffer Scale { float scale[]; };
layout(binding = 3) writeonly buffer Loss { float loss[]; };
layout(binding = 4) buffer Dz { float dz[]; };
layout(push_constant) uniform Push { uint rows; uint cols; float e; };
void main()
{
    const uint row = ROW;
    if (row >= rows)
        return;
    const int label = labels[row];
    const bool counts = label >= 0 && uint(label) < cols;
    float most = -3.4e38;
    FOR_COLS(c, cols)
        most = max(most, z[row * cols + c]);
    most = row_max(most);
    float sum = 0.0, total = 0.0;
    FOR_COLS(c, cols)
    {
        const float d = z[row * cols + c] - most;
        sum += exp(max(d, -87.0));
        total += d;
    }
    sum = row_sum(sum);
    total = row_sum(total);
    const float log_sum = log(sum), s = counts ? scale[0] : 0.0;
    const uint at = counts ? uint(label) : 0u;
    const float d_label = z[row * cols + at] - most;
    FOR_COLS(c, cols)
    {
        const float p = exp(max(z[row * cols + c] - most, -87.0)) / sum;
        dz[row * cols + c] = s * (p - (c == at ? 1.0 - e : 0.0) - e / float(cols));
    }
    if (gl_LocalInvocationID.x == 0u || LANES == 1)
        loss[row] = s * ((1.0 - e) * (log_sum - d_label) + e * (log_sum - total / float(cols)));
}
