// SPDX-License-Identifier: Apache-2.0
// Attention on matrix units, from the 16-bit copies that attention_halves.comp made; sums in f32, no T x T matrix.
//   PASS 0: y and log-sum-exp by online softmax; 1: dq; 2: dk and dv (formulas in src/ops/attention.h)
// Four subgroups, each with MM rows of the side that owns the output; BLOCK rows of the other side pass by in shared
// memory, and the next ones in registers meanwhile. A matrix of scores goes through shared memory once, for its elements'
// places in a matrix are the driver's own; probabilities come back as f16. SPLIT: every operand is two f16, a product three.
// A work group has 128 columns of the output at most; wider heads take more of them, which compute the scores again.
// Mask [B, Tk]; Bias as attention.glsl has it; Stats [B, H, Tq]: (lse, delta)
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_EXT_control_flow_attributes : require
#pragma use_vulkan_memory_model
#if PASS == 0
#define MASK 3
#define BIAS 4
#define RNG 5
#define SCRATCH 8
#define BACKWARD 0
#else
#define MASK 5
#define BIAS 6
#define RNG 7
#define SCRATCH (8 + PASS)
#define BACKWARD 1
layout(binding = 4) readonly buffer Stats { vec2 stats[]; };
#endif
#include "attention.glsl"
#include "attention_buffers.glsl"
#include "attention_halves.glsl"
layout(local_size_x_id = 0) in;
#if PASS == 0
OUT_BUFFER(6, Y, y)
layout(binding = 7) writeonly buffer Lse { float lse[]; };
#elif PASS == 1
OUT_BUFFER(8, Dq, dq)
#else
OUT_BUFFER(8, Dk, dk)
OUT_BUFFER(9, Dv, dv)
#endif

#define LANES gl_WorkGroupSize.x
const uint SUB = LANES / 4u; // lanes of a subgroup
const uint PER_ROW = SUB / MM; // lanes of a row of scores
const uint QUADS = BLOCK / 4u / PER_ROW; // vec4 of scores of a lane
const uint COLUMNS = DP < 128u ? DP : 128u, TN = COLUMNS / NN, PARTS = (DP + 127u) / 128u;
// rows are padded by 16 bytes: lanes of a matrix then meet different banks
const uint PITCH = ROW + 1u, TILE = BLOCK * PITCH; // uvec4
const uint PITCH_S = BLOCK / 4u + 1u, PITCH_P = BLOCK / 4u + 2u; // vec4; uvec2
const uint LOADED = 2u * COPIES * BLOCK * ROW, EACH = (LOADED + LANES - 1u) / LANES;
shared uvec4 other[2u * COPIES * TILE]; // of the other side: k, v, or q, dy; each with what is left of it
shared vec4 scores[4u * MM * PITCH_S];
shared uvec2 probs[COPIES * 4u * MM * PITCH_P];
#if PASS == 0
shared float wide[4u * MM * NN];
shared float parts[4u * SUB];
#endif

#define MATRIX_A coopmat<float16_t, gl_ScopeSubgroup, MM, KK, gl_MatrixUseA>
#define MATRIX_B coopmat<float16_t, gl_ScopeSubgroup, KK, NN, gl_MatrixUseB>
#define MATRIX_C coopmat<float, gl_ScopeSubgroup, MM, NN, gl_MatrixUseAccumulator>
MATRIX_C sum[TN];
#if PASS == 2
MATRIX_C more[TN];
#endif

void wait_subgroup()
{
    controlBarrier(gl_ScopeSubgroup, gl_ScopeSubgroup, gl_StorageSemanticsShared, gl_SemanticsAcquireRelease);
}

uvec4 next[EACH];
// BLOCK rows of both tensors of the other side into registers; their first rows' places are given
void load(uint first, uint second, uint size)
{
    [[unroll]] for (uint i = 0u; i < EACH; i++) {
        const uint e = gl_LocalInvocationID.x + i * LANES, copy = e / (BLOCK * ROW), at = e % (BLOCK * ROW);
        if (e < LOADED)
            next[i] = halves[(copy < COPIES ? first : second) + copy % COPIES * size + at];
    }
}

