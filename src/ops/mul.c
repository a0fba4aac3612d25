/* SPDX-License-Identifier: Apache-2.0 */
/* Product, element by element, of two tensors of one shape. */
#include "ops/ops.h"

static void mul_ref(const struct firn_call *call)
{
    double *a = firn_ref_in(call, 0), *b = firn_ref_in(call, 1), *y = firn_ref_out(call, 0);
    for (int64_t i = 0; i < firn_count(&call->out[0]); i++)
        y[i] = a[i] * b[i];
    firn_ref_free(a);
    firn_ref_free(b);
    firn_ref_store(call, 0, y);
}

static void body(void *user, int64_t begin, int64_t end)
{
    const struct firn_call *call = user;
    const float *a = firn_f32(&call->in[0]), *b = firn_f32(&call->in[1]);
    float *y = firn_f32(&call->out[0]);
    for (int64_t i = begin; i < end; i++)
        y[i] = a[i] * b[i];
}

static void mul_cpu(const struct firn_call *call)
{
    firn_over(call->pool, firn_count(&call->out[0]), 16384, body, (void *) call);
}

static void mul_grad(struct firn_graph *g, const struct firn_node *n, const firn_val *dy, firn_val *dx)
{
    if (firn_wants(g, n->in[0]))
        dx[0] = firn_mul(g, dy[0], n->in[1]);
    if (firn_wants(g, n->in[1]))
        dx[1] = firn_mul(g, dy[0], n->in[0]);
}

static const struct firn_kernel kernels[] = {
    { "mul_x4", "mul", "WIDE=4", .accepts = firn_is_wide, .setup = firn_setup_flat },
    { "mul", "mul", .setup = firn_setup_flat },
    { NULL },
};

static const struct firn_case cases[] = {
    { .in = { FIRN_DIMS(1), FIRN_DIMS(1) } },
    { .in = { FIRN_DIMS(3, 31), FIRN_DIMS(3, 31) } },
    { .in = { FIRN_DIMS(0, 5), FIRN_DIMS(0, 5) } },
    { .in = { FIRN_DIMS(1025), FIRN_DIMS(1025) }, .no_grad = true },
    { .in = { FIRN_DIMS(3, 1028), FIRN_DIMS(3, 1028) }, .no_grad = true },
    { .in = { FIRN_DIMS(33, 129), FIRN_DIMS(33, 129) }, .scale = 1e15f, .no_grad = true },
};

static const struct firn_op mul = {
    .name = "mul",
    .math = "y = a * b",
    .n_in = 2,
    .n_out = 1,
    .cut = FIRN_CUT | 3,
    .by_rows = 3,
    .inplace = 3,
    .shape = firn_shape_same,
    .ref = mul_ref,
    .cpu = mul_cpu,
    .grad = mul_grad,
    .kernels = kernels,
    .cases = cases,
    .n_cases = sizeof cases / sizeof cases[0],
};

firn_val firn_mul(struct firn_graph *g, firn_val a, firn_val b)
{
    return firn_emit1(g, &mul, (firn_val[]){ a, b }, NULL);
}

const struct firn_op *const firn_family_mul[] = { &mul, NULL };
