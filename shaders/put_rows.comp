// SPDX-License-Identifier: Apache-2.0
// y = 0 but for y[start .. start + count] = x (in elements)
#version 450
#extension GL_GOOGLE_include_directive : require
#include "flat.glsl"
layout(binding = 0) readonly buffer X { float x[]; };
layout(binding = 1) writeonly buffer Y { float y[]; };
layout(push_constant) uniform Push { uint n; uint start; uint count; };
void main()
{
    FOR_ELEMENTS(i, n)
    {
        if (i >= start && i - start < count)
            y[i] = x[i - start];
        else
            y[i] = 0.0;
    }
}
