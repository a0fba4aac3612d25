// Elements of a quantised b [n k in all], by B_TYPE; src/tensor/quant.h has the layout. Codes are read a word at a time, and two or
// four neighbours that start at a multiple of that share word and scale, unless they are int8 and cross a row.
#if B_TYPE == 5
#if TRANS_B == 1
#define B_ROW k
#else
#define B_ROW n
#endif
float b_scale(uint i) { return uintBitsToFloat(b[(n * k + 3u) / 4u + i / B_ROW]); }
float b_code(uint i) { return float(bitfieldExtract(int(b[i >> 2u]), int((i & 3u) * 8u), 8)); }
float b_at(uint i) { return b_code(i) * b_scale(i); }
vec2 b_at2(uint i)
{
    const int w = int(b[i >> 2u]) >> ((i & 2u) * 8u);
    return vec2(bitfieldExtract(w, 0, 8), bitfieldExtract(w, 8, 8)) * b_scale(i);
}
vec4 b_at4(uint i)
{
    const int w = int(b[i >> 2u]);
    return vec4(bitfieldExtract(w, 0, 8), bitfieldExtract(w, 8, 8), bitfieldExtract(w, 16, 8), bitfieldExtract(w, 24, 8)) *
           b_scale(i);
}
#else
const float NF4[16] = float[](-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
                              -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
                              0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
                              0.7229568362236023, 1.0);
float b_scale(uint i)
{
    const uint block = i >> 6u, scales = (n * k + 7u) / 8u; // words of codes
#if B_TYPE == 3
    return uintBitsToFloat(b[scales + block]);
#else
    const uint blocks = (n * k + 63u) / 64u, nested = scales + (blocks + 3u) / 4u, mean = nested + (blocks + 255u) / 256u;
    const uint code = b[scales + (block >> 2u)] >> ((block & 3u) * 8u) & 255u;
    return uintBitsToFloat(b[mean + 1u + code]) * uintBitsToFloat(b[nested + (block >> 8u)]) + uintBitsToFloat(b[mean]);
#endif
}
float b_at(uint i)
{
    // the first of a byte's two elements is its high half
    return NF4[b[i >> 3u] >> (((i >> 1u) & 3u) * 8u + (1u - (i & 1u)) * 4u) & 15u] * b_scale(i);
}
vec2 b_at2(uint i)
{
    const uint w = b[i >> 3u] >> ((i & 6u) * 4u);
    return vec2(NF4[w >> 4u & 15u], NF4[w & 15u]) * b_scale(i);
}
vec4 b_at4(uint i)
{
    const uint w = b[i >> 3u] >> ((i & 4u) * 4u);
    return vec4(NF4[w >> 4u & 15u], NF4[w & 15u], NF4[w >> 12u & 15u], NF4[w >> 8u & 15u]) * b_scale(i);
}
#endif
