// SPDX-License-Identifier: Apache-2.0
// y = softmax(softcap(scale q k) + bias) v and its log-sum-exp, by online softmax; a lane owns ROWS queries of a head
// Q, Y [B Tq, H D]; K, V [B Tk, Hkv D]; Mask [B, Tk]; Bias as attention.glsl has it; Lse [B, H, Tq]
#version 450
#extension GL_GOOGLE_include_directive : require
#define MASK 3
#define BIAS 4
#define RNG 5
#include "attention.glsl"
#include "attention_rows.glsl"
ROW_BUFFER(0, Q, q)
ROW_BUFFER(1, K, k)
ROW_BUFFER(2, V, v)
OUT_BUFFER(6, Y, y)
layout(binding = 7) writeonly buffer Lse { float lse[]; };
void main()
{
    if (GROUP >= n_groups)
        return;
    const uint pair = GROUP / tiles, b = pair / h, head = pair % h, kv_head = head / (h / hkv);
    const uint start = GROUP % tiles * LANES * ROWS, first = start + gl_LocalInvocationID.x;
    VECTOR mine[ROWS * PARTS], sum[ROWS * PARTS];
    float most[ROWS], total[ROWS];
    EACH_ROW(r)
    {
        const uint at = q_at(b, head, min(first + r * LANES, tq - 1u));
        EACH_PART(c)
        {
            mine[r * PARTS + c] = q_at4(at, c);
            sum[r * PARTS + c] = VECTOR(0.0);
        }
        most[r] = LOWEST;
        total[r] = 0.0;
    }
    const uvec2 span = keys_of(b, start, start + LANES * ROWS);
    for (uint j = span.x; j < span.y; j++) {
        const uint at = k_at(b, kv_head, j);
        float p[ROWS], shrink[ROWS];
        EACH_ROW(r) p[r] = 0.0;
        EACH_PART(c)
        {
            const VECTOR key = k_at4(at, c);
            EACH_ROW(r) p[r] += dot(mine[r * PARTS + c], key);
        }
        EACH_ROW(r)
        {
            const uint i = first + r * LANES;
            float slope;
            const float score = finish(scale * p[r], head, i, j, slope);
            const float s = sees(b, i, j) ? score : HIDDEN, top = max(most[r], s);
            shrink[r] = top > most[r] ? exp(most[r] - top) : 1.0;
            most[r] = top;
            p[r] = exp(s - top);
            total[r] = total[r] * shrink[r] + p[r];
            if (HAS_DROPOUT)
                p[r] *= kept(pair * tq + i, j);
        }
        EACH_PART(c)
        {
            const VECTOR value = v_at4(at, c);
            EACH_ROW(r) sum[r * PARTS + c] = sum[r * PARTS + c] * shrink[r] + p[r] * value;
        }
    }
    EACH_ROW(r)
    {
        const uint i = first + r * LANES;
        if (i < tq) {
            const float inverse = total[r] == 0.0 ? 0.0 : 1.0 / total[r];
            EACH_PART(c) y_put(q_at(b, head, i), c, inverse * sum[r * PARTS + c]);
            lse[pair * tq + i] = total[r] == 0.0 ? 0.0 : most[r] + log(total[r]);
        }
    }
}
