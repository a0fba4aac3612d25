// SPDX-License-Identifier: Apache-2.0
// y = alpha a b + u v + bias + residual on matrix units: a f32, its rows scaled (matmul_scale.comp), as two f16: a value and what
// rounding left of it, which together keep 22 bits; b in 16 bits as it is, or quantised and then in two f16 too (SPLIT_B). SPLIT_A 0:
// one f16 for a, which keeps 11 bits. Sums in f32. Tiles of SIDE x SIDE in shared memory, 32 of K at a time; while one is multiplied
// the next is loaded into registers. u v is more of K: sums are brought to the scales of its rows and columns first.
// Vectors of 4: k a multiple of 4, with b [k, n] n too.
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
#define SPLIT_B 1
#define B_SCALE 64.0 // keeps what is left of weights near 0.01 a normal number; they stay below 1000
#elif B_TYPE == 2
#define SPLIT_B 0
#define B_SCALE 8.0 // bfloat16 above 2^-20 is exact in f16, and below 8000
#else
#define SPLIT_B 0
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
// tiles as f16, four to a uvec2: of a, what is left of it, of b, what is left of it; results pass through the same memory as floats
const uint SIZE_A = TILE * STRIDE, SIZE_B = ROWS_B * STRIDE_B > SIZE_A ? ROWS_B * STRIDE_B : SIZE_A;
const uint LEFT_A = SIZE_A, AT_B = SIZE_A * (1 + SPLIT_A), LEFT_B = AT_B + SIZE_B, TILES = AT_B + SIZE_B * (1 + SPLIT_B);
const uint STAGE = WAVES_M * WAVES_N * MM * NN / 2u;
shared uvec2 pool[TILES > STAGE ? TILES : STAGE];

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
    [[unroll]] for (uint i = 0u; i < EACH; i++) {
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

#if SPLIT_A == 1
// what f16 holds exactly, by bits: a compiler may take a conversion there and back for nothing
vec4 held(vec4 x) { return uintBitsToFloat(floatBitsToUint(x) & 0xffffe000u); }
#endif

uvec2 to_halves(vec4 x)
{
    const f16vec4 y = f16vec4(x);
    return uvec2(packFloat2x16(y.xy), packFloat2x16(y.zw));
}

void put_a(uint at, vec4 x)
{
#if SPLIT_A == 1
    pool[at] = to_halves(held(x));
    pool[LEFT_A + at] = to_halves(x - held(x));
#else
    pool[at] = to_halves(x);
#endif
}

void put_b(uint at, vec4 x)
{
#if SPLIT_B == 1
    pool[AT_B + at] = to_halves(held(x));
    pool[LEFT_B + at] = to_halves(x - held(x));
#else
    pool[AT_B + at] = to_halves(x);
#endif
}

void put()
{
    const uint lane = gl_LocalInvocationID.x;
    [[unroll]] for (uint i = 0u; i < EACH; i++) {
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

void multiply(uint wave_m, uint wave_n, uint depth)
{
    MATRIX_A x[TM];
    MATRIX_B w;
#if SPLIT_A == 1
    MATRIX_A x_left[TM];
#endif
    for (uint q = 0u; q < depth; q += KK) {
        [[unroll]] for (uint i = 0u; i < TM; i++) {
            const uint at = ((wave_m * TM + i) * MM) * STRIDE + q / 4u;
            coopMatLoad(x[i], pool, at, STRIDE, gl_CooperativeMatrixLayoutRowMajor);
#if SPLIT_A == 1
            coopMatLoad(x_left[i], pool, LEFT_A + at, STRIDE, gl_CooperativeMatrixLayoutRowMajor);
#endif
        }
        [[unroll]] for (uint j = 0u; j < TN; j++) {
            const uint col = (wave_n * TN + j) * NN;
#if TRANS_B == 1
            const uint at = col * STRIDE_B + q / 4u;
#else
            const uint at = q * STRIDE_B + col / 4u;
#endif
#if SPLIT_B == 1
            coopMatLoad(w, pool, LEFT_B + at, STRIDE_B, LAYOUT_B);
            [[unroll]] for (uint i = 0u; i < TM; i++)
                sum[i * TN + j] = coopMatMulAdd(x[i], w, sum[i * TN + j]);
#endif
            coopMatLoad(w, pool, AT_B + at, STRIDE_B, LAYOUT_B);
            [[unroll]] for (uint i = 0u; i < TM; i++) {
#if SPLIT_A == 1
                sum[i * TN + j] = coopMatMulAdd(x_left[i], w, sum[i * TN + j]);
#endif
                sum[i * TN + j] = coopMatMulAdd(x[i], w, sum[i * TN + j]);
            }
        }
    }
}

// is_left: what is left of v, for which u's own rest does not count
#if SPLIT_A == 1 && SPLIT_B == 0
#define MORE_TURNS 2u
vec4 part_of(vec4 x, bool is_left) { return is_left ? x - held(x) : held(x); }
#else
#define MORE_TURNS 1u
vec4 part_of(vec4 x, bool is_left) { return x; }
#endif
float v_at(uint i, uint col)
{
    return i < r && col < n ? v[MORE == 2u ? col * r + i : i * n + col] * scale[2u * m + col] : 0.0;
}

// columns q0 .. q0 + DEPTH - 1 of u and rows of v, as tiles of a and b
void put_more(uint q0, uint row0, uint col0, bool is_left)
{
    for (uint l = gl_LocalInvocationID.x; l < TILE * DEPTH / 4u; l += LANES) {
        const uint row = row0 + l / (DEPTH / 4u), q = q0 + l % (DEPTH / 4u) * 4u;
        vec4 x = vec4(0.0);
        for (uint e = 0u; e < 4u; e++)
            if (q + e < r && row < m)
                x[e] = u[row * r + q + e] * scale[m + row];
#if SPLIT_A == 1 && SPLIT_B == 0
        x = is_left ? held(x) : x;
#endif
        put_a(l / (DEPTH / 4u) * STRIDE + l % (DEPTH / 4u), x);
#if TRANS_B == 1
        const uint col = col0 + l / (DEPTH / 4u);
        put_b(l / (DEPTH / 4u) * STRIDE + l % (DEPTH / 4u),
              part_of(vec4(v_at(q, col), v_at(q + 1u, col), v_at(q + 2u, col), v_at(q + 3u, col)), is_left));
#else
        const uint i = q0 + l / (TILE / 4u), col = col0 + l % (TILE / 4u) * 4u;
        put_b(l / (TILE / 4u) * STRIDE_B + l % (TILE / 4u),
              part_of(vec4(v_at(i, col), v_at(i, col + 1u), v_at(i, col + 2u), v_at(i, col + 3u)), is_left));
#endif
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
    [[unroll]] for (uint i = 0u; i < EACH; i++)
        row_scale[i] = scale[min(row0 + (lane + i * LANES) / (DEPTH / 4u), m - 1u)];
    [[unroll]] for (uint i = 0u; i < TM * TN; i++)
        sum[i] = coopmat<float, gl_ScopeSubgroup, MM, NN, gl_MatrixUseAccumulator>(0.0);
    load(0u, row0, col0);
    for (uint k0 = 0u; k0 < k; k0 += DEPTH) {
        put();
        barrier();
        load(k0 + DEPTH, row0, col0);
        multiply(wave_m, wave_n, DEPTH);
        barrier();
    }
    const uint mine = wave * MM * NN;
    if (MORE != 0u) {
        [[unroll]] for (uint i = 0u; i < TM; i++)
            [[unroll]] for (uint j = 0u; j < TN; j++) {
                const uint row1 = row0 + (wave_m * TM + i) * MM, col1 = col0 + (wave_n * TN + j) * NN;
                for (uint e = gl_SubgroupInvocationID; e < MM * NN; e += gl_SubgroupSize) {
                    const uint row = min(row1 + e / NN, m - 1u), col = min(col1 + e % NN, n - 1u);
                    pool[(mine + e) / 2u][e % 2u] =
                        floatBitsToUint(alpha / B_SCALE / scale[row] * scale[m + row] * scale[2u * m + col]);
                }
                wait_subgroup();
                coopmat<float, gl_ScopeSubgroup, MM, NN, gl_MatrixUseAccumulator> to_more;
                coopMatLoad(to_more, pool, mine / 2u, NN / 2u, gl_CooperativeMatrixLayoutRowMajor);
                sum[i * TN + j] = sum[i * TN + j] * to_more;
                wait_subgroup();
            }
        for (uint turn = 0u; turn < (r + DEPTH - 1u) / DEPTH * MORE_TURNS; turn++) {
            const uint q0 = turn / MORE_TURNS * DEPTH;
            barrier();
            put_more(q0, row0, col0, turn % MORE_TURNS == 1u);
            barrier();
            multiply(wave_m, wave_n, min(DEPTH, (r - q0 + KK - 1u) / KK * KK));
        }
        barrier();
    }
    [[unroll]] for (uint i = 0u; i < TM; i++)
        [[unroll]] for (uint j = 0u; j < TN; j++) {
            const uint row1 = row0 + (wave_m * TM + i) * MM, col1 = col0 + (wave_n * TN + j) * NN;
            coopMatStore(sum[i * TN + j], pool, mine / 2u, NN / 2u, gl_CooperativeMatrixLayoutRowMajor);
            wait_subgroup();
            for (uint e = gl_SubgroupInvocationID; e < MM * NN; e += gl_SubgroupSize) {
                const uint row = row1 + e / NN, col = col1 + e % NN;
                const float x = uintBitsToFloat(pool[(mine + e) / 2u][e % 2u]);
                if (row < m && col < n)
                    y[row * n + col] = with_added(MORE != 0u ? x / scale[m + row] / scale[2u * m + col]
                                                             : alpha / B_SCALE * (x / scale[row]), row, col);
            }
            wait_subgroup();
        }
}
