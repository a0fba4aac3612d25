// SPDX-License-Identifier: Apache-2.0
// Queries that see no key: y = mean of v (GRAD 0), and dq, dk, dv of them (GRAD 1); zero for all others. A lane per element.
// Q, Y, Dy, Dq [B Tq, H D]; K, V, Dk, Dv [B Tk, Hkv D]; Mask [B, Tk]
#version 450
#extension GL_GOOGLE_include_directive : require
#include "flat.glsl"
layout(binding = 0) readonly buffer Q { float q[]; };
layout(binding = 1) readonly buffer K { float k[]; };
layout(binding = 2) readonly buffer V { float v[]; };
#if GRAD == 1
layout(binding = 3) readonly buffer Dy { float dy[]; };
layout(binding = 4) readonly buffer Y { float y[]; };
layout(binding = 5) readonly buffer Mask { int mask[]; };
layout(binding = 6) writeonly buffer Dq { float dq[]; };
layout(binding = 7) writeonly buffer Dk { float dk[]; };
layout(binding = 8) writeonly buffer Dv { float dv[]; };
#else
layout(binding = 3) readonly buffer Mask { int mask[]; };
layout(binding = 4) writeonly buffer Y { float y[]; };
#endif
layout(push_constant) uniform Push
{
    uint n; uint batch; uint h; uint hkv; uint tq; uint tk; uint d; int ahead; int window; float scale; float softcap;
};

bool is_blind(uint b, uint i)
{
    for (uint j = 0u; j < tk; j++) {
        const int last = int(i) + ahead;
        if (mask[b * tk + j] != 0 && int(j) <= last && int(j) > last - window)
            return false;
    }
    return tk > 0u;
}

#if GRAD == 1
// ds of query row i, key j, head hq; the rows' first elements are given
float slope(uint at_q, uint at_k)
{
    float dp = 0.0, delta = 0.0, s = 0.0;
    for (uint c = 0u; c < d; c++) {
        dp += dy[at_q + c] * v[at_k + c];
        delta += dy[at_q + c] * y[at_q + c];
        s += q[at_q + c] * k[at_k + c];
    }
    float ds = (dp - delta) / float(tk) * scale;
    if (softcap > 0.0) {
        // tanh of some drivers overflows for large arguments
        const float t = tanh(clamp(scale * s / softcap, -15.0, 15.0));
        ds *= 1.0 - t * t;
    }
    return ds;
}
#endif

void main()
{
    const uint group = h / hkv;
    FOR_ELEMENTS(e, n)
    {
        const uint row = e / (h * d), hq = e % (h * d) / d, c = e % d;
        if (row < batch * tq) {
            const uint b = row / tq, at_v = (b * tk * hkv + hq / group) * d;
            float sum = 0.0;
            if (is_blind(b, row % tq))
                for (uint j = 0u; j < tk; j++)
#if GRAD == 1
                    sum += slope((row * h + hq) * d, at_v + j * hkv * d) * k[at_v + j * hkv * d + c];
            dq[e] = sum;
#else
                    sum += v[at_v + j * hkv * d + c];
            y[e] = sum / float(max(tk, 1u));
#endif
        }
#if GRAD == 1
        const uint key = e / (hkv * d), hk = e % (hkv * d) / d;
        if (key < batch * tk) {
            const uint b = key / tk, at_k = (key * hkv + hk) * d;
            float sum_k = 0.0, sum_v = 0.0;
            for (uint i = 0u; i < tq; i++) {
                if (!is_blind(b, i))
                    continue;
                for (uint g = 0u; g < group; g++) {
                    const uint at_q = ((b * tq + i) * h + hk * group + g) * d;
                    sum_k += slope(at_q, at_k) * q[at_q + c];
                    sum_v += dy[at_q + c] / float(tk);
                }
            }
            dk[e] = sum_k;
            dv[e] = sum_v;
        }
#endif
    }
}
