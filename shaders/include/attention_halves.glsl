// 16-bit copies of q, k, v and dy that attention on matrix units reads. A copy is [batch, heads, rows, DP], rows padded to
// a multiple of 64 and columns to whole matrices with zeros, each head scaled by a power of two so that its largest
// element lies near 2^13. SPLIT 1: after it a second copy of what rounding left, which together keep 22 bits.
// Behind the copies, as floats: the inverse scale of each head, then the largest element of each 64 rows of each head.
#ifndef SPLIT
#define SPLIT 0
#endif
layout(constant_id = 3) const uint MM = 16; // rows, columns and depth of one matrix
layout(constant_id = 4) const uint NN = 16;
layout(constant_id = 5) const uint KK = 16;
layout(constant_id = 6) const uint BLOCK = 32; // rows of the other side at a time
const uint WHOLE = KK > NN ? KK : NN;
const uint DP = (D + WHOLE - 1u) / WHOLE * WHOLE;
const uint ROW = DP / 8u; // uvec4 of a row of a copy
const uint COPIES = 1u + SPLIT;
layout(binding = SCRATCH) buffer Halves { uvec4 halves[]; };
layout(binding = SCRATCH) buffer Floats { float floats[]; };

uint padded(uint rows) { return (rows + 63u) / 64u * 64u; }
uint size_q() { return batch * h * padded(tq) * ROW; } // uvec4 of one copy
uint size_k() { return batch * hkv * padded(tk) * ROW; }
// copies of q, k, v and dy, and the place of their heads' scales
uint at_k() { return COPIES * size_q(); }
uint at_v() { return at_k() + COPIES * size_k(); }
uint at_dy() { return at_v() + COPIES * size_k(); }
uint scales_at()
{
#if BACKWARD == 1
    return 4u * (at_dy() + COPIES * size_q());
#else
    return 4u * at_dy();
#endif
}
uint scale_k() { return batch * h; }
uint scale_v() { return batch * (h + hkv); }
uint scale_dy() { return batch * (h + 2u * hkv); }
uint n_heads()
{
#if BACKWARD == 1
    return batch * (2u * h + 2u * hkv);
#else
    return batch * (h + 2u * hkv);
#endif
}
uint n_chunks() { return padded(max(tq, tk)) / 64u; }

#if SPLIT == 1
// what f16 holds exactly, by bits: a compiler may take a conversion there and back for nothing
vec4 held(vec4 x) { return uintBitsToFloat(floatBitsToUint(x) & 0xffffe000u); }
#else
vec4 held(vec4 x) { return x; }
#endif
uvec2 to_halves(vec4 x)
{
    const f16vec4 y = f16vec4(x);
    return uvec2(packFloat2x16(y.xy), packFloat2x16(y.zw));
}
