/* SPDX-License-Identifier: Apache-2.0 */
/* exp, tanh, the normal distribution and their kin in f32, branch-free so that the compiler vectorises loops
 * over them. Errors are in units of u = 2^-24 relative to the result unless said otherwise;
 * tests/ops/test_fastmath.c scans them against libm in double. Fused adds make them no worse. */
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

/* tanh x = 1 - 2 / (e^2x + 1); below 0.625, where that would cancel, the odd series of Cephes tanhf.
 * Within 5 u. */
static inline float firn_tanhf(float x)
{
    const float e = firn_expf(2.0f * x);
    const float far = 1.0f - 2.0f / (e + 1.0f), s = x * x;
    float p = -5.70498872745e-3f;
    p = p * s + 2.06390887954e-2f;
    p = p * s - 5.37397155531e-2f;
    p = p * s + 1.33314422036e-1f;
    p = p * s - 3.33332819422e-1f;
    const float near = x + x * (s * p);
    return s < 0.390625f ? near : far;
}

/* 1 / (1 + e^-x) and what it lacks to 1, both within 4 u: neither is a difference of rounded numbers. */
struct firn_sigmoid {
    float y, rest;
};
static inline struct firn_sigmoid firn_sigmoidf(float x)
{
    const float e = firn_expf(x < 0 ? x : -x), large = 1.0f / (1.0f + e), small = e * large;
    return (struct firn_sigmoid){ x < 0 ? small : large, x < 0 ? large : small };
}

/* The normal distribution: its integral up to x, (1 + erf(x / sqrt 2)) / 2, within 1.6 u of 1 (1e-7 absolute),
 * and its density. Far from 0 the integral of the nearer tail is e^(-x^2/2) times a polynomial in 1 / (1 + 0.35 |x|),
 * relative error 1e-8 at 0.9, 4e-6 far out; near 0 an odd polynomial, 2e-10. Both are minimax fits (Lawson's
 * weights) to erfc in 30 digits. */
struct firn_normal_at {
    float integral, density;
};
static inline struct firn_normal_at firn_normal_atf(float x)
{
    const float z = x < 0 ? -x : x, s = x * x, e = firn_expf(-0.5f * s);
    const float t = 1.0f / (1.0f + 0.35f * z);
    float q = 4.41465899e-2f;
    q = q * t - 1.84420913e-1f;
    q = q * t + 2.13136300e-1f;
    q = q * t + 6.15307549e-3f;
    q = q * t + 1.44632384e-1f;
    q = q * t + 1.36529177e-1f;
    q = q * t + 1.39804751e-1f;
    const float tail = e * (q * t), far = x < 0 ? tail : 1.0f - tail;
    float p = -7.96435415e-6f;
    p = p * s + 1.14121445e-4f;
    p = p * s - 1.18678191e-3f;
    p = p * s + 9.97345336e-3f;
    p = p * s - 6.64903745e-2f;
    p = p * s + 3.98942292e-1f;
    const float near = 0.5f + x * p;
    return (struct firn_normal_at){ z < 0.9f ? near : far, 0.398942280f * e };
}

/* log(1 + t) for t in [0, 1]: 2 artanh(t / (2 + t)) by its series, within 3 u. */
static inline float firn_log1pf(float t)
{
    const float r = t / (2.0f + t), s = r * r;
    float p = 1.0f / 13.0f;
    p = p * s + 1.0f / 11.0f;
    p = p * s + 1.0f / 9.0f;
    p = p * s + 1.0f / 7.0f;
    p = p * s + 1.0f / 5.0f;
    p = p * s + 1.0f / 3.0f;
    return 2.0f * (r + r * (s * p));
}

#endif
