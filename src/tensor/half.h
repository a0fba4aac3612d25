/* SPDX-License-Identifier: Apache-2.0 */
/* IEEE binary16 and bfloat16 to and from binary32, rounding to nearest even. */
#ifndef FIRN_TENSOR_HALF_H
#define FIRN_TENSOR_HALF_H

#include <stdint.h>
#include <string.h>

static inline float firn_bits_to_f32(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t firn_f32_to_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float firn_bf16_to_f32(uint16_t h)
{
    return firn_bits_to_f32((uint32_t) h << 16);
}

static inline uint16_t firn_f32_to_bf16(float value)
{
    const uint32_t bits = firn_f32_to_bits(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t) (bits >> 16 | 0x40u); /* stays a NaN */
    return (uint16_t) ((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

static inline float firn_f16_to_f32(uint16_t h)
{
    const uint32_t sign = (uint32_t) (h & 0x8000u) << 16;
    const uint32_t exponent = h >> 10 & 0x1fu;
    const uint32_t fraction = h & 0x3ffu;
    if (exponent == 0x1fu)
        return firn_bits_to_f32(sign | 0x7f800000u | fraction << 13);
    if (exponent != 0)
        return firn_bits_to_f32(sign | (exponent + 112u) << 23 | fraction << 13);
    const float tiny = (float) fraction * 0x1p-24f; /* subnormal: exact */
    return sign ? -tiny : tiny;
}

static inline uint16_t firn_f32_to_f16(float value)
{
    const uint32_t bits = firn_f32_to_bits(value);
    const uint16_t sign = (uint16_t) (bits >> 16 & 0x8000u);
    const uint32_t rest = bits & 0x7fffffffu;
    if (rest > 0x7f800000u)
        return (uint16_t) (sign | 0x7e00u);
    if (rest >= 0x477ff000u) /* rounds to 65536 or more */
        return (uint16_t) (sign | 0x7c00u);
    if (rest < 0x38800000u) { /* below 2^-14: units of 2^-24, rounded by the addition */
        const float shifted = firn_bits_to_f32(rest) + 0.5f;
        return (uint16_t) (sign | (firn_f32_to_bits(shifted) - 0x3f000000u));
    }
    return (uint16_t) (sign | (rest - 0x38000000u + 0xfffu + (rest >> 13 & 1u)) >> 13);
}

#endif
