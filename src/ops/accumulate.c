/* SPDX-License-Identifier: Apache-2.0 */
/* Sums gradients over the micro-batches of an optimizer step, in their order. */
#include "ops/ops.h"

static bool acc_shape(struct firn_infer *s)
{
    return firn_count(&s->in[0]) == firn_count(&s->in[1]) ||
           firn_infer_fail(s, "%s cannot be added to %s", FIRN_SHAPE_STR(&s->in[1].shape),
                           FIRN_SHAPE_STR(&s->in[0].shape));
}

static void acc_ref(const struct firn_call *call)
{
    double *acc = firn_ref_in(call, 0), *x = firn_ref_in(call, 1), *keep = firn_ref_in(call, 2);
    for (int64_t i = 0; i < firn_count(&call->in[0]); i++)
        acc[i] = *keep == 0 ? x[i] : *keep * acc[i] + x[i];
    firn_ref_free(x);
    firn_ref_free(keep);
    firn_ref_store_in(call, 0, acc);
}

static void body(void *user, int64_t begin, int64_t end)
{
    const struct firn_call *call = user;
    float *acc = firn_f32(&call->in[0]);
    const float *x = firn_f32(&call->in[1]), keep = *firn_f32(&call->in[2]);
    for (int64_t i = begin; i < end; i++)
        acc[i] = keep == 0 ? x[i] : keep * acc[i] + x[i];
}

static void acc_cpu(const struct firn_call *call)
{
    firn_over(call->pool, firn_count(&call->in[0]), 16384, body, (void *) call);
}

static const struct firn_kernel kernels[] = {
    { "accumulate_x4", "accumulate", "WIDE=4", .accepts = firn_is_wide, .setup = firn_setup_flat },
    { "accumulate", "accumulate", .setup = firn_setup_flat },
    { NULL },
};

static const struct firn_case cases[] = {
    { .in = { FIRN_DIMS(3, 31), FIRN_DIMS(3, 31), FIRN_DIMS(1) } },
    { .in = { FIRN_DIMS(2050), FIRN_DIMS(2050), FIRN_DIMS(1) } },
    { .in = { FIRN_DIMS(3, 1028), FIRN_DIMS(3084), FIRN_DIMS(1) } },
    { .in = { FIRN_DIMS(0), FIRN_DIMS(0), FIRN_DIMS(1) } },
};

static const struct firn_op accumulate = {
    .name = "accumulate",
    .math = "acc = keep acc + x",
    .n_in = 3,
    .n_out = 0,
    .cut = FIRN_CUT | 3,
    .updates = 1,
    .shape = acc_shape,
    .ref = acc_ref,
    .cpu = acc_cpu,
    .kernels = kernels,
    .cases = cases,
    .n_cases = sizeof cases / sizeof cases[0],
};

void firn_accumulate(struct firn_graph *g, firn_val acc, firn_val x, firn_val keep)
{
    firn_graph_emit(g, &accumulate, (firn_val[]){ acc, x, keep }, NULL, NULL);
}

const struct firn_op *const firn_family_accumulate[] = { &accumulate, NULL };
