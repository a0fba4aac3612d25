/* SPDX-License-Identifier: Apache-2.0 */
/* Squared error with its gradient, a row at a time. */
#include "ops/ops.h"

#include <math.h>

static bool loss_shape(struct firn_infer *s)
{
    if (!firn_infer_rank(s, 0, 2) || !firn_shape_eq(&s->in[0].shape, &s->in[1].shape))
        return firn_infer_fail(s, "%s outputs have %s targets", FIRN_SHAPE_STR(&s->in[0].shape),
                               FIRN_SHAPE_STR(&s->in[1].shape));
    s->out[0].dtype = s->in[0].dtype;
    s->out[0].shape = firn_dims(s->in[0].shape.dim[0]);
    s->out[1] = s->in[0];
    return true;
}

static void loss_ref(const struct firn_call *call)
{
    const int64_t cols = firn_cols(&call->in[0]);
    double *z = firn_ref_in(call, 0), *t = firn_ref_in(call, 1), *scale = firn_ref_in(call, 2);
    double *loss = firn_ref_out(call, 0), *dz = firn_ref_out(call, 1);
    for (int64_t i = 0; i < firn_count(&call->in[0]); i++) {
        const double d = z[i] - t[i];
        loss[i / cols] += *scale * d * d;
        dz[i] = 2 * *scale * d;
    }
    firn_ref_free(z);
    firn_ref_free(t);
    firn_ref_free(scale);
    firn_ref_store(call, 0, loss);
    firn_ref_store(call, 1, dz);
}

static void body(void *user, int64_t begin, int64_t end)
{
    const struct firn_call *call = user;
    const int64_t cols = firn_cols(&call->in[0]);
    const float *z = firn_f32(&call->in[0]), *t = firn_f32(&call->in[1]), scale = *firn_f32(&call->in[2]);
    float *loss = firn_f32(&call->out[0]), *dz = firn_f32(&call->out[1]);
    for (int64_t m = begin; m < end; m++) {
        float sum = 0;
        for (int64_t i = m * cols; i < (m + 1) * cols; i++) {
            const float d = z[i] - t[i];
            sum += d * d;
            dz[i] = 2 * scale * d;
        }
        loss[m] = scale * sum;
    }
}

static void loss_cpu(const struct firn_call *call)
{
    firn_over(call->pool, firn_n_rows(&call->in[0]), 64, body, (void *) call);
}

static void loss_bound(const struct firn_call *call, int out, double *bound)
{
    const int64_t cols = firn_cols(&call->in[0]);
    double *z = firn_ref_in(call, 0), *t = firn_ref_in(call, 1), *scale = firn_ref_in(call, 2);
    for (int64_t m = 0; m < firn_n_rows(&call->in[0]); m++) {
        double sum = 0;
        for (int64_t i = m * cols; i < (m + 1) * cols; i++) {
            sum += (z[i] - t[i]) * (z[i] - t[i]);
            if (out == 1)
                bound[i] = 8 * 0x1p-24 * fabs(*scale) * (fabs(z[i]) + fabs(t[i]));
        }
        if (out == 0)
            bound[m] = (double) (cols + 8) * 0x1p-24 * fabs(*scale) * sum;
    }
    firn_ref_free(z);
    firn_ref_free(t);
    firn_ref_free(scale);
}

static const struct firn_kernel kernels[] = { { "squared_error", "squared_error", .setup = firn_setup_row_lane }, { NULL } };

static const struct firn_case cases[] = {
    { .in = { FIRN_DIMS(1, 1), FIRN_DIMS(1, 1), FIRN_DIMS(1) } },
    { .in = { FIRN_DIMS(9, 3), FIRN_DIMS(9, 3), FIRN_DIMS(1) } },
    { .in = { FIRN_DIMS(33, 31), FIRN_DIMS(33, 31), FIRN_DIMS(1) }, .scale = 3 },
    { .in = { FIRN_DIMS(0, 3), FIRN_DIMS(0, 3), FIRN_DIMS(1) } },
};

static const struct firn_op squared_error = {
    .name = "squared_error",
    .math = "loss[m] = scale sum_c (z - t)^2; dz = 2 scale (z - t)",
    .n_in = 3,
    .n_out = 2,
    .shape = loss_shape,
    .ref = loss_ref,
    .cpu = loss_cpu,
    .kernels = kernels,
    .cases = cases,
    .n_cases = sizeof cases / sizeof cases[0],
    .bound = loss_bound,
};

void firn_squared_error(struct firn_graph *g, firn_val logits, firn_val targets, firn_val scale,
                        firn_val *loss, firn_val *dlogits)
{
    firn_val out[FIRN_MAX_OUT];
    firn_graph_emit(g, &squared_error, (firn_val[]){ logits, targets, scale }, NULL, out);
    *loss = out[0];
    if (dlogits != NULL)
        *dlogits = out[1];
}

const struct firn_op *const firn_family_squared_error[] = { &squared_error, NULL };
