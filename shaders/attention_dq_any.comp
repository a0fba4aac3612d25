// SPDX-License-Identifier: Apache-2.0
// dq = scale sum over keys of p (f dy v - delta) softcap' k, p = exp(s - lse); a lane takes 16 columns of a query
// Q, Dy, Dq [B Tq, H D]; K, V [B Tk, Hkv D]; Stats [B, H, Tq]: (lse, delta); Mask [B, Tk]; Bias as attention.glsl has it
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
layout(binding = 8) writeonly buffer Dq { float dq[]; };
void main()
{
    const uint i = INDEX / CHUNKS, column = INDEX % CHUNKS * 16u;
    if (GROUP >= n_groups || i >= tq)
        return;
    const uint pair = GROUP / tiles, b = pair / h, head = pair % h, kv_head = head / (h / hkv);
    const uint mine = q_at(b, head, i);
    const vec2 known = stats[pair * tq + i];
    float sum[16];
    EACH_COLUMN(c) sum[c] = 0.0;
    const uvec2 span = keys_of(b, i, i + 1u);
    for (uint j = span.x; j < span.y; j++) {
        const uint other = k_at(b, kv_head, j);
        float s = 0.0, ds = 0.0, slope;
        for (uint c = 0u; c < D; c++) {
            s += q[mine + c] * k[other + c];
            ds += dy[mine + c] * v[other + c];
        }
        s = finish(scale * s, head, i, j, slope);
        if (HAS_DROPOUT)
            ds *= kept(pair * tq + i, j);
        ds = sees(b, i, j) ? exp(s - known.x) * (ds - known.y) * slope : 0.0;
        EACH_COLUMN(c) sum[c] += IS_COLUMN(c) ? ds * k[other + column + c] : 0.0;
    }
    for (uint c = 0u; c < 16u && IS_COLUMN(c); c++)
        dq[mine + column + c] = scale * sum[c];
}
