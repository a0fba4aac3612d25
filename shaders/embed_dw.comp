// SPDX-License-Identifier: Apache-2.0
// dw[v, c] = sum over m, in order, of dy[m, c] with ids[m] = v
#version 450
#extension GL_GOOGLE_include_directive : require
#include "flat.glsl"
layout(binding = 0) readonly buffer Dy { float dy[]; };
layout(binding = 1) readonly buffer Ids { int ids[]; };
layout(binding = 2) writeonly buffer Dw { float dw[]; };
layout(push_constant) uniform Push { uint n; uint n_ids; uint cols; };
void main()
{
    FOR_ELEMENTS(i, n)
    {
        const int v = int(i / cols);
        const uint c = i % cols;
        float sum = 0.0;
        for (uint m = 0u; m < n_ids; m++)
            if (ids[m] == v)
                sum += dy[m * cols + c];
        dw[i] = sum;
    }
}
