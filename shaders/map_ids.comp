// SPDX-License-Identifier: Apache-2.0
// y[m] = map[ids[m]]; -1 for ids outside [0, rows)
#version 450
#extension GL_GOOGLE_include_directive : require
#include "flat.glsl"
layout(binding = 0) readonly buffer Map { int map[]; };
layout(binding = 1) readonly buffer Ids { int ids[]; };
layout(binding = 2) writeonly buffer Y { int y[]; };
layout(push_constant) uniform Push { uint n; uint rows; };
void main()
{
    FOR_ELEMENTS(i, n)
    {
        const int id = ids[i];
        int value = -1;
        if (id >= 0 && uint(id) < rows)
            value = map[id];
        y[i] = value;
    }
}
