/* SPDX-License-Identifier: Apache-2.0 */
/* Activations, element by element, and their gradient. */
#include "base/simd.h"

FIRN_FUSED

#include "ops/activation.h"
#include "ops/ops.h"

static enum firn_activation kind_of(const struct firn_call *call)
{
    return *(const enum firn_activation *) call->attrs;
}

static void act_ref(const struct firn_call *call)
{
    double *x = firn_ref_in(call, 0), *y = firn_ref_out(call, 0);
    for (int64_t i = 0; i < firn_count(&call->out[0]); i++)
        y[i] = firn_act(kind_of(call), x[i]);
    firn_ref_free(x);
    firn_ref_store(call, 0, y);
}

#define ACT_LOOP(f)                                                                               \
    FIRN_INDEPENDENT                                                                              \
    for (int64_t i = begin; i < end; i++)                                                         \
        y[i] = f(x[i]).y

FIRN_SIMD static void body(void *user, int64_t begin, int64_t end)
{
    const struct firn_call *call = user;
    const float *x = firn_f32(&call->in[0]);
    float *y = firn_f32(&call->out[0]);
    FIRN_FOR_ACT(kind_of(call), ACT_LOOP)
}

static void act_cpu(const struct firn_call *call)
{
    firn_over(call->pool, firn_count(&call->out[0]), 8192, body, (void *) call);
}

static void act_grad(struct firn_graph *g, const struct firn_node *n, const firn_val *dy, firn_val *dx)
{
    dx[0] = firn_activate_dx(g, *(const enum firn_activation *) n->attrs, n->in[0], dy[0]);
}

static void setup(const struct firn_call *call, const struct firn_limits *limits,
                  struct firn_dispatch *d)
{
    firn_setup_flat(call, limits, d);
    firn_spec(d, (uint32_t) kind_of(call));
}

static void act_bound(const struct firn_call *call, int out, double *bound)
{
    double *x = firn_ref_in(call, 0);
    (void) out;
    for (int64_t i = 0; i < firn_count(&call->in[0]); i++)
        bound[i] = firn_act_bound(x[i]);
    firn_ref_free(x);
}

static const struct firn_kernel kernels[] = {
    { "activate_x4", "activate", "WIDE=4", .accepts = firn_is_wide, .setup = setup },
    { "activate", "activate", .setup = setup },
    { NULL },
};

static const enum firn_activation kinds[] = { FIRN_GELU, FIRN_GELU_TANH, FIRN_SILU, FIRN_RELU, FIRN_TANH };
static const struct firn_case cases[] = {
    { .in = { FIRN_DIMS(3, 31) }, &kinds[0] },
    { .in = { FIRN_DIMS(3, 31) }, &kinds[1] },
    { .in = { FIRN_DIMS(3, 31) }, &kinds[2] },
    { .in = { FIRN_DIMS(3, 31) }, &kinds[3], .no_grad = true }, /* not smooth at 0 */
    { .in = { FIRN_DIMS(3, 31) }, &kinds[4] },
    { .in = { FIRN_DIMS(0, 5) }, &kinds[0] },
    { .in = { FIRN_DIMS(33, 65) }, &kinds[0], .scale = 30, .no_grad = true },
    { .in = { FIRN_DIMS(33, 65) }, &kinds[1], .scale = 1e4f, .no_grad = true },
    { .in = { FIRN_DIMS(33, 65) }, &kinds[2], .scale = 1e4f, .no_grad = true },
    { .in = { FIRN_DIMS(33, 65) }, &kinds[4], .scale = 1e4f, .no_grad = true },
    { .in = { FIRN_DIMS(33, 68) }, &kinds[0], .scale = 8, .no_grad = true },
    { .in = { FIRN_DIMS(33, 68) }, &kinds[1], .scale = 8, .no_grad = true },
    { .in = { FIRN_DIMS(33, 68) }, &kinds[2], .scale = 8, .no_grad = true },
    { .in = { FIRN_DIMS(33, 68) }, &kinds[3], .scale = 8, .no_grad = true },
    { .in = { FIRN_DIMS(33, 68) }, &kinds[4], .scale = 8, .no_grad = true },
};

static const struct firn_op activate = {
    .name = "activate",
    .math = "y = act(x)",
    .n_in = 1,
    .n_out = 1,
    .cut = FIRN_CUT | 1,
    .by_rows = 1,
    .inplace = 1,
    .attrs_size = sizeof(enum firn_activation),
    .shape = firn_shape_same,
    .ref = act_ref,
    .cpu = act_cpu,
    .grad = act_grad,
    .kernels = kernels,
    .cases = cases,
    .n_cases = sizeof cases / sizeof cases[0],
    .bound = act_bound,
};

