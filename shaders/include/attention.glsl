// What the attention shaders share: sizes, options, masks, the soft cap and dropout (src/ops/attention.h has the
// formulas). The includer sets MASK, BIAS and RNG to the numbers of those bindings.
#include "math.glsl"
#include "philox.glsl"
layout(constant_id = 1) const uint D = 64; // head size, 1 .. 256
layout(constant_id = 2) const uint OPTIONS = 0;
const bool HAS_MASK = (OPTIONS & 1u) != 0u;
const bool HAS_BIAS = (OPTIONS & 2u) != 0u;
const bool HAS_DROPOUT = (OPTIONS & 4u) != 0u;
const bool HAS_SOFTCAP = (OPTIONS & 8u) != 0u;
const bool IS_CAUSAL = (OPTIONS & 16u) != 0u;
const bool BY_DISTANCE = (OPTIONS & 32u) != 0u; // of the bias
layout(binding = MASK) readonly buffer Mask { int mask[]; };   // [B, Tk]
layout(binding = BIAS) readonly buffer Bias { float bias[]; }; // [H, Tq, Tk], or by distance [Tq + Tk - 1, H]
layout(binding = RNG) readonly buffer Rng { ivec4 rng; };
layout(push_constant) uniform Push
{
    uint n_groups; // work groups that have something to do
    uint tiles;    // of a head
    uint h, hkv, tq, tk;
    int ahead, window; // causal: query i sees keys i + ahead - window + 1 .. i + ahead
    float scale, softcap;
    uint stream, below;
    float factor;
    uint batch;
};
// Scores of hidden pairs lie far below any maximum, so that their probability is 0 even where nothing is seen.
const float HIDDEN = -3e38, LOWEST = -1e38;

#define GROUP (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x)
// First float of a row of q, y, dy, dq and of k, v, dk, dv.
uint q_at(uint b, uint head, uint i) { return ((b * tq + i) * h + head) * D; }
uint k_at(uint b, uint kv_head, uint j) { return ((b * tk + j) * hkv + kv_head) * D; }

bool sees(uint b, uint i, uint j)
{
    bool seen = i < tq && j < tk;
    if (IS_CAUSAL)
        seen = seen && int(j) <= int(i) + ahead && int(j) > int(i) + ahead - window;
    if (HAS_MASK)
        seen = seen && mask[b * tk + min(j, tk - 1u)] != 0;
    return seen;
}
// Keys that the queries from i0 to i1 - 1 of batch row b may see: from .x to .y - 1.
uvec2 keys_of(uint b, uint i0, uint i1)
{
    uvec2 span = uvec2(0u, tk);
    if (IS_CAUSAL) {
        span.x = uint(clamp(int(i0) + ahead - window + 1, 0, int(tk)));
        span.y = uint(clamp(int(min(i1, tq)) + ahead, 0, int(tk)));
    }
    if (HAS_MASK) {
        while (span.y > span.x && mask[b * tk + span.y - 1u] == 0)
            span.y--;
        while (span.x < span.y && mask[b * tk + span.x] == 0)
            span.x++;
    }
    return span;
}
// Queries that see any of the keys from j0 to j1 - 1.
uvec2 queries_of(uint j0, uint j1)
{
    uvec2 span = uvec2(0u, tq);
    if (IS_CAUSAL) {
        span.x = uint(clamp(int(j0) - ahead, 0, int(tq)));
        span.y = uint(clamp(int(min(j1, tk)) - 1 - ahead + window, 0, int(tq)));
    }
    return span;
}
// The score of a pair from scale q k (scaled last in every pass, so that all see the same bits); slope: the derivative of the soft cap.
float finish(float s, uint head, uint i, uint j, out float slope)
{
    slope = 1.0;
    if (HAS_SOFTCAP) {
        const float t = tanh_(s / softcap);
        s = softcap * t;
        slope = 1.0 - t * t;
    }
    if (HAS_BIAS) {
        const uint row = min(i, tq - 1u), col = min(j, tk - 1u);
        s += bias[BY_DISTANCE ? (col + tq - 1u - row) * h + head : (head * tq + row) * tk + col];
    }
    return s;
}
// The dropout factor of a pair: element row * Tk + j, row = (b H + head) Tq + i.
float kept(uint row, uint j)
{
    uint high, low;
    umulExtended(row, tk, high, low);
    high += uint(low + j < low);
    low += j;
    const uvec4 words = draw_block(rng, stream, uvec2(low >> 2 | high << 30, high >> 2));
    return words[low & 3u] >= below ? factor : 0.0;
}
