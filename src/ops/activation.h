/* SPDX-License-Identifier: Apache-2.0 */
/* The activations and their slopes, in double for references and in f32 for fast loops. */
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

/* A value and its slope. One inline function per kind, so that a loop over one vectorises; a loop that uses
 * only one of the two computes only that one. */
struct firn_act_at {
    float y, slope;
};

static inline struct firn_act_at firn_gelu_at(float x)
{
    const struct firn_normal_at n = firn_normal_atf(x);
    return (struct firn_act_at){ x * n.integral, n.integral + x * n.density };
}

/* (1 + tanh a) / 2 is sigmoid(2 a). Beyond |x| = 100 the sigmoid is 0 or 1; the square stays finite. */
static inline struct firn_act_at firn_gelu_tanh_at(float x)
{
    const float square = x * x, s = square < 1e4f ? square : 1e4f;
    const float c = 2.0f * (float) FIRN_SQRT_2_PI;
    const struct firn_sigmoid at = firn_sigmoidf(c * x * (1.0f + 0.044715f * s));
    return (struct firn_act_at){ x * at.y,
                                 at.y + at.y * at.rest * (c * x * (1.0f + 0.134145f * s)) };
}

static inline struct firn_act_at firn_silu_at(float x)
{
    const struct firn_sigmoid at = firn_sigmoidf(x);
    return (struct firn_act_at){ x * at.y, at.y + at.y * at.rest * x };
}

static inline struct firn_act_at firn_relu_at(float x)
{
    return (struct firn_act_at){ x > 0 ? x : 0, x > 0 ? 1.0f : 0.0f };
}

static inline struct firn_act_at firn_tanh_at(float x)
{
    const float t = firn_tanhf(x);
    return (struct firn_act_at){ t, 1.0f - t * t };
}

/* Expands LOOP(f) for the function of the kind at hand: one vectorised loop each. */
#define FIRN_FOR_ACT(kind, LOOP)                                                                  \
    switch (kind) {                                                                               \
    case FIRN_GELU: LOOP(firn_gelu_at); break;                                                    \
    case FIRN_GELU_TANH: LOOP(firn_gelu_tanh_at); break;                                          \
    case FIRN_SILU: LOOP(firn_silu_at); break;                                                    \
    case FIRN_RELU: LOOP(firn_relu_at); break;                                                    \
    case FIRN_TANH: LOOP(firn_tanh_at); break;                                                    \
    }

/* Allowed error of one activation value or slope. On the host 4 u (1 + |x|) would do; a Vulkan driver's exp
 * may be off by 3 + 2 |x| units in the last place (Vulkan 1.1, precision of SPIR-V instructions). */
static inline double firn_act_bound(double x)
{
    return 16 * 0x1p-24 * (1 + fabs(x));
}

#endif
