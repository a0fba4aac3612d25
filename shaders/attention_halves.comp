// SPDX-License-Identifier: Apache-2.0
// Before attention on matrix units: PASS 0 the largest element of each 64 rows of each head, PASS 1 the 16-bit copies and the
// scales (attention_halves.glsl); a work group for each 64 rows of a head.
// Q, Dy [B Tq, H D]; K, V [B Tk, Hkv D]
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#if BACKWARD == 1
#define MASK 5
#define BIAS 6
#define RNG 7
#else
#define MASK 3
#define BIAS 4
#define RNG 5
#endif
#include "attention.glsl"
#include "attention_buffers.glsl"
#include "attention_halves.glsl"
layout(local_size_x = 64) in;
TILE_BUFFER(0, Q, q)
TILE_BUFFER(1, K, k)
TILE_BUFFER(2, V, v)
#if BACKWARD == 1
TILE_BUFFER(3, Dy, dy)
#endif
shared float most[64];

float reduce(float x)
{
    const uint lane = gl_LocalInvocationID.x;
    most[lane] = x;
    barrier();
    for (uint n = 32u; n > 0u; n /= 2u) {
        if (lane < n)
            most[lane] = max(most[lane], most[lane + n]);
        barrier();
    }
    return most[0];
}

// columns c .. c + 3 of a row of a head, heads counted over all tensors; zeros beyond the last row
vec4 element(uint which, uint row, uint c)
{
    const uint first_k = scale_k(), first_v = scale_v();
    if (which < first_k)
        return row < tq ? q_at4(q_at(which / h, which % h, row), c) : vec4(0.0);
    if (row >= tk && which < scale_dy() || row >= tq && which >= scale_dy())
        return vec4(0.0);
    if (which < first_v)
        return k_at4(k_at((which - first_k) / hkv, (which - first_k) % hkv, row), c);
#if BACKWARD == 1
    if (which >= scale_dy())
        return dy_at4(q_at((which - scale_dy()) / h, (which - scale_dy()) % h, row), c);
#endif
    return v_at4(k_at((which - first_v) / hkv, (which - first_v) % hkv, row), c);
}

void main()
{
    if (GROUP >= n_groups)
        return;
    const uint lane = gl_LocalInvocationID.x, which = GROUP / n_chunks(), chunk = GROUP % n_chunks();
    const bool is_key = which >= scale_k() && which < scale_dy();
    const uint rows = padded(is_key ? tk : tq), maxima = scales_at() + n_heads();
    if (chunk * 64u >= rows)
        return;
#if PASS == 0
    float x = 0.0;
    for (uint e = lane; e < 16u * DP; e += 64u) {
        const vec4 y = abs(element(which, chunk * 64u + e / (DP / 4u), e % (DP / 4u) * 4u));
        x = max(x, max(max(y.x, y.y), max(y.z, y.w)));
    }
    x = reduce(x);
    if (lane == 0u)
        floats[maxima + GROUP] = x;
#else
    float x = 0.0;
    for (uint i = lane; i < rows / 64u; i += 64u)
        x = max(x, floats[maxima + which * n_chunks() + i]);
    // 2^13 over the largest element's power of two; 1 where there is nothing to scale
    const uint exponent = floatBitsToUint(reduce(x)) >> 23;
    const uint up = exponent == 0u || exponent >= 255u ? 127u : clamp(267u - exponent, 27u, 227u);
    const float scale_up = uintBitsToFloat(up << 23);
    if (lane == 0u && chunk == 0u)
        floats[scales_at() + which] = uintBitsToFloat((254u - up) << 23);
    const uint size = is_key ? size_k() : size_q();
    const uint start = which < scale_k() ? which * rows * ROW
                       : which < scale_v() ? at_k() + (which - scale_k()) * rows * ROW
                       : which < scale_dy() ? at_v() + (which - scale_v()) * rows * ROW
                                            : at_dy() + (which - scale_dy()) * rows * ROW;
    for (uint e = lane; e < 64u * ROW; e += 64u) {
        const uint row = chunk * 64u + e / ROW, c = e % ROW * 8u;
        const vec4 y0 = scale_up * element(which, row, c), y1 = scale_up * element(which, row, c + 4u);
        halves[start + chunk * 64u * ROW + e] = uvec4(to_halves(held(y0)), to_halves(held(y1)));
#if SPLIT == 1
        halves[start + size + chunk * 64u * ROW + e] = uvec4(to_halves(y0 - held(y0)), to_halves(y1 - held(y1)));
#endif
    }
#endif
}
