// SPDX-License-Identifier: Apache-2.0
// loss[m] = scale ((1 - e) -log p[y] + e mean(-log p)), dz = d loss / d z, p = softmax(z), a row at a time;
// rows whose label is not in [0, cols) give zeros. dz may be z: an element is read, then overwritten.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "row.glsl"
layout(binding = 0) buffer Z { float z[]; };
layout(binding = 1) readonly buffer Labels { int labels[]; };
layout(binding = 2) readonly buffer Scale { float scale[]; };
layout(binding = 3) buffer Dz { float dz[]; };
layout(binding = 4) writeonly buffer Loss { float loss[]; };
layout(push_constant) uniform Push { uint rows; uint cols; float e; };
void main()
{
    const uint row = ROW;
    if (row >= rows)
        return;
    const int label = labels[row];
    const bool counts = label >= 0 && uint(label) < cols;
    const uint at = counts ? uint(label) : 0u;
    const float z_label = z[row * cols + at];
    float most = -3.4e38;
    FOR_COLS(c, cols)
        most = max(most, z[row * cols + c]);
    most = row_max(most);
    // a lane's sums in blocks of 128 of its columns: a vocabulary is long for one running sum
    float sum = 0.0, total = 0.0;
    for (uint begin = 0u; begin < cols; begin += 128u * LANES) {
        const uint end = min(cols, begin + 128u * LANES);
        float block_sum = 0.0, block_total = 0.0;
        for (uint c = begin + COL; c < end; c += LANES) {
            const float d = z[row * cols + c] - most;
            block_sum += exp(max(d, -87.0));
            block_total += d;
        }
        sum += block_sum;
        total += block_total;
    }
    sum = row_sum(sum);
    total = row_sum(total);
    const float log_sum = log(sum), s = counts ? scale[0] : 0.0;
    FOR_COLS(c, cols)
    {
        const float p = exp(max(z[row * cols + c] - most, -87.0)) / sum;
        dz[row * cols + c] = s * (p - (c == at ? 1.0 - e : 0.0) - e / float(cols));
    }
    const float flat_ = e > 0.0 ? e * (log_sum - total / float(cols)) : 0.0;
    if (COL == 0u)
        loss[row] = s * ((1.0 - e) * (log_sum - (z_label - most)) + flat_);
}
