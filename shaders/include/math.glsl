// erf, tanh and the activations. KIND: 0 gelu, 1 gelu_tanh, 2 silu, 3 relu, 4 tanh.
// erf as the host has it (src/ops/fastmath.h); arguments of exp are kept where it cannot overflow.
float erf_(float x)
{
    const float z = abs(x);
    const float t = 2.0 / (2.0 + z);
    float p = 0.17087277;
    p = p * t - 0.82215223;
    p = p * t + 1.48851587;
    p = p * t - 1.13520398;
    p = p * t + 0.27886807;
    p = p * t - 0.18628806;
    p = p * t + 0.09678418;
    p = p * t + 0.37409196;
    p = p * t + 1.00002368;
    p = p * t - 1.26551223;
    const float c = t * exp(max(p - z * z, -87.0));
    return x < 0.0 ? c - 1.0 : 1.0 - c;
}

float tanh_(float x)
{
    const float s = x * x;
    float p = -1382.0 / 155925.0;
    p = p * s + 62.0 / 2835.0;
    p = p * s - 17.0 / 315.0;
    p = p * s + 2.0 / 15.0;
    p = p * s - 1.0 / 3.0;
    const float far = 1.0 - 2.0 / (exp(2.0 * clamp(x, -40.0, 40.0)) + 1.0);
    return s < 0.0625 ? x + x * s * p : far;
}

float sigmoid(float x)
{
    return 1.0 / (1.0 + exp(clamp(-x, -87.0, 87.0)));
}

float act(uint kind, float x)
{
    switch (kind) {
    case 0u: return 0.5 * x * (1.0 + erf_(x * 0.70710678));
    case 1u: return 0.5 * x * (1.0 + tanh_(0.79788456 * (x + 0.044715 * x * x * x)));
    case 2u: return x * sigmoid(x);
    case 3u: return max(x, 0.0);
    default: return tanh_(x);
    }
}

float act_slope(uint kind, float x)
{
    switch (kind) {
    case 0u:
        return 0.5 * (1.0 + erf_(x * 0.70710678)) + x * 0.39894228 * exp(max(-0.5 * x * x, -87.0));
    case 1u: {
        const float t = tanh_(0.79788456 * (x + 0.044715 * x * x * x));
        return 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * 0.79788456 * (1.0 + 0.134145 * x * x);
    }
    case 2u: {
        const float s = sigmoid(x);
        return s * (1.0 + x * (1.0 - s));
    }
    case 3u: return x > 0.0 ? 1.0 : 0.0;
    default: {
        const float t = tanh_(x);
        return 1.0 - t * t;
    }
    }
}
