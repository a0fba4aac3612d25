// SPDX-License-Identifier: Apache-2.0
// y = softmax(softcap(scale q k) + bias) v and its log-sum-exp, by online softmax; a lane takes 16 columns of a query
// Q, Y [B Tq, H D]; K, V [B Tk, Hkv D]; Mask [B, Tk]; Bias as attention.glsl has it; Lse [B, H, Tq]
#version 450
#extension GL_GOOGLE_include_directive : require
#define MASK 3
#define BIAS 4
#define RNG 5
#include "attention.glsl"
#include "attention_any.glsl"
layout(binding = 0) readonly buffer Q { float q[]; };
layout(binding = 1) readonly buffer K { float k[]; };
layout(binding = 2) readonly buffer V { float v[]; };
layout(binding = 6) writeonly buffer Y { float y[]; };
layout(binding = 7) writeonly buffer Lse { float lse[]; };
void main()
{
    const uint i = INDEX / CHUNKS, column = INDEX % CHUNKS * 16u;
    if (GROUP >= n_groups || i >= tq)
        return;
    const uint pair = GROUP / tiles, b = pair / h, head = pair % h, kv_head = head / (h / hkv);
    const uint mine = q_at(b, head, i);
    float sum[16], most = LOWEST, total = 0.0;
    EACH_COLUMN(c) sum[c] = 0.0;
    const uvec2 span = keys_of(b, i, i + 1u);
    for (uint j = span.x; j < span.y; j++) {
        const uint other = k_at(b, kv_head, j);
        float s = 0.0, slope;
        for (uint c = 0u; c < D; c++)
            s += q[mine + c] * k[other + c];
        s = finish(scale * s, head, i, j, slope);
        s = sees(b, i, j) ? s : HIDDEN;
        const float top = max(most, s), shrink = top > most ? exp(most - top) : 1.0;
        float p = exp(s - top);
        most = top;
        total = total * shrink + p;
        if (HAS_DROPOUT)
            p *= kept(pair * tq + i, j);
        EACH_COLUMN(c) sum[c] = sum[c] * shrink + (IS_COLUMN(c) ? p * v[other + column + c] : 0.0);
    }
    const float inverse = total == 0.0 ? 0.0 : 1.0 / total;
    for (uint c = 0u; c < 16u && IS_COLUMN(c); c++)
        y[mine + column + c] = inverse * sum[c];
    if (column == 0u)
        lse[pair * tq + i] = total == 0.0 ? 0.0 : most + log(total);
}
