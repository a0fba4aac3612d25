/* SPDX-License-Identifier: Apache-2.0 */
/* The activations and their derivatives, in double for references and in f32 for fast loops. */
#ifndef FIRN_OPS_ACTIVATION_H
#define FIRN_OPS_ACTIVATION_H

#include "firn/ops.h"
#include "ops/fastmath.h"

#include <math.h>

#define FIRN_INV_SQRT2 0.70710678118654752440
#define FIRN_INV_SQRT2PI 0.39894228040143267794
#define FIRN_SQRT_2_PI 0.79788456080286535588

static inline double firn_act(enum firn_activation kind, double x)
{
    switch (kind) {
    case FIRN_GELU:
        return 0.5 * x * (1 + erf(x * FIRN_INV_SQRT2));
    case FIRN_GELU_TANH:
        return 0.5 * x * (1 + tanh(FIRN_SQRT_2_PI * (x + 0.044715 * x * x * x)));
    case FIRN_SILU:
        return x / (1 + exp(-x));
    case FIRN_RELU:
        return x > 0 ? x : 0;
    case FIRN_TANH:
        return tanh(x);
    }
    return x;
}

static inline double firn_act_slope(enum firn_activation kind, double x)
{
    switch (kind) {
    case FIRN_GELU:
        return 0.5 * (1 + erf(x * FIRN_INV_SQRT2)) + x * FIRN_INV_SQRT2PI * exp(-0.5 * x * x);
    case FIRN_GELU_TANH: {
        const double t = tanh(FIRN_SQRT_2_PI * (x + 0.044715 * x * x * x));
        return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * FIRN_SQRT_2_PI * (1 + 3 * 0.044715 * x * x);
    }
    case FIRN_SILU: {
        const double s = 1 / (1 + exp(-x));
        return s * (1 + x * (1 - s));
    }
    case FIRN_RELU:
        return x > 0;
    case FIRN_TANH: {
        const double t = tanh(x);
        return 1 - t * t;
    }
    }
    return 1;
}

/* One inline function per kind, so that a loop over one vectorises. */
static inline float firn_gelu_f32(float x)
{
    return 0.5f * x * (1.0f + firn_erff(x * (float) FIRN_INV_SQRT2));
}
static inline float firn_gelu_slope_f32(float x)
{
    return 0.5f * (1.0f + firn_erff(x * (float) FIRN_INV_SQRT2)) +
           x * (float) FIRN_INV_SQRT2PI * firn_expf(-0.5f * x * x);
}
static inline float firn_gelu_tanh_f32(float x)
{
    return 0.5f * x * (1.0f + firn_tanhf((float) FIRN_SQRT_2_PI * (x + 0.044715f * x * x * x)));
}
static inline float firn_gelu_tanh_slope_f32(float x)
{
    const float t = firn_tanhf((float) FIRN_SQRT_2_PI * (x + 0.044715f * x * x * x));
    return 0.5f * (1.0f + t) +
           0.5f * x * (1.0f - t * t) * (float) FIRN_SQRT_2_PI * (1.0f + 0.134145f * x * x);
}
static inline float firn_silu_f32(float x)
{
    return x * firn_sigmoidf(x);
}
static inline float firn_silu_slope_f32(float x)
{
    const float s = firn_sigmoidf(x);
    return s * (1.0f + x * (1.0f - s));
}
static inline float firn_relu_f32(float x)
{
    return x > 0 ? x : 0;
}
static inline float firn_relu_slope_f32(float x)
{
    return x > 0 ? 1.0f : 0.0f;
}
static inline float firn_tanh_slope_f32(float x)
{
    const float t = firn_tanhf(x);
    return 1.0f - t * t;
}

/* Expands BODY(f) for the function of the kind at hand: one vectorised loop each. */
#define FIRN_FOR_KIND(kind, BODY, GELU, GELU_TANH, SILU, RELU, TANH)                              \
    switch (kind) {                                                                               \
    case FIRN_GELU: BODY(GELU); break;                                                            \
    case FIRN_GELU_TANH: BODY(GELU_TANH); break;                                                  \
    case FIRN_SILU: BODY(SILU); break;                                                            \
    case FIRN_RELU: BODY(RELU); break;                                                            \
    case FIRN_TANH: BODY(TANH); break;                                                            \
    }
#define FIRN_EACH_ACT(kind, BODY)                                                                 \
    FIRN_FOR_KIND(kind, BODY, firn_gelu_f32, firn_gelu_tanh_f32, firn_silu_f32, firn_relu_f32, firn_tanhf)
#define FIRN_EACH_SLOPE(kind, BODY)                                                               \
    FIRN_FOR_KIND(kind, BODY, firn_gelu_slope_f32, firn_gelu_tanh_slope_f32, firn_silu_slope_f32,  \
                  firn_relu_slope_f32, firn_tanh_slope_f32)

/* Allowed error of one activation value or slope: the fits' 3e-7 absolute, scaled by |x| where the value is. */
static inline double firn_act_bound(double x)
{
    return 16 * 0x1p-24 * (1 + fabs(x));
}

#endif
