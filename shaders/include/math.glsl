// tanh and the activations. KIND: 0 gelu, 1 gelu_tanh, 2 silu, 3 relu, 4 tanh. The formulas and fits are those of
// src/ops/fastmath.h; arguments of exp are kept where it neither overflows nor meets an infinity.
float tanh_(float x)
{
    const float s = x * x;
    float p = -5.70498872745e-3;
    p = p * s + 2.06390887954e-2;
    p = p * s - 5.37397155531e-2;
    p = p * s + 1.33314422036e-1;
    p = p * s - 3.33332819422e-1;
    const float far = 1.0 - 2.0 / (exp(2.0 * clamp(x, -40.0, 40.0)) + 1.0);
    return s < 0.390625 ? x + x * (s * p) : far;
}

// (1 / (1 + e^-x), 1 / (1 + e^x)), neither a difference of rounded numbers
vec2 sigmoid_at(float x)
{
    const float e = exp(max(-abs(x), -87.0)), large = 1.0 / (1.0 + e), small = e * large;
    return x < 0.0 ? vec2(small, large) : vec2(large, small);
}

// the normal distribution's integral up to x, absolute error 1.2e-7, and its density
vec2 normal_at(float x)
{
    const float z = abs(x), s = x * x, e = exp(max(-0.5 * s, -87.0)), t = 1.0 / (1.0 + 0.35 * z);
    float q = 4.41465899e-2;
    q = q * t - 1.84420913e-1;
    q = q * t + 2.13136300e-1;
    q = q * t + 6.15307549e-3;
    q = q * t + 1.44632384e-1;
    q = q * t + 1.36529177e-1;
    q = q * t + 1.39804751e-1;
    const float tail = e * (q * t), far = x < 0.0 ? tail : 1.0 - tail;
    float p = -7.96435415e-6;
    p = p * s + 1.14121445e-4;
    p = p * s - 1.18678191e-3;
    p = p * s + 9.97345336e-3;
    p = p * s - 6.64903745e-2;
    p = p * s + 3.98942292e-1;
    return vec2(z < 0.9 ? 0.5 + x * p : far, 0.398942280 * e);
}

// the activation and its slope; a shader that uses one computes only that
vec2 act_at(uint kind, float x)
{
    switch (kind) {
    case 0u: {
        const vec2 at = normal_at(x);
        return vec2(x * at.x, at.x + x * at.y);
    }
    case 1u: {
        const float s = min(x * x, 1e4), cx = 1.5957691216 * x;
        const vec2 at = sigmoid_at(cx * (1.0 + 0.044715 * s));
        return vec2(x * at.x, at.x + at.x * at.y * (cx * (1.0 + 0.134145 * s)));
    }
    case 2u: {
        const vec2 at = sigmoid_at(x);
        return vec2(x * at.x, at.x + at.x * at.y * x);
    }
    case 3u: return x > 0.0 ? vec2(x, 1.0) : vec2(0.0);
    default: {
        const float t = tanh_(x);
        return vec2(t, 1.0 - t * t);
    }
    }
}
