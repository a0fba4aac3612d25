// SPDX-License-Identifier: Apache-2.0
// y = alpha a b + u v + bias + residual on matrix units: a f32, rounded to f16 after scaling its rows (matmul_scale.comp); b stored
// in 16 bits; sums in f32. With a quantised b (SPLIT) every operand is two f16, a value and what rounding left of it, and a product
// three: an error of 2^-20 in place of 2^-11. Tiles of SIDE x SIDE in shared memory, 32 of K at a time; while one is multiplied the next is loaded into
// registers. u v is one more tile with scales of its own, added where a result is stored. Vectors of 4: k a multiple of 4, with b
// [k, n] n too; r at most 32.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_EXT_control_flow_attributes : require
#pragma use_vulkan_memory_model
layout(local_size_x = 2 * SIDE) in;
#include "matmul.glsl"
const uint TILE = SIDE;
#if B_TYPE >= 3
#define SPLIT 1
#define B_SCALE 64.0 // keeps what is left of weights near 0.01 a normal number; they stay below 1000
#else
#define SPLIT 0
#define B_SCALE 1.0
#endif
layout(constant_id = 3) const uint MM = 16; // rows, columns and depth of one matrix
layout(constant_id = 4) const uint NN = 16;
layout(constant_id = 5) const uint KK = 16;
layout(constant_id = 6) const uint WAVES_M = 2; // subgroups along rows and columns of the tile
layout(constant_id = 7) const uint WAVES_N = 2;
layout(binding = 0) readonly buffer A4 { vec4 a4[]; };
#if B_TYPE < 3
layout(binding = 1) readonly buffer B4 { uvec2 b4[]; };
#endif
layout(binding = 7) readonly buffer Scale { float scale[]; };

#define DEPTH 32u
#define LANES (2u * TILE)
#define MOST_PARTS 32u // results of a matrix that a lane stores
#define EACH (DEPTH / 8u) // vectors of a tile that a lane loads
// rows are padded by 16 bytes: lanes of a matrix then meet different banks. Tiles of a, u and of b [n, k] lie as [row][k], of b [k, n] as [k][col]
#define STRIDE (DEPTH / 4u + 2u)
#if TRANS_B == 1
#define STRIDE_B STRIDE
#define ROWS_B TILE
#define LAYOUT_B gl_CooperativeMatrixLayoutColumnMajor
#else
#define STRIDE_B (TILE / 4u + 2u)
#define ROWS_B DEPTH
#define LAYOUT_B gl_CooperativeMatrixLayoutRowMajor
#endif
shared f16vec4 tile_a[TILE * STRIDE];
shared f16vec4 tile_b[max(ROWS_B * STRIDE_B, TILE * STRIDE)];
#if SPLIT == 1
shared f16vec4 left_a[TILE * STRIDE];
shared f16vec4 left_b[max(ROWS_B * STRIDE_B, TILE * STRIDE)];
#endif
shared float stage[WAVES_M * WAVES_N * MM * NN];

const uint TM = TILE / WAVES_M / MM, TN = TILE / WAVES_N / NN;
coopmat<float, gl_ScopeSubgroup, MM, NN, gl_MatrixUseAccumulator> sum[TM * TN];

#if B_TYPE == 1
vec2 both(uint word) { return unpackHalf2x16(word); }
#elif B_TYPE == 2
vec2 both(uint word) { return uintBitsToFloat(uvec2(word << 16, word & 0xffff0000u)); }
#endif

// four elements of b from a multiple of 4 on
vec4 four_at(uint i)
{
#if B_TYPE < 3
    const uvec2 w = b4[i / 4u];
    return vec4(both(w.x), both(w.y));
#else
    return b_at4(i);
#endif
}

vec4 next_a[EACH], next_b[EACH];
float row_scale[EACH];

// the next tile of K into registers; zeros beyond the edges
void load(uint k0, uint row0, uint col0)
{
    const uint lane = gl_LocalInvocationID.x;
    for (uint i = 0u; i < EACH; i++) {
        const uint l = lane + i * LANES, row = row0 + l / (DEPTH / 4u), q = k0 + l % (DEPTH / 4u) * 4u;
        next_a[i] = row < m && q < k ? a4[(row * k + q) / 4u] * row_scale[i] : vec4(0.0);
#if TRANS_B == 1
        const uint col = col0 + l / (DEPTH / 4u), depth = q, at = col * k + depth;
#else
        const uint depth = k0 + l / (TILE / 4u), col = col0 + l % (TILE / 4u) * 4u, at = depth * n + col;
#endif
        next_b[i] = col < n && depth < k ? four_at(at) : vec4(0.0);
    }
}

