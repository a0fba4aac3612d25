// SPDX-License-Identifier: Apache-2.0
// Multiply-adds that touch no memory: 8 chains of 4 in each lane, `turns` long. What they reach is the device's peak.
#version 450
layout(local_size_x = 64) in;
layout(binding = 0) writeonly buffer Y { float y[]; };
layout(push_constant) uniform Push { uint turns; float a; float b; };
void main()
{
    const float start = float(gl_LocalInvocationID.x);
    vec4 x0 = vec4(start), x1 = x0 + 1.0, x2 = x0 + 2.0, x3 = x0 + 3.0, x4 = x0 + 4.0, x5 = x0 + 5.0, x6 = x0 + 6.0, x7 = x0 + 7.0;
    for (uint i = 0u; i < turns; i++) {
        x0 = x0 * a + b;
        x1 = x1 * a + b;
        x2 = x2 * a + b;
        x3 = x3 * a + b;
        x4 = x4 * a + b;
        x5 = x5 * a + b;
        x6 = x6 * a + b;
        x7 = x7 * a + b;
    }
    x0 += x1 + x2 + x3 + x4 + x5 + x6 + x7;
    y[gl_GlobalInvocationID.x] = x0.x + x0.y + x0.z + x0.w;
}
