/* SPDX-License-Identifier: Apache-2.0 */
/* One AdamW step over a flat run of parameters (Loshchilov & Hutter 2019, alg. 2), clipping included. */
#include "base/simd.h"
#include "ops/ops.h"

#include <math.h>

/* NEW1 and NEW2, the shares of what is new, are 1 - beta. They come as such: 1 - 0.999f is 1.3e-5 off 0.001, and every
 * step with it. */
enum { LR, NEW1, NEW2, EPS, DECAY, BIAS1, BIAS2, MAX_NORM, N_RATES };
enum { P, GRAD, M, V, RATES, NORM };

static bool adamw_shape(struct firn_infer *s)
{
    for (int i = GRAD; i <= V; i++)
        if (firn_count(&s->in[i]) != firn_count(&s->in[P]))
            return firn_infer_fail(s, "%s parameters, input %d is %s", FIRN_SHAPE_STR(&s->in[P].shape), i,
                                   FIRN_SHAPE_STR(&s->in[i].shape));
    return firn_count(&s->in[RATES]) == N_RATES || firn_infer_fail(s, "rates are not [8]");
}

static void adamw_ref(const struct firn_call *call)
{
    double *p = firn_ref_in(call, P), *g = firn_ref_in(call, GRAD), *m = firn_ref_in(call, M);
    double *v = firn_ref_in(call, V), *r = firn_ref_in(call, RATES), *norm = firn_ref_in(call, NORM);
    const double clip = r[MAX_NORM] > 0 ? fmin(1, r[MAX_NORM] / (*norm + 1e-6)) : 1;
    for (int64_t i = 0; i < firn_count(&call->in[P]) && isfinite(*norm); i++) {
        const double d = clip * g[i];
        p[i] -= r[LR] * r[DECAY] * p[i];
        m[i] = (1 - r[NEW1]) * m[i] + r[NEW1] * d;
        v[i] = (1 - r[NEW2]) * v[i] + r[NEW2] * d * d;
        p[i] -= r[LR] / r[BIAS1] * m[i] / (sqrt(v[i]) / sqrt(r[BIAS2]) + r[EPS]);
    }
    firn_ref_free(g);
    firn_ref_free(r);
    firn_ref_free(norm);
    firn_ref_store_in(call, P, p);
    firn_ref_store_in(call, M, m);
    firn_ref_store_in(call, V, v);
}

FIRN_SIMD static void body(void *user, int64_t begin, int64_t end)
{
    const struct firn_call *call = user;
    float *restrict p = firn_f32(&call->in[P]), *restrict m = firn_f32(&call->in[M]);
    float *restrict v = firn_f32(&call->in[V]);
    const float *restrict g = firn_f32(&call->in[GRAD]), *r = firn_f32(&call->in[RATES]);
    const float norm = *firn_f32(&call->in[NORM]);
    float clip = r[MAX_NORM] > 0 ? r[MAX_NORM] / (norm + 1e-6f) : 1;
    clip = clip < 1 ? clip : 1;
    const float shrink = 1 - r[LR] * r[DECAY], rate = r[LR] / r[BIAS1], root = 1 / sqrtf(r[BIAS2]);
    const float new1 = r[NEW1], new2 = r[NEW2], old1 = 1 - new1, old2 = 1 - new2, eps = r[EPS];
    for (int64_t i = begin; i < end && isfinite(norm); i++) {
        const float d = clip * g[i];
        m[i] = old1 * m[i] + new1 * d;
        v[i] = old2 * v[i] + new2 * d * d;
        p[i] = shrink * p[i] - rate * m[i] / (sqrtf(v[i]) * root + eps);
    }
}

static void adamw_cpu(const struct firn_call *call)
{
    firn_over(call->pool, firn_count(&call->in[P]), 8192, body, (void *) call);
}

static const struct firn_kernel kernels[] = {
    { "adamw_x4", "adamw", "WIDE=4", .accepts = firn_is_wide, .setup = firn_setup_flat },
    { "adamw", "adamw", .setup = firn_setup_flat },
    { NULL },
};

/* Random rates make random steps: large enough to see, with the roots kept away from zero by eps. */
#define CASE(n) { .in = { FIRN_DIMS(n), FIRN_DIMS(n), FIRN_DIMS(n), FIRN_DIMS(n), FIRN_DIMS(8), FIRN_DIMS(1) }, \
                  .positive = 1u << V | 1u << RATES | 1u << NORM, .scale = 0.5f }
static const struct firn_case cases[] = { CASE(1), CASE(31), CASE(1025), CASE(1028), CASE(0) };

static const struct firn_op adamw = {
    .name = "adamw",
    .math = "m, v: moments of clip g; p -= lr (wd p + m' / (sqrt(v') + eps))",
    .n_in = 6,
    .n_out = 0,
    .cut = FIRN_CUT | 1u << P | 1u << GRAD | 1u << M | 1u << V,
    .updates = 1u << P | 1u << M | 1u << V,
    .shape = adamw_shape,
    .ref = adamw_ref,
    .cpu = adamw_cpu,
    .kernels = kernels,
    .cases = cases,
    .n_cases = sizeof cases / sizeof cases[0],
};

void firn_adamw(struct firn_graph *g, firn_val p, firn_val grad, firn_val m, firn_val v, firn_val rates,
                firn_val norm)
{
    firn_graph_emit(g, &adamw, (firn_val[]){ p, grad, m, v, rates, norm }, NULL, NULL);
}

const struct firn_op *const firn_family_adamw[] = { &adamw, NULL };
