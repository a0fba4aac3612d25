/* SPDX-License-Identifier: Apache-2.0 */
/* Gated activation, y = act(gate) up (Shazeer 2020), and its gradient in one pass. */
#include "base/simd.h"

FIRN_FUSED

#include "ops/activation.h"
#include "ops/ops.h"

static enum firn_activation kind_of(const struct firn_call *call)
{
    return *(const enum firn_activation *) call->attrs;
}

static void gate_ref(const struct firn_call *call)
{
    double *a = firn_ref_in(call, 0), *b = firn_ref_in(call, 1), *y = firn_ref_out(call, 0);
    for (int64_t i = 0; i < firn_count(&call->out[0]); i++)
        y[i] = firn_act(kind_of(call), a[i]) * b[i];
    firn_ref_free(a);
    firn_ref_free(b);
    firn_ref_store(call, 0, y);
}

#define GATE_LOOP(f)                                                                              \
    FIRN_INDEPENDENT                                                                              \
    for (int64_t i = begin; i < end; i++)                                                         \
        y[i] = f(a[i]).y * b[i]

FIRN_SIMD static void body(void *user, int64_t begin, int64_t end)
{
    const struct firn_call *call = user;
    const float *a = firn_f32(&call->in[0]), *b = firn_f32(&call->in[1]);
    float *y = firn_f32(&call->out[0]);
    FIRN_FOR_ACT(kind_of(call), GATE_LOOP)
}

static void gate_cpu(const struct firn_call *call)
{
    firn_over(call->pool, firn_count(&call->out[0]), 8192, body, (void *) call);
}

static const struct firn_op gate_dx;

static void gate_grad(struct firn_graph *g, const struct firn_node *n, const firn_val *dy, firn_val *dx)
{
    firn_graph_emit(g, &gate_dx, (firn_val[]){ n->in[0], n->in[1], dy[0] }, n->attrs, dx);
}

static void setup(const struct firn_call *call, const struct firn_limits *limits,
                  struct firn_dispatch *d)
{
    firn_setup_flat(call, limits, d);
    firn_spec(d, (uint32_t) kind_of(call));
}

static void gate_bound(const struct firn_call *call, int out, double *bound)
{
    double *a = firn_ref_in(call, 0), *b = firn_ref_in(call, 1);
    (void) out;
    for (int64_t i = 0; i < firn_count(&call->in[0]); i++)
        bound[i] = firn_act_bound(a[i]) * fabs(b[i]);
    firn_ref_free(a);
    firn_ref_free(b);
}

static const struct firn_kernel kernels[] = {
    { "gate_x4", "gate", "WIDE=4", .accepts = firn_is_wide, .setup = setup },
    { "gate", "gate", .setup = setup },
    { NULL },
};

static const enum firn_activation kinds[] = { FIRN_GELU, FIRN_GELU_TANH, FIRN_SILU };
static const struct firn_case cases[] = {
    { .in = { FIRN_DIMS(3, 31), FIRN_DIMS(3, 31) }, &kinds[0] },
    { .in = { FIRN_DIMS(3, 31), FIRN_DIMS(3, 31) }, &kinds[1] },
    { .in = { FIRN_DIMS(5, 33), FIRN_DIMS(5, 33) }, &kinds[2] },
    { .in = { FIRN_DIMS(33, 68), FIRN_DIMS(33, 68) }, &kinds[0], .scale = 4, .no_grad = true },
    { .in = { FIRN_DIMS(33, 68), FIRN_DIMS(33, 68) }, &kinds[2], .scale = 4, .no_grad = true },
    { .in = { FIRN_DIMS(0, 5), FIRN_DIMS(0, 5) }, &kinds[2] },
};

static const struct firn_op gate = {
    .name = "gate",
    .math = "y = act(a) b",
    .n_in = 2,
    .n_out = 1,
    .cut = FIRN_CUT | 3,
    .by_rows = 3,
    .inplace = 3,
    .attrs_size = sizeof(enum firn_activation),
    .shape = firn_shape_same,
    .ref = gate_ref,
    .cpu = gate_cpu,
    .grad = gate_grad,
    .kernels = kernels,
    .cases = cases,
    .n_cases = sizeof cases / sizeof cases[0],
    .bound = gate_bound,
};

static bool dx_shape(struct firn_infer *s)
{
    s->out[1] = s->in[0];
    return firn_shape_same(s);
}

