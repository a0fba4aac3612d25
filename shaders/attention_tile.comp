// SPDX-License-Identifier: Apache-2.0
// y = softmax(softcap(scale q k) + bias) v and its log-sum-exp, by online softmax; 128 lanes take 32 queries of a head
// against 32 keys at a time in shared memory
// Q, Y [B Tq, H D]; K, V [B Tk, Hkv D]; Mask [B, Tk]; Bias as attention.glsl has it; Lse [B, H, Tq]
#version 450
#extension GL_GOOGLE_include_directive : require
#define MASK 3
#define BIAS 4
#define RNG 5
#include "attention.glsl"
#include "attention_tile.glsl"
TILE_BUFFER(0, Q, q)
TILE_BUFFER(1, K, k)
TILE_BUFFER(2, V, v)
OUT_BUFFER(6, Y, y)
layout(binding = 7) writeonly buffer Lse { float lse[]; };
void main()
{
    if (GROUP >= n_groups)
        return;
    const uint pair = GROUP / tiles, b = pair / h, head = pair % h, kv_head = head / (h / hkv);
    const uint start = GROUP % tiles * 32u, i0 = start + 2u * TY;
#define Q_ROW(i) q_at(b, head, i)
#define K_ROW(j) k_at(b, kv_head, j)
    vec4 sum0[CHUNKS], sum1[CHUNKS];
    vec2 most = vec2(LOWEST), total = vec2(0.0);
    EACH_CHUNK(c) sum0[c] = sum1[c] = vec4(0.0);
    const uvec2 span = keys_of(b, start, start + 32u);
    for (uint j0 = span.x; j0 < span.y; j0 += 32u) {
        vec4 s[2] = vec4[2](vec4(0.0), vec4(0.0));
        for (uint c = 0u; c < CHUNKS; c++) {
            LOAD_TILE(own_tile, q_at4, Q_ROW, start, tq, c, IN_ORDER)
            LOAD_TILE(other_tile, k_at4, K_ROW, j0, span.y, c, SPREAD)
            barrier();
            multiply(s[0], s[1]);
            barrier();
        }
        [[unroll]] for (uint r = 0u; r < 2u; r++) {
            float slope;
            [[unroll]] for (uint x = 0u; x < 4u; x++) {
                const uint j = j0 + 4u * TX + x;
                const float score = finish(scale * s[r][x], head, i0 + r, j, slope);
                s[r][x] = j < span.y && sees(b, i0 + r, j) ? score : HIDDEN;
            }
            score_tile[(2u * TY + r) * PITCH + TX] = s[r];
        }
        barrier();
        vec2 shrink;
        [[unroll]] for (uint r = 0u; r < 2u; r++) {
            vec4 top4 = vec4(most[r]);
            for (uint x = 0u; x < 8u; x++)
                top4 = max(top4, score_tile[(2u * TY + r) * PITCH + x]);
            const float top = max(max(top4.x, top4.y), max(top4.z, top4.w));
            shrink[r] = top > most[r] ? exp(most[r] - top) : 1.0;
            most[r] = top;
            s[r] = exp(s[r] - top);
        }
        barrier();
        [[unroll]] for (uint r = 0u; r < 2u; r++)
            score_tile[(2u * TY + r) * PITCH + TX] = s[r];
        barrier();
        total *= shrink;
        for (uint x = 0u; x < 8u; x++) {
            total.x += dot(score_tile[2u * TY * PITCH + x], vec4(1.0));
            total.y += dot(score_tile[(2u * TY + 1u) * PITCH + x], vec4(1.0));
        }
        if (HAS_DROPOUT) { // after the sums: what is dropped still counts in them
            barrier();
            [[unroll]] for (uint r = 0u; r < 2u; r++) {
                [[unroll]] for (uint x = 0u; x < 4u; x++)
                    s[r][x] *= kept(pair * tq + i0 + r, j0 + 4u * TX + x);
                score_tile[(2u * TY + r) * PITCH + TX] = s[r];
            }
            barrier();
        }
        EACH_CHUNK(c)
        {
            sum0[c] *= shrink.x;
            sum1[c] *= shrink.y;
            LOAD_TILE(other_tile, v_at4, K_ROW, j0, span.y, c, IN_ORDER)
            barrier();
            accumulate(sum0[c], sum1[c]);
            barrier();
        }
    }
    [[unroll]] for (uint r = 0u; r < 2u; r++) {
        if (i0 + r >= tq)
            continue;
        const float inverse = total[r] == 0.0 ? 0.0 : 1.0 / total[r];
        EACH_CHUNK(c) y_put(q_at(b, head, i0 + r), 32u * c + 4u * TX, inverse * (r == 0u ? sum0[c] : sum1[c]));
        if (TX == 0u)
            lse[pair * tq + i0 + r] = total[r] == 0.0 ? 0.0 : most[r] + log(total[r]);
    }
}
