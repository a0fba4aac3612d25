// SPDX-License-Identifier: Apache-2.0
// y = alpha a b + u v + bias + residual by tiles of BM x BN in shared memory, 16 of K at a time; a lane has TM x TN results, in
// blocks of 4 x 4 that lie a row of lanes apart, so that what neighbours read lies side by side. While a tile is multiplied the
// next one is loaded into registers, by vectors of 4 along the axis on which an operand is contiguous where that is a multiple
// of 4. SLICED: slice z of K only, into parts [slice, m, n]; matmul_split.comp adds them up and finishes.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#define LANES_M (BM / TM)
#define LANES_N (BN / TN)
#define LANES (LANES_M * LANES_N)
layout(local_size_x = LANES) in;
#include "matmul.glsl"
layout(constant_id = 3) const bool WHOLE_A = false; // vectors of a, of b
layout(constant_id = 4) const bool WHOLE_B = false;
layout(constant_id = 5) const uint SLICE = 0; // length of a slice of K, a multiple of 16
layout(binding = 0) readonly buffer A4 { vec4 a4[]; };
#if B_TYPE == 0
layout(binding = 1) readonly buffer B4 { vec4 b4[]; };
#elif B_TYPE < 3
layout(binding = 1) readonly buffer B4 { uvec2 b4[]; };
#endif
#if SLICED == 1
layout(binding = 7) writeonly buffer Parts { float parts[]; };
#endif
// vec4 from one of K to the next: padded, so that what is turned on its way into a tile meets fewer equal banks
#define PITCH_A (BM / 4 + 1)
#define PITCH_B (BN / 4 + 1)
#define EACH_A (4 * BM / LANES)
#define EACH_B (4 * BN / LANES)
shared vec4 tile_a[16 * PITCH_A];
shared vec4 tile_b[16 * PITCH_B];
vec4 next_a[EACH_A], next_b[EACH_B];
vec4 sum[TM * TN / 4]; // [row][four columns]

// four elements of b from a multiple of 4 on
vec4 b_four(uint i)
{
#if B_TYPE == 0
    return b4[i / 4u];
#elif B_TYPE == 1
    const uvec2 w = b4[i / 4u];
    return vec4(unpackHalf2x16(w.x), unpackHalf2x16(w.y));
#elif B_TYPE == 2
    const uvec2 w = b4[i / 4u];
    return uintBitsToFloat(uvec4(w.x << 16, w.x & 0xffff0000u, w.y << 16, w.y & 0xffff0000u));
#else
    return b_at4(i);
#endif
}

// Vector l of a tile: which four of K (along k) or which one of K and four rows or columns; zeros beyond the edges.
void load(uint k0, uint end, uint row0, uint col0)
{
    [[unroll]] for (uint i = 0u; i < EACH_A; i++) {
        const uint l = gl_LocalInvocationID.x + i * LANES;
#if TRANS_A == 0
        const uint row = row0 + l / 4u, q = k0 + l % 4u * 4u, whole = row * k + q, step_row = 0u, step_q = 1u;
#else
        const uint row = row0 + l % (BM / 4u) * 4u, q = k0 + l / (BM / 4u), whole = q * m + row, step_row = 1u, step_q = 0u;
#endif
        if (WHOLE_A) {
            next_a[i] = row < m && q < end ? a4[whole / 4u] : vec4(0.0);
        } else {
            [[unroll]] for (uint e = 0u; e < 4u; e++)
                next_a[i][e] = row + e * step_row < m && q + e * step_q < end ? a[whole + e] : 0.0;
        }
    }
    [[unroll]] for (uint i = 0u; i < EACH_B; i++) {
        const uint l = gl_LocalInvocationID.x + i * LANES;
#if TRANS_B == 1
        const uint col = col0 + l / 4u, q = k0 + l % 4u * 4u, whole = col * k + q, step_col = 0u, step_q = 1u;
#else
        const uint col = col0 + l % (BN / 4u) * 4u, q = k0 + l / (BN / 4u), whole = q * n + col, step_col = 1u, step_q = 0u;
#endif
        if (WHOLE_B) {
            next_b[i] = col < n && q < end ? b_four(whole) : vec4(0.0);
        } else {
            [[unroll]] for (uint e = 0u; e < 4u; e++)
                next_b[i][e] = col + e * step_col < n && q + e * step_q < end ? b_at(whole + e) : 0.0;
        }
    }
}

