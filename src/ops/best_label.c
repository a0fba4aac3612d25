/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a row's label is its largest logit: what greedy decoding would have said. */
#include "ops/ops.h"

static bool best_shape(struct firn_infer *s)
{
    if (!firn_infer_rank(s, 0, 2) || !firn_infer_rank(s, 1, 1))
        return false;
    if (s->in[1].shape.dim[0] != s->in[0].shape.dim[0])
        return firn_infer_fail(s, "%s logits have %s labels", FIRN_SHAPE_STR(&s->in[0].shape),
                               FIRN_SHAPE_STR(&s->in[1].shape));
    s->out[0].dtype = s->in[0].dtype;
    s->out[0].shape = s->in[1].shape;
    return true;
}

static void best_ref(const struct firn_call *call)
{
    const int64_t cols = firn_cols(&call->in[0]);
    const int32_t *labels = firn_i32(&call->in[1]);
    double *z = firn_ref_in(call, 0), *hit = firn_ref_out(call, 0);
    for (int64_t m = 0; m < firn_n_rows(&call->in[0]); m++) {
        const double *row = z + m * cols;
        hit[m] = labels[m] >= 0 && labels[m] < cols ? 1 : -1;
        for (int64_t c = 0; c < cols && hit[m] > 0; c++)
            if (row[c] > row[labels[m]] || (row[c] == row[labels[m]] && c < labels[m]))
                hit[m] = 0;
    }
    firn_ref_free(z);
    firn_ref_store(call, 0, hit);
}

static void body(void *user, int64_t begin, int64_t end)
{
    const struct firn_call *call = user;
    const int64_t cols = firn_cols(&call->in[0]);
    const int32_t *labels = firn_i32(&call->in[1]);
    float *hit = firn_f32(&call->out[0]);
    for (int64_t m = begin; m < end; m++) {
        const float *row = firn_f32(&call->in[0]) + m * cols;
        const int32_t label = labels[m];
        hit[m] = label >= 0 && label < cols ? 1 : -1;
        for (int64_t c = 0; c < cols && hit[m] > 0; c++)
            if (row[c] > row[label] || (row[c] == row[label] && c < label))
                hit[m] = 0;
    }
}

static void best_cpu(const struct firn_call *call)
{
    firn_over(call->pool, firn_n_rows(&call->in[0]), 8, body, (void *) call);
}

static void exact(const struct firn_call *call, int out, double *bound)
{
    memset(bound, 0, sizeof *bound * (size_t) firn_count(&call->out[out]));
}

static const struct firn_kernel kernels[] = { { "best_label", "best_label", .setup = firn_setup_row_lane }, { NULL } };

static const struct firn_case cases[] = {
    { .in = { FIRN_DIMS(1, 1), FIRN_DIMS(1) }, .below = { 0, 1 } },
    { .in = { FIRN_DIMS(33, 3), FIRN_DIMS(33) }, .below = { 0, 3 } },
    { .in = { FIRN_DIMS(33, 7), FIRN_DIMS(33) }, .below = { 0, 12 } }, /* some ignored */
    { .in = { FIRN_DIMS(0, 7), FIRN_DIMS(0) }, .below = { 0, 7 } },
    { .in = { FIRN_DIMS(9, 1000), FIRN_DIMS(9) }, .below = { 0, 1000 } },
};

static const struct firn_op best_label = {
    .name = "best_label",
    .math = "y[m] = 1 where z[m, label] is the row's first largest, else 0; -1 where the label is not in [0, V)",
    .n_in = 2,
    .n_out = 1,
    .cut = FIRN_CUT | 3,
    .integer = 2,
    .shape = best_shape,
    .ref = best_ref,
    .cpu = best_cpu,
    .kernels = kernels,
    .cases = cases,
    .n_cases = sizeof cases / sizeof cases[0],
    .bound = exact,
};

firn_val firn_best_label(struct firn_graph *g, firn_val logits, firn_val labels)
{
    return firn_emit1(g, &best_label, (firn_val[]){ logits, labels }, NULL);
}

const struct firn_op *const firn_family_best_label[] = { &best_label, NULL };
