// SPDX-License-Identifier: Apache-2.0
// dk = scale sum of p (f dy v - delta) softcap' q and dv = sum of p f dy over the queries of all heads that share a key
// head, p = exp(s - lse); a lane owns ROWS keys of a key head
// Q, Dy [B Tq, H D]; K, V, Dk, Dv [B Tk, Hkv D]; Stats [B, H, Tq]: (lse, delta); Mask [B, Tk]; Bias as attention.glsl has it
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
OUT_BUFFER(8, Dk, dk)
OUT_BUFFER(9, Dv, dv)
void main()
{
    if (GROUP >= n_groups)
        return;
    const uint b = GROUP / tiles / hkv, kv_head = GROUP / tiles % hkv, group = h / hkv;
    const uint start = GROUP % tiles * LANES * ROWS, first = start + gl_LocalInvocationID.x;
    VECTOR key[ROWS * PARTS], value[ROWS * PARTS], dk_sum[ROWS * PARTS], dv_sum[ROWS * PARTS];
    EACH_ROW(r)
    {
        const uint at = k_at(b, kv_head, min(first + r * LANES, tk - 1u));
        EACH_PART(c)
        {
            key[r * PARTS + c] = k_at4(at, c);
            value[r * PARTS + c] = v_at4(at, c);
            dk_sum[r * PARTS + c] = dv_sum[r * PARTS + c] = VECTOR(0.0);
        }
    }
    const uvec2 span = queries_of(start, start + LANES * ROWS);
    for (uint head = kv_head * group; head < (kv_head + 1u) * group; head++)
        for (uint i = span.x; i < span.y; i++) {
            const uint at = q_at(b, head, i), row = (b * h + head) * tq + i;
            const vec2 known = stats[row];
            float p[ROWS], ds[ROWS];
            EACH_ROW(r) p[r] = ds[r] = 0.0;
            EACH_PART(c)
            {
                const VECTOR query = q_at4(at, c), wanted = dy_at4(at, c);
                EACH_ROW(r)
                {
                    p[r] += dot(key[r * PARTS + c], query);
                    ds[r] += dot(value[r * PARTS + c], wanted);
                }
            }
            EACH_ROW(r)
            {
                const uint j = first + r * LANES;
                float slope;
                const float score = finish(scale * p[r], head, i, j, slope);
                p[r] = sees(b, i, j) ? exp(score - known.x) : 0.0;
                const float f = HAS_DROPOUT ? kept(row, j) : 1.0;
                ds[r] = p[r] * (f * ds[r] - known.y) * slope;
                p[r] *= f;
            }
            EACH_PART(c)
            {
                const VECTOR query = q_at4(at, c), wanted = dy_at4(at, c);
                EACH_ROW(r)
                {
                    dk_sum[r * PARTS + c] += ds[r] * query;
                    dv_sum[r * PARTS + c] += p[r] * wanted;
                }
            }
        }
    EACH_ROW(r)
    {
        const uint j = first + r * LANES;
        if (j < tk)
            EACH_PART(c)
            {
                dk_put(k_at(b, kv_head, j), c, scale * dk_sum[r * PARTS + c]);
                dv_put(k_at(b, kv_head, j), c, dv_sum[r * PARTS + c]);
            }
    }
}
