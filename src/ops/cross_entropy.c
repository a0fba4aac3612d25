/* SPDX-License-Identifier: Apache-2.0 */
/* Cross entropy of each row with its gradient, in one pass over the logits. */
#include "base/simd.h"
#include "ops/fastmath.h"
#include "ops/ops.h"
#include "ops/reduce.h"

#include <math.h>

/* The gradient comes first, so that it can take the place of the logits. */
enum { DZ, LOSS };

static bool ce_shape(struct firn_infer *s)
{
    if (!firn_infer_rank(s, 0, 2) || !firn_infer_rank(s, 1, 1))
        return false;
    if (s->in[1].shape.dim[0] != s->in[0].shape.dim[0])
        return firn_infer_fail(s, "%s logits have %s labels", FIRN_SHAPE_STR(&s->in[0].shape),
                               FIRN_SHAPE_STR(&s->in[1].shape));
    s->out[DZ] = s->in[0];
    s->out[LOSS].dtype = s->in[0].dtype;
    s->out[LOSS].shape = firn_dims(s->in[0].shape.dim[0]);
    return true;
}

/* With p = softmax(z) and V classes: loss = scale ((1 - e) -log p[y] + e / V sum -log p),
 * d loss / d z[c] = scale (p[c] - (1 - e) [c = y] - e / V). Labels outside [0, V) are ignored. */
static void ce_ref(const struct firn_call *call)
{
    const double e = (double) *(const float *) call->attrs;
    const int64_t cols = firn_cols(&call->in[0]);
    const int32_t *labels = firn_i32(&call->in[1]);
    double *z = firn_ref_in(call, 0), *scale = firn_ref_in(call, 2);
    double *loss = firn_ref_out(call, LOSS), *dz = firn_ref_out(call, DZ);
    for (int64_t m = 0; m < firn_n_rows(&call->in[0]); m++) {
        const double *row = z + m * cols;
        if (labels[m] < 0 || labels[m] >= cols)
            continue;
        double most = -INFINITY, sum = 0, total = 0;
        for (int64_t c = 0; c < cols; c++)
            most = fmax(most, row[c]);
        for (int64_t c = 0; c < cols; c++) {
            sum += exp(row[c] - most);
            total += row[c];
        }
        const double lse = most + log(sum), flat = e > 0 ? e * (lse - total / (double) cols) : 0;
        loss[m] = *scale * ((1 - e) * (lse - row[labels[m]]) + flat);
        for (int64_t c = 0; c < cols; c++)
            dz[m * cols + c] = *scale * (exp(row[c] - lse) - (1 - e) * (c == labels[m]) -
                                         e / (double) cols);
    }
    firn_ref_free(z);
    firn_ref_free(scale);
    firn_ref_store(call, LOSS, loss);
    firn_ref_store(call, DZ, dz);
}

enum { BLOCK = 1024 };

/* dz may be z itself: a block is summed, then overwritten. */
FIRN_SIMD static void row_f32(const float *z, float *dz, int64_t n, int32_t label, float scale, float e,
                              float *loss)
{
    const float most = firn_max_f32(z, n), at_label = z[label] - most;
    float sum = 0, total = 0;
    for (int64_t begin = 0; begin < n; begin += BLOCK) {
        const int64_t end = begin + BLOCK < n ? begin + BLOCK : n;
        if (e > 0)
            total += firn_sum_f32(z + begin, end - begin) - most * (float) (end - begin);
        FIRN_INDEPENDENT
        for (int64_t c = begin; c < end; c++)
            dz[c] = firn_expf(z[c] - most);
        sum += firn_sum_f32(dz + begin, end - begin);
    }
    const float log_sum = logf(sum), factor = scale / sum, flat = scale * e / (float) n;
    *loss = scale * ((1 - e) * (log_sum - at_label) + (e > 0 ? e * (log_sum - total / (float) n) : 0));
    for (int64_t c = 0; c < n; c++)
        dz[c] = dz[c] * factor - flat;
    dz[label] -= scale * (1 - e);
}

static void body(void *user, int64_t begin, int64_t end)
{
    const struct firn_call *call = user;
    const int64_t cols = firn_cols(&call->in[0]);
    const int32_t *labels = firn_i32(&call->in[1]);
    const float *z = firn_f32(&call->in[0]), scale = *firn_f32(&call->in[2]);
    float *loss = firn_f32(&call->out[LOSS]), *dz = firn_f32(&call->out[DZ]);
    for (int64_t m = begin; m < end; m++) {
        loss[m] = 0;
        if (labels[m] < 0 || labels[m] >= cols)
            memset(dz + m * cols, 0, sizeof *dz * (size_t) cols);
        else
            row_f32(z + m * cols, dz + m * cols, cols, labels[m], scale,
                    *(const float *) call->attrs, &loss[m]);
    }
}

