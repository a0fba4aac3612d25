// SPDX-License-Identifier: Apache-2.0
// dbias[head, i, j] = sum over the batch of p (f dy v - delta), p = exp(s - lse); a lane an element; by
// distance: dbias[j - i + Tq - 1, head], summed over i too
// Q, Dy [B Tq, H D]; K, V [B Tk, Hkv D]; Stats [B, H, Tq]: (lse, delta); Mask [B, Tk]; Bias, Dbias as attention.glsl has it
#version 450
#extension GL_GOOGLE_include_directive : require
#define MASK 5
#define BIAS 6
#define RNG 7
#include "attention.glsl"
layout(local_size_x = 64) in;
layout(constant_id = 3) const uint BATCH = 1;
layout(binding = 0) readonly buffer Q { float q[]; };
layout(binding = 1) readonly buffer K { float k[]; };
layout(binding = 2) readonly buffer V { float v[]; };
layout(binding = 3) readonly buffer Dy { float dy[]; };
layout(binding = 4) readonly buffer Stats { vec2 stats[]; };
layout(binding = 8) writeonly buffer Dbias { float dbias[]; };
void main()
{
    const uint e = GROUP * 64u + gl_LocalInvocationID.x;
    if (e >= n_groups) // elements, here
        return;
    uint j = e % tk, i = e / tk % tq, head = e / tk / tq, n_pairs = 1u;
    if (BY_DISTANCE) { // from the first query that has a key at this distance on
        const uint d = e / h; // j - i + Tq - 1
        head = e % h;
        i = d < tq ? tq - 1u - d : 0u;
        j = d < tq ? 0u : d - (tq - 1u);
        n_pairs = min(tq - i, tk - j);
    }
    const uint kv_head = head / (h / hkv), i0 = i, j0 = j;
    float sum = 0.0;
    for (uint x = 0u; x < n_pairs * BATCH; x++) {
        const uint b = x / n_pairs;
        i = i0 + x % n_pairs;
        j = j0 + x % n_pairs;
        const uint mine = q_at(b, head, i), other = k_at(b, kv_head, j), row = (b * h + head) * tq + i;
        float s = 0.0, dp = 0.0, slope;
        for (uint c = 0u; c < D; c++) {
            s += q[mine + c] * k[other + c];
            dp += dy[mine + c] * v[other + c];
        }
        s = finish(scale * s, head, i, j, slope);
        if (HAS_DROPOUT)
            dp *= kept(row, j);
        sum += sees(b, i, j) ? exp(s - stats[row].x) * (dp - stats[row].y) : 0.0;
    }
    dbias[e] = sum;
}
