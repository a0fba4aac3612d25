/* SPDX-License-Identifier: Apache-2.0 */
/* A tensor times a constant. */
#include "ops/ops.h"

struct scale_attrs {
    float factor;
};

static void scale_ref(const struct firn_call *call)
{
    const struct scale_attrs *attrs = call->attrs;
    double *x = firn_ref_in(call, 0), *y = firn_ref_out(call, 0);
    for (int64_t i = 0; i < firn_count(&call->out[0]); i++)
        y[i] = (double) attrs->factor * x[i];
    firn_ref_free(x);
    firn_ref_store(call, 0, y);
}

static void body(void *user, int64_t begin, int64_t end)
{
    const struct firn_call *call = user;
    const float factor = ((const struct scale_attrs *) call->attrs)->factor;
    const float *x = firn_f32(&call->in[0]);
    float *y = firn_f32(&call->out[0]);
    for (int64_t i = begin; i < end; i++)
        y[i] = factor * x[i];
}

static void scale_cpu(const struct firn_call *call)
{
    firn_over(call->pool, firn_count(&call->out[0]), 16384, body, (void *) call);
}

static void scale_grad(struct firn_graph *g, const struct firn_node *n, const firn_val *dy, firn_val *dx)
{
    dx[0] = firn_scale(g, dy[0], ((const struct scale_attrs *) n->attrs)->factor);
}

static void setup(const struct firn_call *call, const struct firn_limits *limits,
                  struct firn_dispatch *d)
{
    firn_setup_flat(call, limits, d);
    firn_push_f32(d, ((const struct scale_attrs *) call->attrs)->factor);
}

static const struct firn_kernel kernels[] = {
    { "scale_x4", "scale", "WIDE=4", .accepts = firn_is_wide, .setup = setup },
    { "scale", "scale", .setup = setup },
    { NULL },
};

static const struct scale_attrs three = { 3.25f }, minus = { -1e-3f };
static const struct firn_case cases[] = {
    { .in = { FIRN_DIMS(1) }, &three },
    { .in = { FIRN_DIMS(3, 31) }, &minus },
    { .in = { FIRN_DIMS(0, 5) }, &three },
    { .in = { FIRN_DIMS(33, 129) }, &three, .no_grad = true },
    { .in = { FIRN_DIMS(3, 1028) }, &three, .no_grad = true },
};

static const struct firn_op scale = {
    .name = "scale",
    .math = "y = factor x",
    .n_in = 1,
    .n_out = 1,
    .cut = FIRN_CUT | 1,
    .by_rows = 1,
    .inplace = 1,
    .attrs_size = sizeof(struct scale_attrs),
    .shape = firn_shape_same,
    .ref = scale_ref,
    .cpu = scale_cpu,
    .grad = scale_grad,
    .kernels = kernels,
    .cases = cases,
    .n_cases = sizeof cases / sizeof cases[0],
};

firn_val firn_scale(struct firn_graph *g, firn_val x, float factor)
{
    return firn_emit1(g, &scale, &x, &(struct scale_attrs){ factor });
}

const struct firn_op *const firn_family_scale[] = { &scale, NULL };
