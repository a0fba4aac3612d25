// SPDX-License-Identifier: Apache-2.0
// dk = scale sum of p (f dy v - delta) softcap' q and dv = sum of p f dy over the queries of all heads that share a key
// head, p = exp(s - lse); a lane takes 16 columns of a key
// Q, Dy [B Tq, H D]; K, V, Dk, Dv [B Tk, Hkv D]; Stats [B, H, Tq]: (lse, delta); Mask [B, Tk]; Bias as attention.glsl has it
#version 450
#extension GL_GOOGLE_include_directive : require
#define MASK 5
#define BIAS 6
#define RNG 7
#include "attention.glsl"
#include "attention_any.glsl"
layout(binding = 0) readonly buffer Q { float q[]; };
layout(binding = 1) readonly buffer K { float k[]; };
layout(binding = 2) readonly buffer V { float v[]; };
layout(binding = 3) readonly buffer Dy { float dy[]; };
layout(binding = 4) readonly buffer Stats { vec2 stats[]; };
layout(binding = 8) writeonly buffer Dk { float dk[]; };
layout(binding = 9) writeonly buffer Dv { float dv[]; };
void main()
{
    const uint j = INDEX / CHUNKS, column = INDEX % CHUNKS * 16u;
    if (GROUP >= n_groups || j >= tk)
        return;
    const uint b = GROUP / tiles / hkv, kv_head = GROUP / tiles % hkv, group = h / hkv;
    const uint mine = k_at(b, kv_head, j);
    float dk_sum[16], dv_sum[16];
    EACH_COLUMN(c) dk_sum[c] = dv_sum[c] = 0.0;
    const uvec2 span = queries_of(j, j + 1u);
    for (uint head = kv_head * group; head < (kv_head + 1u) * group; head++)
        for (uint i = span.x; i < span.y; i++) {
            const uint other = q_at(b, head, i), row = (b * h + head) * tq + i;
            float s = 0.0, ds = 0.0, slope;
            for (uint c = 0u; c < D; c++) {
                s += q[other + c] * k[mine + c];
                ds += dy[other + c] * v[mine + c];
            }
            s = finish(scale * s, head, i, j, slope);
            const float p = sees(b, i, j) ? exp(s - stats[row].x) : 0.0, f = HAS_DROPOUT ? kept(row, j) : 1.0;
            ds = p * (f * ds - stats[row].y) * slope;
            EACH_COLUMN(c)
            {
                dk_sum[c] += IS_COLUMN(c) ? ds * q[other + column + c] : 0.0;
                dv_sum[c] += IS_COLUMN(c) ? p * f * dy[other + column + c] : 0.0;
            }
        }
    for (uint c = 0u; c < 16u && IS_COLUMN(c); c++) {
        dk[mine + column + c] = scale * dk_sum[c];
        dv[mine + column + c] = dv_sum[c];
    }
}
