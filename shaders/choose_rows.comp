// SPDX-License-Identifier: Apache-2.0
// y[i] = b[i] where the element's entry has the number, else a[i]; an entry is `per` elements in a row
#version 450
#extension GL_GOOGLE_include_directive : require
#include "flat.glsl"
layout(binding = 0) readonly buffer A { REAL a[]; };
layout(binding = 1) readonly buffer B { REAL b[]; };
layout(binding = 2) readonly buffer Ids { int ids[]; };
layout(binding = 3) buffer Y { REAL y[]; };
layout(push_constant) uniform Push { uint n; uint per; int number; };
void main()
{
    FOR_ELEMENTS(i, n)
    {
        if (ids[(i * WIDE) / per] == number)
            y[i] = b[i];
        else
            y[i] = a[i];
    }
}
