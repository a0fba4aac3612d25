// SPDX-License-Identifier: Apache-2.0
// y = alpha a b + u v + bias + residual on a driver that runs on a CPU: no shared memory; 8 lanes, each with 8 results along
// the columns (SWAP 1: along the rows) and ROWS along the other axis, whose operand is at the same address for all lanes. Such
// drivers load word by word when lanes differ, and once when they do not: both kinds of load must serve many sums. WIDE 1:
// vectors along the axis that is contiguous, 2 of k or 4 neighbours. Every result sums k in order, whatever the shape of the tile.
#version 450
#extension GL_GOOGLE_include_directive : require
layout(local_size_x = 8) in;
#include "matmul.glsl"
// two numbers of k, or four neighbours
layout(binding = 0) readonly buffer A2 { vec2 a2[]; };
layout(binding = 0) readonly buffer A4 { vec4 a4[]; };
vec2 a2_at(uint i) { return a2[i]; }
vec4 a4_at(uint i) { return a4[i]; }
#if B_TYPE == 0
layout(binding = 1) readonly buffer B2 { vec2 b2[]; };
layout(binding = 1) readonly buffer B4 { vec4 b4[]; };
vec2 b2_at(uint i) { return b2[i]; }
vec4 b4_at(uint i) { return b4[i]; }
#elif B_TYPE >= 3
vec2 b2_at(uint i) { return b_at2(2u * i); }
vec4 b4_at(uint i) { return b_at4(4u * i); }
#else
layout(binding = 1) readonly buffer B4 { uvec2 b4[]; };
#if B_TYPE == 1
vec2 both(uint word) { return unpackHalf2x16(word); }
#else
vec2 both(uint word) { return uintBitsToFloat(uvec2(word << 16, word & 0xffff0000u)); }
#endif
vec2 b2_at(uint i) { return both(b[i]); }
vec4 b4_at(uint i) { const uvec2 w = b4[i]; return vec4(both(w.x), both(w.y)); }
#endif

// the operand that differs by lane, and the one that does not: which it is, and whether it is contiguous along k
#if SWAP == 0
#define LANE_K (TRANS_B == 1)
#define SAME_K (TRANS_A == 0)
#define LANE1(i) b_at(i)
#define LANE2(i) b2_at(i)
#define LANE4(i) b4_at(i)
#define SAME1(i) a[i]
#define SAME2(i) a2_at(i)
#define SAME4(i) a4_at(i)
#else
#define LANE_K (TRANS_A == 0)
#define SAME_K (TRANS_B == 1)
#define LANE1(i) a[i]
#define LANE2(i) a2_at(i)
#define LANE4(i) a4_at(i)
#define SAME1(i) b_at(i)
#define SAME2(i) b2_at(i)
#define SAME4(i) b4_at(i)
#endif
// k of one turn, and how indices along k are counted
#if WIDE == 1 && (LANE_K || SAME_K)
#define STEP 2u
#else
#define STEP 1u
#endif

uint same[ROWS];  // where the rows start, in the unit of their loads
uint lane_at[8];  // where the lane's results start
vec4 s[ROWS], t[ROWS];