static void ce_cpu(const struct firn_call *call)
{
    firn_over(call->pool, firn_n_rows(&call->in[0]), 8, body, (void *) call);
}

/* exp of a difference of rounded logits, a sum over V, a log: relative to the largest |z| and to V. */
static void ce_bound(const struct firn_call *call, int out, double *bound)
{
    const int64_t cols = firn_cols(&call->in[0]);
    double *z = firn_ref_in(call, 0), *scale = firn_ref_in(call, 2);
    for (int64_t m = 0; m < firn_n_rows(&call->in[0]); m++) {
        double most = 1;
        for (int64_t c = 0; c < cols; c++)
            most = fmax(most, fabs(z[m * cols + c]));
        const double u = 0x1p-24 * fabs(*scale) * (double) (cols + 32) * (1 + most);
        if (out == LOSS)
            bound[m] = u;
        for (int64_t c = 0; c < cols && out == DZ; c++)
            bound[m * cols + c] = u;
    }
    firn_ref_free(z);
    firn_ref_free(scale);
}

static void setup_lane(const struct firn_call *call, const struct firn_limits *limits,
                       struct firn_dispatch *d)
{
    firn_setup_row_lane(call, limits, d);
    firn_push_f32(d, *(const float *) call->attrs);
}

static void setup_group(const struct firn_call *call, const struct firn_limits *limits,
                        struct firn_dispatch *d)
{
    firn_setup_row_group(call, limits, d);
    firn_push_f32(d, *(const float *) call->attrs);
}

static const struct firn_kernel kernels[] = {
    { "cross_entropy_subgroup", "cross_entropy", "LANES=64 SUBGROUPS=1", .needs = FIRN_CAP_SHMEM | FIRN_CAP_SUBGROUP, .setup = setup_group },
    { "cross_entropy_group", "cross_entropy", "LANES=64", .needs = FIRN_CAP_SHMEM, .setup = setup_group },
    { "cross_entropy_lane", "cross_entropy", "LANES=1", .setup = setup_lane },
    { NULL },
};

static const float none = 0, some = 0.1f;
static const struct firn_case cases[] = {
    { .in = { FIRN_DIMS(1, 1), FIRN_DIMS(1), FIRN_DIMS(1) }, &none, .below = { 0, 1 } },
    { .in = { FIRN_DIMS(9, 3), FIRN_DIMS(9), FIRN_DIMS(1) }, &none, .below = { 0, 3 } },
    { .in = { FIRN_DIMS(9, 129), FIRN_DIMS(9), FIRN_DIMS(1) }, &some, .below = { 0, 129 } },
    { .in = { FIRN_DIMS(33, 7), FIRN_DIMS(33), FIRN_DIMS(1) }, &some, .below = { 0, 12 } }, /* some ignored */
    { .in = { FIRN_DIMS(0, 7), FIRN_DIMS(0), FIRN_DIMS(1) }, &none, .below = { 0, 7 } },
    { .in = { FIRN_DIMS(3, 1000), FIRN_DIMS(3), FIRN_DIMS(1) }, &none, .below = { 0, 1000 }, .scale = 30 },
    { .in = { FIRN_DIMS(3, 2500), FIRN_DIMS(3), FIRN_DIMS(1) }, &some, .below = { 0, 2500 } },
};

static const struct firn_op cross_entropy = {
    .name = "cross_entropy",
    .math = "loss[m] = scale ((1 - e) -log p[y] + e mean(-log p)); dz = d loss / d z",
    .n_in = 3,
    .n_out = 2,
    .cut = FIRN_CUT | 3,
    .integer = 2,
    .inplace = 1,
    .attrs_size = sizeof(float),
    .shape = ce_shape,
    .ref = ce_ref,
    .cpu = ce_cpu,
    .kernels = kernels,
    .cases = cases,
    .n_cases = sizeof cases / sizeof cases[0],
    .bound = ce_bound,
};

void firn_cross_entropy(struct firn_graph *g, firn_val logits, firn_val labels, firn_val scale,
                        float smoothing, firn_val *loss, firn_val *dlogits)
{
    firn_val out[FIRN_MAX_OUT];
    firn_graph_emit(g, &cross_entropy, (firn_val[]){ logits, labels, scale }, &smoothing, out);
    *loss = out[LOSS];
    if (dlogits != NULL)
        *dlogits = out[DZ];
}

const struct firn_op *const firn_family_cross_entropy[] = { &cross_entropy, NULL };
