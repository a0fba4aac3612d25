// SPDX-License-Identifier: Apache-2.0
// dq = scale sum over keys of p (f dy v - delta) softcap' k, p = exp(s - lse); a lane owns ROWS queries of a head
// Q, Dy, Dq [B Tq, H D]; K, V [B Tk, Hkv D]; Stats [B, H, Tq]: (lse, delta); Mask [B, Tk]; Bias as attention.glsl has it
#version 450
#extension GL_GOOGLE_include_directive : require
#define MASK 5
#define BIAS 6
#define RNG 7
#include "attention.glsl"
#include "attention_rows.glsl"
ROW_BUFFER(0, Q, q)
ROW_BUFFER(1, K, k)
ROW_BUFFER(2, V, v)
ROW_BUFFER(3, Dy, dy)
layout(binding = 4) readonly buffer Stats { vec2 stats[]; };
OUT_BUFFER(8, Dq, dq)
void main()
{
    if (GROUP >= n_groups)
        return;
    const uint pair = GROUP / tiles, b = pair / h, head = pair % h, kv_head = head / (h / hkv);
    const uint start = GROUP % tiles * LANES * ROWS, first = start + gl_LocalInvocationID.x;
    VECTOR mine[ROWS * PARTS], wanted[ROWS * PARTS], sum[ROWS * PARTS];
    vec2 known[ROWS];
    EACH_ROW(r)
    {
        const uint i = min(first + r * LANES, tq - 1u), at = q_at(b, head, i);
        EACH_PART(c)
        {
            mine[r * PARTS + c] = q_at4(at, c);
            wanted[r * PARTS + c] = dy_at4(at, c);
            sum[r * PARTS + c] = VECTOR(0.0);
        }
        known[r] = stats[pair * tq + i];
    }
    const uvec2 span = keys_of(b, start, start + LANES * ROWS);
    for (uint j = span.x; j < span.y; j++) {
        const uint at = k_at(b, kv_head, j);
        float s[ROWS], ds[ROWS];
        EACH_ROW(r) s[r] = ds[r] = 0.0;
        EACH_PART(c)
        {
            const VECTOR key = k_at4(at, c), value = v_at4(at, c);
            EACH_ROW(r)
            {
                s[r] += dot(mine[r * PARTS + c], key);
                ds[r] += dot(wanted[r * PARTS + c], value);
            }
        }
        EACH_ROW(r)
        {
            const uint i = first + r * LANES;
            float slope;
            const float score = finish(scale * s[r], head, i, j, slope);
            const float p = sees(b, i, j) ? exp(score - known[r].x) : 0.0;
            if (HAS_DROPOUT)
                ds[r] *= kept(pair * tq + i, j);
            ds[r] = p * (ds[r] - known[r].y) * slope;
        }
        EACH_PART(c)
        {
            const VECTOR key = k_at4(at, c);
            EACH_ROW(r) sum[r * PARTS + c] += ds[r] * key;
        }
    }
    EACH_ROW(r)
    {
        const uint i = first + r * LANES;
        if (i < tq)
            EACH_PART(c) dq_put(q_at(b, head, i), c, scale * sum[r * PARTS + c]);
    }
}