#if SPLIT == 1
// what f16 holds exactly, by bits: a compiler may take a conversion there and back for nothing
vec4 held(vec4 x) { return uintBitsToFloat(floatBitsToUint(x) & 0xffffe000u); }
#endif

void put_a(uint at, vec4 x)
{
#if SPLIT == 1
    tile_a[at] = f16vec4(held(x));
    left_a[at] = f16vec4(x - held(x));
#else
    tile_a[at] = f16vec4(x);
#endif
}

void put_b(uint at, vec4 x)
{
#if SPLIT == 1
    tile_b[at] = f16vec4(held(x));
    left_b[at] = f16vec4(x - held(x));
#else
    tile_b[at] = f16vec4(x);
#endif
}

void put()
{
    const uint lane = gl_LocalInvocationID.x;
    for (uint i = 0u; i < EACH; i++) {
        const uint l = lane + i * LANES;
        put_a(l / (DEPTH / 4u) * STRIDE + l % (DEPTH / 4u), next_a[i]);
#if TRANS_B == 1
        put_b(l / (DEPTH / 4u) * STRIDE + l % (DEPTH / 4u), next_b[i] * B_SCALE);
#else
        put_b(l / (TILE / 4u) * STRIDE_B + l % (TILE / 4u), next_b[i] * B_SCALE);
#endif
    }
}

#define MATRIX_A coopmat<float16_t, gl_ScopeSubgroup, MM, KK, gl_MatrixUseA>
#define MATRIX_B coopmat<float16_t, gl_ScopeSubgroup, KK, NN, gl_MatrixUseB>

void multiply(uint wave_m, uint wave_n)
{
    MATRIX_A x[TM];
    MATRIX_B w;
#if SPLIT == 1
    MATRIX_A x_left[TM];
    MATRIX_B w_left;
#endif
    for (uint q = 0u; q < DEPTH; q += KK) {
        [[unroll]] for (uint i = 0u; i < TM; i++) {
            const uint at = ((wave_m * TM + i) * MM) * STRIDE + q / 4u;
            coopMatLoad(x[i], tile_a, at, STRIDE, gl_CooperativeMatrixLayoutRowMajor);
#if SPLIT == 1
            coopMatLoad(x_left[i], left_a, at, STRIDE, gl_CooperativeMatrixLayoutRowMajor);
#endif
        }
        [[unroll]] for (uint j = 0u; j < TN; j++) {
            const uint col = (wave_n * TN + j) * NN;
#if TRANS_B == 1
            const uint at = col * STRIDE_B + q / 4u;
#else
            const uint at = q * STRIDE_B + col / 4u;
#endif
            coopMatLoad(w, tile_b, at, STRIDE_B, LAYOUT_B);
#if SPLIT == 1
            coopMatLoad(w_left, left_b, at, STRIDE_B, LAYOUT_B);
#endif
            [[unroll]] for (uint i = 0u; i < TM; i++) {
#if SPLIT == 1
                sum[i * TN + j] = coopMatMulAdd(x_left[i], w, sum[i * TN + j]);
                sum[i * TN + j] = coopMatMulAdd(x[i], w_left, sum[i * TN + j]);
#endif
                sum[i * TN + j] = coopMatMulAdd(x[i], w, sum[i * TN + j]);
            }
        }
    }
}

// u and v of this tile, [row][r] and [col][r]
void put_more(uint row0, uint col0)
{
    for (uint l = gl_LocalInvocationID.x; l < TILE * DEPTH / 4u; l += LANES) {
        const uint row = row0 + l / (DEPTH / 4u), col = col0 + l / (DEPTH / 4u), q = l % (DEPTH / 4u) * 4u;
        vec4 x = vec4(0.0), w = vec4(0.0);
        for (uint e = 0u; e < 4u; e++) {
            if (q + e < r && row < m)
                x[e] = u[row * r + q + e] * scale[m + row];
            if (q + e < r && col < n)
                w[e] = v[MORE == 2u ? col * r + q + e : (q + e) * n + col] * scale[2u * m + col];
        }
        put_a(l / (DEPTH / 4u) * STRIDE + l % (DEPTH / 4u), x);
        put_b(l / (DEPTH / 4u) * STRIDE + l % (DEPTH / 4u), w);
    }
}

