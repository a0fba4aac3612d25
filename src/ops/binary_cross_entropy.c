/* SPDX-License-Identifier: Apache-2.0 */
/* Binary cross entropy with logits with its gradient, a row at a time. */
#include "base/simd.h"
#include "ops/fastmath.h"
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
        loss[i / cols] += *scale * (fmax(z[i], 0) - z[i] * t[i] + log1p(exp(-fabs(z[i]))));
        dz[i] = *scale * (1 / (1 + exp(-z[i])) - t[i]);
    }
    firn_ref_free(z);
    firn_ref_free(t);
    firn_ref_free(scale);
    firn_ref_store(call, 0, loss);
    firn_ref_store(call, 1, dz);
}

FIRN_SIMD static void body(void *user, int64_t begin, int64_t end)
{
    const struct firn_call *call = user;
    const int64_t cols = firn_cols(&call->in[0]);
    const float *z = firn_f32(&call->in[0]), *t = firn_f32(&call->in[1]), scale = *firn_f32(&call->in[2]);
    float *loss = firn_f32(&call->out[0]), *dz = firn_f32(&call->out[1]);
    for (int64_t m = begin; m < end; m++) {
        float sum = 0;
        for (int64_t i = m * cols; i < (m + 1) * cols; i++) {
            const float x = z[i], e = firn_expf(x < 0 ? x : -x);
            sum += (x > 0 ? x : 0) - x * t[i] + firn_log1pf(e);
            dz[i] = scale * (firn_sigmoidf(x).y - t[i]);
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
            sum += fabs(z[i]) * (2 + fabs(t[i])) + 2;
            if (out == 1)
                bound[i] = 16 * 0x1p-24 * fabs(*scale) * (1 + fabs(t[i]));
        }
        if (out == 0)
            bound[m] = (double) (cols + 8) * 0x1p-24 * fabs(*scale) * sum;
    }
    firn_ref_free(z);
    firn_ref_free(t);
    firn_ref_free(scale);
}

static const struct firn_kernel kernels[] = { { "binary_cross_entropy", "binary_cross_entropy", .setup = firn_setup_row_lane }, { NULL } };

static const struct firn_case cases[] = {
    { .in = { FIRN_DIMS(1, 1), FIRN_DIMS(1, 1), FIRN_DIMS(1) } },
    { .in = { FIRN_DIMS(9, 3), FIRN_DIMS(9, 3), FIRN_DIMS(1) } },
    { .in = { FIRN_DIMS(33, 31), FIRN_DIMS(33, 31), FIRN_DIMS(1) }, .scale = 3 },
    { .in = { FIRN_DIMS(0, 3), FIRN_DIMS(0, 3), FIRN_DIMS(1) } },
};

static const struct firn_op binary_cross_entropy = {
    .name = "binary_cross_entropy",
    .math = "loss[m] = scale sum_c max(z, 0) - z t + log(1 + e^-|z|); dz = scale (sigmoid(z) - t)",
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

void firn_binary_cross_entropy(struct firn_graph *g, firn_val logits, firn_val targets, firn_val scale,
                                firn_val *loss, firn_val *dlogits)
{
    firn_val out[FIRN_MAX_OUT];
    firn_graph_emit(g, &binary_cross_entropy, (firn_val[]){ logits, targets, scale }, NULL, out);
    *loss = out[0];
    if (dlogits != NULL)
        *dlogits = out[1];
}

const struct firn_op *const firn_family_binary_cross_entropy[] = { &binary_cross_entropy, NULL };