void put_a(uint l, vec4 x, const bool along_k)
{
    if (along_k) {
        [[unroll]] for (uint e = 0u; e < 4u; e++)
            tile_a[(l % 4u * 4u + e) * PITCH_A + l / 16u][l / 4u % 4u] = x[e];
    } else {
        tile_a[l / (BM / 4u) * PITCH_A + l % (BM / 4u)] = x;
    }
}

void put_b(uint l, vec4 x, const bool along_k)
{
    if (along_k) {
        [[unroll]] for (uint e = 0u; e < 4u; e++)
            tile_b[(l % 4u * 4u + e) * PITCH_B + l / 16u][l / 4u % 4u] = x[e];
    } else {
        tile_b[l / (BN / 4u) * PITCH_B + l % (BN / 4u)] = x;
    }
}

void multiply(uint ty, uint tx)
{
    for (uint kk = 0u; kk < 16u; kk++) {
        vec4 x[TM / 4], w[TN / 4];
        [[unroll]] for (uint i = 0u; i < TM / 4; i++)
            x[i] = tile_a[kk * PITCH_A + ty + i * LANES_M];
        [[unroll]] for (uint j = 0u; j < TN / 4; j++)
            w[j] = tile_b[kk * PITCH_B + tx + j * LANES_N];
        [[unroll]] for (uint i = 0u; i < TM; i++)
            [[unroll]] for (uint j = 0u; j < TN / 4; j++)
                sum[i * (TN / 4) + j] += x[i / 4u][i % 4u] * w[j];
    }
}

#if SLICED == 0
// columns q0 .. q0 + 15 of u and rows of v
void put_more(uint q0, uint row0, uint col0)
{
    [[unroll]] for (uint i = 0u; i < EACH_A; i++) {
        const uint l = gl_LocalInvocationID.x + i * LANES, row = row0 + l / 4u, q = q0 + l % 4u * 4u;
        vec4 x;
        [[unroll]] for (uint e = 0u; e < 4u; e++)
            x[e] = row < m && q + e < r ? u[row * r + q + e] : 0.0;
        put_a(l, x, true);
    }
    [[unroll]] for (uint i = 0u; i < EACH_B; i++) {
        const uint l = gl_LocalInvocationID.x + i * LANES, col = col0 + l / 4u, q = q0 + l % 4u * 4u;
        vec4 x;
        [[unroll]] for (uint e = 0u; e < 4u; e++)
            x[e] = col < n && q + e < r ? v[MORE == 2u ? col * r + q + e : (q + e) * n + col] : 0.0;
        put_b(l, x, true);
    }
}
#endif

void main()
{
    const uint lane = gl_LocalInvocationID.x, ty = lane / LANES_N, tx = lane % LANES_N;
    const uint row0 = gl_WorkGroupID.y * BM, col0 = gl_WorkGroupID.x * BN;
#if SLICED == 1
    const uint begin = gl_WorkGroupID.z * SLICE, end = min(k, begin + SLICE);
#else
    const uint begin = 0u, end = k;
#endif
    [[unroll]] for (uint i = 0u; i < TM * TN / 4; i++)
        sum[i] = vec4(0.0);
    load(begin, end, row0, col0);
    for (uint k0 = begin; k0 < end; k0 += 16u) {
        [[unroll]] for (uint i = 0u; i < EACH_A; i++)
            put_a(lane + i * LANES, next_a[i], TRANS_A == 0);
        [[unroll]] for (uint i = 0u; i < EACH_B; i++)
            put_b(lane + i * LANES, next_b[i], TRANS_B == 1);
        barrier();
        if (k0 + 16u < end)
            load(k0 + 16u, end, row0, col0);
        multiply(ty, tx);
        barrier();
    }
#if SLICED == 0
    [[unroll]] for (uint i = 0u; i < TM * TN / 4; i++)
        sum[i] *= alpha;
    for (uint q0 = 0u; MORE != 0u && q0 < r; q0 += 16u) {
        put_more(q0, row0, col0);
        barrier();
        multiply(ty, tx);
        barrier();
    }
#endif
    [[unroll]] for (uint i = 0u; i < TM; i++)
        [[unroll]] for (uint j = 0u; j < TN / 4; j++)
            [[unroll]] for (uint e = 0u; e < 4u; e++) {
                const uint row = row0 + (ty + i / 4u * LANES_M) * 4u + i % 4u, col = col0 + (tx + j * LANES_N) * 4u + e;
                if (row < m && col < n)
#if SLICED == 1
                    parts[(gl_WorkGroupID.z * m + row) * n + col] = sum[i * (TN / 4) + j][e];
#else
                    y[row * n + col] = with_added(sum[i * (TN / 4) + j][e], row, col);
#endif
            }
}
