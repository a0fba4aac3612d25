// SPDX-License-Identifier: Apache-2.0
// rates: lr, 1 - beta1, 1 - beta2, eps, decay, 1 - beta1^t, 1 - beta2^t, max norm (0: no clipping)
// m = b1 m + (1 - b1) d, v = b2 v + (1 - b2) d^2, p = (1 - lr decay) p - lr / bias1 m / (sqrt(v / bias2) + eps),
// d = g min(1, max norm / (norm + 1e-6)); a norm that is not finite changes nothing
#version 450
#extension GL_GOOGLE_include_directive : require
#include "flat.glsl"
layout(binding = 0) buffer P { REAL p[]; };
layout(binding = 1) readonly buffer G { REAL g[]; };
layout(binding = 2) buffer M { REAL m[]; };
layout(binding = 3) buffer V { REAL v[]; };
layout(binding = 4) readonly buffer Rates { float r[]; };
layout(binding = 5) readonly buffer Norm { float norm[]; };
layout(push_constant) uniform Push { uint n; };
void main()
{
    // NaN and infinity by their bits: a compiler may assume that floats are finite
    if ((floatBitsToUint(norm[0]) & 0x7f800000u) == 0x7f800000u)
        return;
    const float clip = r[7] > 0.0 ? min(1.0, r[7] / (norm[0] + 1e-6)) : 1.0;
    const float shrink = 1.0 - r[0] * r[4], rate = r[0] / r[5], root = 1.0 / sqrt(r[6]);
    FOR_ELEMENTS(i, n)
    {
        const REAL d = clip * g[i];
        const REAL a = (1.0 - r[1]) * m[i] + r[1] * d;
        const REAL b = (1.0 - r[2]) * v[i] + r[2] * d * d;
        m[i] = a;
        v[i] = b;
        p[i] = shrink * p[i] - rate * a / (sqrt(b) * root + r[3]);
    }
}
