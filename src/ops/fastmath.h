/* SPDX-License-Identifier: Apache-2.0 */
/* exp, tanh, erf and their kin in f32, branch-free so that the compiler vectorises loops over them.
 * Errors are in units of u = 2^-24 relative to the result unless said otherwise; tests/ops/test_fastmath.c
 * scans them against libm in double. Exact under -ffp-contract=off, and no worse with fused adds. */
#ifndef FIRN_OPS_FASTMATH_H
#define FIRN_OPS_FASTMATH_H

#include <stdint.h>
#include <string.h>

static inline float firn_f32_of_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint32_t firn_bits_of_f32(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* e^x = 2^n e^r, n = round(x / ln 2), |r| <= ln 2 / 2 (Cody & Waite 1980); e^r as in Cephes expf.
 * Within 2 u; +inf above 88.73, subnormal then 0 below -87.34; NaN stays NaN. */
static inline float firn_expf(float x)
{
    x = x > 89.0f ? 89.0f : x;
    x = x < -104.0f ? -104.0f : x;
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    const float shifted = x * 1.44269504f + magic;
    const float n = shifted - magic;
    const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = (p * (r * r) + r) + 1.0f;
    /* 2^n in two halves: n reaches from -150 to 128 and one factor alone would leave the exponent's range */
    const int32_t k = (int32_t) (firn_bits_of_f32(shifted) - 0x4B400000u);
    const int32_t half = k >> 1;
    return p * firn_f32_of_bits((uint32_t) (half + 127) << 23) *
           firn_f32_of_bits((uint32_t) (k - half + 127) << 23);
}

/* tanh x = 1 - 2 / (e^2x + 1); below 0.25 an odd series, where the difference would cancel. */
static inline float firn_tanhf(float x)
{
    const float e = firn_expf(2.0f * x);
    const float far = 1.0f - 2.0f / (e + 1.0f), s = x * x;
    float p = -1382.0f / 155925.0f;
    p = p * s + 62.0f / 2835.0f;
    p = p * s - 17.0f / 315.0f;
    p = p * s + 2.0f / 15.0f;
    p = p * s - 1.0f / 3.0f;
    const float near = x + x * s * p;
    return s < 0.0625f ? near : far;
}

/* erfc(|x|) by a Chebyshev fit of Numerical Recipes (3rd ed., 6.2.2) has relative error 1.2e-7; here the same form in
 * single precision: erf is odd, absolute error below 3e-7. */
static inline float firn_erff(float x)
{
    const float z = x < 0 ? -x : x;
    const float t = 2.0f / (2.0f + z);
    float p = 0.17087277f;
    p = p * t - 0.82215223f;
    p = p * t + 1.48851587f;
    p = p * t - 1.13520398f;
    p = p * t + 0.27886807f;
    p = p * t - 0.18628806f;
    p = p * t + 0.09678418f;
    p = p * t + 0.37409196f;
    p = p * t + 1.00002368f;
    p = p * t - 1.26551223f;
    const float c = t * firn_expf(p - z * z);
    return x < 0 ? c - 1.0f : 1.0f - c;
}

static inline float firn_sigmoidf(float x)
{
    return 1.0f / (1.0f + firn_expf(-x));
}

#endif