void put()
{
    [[unroll]] for (uint i = 0u; i < EACH; i++) {
        const uint e = gl_LocalInvocationID.x + i * LANES, at = e % (BLOCK * ROW);
        if (e < LOADED)
            other[e / (BLOCK * ROW) * TILE + at / ROW * PITCH + at % ROW] = next[i];
    }
}

// scores = this subgroup's rows from halves[own] on, times the rows of tile `which`
void multiply(uint wave, uint own, uint size, uint which)
{
    MATRIX_C s[BLOCK / NN];
    [[unroll]] for (uint n = 0u; n < BLOCK / NN; n++)
        s[n] = MATRIX_C(0.0);
    for (uint c = 0u; c < DP; c += KK) {
        MATRIX_A x;
        coopMatLoad(x, halves, own + c / 8u, ROW, gl_CooperativeMatrixLayoutRowMajor);
#if SPLIT == 1
        MATRIX_A x_left;
        coopMatLoad(x_left, halves, own + size + c / 8u, ROW, gl_CooperativeMatrixLayoutRowMajor);
#endif
        [[unroll]] for (uint n = 0u; n < BLOCK / NN; n++) {
            MATRIX_B w;
            const uint at = which * COPIES * TILE + n * NN * PITCH + c / 8u;
            coopMatLoad(w, other, at, PITCH, gl_CooperativeMatrixLayoutColumnMajor);
#if SPLIT == 1
            MATRIX_B w_left;
            coopMatLoad(w_left, other, at + TILE, PITCH, gl_CooperativeMatrixLayoutColumnMajor);
#if PASS == 2 // whichever side a row is on, its rest comes in the same order: all passes see the same score
            s[n] = coopMatMulAdd(x_left, w, s[n]);
            s[n] = coopMatMulAdd(x, w_left, s[n]);
#else
            s[n] = coopMatMulAdd(x, w_left, s[n]);
            s[n] = coopMatMulAdd(x_left, w, s[n]);
#endif
#endif
            s[n] = coopMatMulAdd(x, w, s[n]);
        }
    }
    [[unroll]] for (uint n = 0u; n < BLOCK / NN; n++)
        coopMatStore(s[n], scores, wave * MM * PITCH_S + n * NN / 4u, PITCH_S, gl_CooperativeMatrixLayoutRowMajor);
    wait_subgroup();
}

// probs[row of this subgroup, quad] = x
void put_probs(uint wave, uint row, uint quad, vec4 x)
{
    const uint at = (wave * MM + row) * PITCH_P + quad;
    probs[at] = to_halves(held(x));
#if SPLIT == 1
    probs[4u * MM * PITCH_P + at] = to_halves(x - held(x));
#endif
}

// out += probs times tile `which`, columns from `column` on
#define ACCUMULATE(out, wave, which, column)                                                      \
    for (uint q = 0u; q < BLOCK; q += KK) {                                                       \
        MATRIX_A x;                                                                               \
        const uint from = wave * MM * PITCH_P + q / 4u;                                           \
        coopMatLoad(x, probs, from, PITCH_P, gl_CooperativeMatrixLayoutRowMajor);                 \
        LEFT(MATRIX_A x_left;)                                                                    \
        LEFT(coopMatLoad(x_left, probs, 4u * MM * PITCH_P + from, PITCH_P, gl_CooperativeMatrixLayoutRowMajor);) \
        [[unroll]] for (uint t = 0u; t < TN; t++) {                                               \
            const uint at = (which) * COPIES * TILE + q * PITCH + ((column) + t * NN) / 8u;       \
            if ((column) + t * NN >= DP)                                                          \
                continue;                                                                         \
            MATRIX_B w;                                                                           \
            LEFT(coopMatLoad(w, other, at + TILE, PITCH, gl_CooperativeMatrixLayoutRowMajor);)    \
            LEFT(out[t] = coopMatMulAdd(x, w, out[t]);)                                           \
            coopMatLoad(w, other, at, PITCH, gl_CooperativeMatrixLayoutRowMajor);                 \
            LEFT(out[t] = coopMatMulAdd(x_left, w, out[t]);)                                      \
            out[t] = coopMatMulAdd(x, w, out[t]);                                                 \
        }                                                                                         \
    }