static void dx_ref(const struct firn_call *call)
{
    double *x = firn_ref_in(call, 0), *dy = firn_ref_in(call, 1), *dx = firn_ref_out(call, 0);
    for (int64_t i = 0; i < firn_count(&call->out[0]); i++)
        dx[i] = dy[i] * firn_act_slope(kind_of(call), x[i]);
    firn_ref_free(x);
    firn_ref_free(dy);
    firn_ref_store(call, 0, dx);
}

#define SLOPE_LOOP(f)                                                                             \
    FIRN_INDEPENDENT                                                                              \
    for (int64_t i = begin; i < end; i++)                                                         \
        dx[i] = dy[i] * f(x[i]).slope

FIRN_SIMD static void dx_body(void *user, int64_t begin, int64_t end)
{
    const struct firn_call *call = user;
    const float *x = firn_f32(&call->in[0]), *dy = firn_f32(&call->in[1]);
    float *dx = firn_f32(&call->out[0]);
    FIRN_FOR_ACT(kind_of(call), SLOPE_LOOP)
}

static void dx_cpu(const struct firn_call *call)
{
    firn_over(call->pool, firn_count(&call->out[0]), 8192, dx_body, (void *) call);
}

static void dx_bound(const struct firn_call *call, int out, double *bound)
{
    double *x = firn_ref_in(call, 0), *dy = firn_ref_in(call, 1);
    (void) out;
    for (int64_t i = 0; i < firn_count(&call->in[0]); i++)
        bound[i] = firn_act_bound(x[i]) * fabs(dy[i]);
    firn_ref_free(x);
    firn_ref_free(dy);
}

static const struct firn_kernel dx_kernels[] = {
    { "activate_dx_x4", "activate_dx", "WIDE=4", .accepts = firn_is_wide, .setup = setup },
    { "activate_dx", "activate_dx", .setup = setup },
    { NULL },
};

static const struct firn_case dx_cases[] = {
    { .in = { FIRN_DIMS(3, 31), FIRN_DIMS(3, 31) }, &kinds[0] },
    { .in = { FIRN_DIMS(3, 31), FIRN_DIMS(3, 31) }, &kinds[1] },
    { .in = { FIRN_DIMS(3, 31), FIRN_DIMS(3, 31) }, &kinds[2] },
    { .in = { FIRN_DIMS(3, 31), FIRN_DIMS(3, 31) }, &kinds[3] },
    { .in = { FIRN_DIMS(3, 31), FIRN_DIMS(3, 31) }, &kinds[4] },
    { .in = { FIRN_DIMS(0, 5), FIRN_DIMS(0, 5) }, &kinds[0] },
    { .in = { FIRN_DIMS(33, 65), FIRN_DIMS(33, 65) }, &kinds[0], .scale = 30 },
    { .in = { FIRN_DIMS(33, 65), FIRN_DIMS(33, 65) }, &kinds[1], .scale = 30 },
    { .in = { FIRN_DIMS(33, 65), FIRN_DIMS(33, 65) }, &kinds[2], .scale = 200 },
    { .in = { FIRN_DIMS(33, 68), FIRN_DIMS(33, 68) }, &kinds[0], .scale = 8 },
    { .in = { FIRN_DIMS(33, 68), FIRN_DIMS(33, 68) }, &kinds[1], .scale = 8 },
    { .in = { FIRN_DIMS(33, 68), FIRN_DIMS(33, 68) }, &kinds[2], .scale = 8 },
    { .in = { FIRN_DIMS(33, 68), FIRN_DIMS(33, 68) }, &kinds[3], .scale = 8 },
    { .in = { FIRN_DIMS(33, 68), FIRN_DIMS(33, 68) }, &kinds[4], .scale = 8 },
};

static const struct firn_op activate_dx = {
    .name = "activate_dx",
    .math = "dx = dy act'(x)",
    .n_in = 2,
    .n_out = 1,
    .cut = FIRN_CUT | 3,
    .inplace = 3,
    .attrs_size = sizeof(enum firn_activation),
    .shape = firn_shape_same,
    .ref = dx_ref,
    .cpu = dx_cpu,
    .kernels = dx_kernels,
    .cases = dx_cases,
    .n_cases = sizeof dx_cases / sizeof dx_cases[0],
    .bound = dx_bound,
};

firn_val firn_activate_dx(struct firn_graph *g, enum firn_activation kind, firn_val x, firn_val dy)
{
    return firn_emit1(g, &activate_dx, (firn_val[]){ x, dy }, &kind);
}

firn_val firn_activate(struct firn_graph *g, enum firn_activation kind, firn_val x)
{
    return firn_emit1(g, &activate, &x, &kind);
}

const struct firn_op *const firn_family_activate[] = { &activate, &activate_dx, NULL };
