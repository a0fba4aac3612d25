// SPDX-License-Identifier: Apache-2.0
// y[m, c] = table[ids[m], c]; ids outside [0, rows) give zeros. TABLE: 0 f32, 1 f16, 2 bf16 (two to a word)
#version 450
#extension GL_GOOGLE_include_directive : require
#include "flat.glsl"
#if TABLE == 0
layout(binding = 0) readonly buffer Table { float table[]; };
float at(uint i) { return table[i]; }
#else
layout(binding = 0) readonly buffer Table { uint table[]; };
float at(uint i)
{
    const uint word = table[i >> 1u];
#if TABLE == 1
    const vec2 both = unpackHalf2x16(word);
    return (i & 1u) == 0u ? both.x : both.y;
#else
    return uintBitsToFloat((i & 1u) == 0u ? word << 16 : word & 0xffff0000u);
#endif
}
#endif
layout(binding = 1) readonly buffer Ids { int ids[]; };
layout(binding = 2) writeonly buffer Y { float y[]; };
layout(push_constant) uniform Push { uint n; uint rows; uint cols; };
void main()
{
    FOR_ELEMENTS(i, n)
    {
        const int id = ids[i / cols];
        float value = 0.0;
        if (id >= 0 && uint(id) < rows)
            value = at(uint(id) * cols + i % cols);
        y[i] = value;
    }
}