#if SPLIT == 1
#define LEFT(x) x
#else
#define LEFT(x)
#endif

#if PASS != 0
// Keeps what is rounded to f16 below 2^12 with a power of two that only falls, from subgroup to subgroup its own. The
// ratio to the last one is for what was summed before.
float rescale(float most, inout float by)
{
    most = subgroupMax(most);
    const uint exponent = floatBitsToUint(most) >> 23;
    const float wanted = uintBitsToFloat(clamp(266u - min(exponent, 239u), 27u, 227u) << 23);
    if (most == 0.0 || wanted >= by)
        return 1.0;
    const float ratio = wanted / by;
    by = wanted;
    return ratio;
}
#endif
// dp - delta; where rounding alone can make the difference it is none: a query that sees one key has none, and Adam
// would make a step of what is left
float rest(float dp, float delta)
{
    const float d = dp - delta;
    return abs(d) <= (SPLIT == 1 ? 1.907e-6 : 9.8e-4) * (abs(dp) + abs(delta)) ? 0.0 : d;
}
float largest(vec4 x)
{
    const vec4 y = abs(x);
    return max(max(y.x, y.y), max(y.z, y.w));
}

// Rows of the output from matrices: each a block through shared memory. STORE(row, column, value) has the last word.
#define EACH_OUT(out, wave, lane, column, STORE)                                                  \
    [[unroll]] for (uint t = 0u; t < TN; t++) {                                                   \
        if ((column) + t * NN >= DP)                                                              \
            continue;                                                                             \
        wait_subgroup();                                                                          \
        coopMatStore(out[t], scores, wave * MM * PITCH_S, PITCH_S, gl_CooperativeMatrixLayoutRowMajor); \
        wait_subgroup();                                                                          \
        for (uint e = lane; e < MM * NN / 4u; e += SUB)                                           \
            STORE(e / (NN / 4u), (column) + t * NN + e % (NN / 4u) * 4u,                          \
                  scores[(wave * MM + e / (NN / 4u)) * PITCH_S + e % (NN / 4u)]);                 \
    }

