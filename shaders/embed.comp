// SPDX-License-Identifier: Apache-2.0
// y[m, c] = table[ids[m] - first, c]; ids outside the table give zeros. TABLE: 0 f32, 1 f16, 2 bf16 (two to a word)
#version 450
#extension GL_GOOGLE_include_directive : require
#include "flat.glsl"
#if TABLE == 0
layout(binding = 0) readonly buffer Table { REAL table[]; };
REAL at(uint i) { return table[i]; }
#else
layout(binding = 0) readonly buffer Table { uint table[]; };
vec2 both(uint word)
{
#if TABLE == 1
    return unpackHalf2x16(word);
#else
    return uintBitsToFloat(uvec2(word << 16, word & 0xffff0000u));
#endif
}
#if WIDE == 4
vec4 at(uint i) { return vec4(both(table[2u * i]), both(table[2u * i + 1u])); }
#else
float at(uint i) { return both(table[i >> 1u])[i & 1u]; }
#endif
#endif
layout(binding = 1) readonly buffer Ids { int ids[]; };
layout(binding = 2) writeonly buffer Y { REAL y[]; };
layout(push_constant) uniform Push { uint n; uint rows; uint cols; int first; uint keeps; };
void main()
{
    const uint across = cols / WIDE;
    FOR_ELEMENTS(i, n)
    {
        const int id = ids[i / across] - first;
        REAL value = REAL(0.0);
        const bool is_inside = id >= 0 && uint(id) < rows;
        if (is_inside)
            value = at(uint(id) * across + i % across);
        if (is_inside || keeps == 0u)
            y[i] = value;
    }
}
