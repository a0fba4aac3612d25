// What the product shaders share: bindings, sizes, element access, and what is added to a result.
// a [m, k] (TRANS_A: [k, m]); b [k, n] (TRANS_B: [n, k]); B_TYPE 0 f32, 1 f16, 2 bf16, two to a word; 3 nf4, 4 nf4 with
// 8-bit scales, 5 int8 with a scale a row (src/tensor/quant.h)
layout(constant_id = 0) const bool HAS_BIAS = false;
layout(constant_id = 1) const bool HAS_RESIDUAL = false;
layout(constant_id = 2) const uint MORE = 0; // columns of K in u v: 0 none, 1 v [r, n], 2 v [n, r]
layout(push_constant) uniform Push { uint m; uint n; uint k; uint r; float alpha; };
layout(binding = 0) readonly buffer A { float a[]; };
#if B_TYPE == 0
layout(binding = 1) readonly buffer B { float b[]; };
float b_at(uint i) { return b[i]; }
#elif B_TYPE >= 3
layout(binding = 1) readonly buffer B { uint b[]; };
#include "dequant.glsl"
#else
layout(binding = 1) readonly buffer B { uint b[]; };
float b_at(uint i)
{
    const uint word = b[i >> 1u];
#if B_TYPE == 1
    const vec2 both = unpackHalf2x16(word);
    return (i & 1u) == 0u ? both.x : both.y;
#else
    return uintBitsToFloat((i & 1u) == 0u ? word << 16 : word & 0xffff0000u);
#endif
}
#endif
layout(binding = 2) readonly buffer Bias { float bias[]; };
layout(binding = 3) readonly buffer Residual { float residual[]; };
layout(binding = 4) readonly buffer U { float u[]; };
layout(binding = 5) readonly buffer V { float v[]; };
layout(binding = 6) buffer Y { float y[]; };

#if TRANS_A == 0
#define A_AT(row, i) a[(row) * k + (i)]
#else
#define A_AT(row, i) a[(i) * m + (row)]
#endif
#if TRANS_B == 0
#define B_AT(i, col) b_at((i) * n + (col))
#else
#define B_AT(i, col) b_at((col) * k + (i))
#endif

// Bias and residual of element (row, col).
float with_added(float x, uint row, uint col)
{
    if (HAS_BIAS)
        x += bias[col];
    if (HAS_RESIDUAL)
        x += residual[row * n + col];
    return x;
}

// The rest of an element after the sum over k, by itself: alpha, more columns, bias, residual.
float finish(float sum, uint row, uint col)
{
    float x = alpha * sum;
    for (uint i = 0u; MORE != 0u && i < r; i++)
        x += u[row * r + i] * v[MORE == 2u ? col * r + i : i * n + col];
    return with_added(x, row, col);
}
