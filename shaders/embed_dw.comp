// SPDX-License-Identifier: Apache-2.0
// dw[v, c] = sum over m, in order, of dy[m, c] with ids[m] = v, in two dispatches.
// ADD 0: zeros in dw; for each m its link: the next place with the same id (n_ids: there is none), or, where an
// earlier place has that id or it is not in [0, rows) or the padding, a mark. ADD 1: the first place of an id adds along the links.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "flat.glsl"
layout(binding = 0) readonly buffer Dy { float dy[]; };
layout(binding = 1) readonly buffer Ids { int ids[]; };
layout(binding = 2) writeonly buffer Dw { float dw[]; };
layout(binding = 3) buffer Links { uint links[]; };
layout(push_constant) uniform Push { uint n; uint n_ids; uint rows; uint cols; int padding; int first_id; };
const uint NOT_FIRST = 0x80000000u;
void main()
{
#if ADD == 0
    FOR_ELEMENTS(i, max(n, n_ids))
    {
        if (i < n)
            dw[i] = 0.0;
        if (i >= n_ids)
            continue;
        const int id = ids[i];
        bool is_first = id >= first_id && uint(id - first_id) < rows && id != padding;
        for (uint m = 0u; m < i && is_first; m++)
            is_first = ids[m] != id;
        uint next = i + 1u;
        while (next < n_ids && ids[next] != id)
            next++;
        links[i] = next | (is_first ? 0u : NOT_FIRST);
    }
#else
    FOR_ELEMENTS(i, n)
    {
        const uint first = i / cols, c = i % cols;
        if (links[first] >= NOT_FIRST)
            continue;
        float sum = 0.0;
        for (uint m = first; m < n_ids; m = links[m] & ~NOT_FIRST)
            sum += dy[m * cols + c];
        dw[uint(ids[first] - first_id) * cols + c] = sum;
    }
#endif
}
