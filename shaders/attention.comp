// SPDX-License-Identifier: Apache-2.0
// y = softmax(softcap(scale q k) + bias) v and its log-sum-exp, by online softmax; a lane owns ROWS queries of a head
// Q, Y [B Tq, H D]; K, V [B Tk, Hkv D]; Mask [B, Tk]; Bias [H, Tq, Tk]; Lse [B, H, Tq]
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
            mine[r * PARTS + c] = scale * q_at4(at, c);
            sum[r * PARTS + c] = VECTOR(0.0);
        }
        most[r] = LOWEST;
        total[r] = 0.0;
    }
    const uvec2 span = keys_of(b, start, start + LANES * ROWS);
    for (uint j = span.x / STEP * STEP; j < span.y; j += STEP) {
        float s[ROWS * STEP];
        EACH_STEP(x)
        {
            const uint at = k_at(b, kv_head, min(j + x, tk - 1u));
            EACH_ROW(r) s[r * STEP + x] = 0.0;
            EACH_PART(c)
            {
                const VECTOR other = k_at4(at, c);
                EACH_ROW(r) s[r * STEP + x] += dot(mine[r * PARTS + c], other);
            }
        }
        EACH_ROW(r)
        {
            const uint i = first + r * LANES;
            float top = most[r], slope;
            EACH_STEP(x)
            {
                const float score = finish(s[r * STEP + x], head, i, j + x, slope);
                s[r * STEP + x] = sees(b, i, j + x) ? score : HIDDEN;
                top = max(top, s[r * STEP + x]);
            }
            const float shrink = top > most[r] ? exp(most[r] - top) : 1.0;
            most[r] = top;
            total[r] *= shrink;
            EACH_STEP(x)
            {
                const float p = exp(s[r * STEP + x] - top);
                total[r] += p;
                s[r * STEP + x] = HAS_DROPOUT ? p * kept(pair * tq + i, j + x) : p;
            }
            EACH_PART(c) sum[r * PARTS + c] *= shrink;
        }
        EACH_STEP(x)
        {
            const uint at = k_at(b, kv_head, min(j + x, tk - 1u));
            EACH_PART(c)
            {
                const VECTOR other = v_at4(at, c);
                EACH_ROW(r) sum[r * PARTS + c] += s[r * STEP + x] * other;
            }
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