void wait_subgroup()
{
    controlBarrier(gl_ScopeSubgroup, gl_ScopeSubgroup, gl_StorageSemanticsShared, gl_SemanticsAcquireRelease);
}

void main()
{
    const uint lane = gl_LocalInvocationID.x, wave = gl_SubgroupID, row0 = gl_WorkGroupID.y * TILE, col0 = gl_WorkGroupID.x * TILE;
    const uint wave_m = wave / WAVES_N, wave_n = wave % WAVES_N;
    for (uint i = 0u; i < EACH; i++)
        row_scale[i] = scale[min(row0 + (lane + i * LANES) / (DEPTH / 4u), m - 1u)];
    [[unroll]] for (uint i = 0u; i < TM * TN; i++)
        sum[i] = coopmat<float, gl_ScopeSubgroup, MM, NN, gl_MatrixUseAccumulator>(0.0);
    load(0u, row0, col0);
    for (uint k0 = 0u; k0 < k; k0 += DEPTH) {
        put();
        barrier();
        load(k0 + DEPTH, row0, col0);
        multiply(wave_m, wave_n);
        barrier();
    }
    if (MORE != 0u) {
        put_more(row0, col0);
        barrier();
    }
    const uint mine = wave * MM * NN;
    float part[MOST_PARTS];
    [[unroll]] for (uint i = 0u; i < TM; i++)
        [[unroll]] for (uint j = 0u; j < TN; j++) {
            const uint row1 = (wave_m * TM + i) * MM, col1 = (wave_n * TN + j) * NN;
            coopMatStore(sum[i * TN + j], stage, mine, NN, gl_CooperativeMatrixLayoutRowMajor);
            wait_subgroup();
            for (uint e = gl_SubgroupInvocationID, c = 0u; e < MM * NN; e += gl_SubgroupSize, c++)
                part[c] = alpha / B_SCALE * (stage[mine + e] / scale[min(row0 + row1 + e / NN, m - 1u)]);
            wait_subgroup();
            if (MORE != 0u) {
                coopmat<float, gl_ScopeSubgroup, MM, NN, gl_MatrixUseAccumulator> more =
                    coopmat<float, gl_ScopeSubgroup, MM, NN, gl_MatrixUseAccumulator>(0.0);
                MATRIX_A x;
                MATRIX_B w;
                for (uint q = 0u; q < DEPTH && q < r; q += KK) {
                    coopMatLoad(x, tile_a, row1 * STRIDE + q / 4u, STRIDE, gl_CooperativeMatrixLayoutRowMajor);
                    coopMatLoad(w, tile_b, col1 * STRIDE + q / 4u, STRIDE, gl_CooperativeMatrixLayoutColumnMajor);
                    more = coopMatMulAdd(x, w, more);
#if SPLIT == 1
                    MATRIX_A x_left;
                    MATRIX_B w_left;
                    coopMatLoad(x_left, left_a, row1 * STRIDE + q / 4u, STRIDE, gl_CooperativeMatrixLayoutRowMajor);
                    coopMatLoad(w_left, left_b, col1 * STRIDE + q / 4u, STRIDE, gl_CooperativeMatrixLayoutColumnMajor);
                    more = coopMatMulAdd(x_left, w, more);
                    more = coopMatMulAdd(x, w_left, more);
#endif
                }
                coopMatStore(more, stage, mine, NN, gl_CooperativeMatrixLayoutRowMajor);
                wait_subgroup();
            }
            for (uint e = gl_SubgroupInvocationID, c = 0u; e < MM * NN; e += gl_SubgroupSize, c++) {
                const uint row = row0 + row1 + e / NN, col = col0 + col1 + e % NN;
                if (row < m && col < n) {
                    float x = part[c];
                    if (MORE != 0u)
                        x += stage[mine + e] / scale[m + row] / scale[2u * m + col];
                    y[row * n + col] = with_added(x, row, col);
                }
            }
            wait_subgroup();
        }
}