void main()
{
    if (GROUP >= n_groups)
        return;
    const uint wave = gl_SubgroupID, lane = gl_SubgroupInvocationID, row = lane / PER_ROW, part = lane % PER_ROW;
    const uint column = GROUP % PARTS * 128u, pair = GROUP / PARTS / tiles, start = GROUP / PARTS % tiles * 4u * MM;
    const uint mine = start + wave * MM + row, group = h / hkv;
#if PASS == 2
    const uint b = pair / hkv, size = size_k(), size_other = size_q(), n_turns_of = group;
    const uint place = (pair * padded(tk) + start + wave * MM) * ROW, own = at_k() + place, own2 = at_v() + place;
    const uvec2 span = queries_of(start, start + 4u * MM);
    uint head, head_pair;
#else
    const uint b = pair / h, size = size_q(), size_other = size_k(), head = pair % h, n_turns_of = 1u;
    const uint place = (pair * padded(tq) + start + wave * MM) * ROW, own = place, own2 = at_dy() + place;
    const uint kv_pair = b * hkv + head / group;
    const uvec2 span = keys_of(b, start, start + 4u * MM);
#endif
    const uint begin = span.x / BLOCK * BLOCK, blocks = span.y > span.x ? (span.y - begin + BLOCK - 1u) / BLOCK : 0u;
    const uint n_turns = blocks * n_turns_of, scales = scales_at();
    [[unroll]] for (uint t = 0u; t < TN; t++) {
        sum[t] = MATRIX_C(0.0);
#if PASS == 2
        more[t] = MATRIX_C(0.0);
#endif
    }
#if PASS == 0
    float most = LOWEST, total = 0.0;
#elif PASS == 1
    const vec2 known = stats[pair * tq + min(mine, tq - 1u)];
    float by = uintBitsToFloat(227u << 23);
#else
    float by = uintBitsToFloat(227u << 23), by_p = by;
#endif
#if PASS == 2
#define FIRST(turn) (((b * h + pair % hkv * group + (turn) / blocks) * padded(tq) + begin + (turn) % blocks * BLOCK) * ROW)
#define LOAD(turn) load(FIRST(turn), at_dy() + FIRST(turn), size_other)
#else
#define FIRST(turn) ((kv_pair * padded(tk) + begin + (turn) * BLOCK) * ROW)
#define LOAD(turn) load(at_k() + FIRST(turn), at_v() + FIRST(turn), size_other)
    const float inverse_q = scale * floats[scales + pair], inverse_k = floats[scales + scale_k() + kv_pair],
                inverse_v = floats[scales + scale_v() + kv_pair];
#if PASS == 1
    const float inverse_dy = floats[scales + scale_dy() + pair];
#endif
#endif
    if (n_turns > 0u)
        LOAD(0u);
    for (uint turn = 0u; turn < n_turns; turn++) {
        const uint at = begin + turn % blocks * BLOCK;
#if PASS == 2
        head = pair % hkv * group + turn / blocks;
        head_pair = b * h + head;
        const float inverse_q = floats[scales + head_pair], inverse_k = scale * floats[scales + scale_k() + pair],
                    inverse_v = floats[scales + scale_v() + pair], inverse_dy = floats[scales + scale_dy() + head_pair];
#endif
        barrier();
        put();
        barrier();
        if (turn + 1u < n_turns)
            LOAD(turn + 1u);
        multiply(wave, own, size, 0u);
        vec4 s[QUADS];
        [[unroll]] for (uint x = 0u; x < QUADS; x++)
            s[x] = scores[(wave * MM + row) * PITCH_S + part + x * PER_ROW];
#if PASS == 0
        float top = most, slope;
        [[unroll]] for (uint x = 0u; x < QUADS; x++)
            [[unroll]] for (uint e = 0u; e < 4u; e++) {
                const uint j = at + 4u * (part + x * PER_ROW) + e;
                const float score = finish(s[x][e] * inverse_q * inverse_k, head, mine, j, slope);
                s[x][e] = sees(b, mine, j) ? score : HIDDEN;
                top = max(top, s[x][e]);
            }
        parts[wave * SUB + lane] = top;
        wait_subgroup();
        for (uint p = 0u; p < PER_ROW; p++)
            top = max(top, parts[wave * SUB + row * PER_ROW + p]);
        const float shrink = top > most ? exp(most - top) : 1.0;
        most = top;
        total *= shrink;
        [[unroll]] for (uint x = 0u; x < QUADS; x++) {
            vec4 p = exp(s[x] - top);
            total += p.x + p.y + p.z + p.w;
            if (HAS_DROPOUT) // after the sum: what is dropped still counts in it
                [[unroll]] for (uint e = 0u; e < 4u; e++)
                    p[e] = kept(pair * tq + mine, at + 4u * (part + x * PER_ROW) + e) > 0.0 ? p[e] : 0.0;
            put_probs(wave, row, part + x * PER_ROW, 16384.0 * p);
        }
        for (uint n = part; n < NN; n += PER_ROW)
            wide[(wave * MM + row) * NN + n] = shrink;
        wait_subgroup();
        if (subgroupMax(shrink < 1.0 ? 1u : 0u) > 0u) {
            MATRIX_C rows;
            coopMatLoad(rows, wide, wave * MM * NN, NN, gl_CooperativeMatrixLayoutRowMajor);
            [[unroll]] for (uint t = 0u; t < TN; t++)
                sum[t] = sum[t] * rows;
        }
        ACCUMULATE(sum, wave, 1u, column)
#else
        wait_subgroup();
        multiply(wave, own2, size, 1u);
        float most_p = 0.0, most_ds = 0.0;
        vec4 ds[QUADS];
        [[unroll]] for (uint x = 0u; x < QUADS; x++) {
            ds[x] = scores[(wave * MM + row) * PITCH_S + part + x * PER_ROW];
            [[unroll]] for (uint e = 0u; e < 4u; e++) {
                const uint c = at + 4u * (part + x * PER_ROW) + e;
                float slope;
#if PASS == 1
                const uint i = mine, j = c, stats_row = pair * tq + i;
#else
                const uint i = c, j = mine, stats_row = head_pair * tq + i;
                const vec2 known = stats[head_pair * tq + min(i, tq - 1u)];
#endif
                const float score = finish(s[x][e] * inverse_q * inverse_k, head, i, j, slope);
                const float p = sees(b, i, j) ? exp(score - known.x) : 0.0, f = HAS_DROPOUT ? kept(stats_row, j) : 1.0;
                ds[x][e] = p * rest(f * (ds[x][e] * inverse_dy * inverse_v), known.y) * slope;
#if PASS == 2
                ds[x][e] *= inverse_q; // each head has its own
                s[x][e] = f > 0.0 ? p * inverse_dy : 0.0;
#endif
            }
            most_p = max(most_p, largest(s[x]));
            most_ds = max(most_ds, largest(ds[x]));
        }
#if PASS == 2
        const float ratio_p = rescale(most_p, by_p);
        if (ratio_p < 1.0)
            [[unroll]] for (uint t = 0u; t < TN; t++)
                sum[t] = sum[t] * ratio_p;
        [[unroll]] for (uint x = 0u; x < QUADS; x++)
            put_probs(wave, row, part + x * PER_ROW, by_p * s[x]);
        wait_subgroup();
        ACCUMULATE(sum, wave, 1u, column)
        wait_subgroup();
#define SLOPES more
#else
#define SLOPES sum
#endif
        const float ratio = rescale(most_ds, by);
        if (ratio < 1.0)
            [[unroll]] for (uint t = 0u; t < TN; t++)
                SLOPES[t] = SLOPES[t] * ratio;
        [[unroll]] for (uint x = 0u; x < QUADS; x++)
            put_probs(wave, row, part + x * PER_ROW, by * ds[x]);
        wait_subgroup();
        ACCUMULATE(SLOPES, wave, 0u, column)
#endif
    }
    const uint first = start + wave * MM;
#if PASS == 0
    wait_subgroup();
    parts[wave * SUB + lane] = total;
    wait_subgroup();
    total = 0.0;
    for (uint p = 0u; p < PER_ROW; p++)
        total += parts[wave * SUB + row * PER_ROW + p];
    wait_subgroup();
    if (part == 0u) {
        parts[wave * SUB + row] = total == 0.0 ? 0.0 : factor / 16384.0 / total;
        if (column == 0u && mine < tq)
            lse[pair * tq + mine] = total == 0.0 ? 0.0 : most + log(total);
    }
#define STORE(r, c, value)                                                                        \
    if (first + r < tq)                                                                           \
        y_put(q_at(b, head, first + r), c, value * parts[wave * SUB + r] * inverse_v)
    EACH_OUT(sum, wave, lane, column, STORE)
#elif PASS == 1
#define STORE(r, c, value)                                                                        \
    if (first + r < tq)                                                                           \
        dq_put(q_at(b, head, first + r), c, value / by * (scale * inverse_k))
    EACH_OUT(sum, wave, lane, column, STORE)
#else
#define STORE_V(r, c, value)                                                                      \
    if (first + r < tk)                                                                           \
        dv_put(k_at(b, pair % hkv, first + r), c, value / by_p * factor)
#define STORE_K(r, c, value)                                                                      \
    if (first + r < tk)                                                                           \
        dk_put(k_at(b, pair % hkv, first + r), c, value / by * scale)
    EACH_OUT(sum, wave, lane, column, STORE_V)
    EACH_OUT(more, wave, lane, column, STORE_K)
#endif
}