void turn(uint q, uint n_lane, uint n_same)
{
    vec4 w[2 * STEP];
#if LANE_K && WIDE == 1
    vec2 x[8];
    for (uint c = 0u; c < 8u; c++)
        x[c] = LANE2(lane_at[c] + q);
    w[0] = vec4(x[0].x, x[1].x, x[2].x, x[3].x);
    w[1] = vec4(x[4].x, x[5].x, x[6].x, x[7].x);
    w[2] = vec4(x[0].y, x[1].y, x[2].y, x[3].y);
    w[3] = vec4(x[4].y, x[5].y, x[6].y, x[7].y);
#elif WIDE == 1
    for (uint j = 0u; j < STEP; j++)
        for (uint c = 0u; c < 2u; c++)
            w[2u * j + c] = LANE4((STEP * q + j) * (n_lane / 4u) + lane_at[c]);
#elif LANE_K
    for (uint c = 0u; c < 8u; c++)
        w[c / 4u][c % 4u] = LANE1(lane_at[c] + q);
#else
    for (uint c = 0u; c < 8u; c++)
        w[c / 4u][c % 4u] = LANE1(q * n_lane + lane_at[c]);
#endif
#if SAME_K && WIDE == 1
    for (uint i = 0u; i < ROWS; i++) {
        const vec2 v = SAME2(same[i] + q);
        s[i] += v.x * w[0];
        t[i] += v.x * w[1];
        s[i] += v.y * w[2];
        t[i] += v.y * w[3];
    }
#elif WIDE == 1
    for (uint j = 0u; j < STEP; j++)
        for (uint i = 0u; i < ROWS; i += 4u) {
            const vec4 v = SAME4((STEP * q + j) * (n_same / 4u) + same[i / 4u]);
            for (uint e = 0u; e < 4u; e++) {
                s[i + e] += v[e] * w[2u * j];
                t[i + e] += v[e] * w[2u * j + 1u];
            }
        }
#else
    for (uint i = 0u; i < ROWS; i++) {
#if SAME_K
        const float v = SAME1(same[i] + q);
#else
        const float v = SAME1(q * n_same + same[i]);
#endif
        s[i] += v * w[0];
        t[i] += v * w[1];
    }
#endif
}

uint first, base, lane;
uint result_of(uint c)
{
#if WIDE == 1 && !LANE_K
    return first + 4u * lane + 32u * (c / 4u) + c % 4u;
#else
    return first + lane + 8u * c;
#endif
}

// u v as more columns of K, one a turn
void more(uint i, uint n_lane, uint n_same)
{
    vec4 w[2];
    for (uint c = 0u; c < 8u; c++) {
        const uint x = min(result_of(c), n_lane - 1u);
#if SWAP == 0
        w[c / 4u][c % 4u] = v[MORE == 2u ? x * r + i : i * n + x];
#else
        w[c / 4u][c % 4u] = u[x * r + i];
#endif
    }
    for (uint j = 0u; j < ROWS; j++) {
        const uint z = min(base + j, n_same - 1u);
#if SWAP == 0
        const float x = u[z * r + i];
#else
        const float x = v[MORE == 2u ? z * r + i : i * n + z];
#endif
        s[j] += x * w[0];
        t[j] += x * w[1];
    }
}

void main()
{
    lane = gl_LocalInvocationID.x;
#if SWAP == 0
    const uint n_lane = n, n_same = m;
    first = gl_WorkGroupID.x * 64u;
    base = gl_WorkGroupID.y * ROWS;
#else
    const uint n_lane = m, n_same = n;
    first = gl_WorkGroupID.y * 64u;
    base = gl_WorkGroupID.x * ROWS;
#endif
    // beyond the edge the last one is computed again, and not stored
    for (uint c = 0u; c < 8u; c++) {
#if LANE_K
        lane_at[c] = min(result_of(c), n_lane - 1u) * (k / STEP);
#elif WIDE == 1
        lane_at[c] = min(result_of(4u * (c % 2u)), n_lane - 1u) / 4u;
#else
        lane_at[c] = min(result_of(c), n_lane - 1u);
#endif
    }
    for (uint i = 0u; i < ROWS; i++) {
#if SAME_K
        same[i] = min(base + i, n_same - 1u) * (k / STEP);
#elif WIDE == 1
        same[i] = min(base / 4u + i, n_same / 4u - 1u);
#else
        same[i] = min(base + i, n_same - 1u);
#endif
        s[i] = t[i] = vec4(0.0);
    }
    for (uint q = 0u; q < k / STEP; q++)
        turn(q, n_lane, n_same);
    for (uint i = 0u; i < ROWS; i++) {
        s[i] *= alpha;
        t[i] *= alpha;
    }
    for (uint i = 0u; MORE != 0u && i < r; i++)
        more(i, n_lane, n_same);
    for (uint i = 0u; i < ROWS; i++)
        for (uint c = 0u; c < 8u; c++) {
            const uint x = result_of(c), z = base + i;
            if (x < n_lane && z < n_same) {
                const float sum = c < 4u ? s[i][c] : t[i][c - 4u];
#if SWAP == 0
                y[z * n + x] = with_added(sum, z, x);
#else
                y[x * n + z] = with_added(sum, x, z);
#endif
            }
        }
}
