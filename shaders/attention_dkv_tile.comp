// SPDX-License-Identifier: Apache-2.0
// dk = scale sum of p (f dy v - delta) softcap' q and dv = sum of p f dy over the queries of all heads that share a key
// head, p = exp(s - lse); 128 lanes take 32 keys against 32 queries at a time in shared memory
// Q, Dy [B Tq, H D]; K, V, Dk, Dv [B Tk, Hkv D]; Stats [B, H, Tq]: (lse, delta); Mask [B, Tk]; Bias as attention.glsl has it
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
OUT_BUFFER(8, Dk, dk)
OUT_BUFFER(9, Dv, dv)
void main()
{
    if (GROUP >= n_groups)
        return;
    const uint b = GROUP / tiles / hkv, kv_head = GROUP / tiles % hkv, group = h / hkv;
    const uint start = GROUP % tiles * 32u, j0 = start + 2u * TY;
#define Q_ROW(i) q_at(b, head, i)
#define K_ROW(j) k_at(b, kv_head, j)
    vec4 dk0[CHUNKS], dk1[CHUNKS], dv0[CHUNKS], dv1[CHUNKS];
    EACH_CHUNK(c) dk0[c] = dk1[c] = dv0[c] = dv1[c] = vec4(0.0);
    const uvec2 span = queries_of(start, start + 32u);
    for (uint head = kv_head * group; head < (kv_head + 1u) * group; head++)
        for (uint i0 = span.x; i0 < span.y; i0 += 32u) {
            vec4 p[2] = vec4[2](vec4(0.0), vec4(0.0)), ds[2] = p;
            for (uint c = 0u; c < CHUNKS; c++) {
                LOAD_TILE(own_tile, k_at4, K_ROW, start, tk, c, IN_ORDER)
                LOAD_TILE(other_tile, q_at4, Q_ROW, i0, span.y, c, SPREAD)
                barrier();
                multiply(p[0], p[1]);
                barrier();
                LOAD_TILE(own_tile, v_at4, K_ROW, start, tk, c, IN_ORDER)
                LOAD_TILE(other_tile, dy_at4, Q_ROW, i0, span.y, c, SPREAD)
                barrier();
                multiply(ds[0], ds[1]);
                barrier();
            }
            [[unroll]] for (uint x = 0u; x < 4u; x++) {
                const uint i = i0 + 4u * TX + x, row = (b * h + head) * tq + i;
                const vec2 known = stats[min(row, (b * h + head) * tq + tq - 1u)];
                [[unroll]] for (uint r = 0u; r < 2u; r++) {
                    float slope;
                    const float score = finish(scale * p[r][x], head, i, j0 + r, slope);
                    p[r][x] = i < span.y && sees(b, i, j0 + r) ? exp(score - known.x) : 0.0;
                    const float f = HAS_DROPOUT ? kept(row, j0 + r) : 1.0;
                    ds[r][x] = p[r][x] * (f * ds[r][x] - known.y) * slope;
                    p[r][x] *= f;
                }
            }
            [[unroll]] for (uint r = 0u; r < 2u; r++)
                score_tile[(2u * TY + r) * PITCH + TX] = p[r];
            EACH_CHUNK(c)
            {
                LOAD_TILE(other_tile, dy_at4, Q_ROW, i0, span.y, c, IN_ORDER)
                barrier();
                accumulate(dv0[c], dv1[c]);
                barrier();
            }
            [[unroll]] for (uint r = 0u; r < 2u; r++)
                score_tile[(2u * TY + r) * PITCH + TX] = ds[r];
            EACH_CHUNK(c)
            {
                LOAD_TILE(other_tile, q_at4, Q_ROW, i0, span.y, c, IN_ORDER)
                barrier();
                accumulate(dk0[c], dk1[c]);
                barrier();
            }
        }
    [[unroll]] for (uint r = 0u; r < 2u; r++)
        if (j0 + r < tk)
            EACH_CHUNK(c)
            {
                const uint at = k_at(b, kv_head, j0 + r), column = 32u * c + 4u * TX;
                dk_put(at, column, scale * (r == 0u ? dk0[c] : dk1[c]));
                dv_put(at, column, r == 0u ? dv0[c] : dv1[c]);
            }
}