static void dx_ref(const struct firn_call *call)
{
    double *a = firn_ref_in(call, 0), *b = firn_ref_in(call, 1), *dy = firn_ref_in(call, 2);
    double *da = firn_ref_out(call, 0), *db = firn_ref_out(call, 1);
    for (int64_t i = 0; i < firn_count(&call->in[0]); i++) {
        da[i] = dy[i] * b[i] * firn_act_slope(kind_of(call), a[i]);
        db[i] = dy[i] * firn_act(kind_of(call), a[i]);
    }
    firn_ref_free(a);
    firn_ref_free(b);
    firn_ref_free(dy);
    firn_ref_store(call, 0, da);
    firn_ref_store(call, 1, db);
}

/* Each element is read before it is written: da and db may take the places of any inputs. */
#define DX_LOOP(f)                                                                                \
    FIRN_INDEPENDENT                                                                              \
    for (int64_t i = begin; i < end; i++) {                                                       \
        const struct firn_act_at at = f(a[i]);                                                    \
        const float g = dy[i];                                                                    \
        da[i] = g * b[i] * at.slope;                                                              \
        db[i] = g * at.y;                                                                         \
    }

FIRN_SIMD static void dx_body(void *user, int64_t begin, int64_t end)
{
    const struct firn_call *call = user;
    const float *a = firn_f32(&call->in[0]), *b = firn_f32(&call->in[1]), *dy = firn_f32(&call->in[2]);
    float *da = firn_f32(&call->out[0]), *db = firn_f32(&call->out[1]);
    FIRN_FOR_ACT(kind_of(call), DX_LOOP)
}

static void dx_cpu(const struct firn_call *call)
{
    firn_over(call->pool, firn_count(&call->in[0]), 4096, dx_body, (void *) call);
}

static void dx_bound(const struct firn_call *call, int out, double *bound)
{
    double *a = firn_ref_in(call, 0), *b = firn_ref_in(call, 1), *dy = firn_ref_in(call, 2);
    for (int64_t i = 0; i < firn_count(&call->in[0]); i++)
        bound[i] = firn_act_bound(a[i]) * fabs(dy[i]) * (out == 0 ? fabs(b[i]) : 1);
    firn_ref_free(a);
    firn_ref_free(b);
    firn_ref_free(dy);
}

static const struct firn_kernel dx_kernels[] = {
    { "gate_dx_x4", "gate_dx", "WIDE=4", .accepts = firn_is_wide, .setup = setup },
    { "gate_dx", "gate_dx", .setup = setup },
    { NULL },
};

static const struct firn_case dx_cases[] = {
    { .in = { FIRN_DIMS(3, 31), FIRN_DIMS(3, 31), FIRN_DIMS(3, 31) }, &kinds[0] },
    { .in = { FIRN_DIMS(3, 31), FIRN_DIMS(3, 31), FIRN_DIMS(3, 31) }, &kinds[1] },
    { .in = { FIRN_DIMS(5, 33), FIRN_DIMS(5, 33), FIRN_DIMS(5, 33) }, &kinds[2] },
    { .in = { FIRN_DIMS(33, 68), FIRN_DIMS(33, 68), FIRN_DIMS(33, 68) }, &kinds[0], .scale = 4 },
    { .in = { FIRN_DIMS(33, 68), FIRN_DIMS(33, 68), FIRN_DIMS(33, 68) }, &kinds[2], .scale = 4 },
    { .in = { FIRN_DIMS(0, 5), FIRN_DIMS(0, 5), FIRN_DIMS(0, 5) }, &kinds[2] },
};

static const struct firn_op gate_dx = {
    .name = "gate_dx",
    .math = "da = dy b act'(a); db = dy act(a)",
    .n_in = 3,
    .n_out = 2,
    .cut = FIRN_CUT | 7,
    .inplace = 7,
    .inplace1 = 7,
    .attrs_size = sizeof(enum firn_activation),
    .shape = dx_shape,
    .ref = dx_ref,
    .cpu = dx_cpu,
    .kernels = dx_kernels,
    .cases = dx_cases,
    .n_cases = sizeof dx_cases / sizeof dx_cases[0],
    .bound = dx_bound,
};

firn_val firn_gate(struct firn_graph *g, enum firn_activation kind, firn_val a, firn_val up)
{
    return firn_emit1(g, &gate, (firn_val[]){ a, up }, &kind);
}

const struct firn_op *const firn_family_gate[] = { &gate, &gate_dx, NULL };
