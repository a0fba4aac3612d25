// SPDX-License-Identifier: Apache-2.0
// dq = scale sum over keys of p (f dy v - delta) softcap' k, p = exp(s - lse); 128 lanes take 32 queries of a head
// against 32 keys at a time in shared memory
// Q, Dy, Dq [B Tq, H D]; K, V [B Tk, Hkv D]; Stats [B, H, Tq]: (lse, delta); Mask [B, Tk]; Bias as attention.glsl has it
#version 450
#extension GL_GOOGLE_include_directive : require
#define MASK 5
#define BIAS 6
#define RNG 7
#include "attention.glsl"
#include "attention_tile.glsl"
TILE_BUFFER(0, Q, q)
TILE_BUFFER(1, K, k)
TILE_BUFFER(2, V, v)
TILE_BUFFER(3, Dy, dy)
layout(binding = 4) readonly buffer Stats { vec2 stats[]; };
OUT_BUFFER(8, Dq, dq)
void main()
{
    if (GROUP >= n_groups)
        return;
    const uint pair = GROUP / tiles, b = pair / h, head = pair % h, kv_head = head / (h / hkv);
    const uint start = GROUP % tiles * 32u, i0 = start + 2u * TY;
#define Q_ROW(i) q_at(b, head, i)
#define K_ROW(j) k_at(b, kv_head, j)
    vec4 sum0[CHUNKS], sum1[CHUNKS];
    EACH_CHUNK(c) sum0[c] = sum1[c] = vec4(0.0);
    const vec2 known[2] = vec2[2](stats[pair * tq + min(i0, tq - 1u)], stats[pair * tq + min(i0 + 1u, tq - 1u)]);
    const uvec2 span = keys_of(b, start, start + 32u);
    for (uint j0 = span.x; j0 < span.y; j0 += 32u) {
        vec4 s[2] = vec4[2](vec4(0.0), vec4(0.0)), ds[2] = s;
        for (uint c = 0u; c < CHUNKS; c++) {
            LOAD_TILE(own_tile, q_at4, Q_ROW, start, tq, c, IN_ORDER)
            LOAD_TILE(other_tile, k_at4, K_ROW, j0, span.y, c, SPREAD)
            barrier();
            multiply(s[0], s[1]);
            barrier();
            LOAD_TILE(own_tile, dy_at4, Q_ROW, start, tq, c, IN_ORDER)
            LOAD_TILE(other_tile, v_at4, K_ROW, j0, span.y, c, SPREAD)
            barrier();
            multiply(ds[0], ds[1]);
            barrier();
        }
        [[unroll]] for (uint r = 0u; r < 2u; r++) {
            [[unroll]] for (uint x = 0u; x < 4u; x++) {
                const uint j = j0 + 4u * TX + x;
                float slope;
                const float score = finish(scale * s[r][x], head, i0 + r, j, slope);
                const float p = j < span.y && sees(b, i0 + r, j) ? exp(score - known[r].x) : 0.0;
                if (HAS_DROPOUT)
                    ds[r][x] *= kept(pair * tq + i0 + r, j);
                ds[r][x] = p * (ds[r][x] - known[r].y) * slope;
            }
            score_tile[(2u * TY + r) * PITCH + TX] = ds[r];
        }
        EACH_CHUNK(c)
        {
            LOAD_TILE(other_tile, k_at4, K_ROW, j0, span.y, c, IN_ORDER)
            barrier();
            accumulate(sum0[c], sum1[c]);
            barrier();
        }
    }
    [[unroll]] for (uint r = 0u; r < 2u; r++)
        if (i0 + r < tq)
            EACH_CHUNK(c)
                dq_put(q_at(b, head, i0 + r), 32u * c + 4u * TX, scale * (r == 0u ? sum0[c] : sum1[c]));
}
