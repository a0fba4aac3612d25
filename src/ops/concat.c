/* SPDX-License-Identifier: Apache-2.0 */
/* The same rows in front of each batch entry (prefixes, prompts), copied, so that odd widths need no alignment; and the
 * gradients of both parts. */
#include "base/simd.h"
#include "ops/ops.h"

#include <math.h>

struct concat_attrs {
    int64_t batch, front; /* front: rows of p */
};

static bool concat_shape(struct firn_infer *s)
{
    const struct concat_attrs *a = s->attrs;
    if (!firn_infer_rank(s, 0, 2) || !firn_infer_rank(s, 1, 2))
        return false;
    const struct firn_shape *p = &s->in[0].shape, *x = &s->in[1].shape;
    if (a->batch < 1 || x->dim[0] % a->batch != 0)
        return firn_infer_fail(s, "%lld rows are no %lld entries", (long long) x->dim[0], (long long) a->batch);
    if (p->dim[1] != x->dim[1])
        return firn_infer_fail(s, "widths differ: %s and %s", FIRN_SHAPE_STR(p), FIRN_SHAPE_STR(x));
    s->out[0].dtype = s->in[1].dtype;
    s->out[0].shape = firn_dims(a->batch * p->dim[0] + x->dim[0], x->dim[1]);
    return true;
}

static void concat_ref(const struct firn_call *call)
{
    const struct concat_attrs *a = call->attrs;
    const int64_t front = firn_count(&call->in[0]), back = firn_count(&call->in[1]) / a->batch, all = front + back;
    double *p = firn_ref_in(call, 0), *x = firn_ref_in(call, 1), *y = firn_ref_out(call, 0);
    for (int64_t b = 0; b < a->batch; b++)
        for (int64_t i = 0; i < all; i++)
            y[b * all + i] = i < front ? p[i] : x[b * back + i - front];
    firn_ref_free(p);
    firn_ref_free(x);
    firn_ref_store(call, 0, y);
}

static void concat_cpu(const struct firn_call *call)
{
    const struct concat_attrs *a = call->attrs;
    const int64_t front = firn_count(&call->in[0]), back = firn_count(&call->in[1]) / a->batch;
    const float *x = firn_f32(&call->in[1]);
    float *y = firn_f32(&call->out[0]);
    for (int64_t b = 0; b < a->batch; b++) {
        memcpy(y + b * (front + back), call->in[0].data, sizeof *y * (size_t) front);
        memcpy(y + b * (front + back) + front, x + b * back, sizeof *y * (size_t) back);
    }
}

static const struct firn_op concat_dp, concat_dx;

static void concat_grad(struct firn_graph *g, const struct firn_node *n, const firn_val *dy, firn_val *dx)
{
    if (firn_wants(g, n->in[0]))
        dx[0] = firn_emit1(g, &concat_dp, dy, n->attrs);
    if (firn_wants(g, n->in[1]))
        dx[1] = firn_emit1(g, &concat_dx, dy, n->attrs);
}

/* In elements: those in front of an entry, and those of the rest of it. */
static void push_sizes(struct firn_dispatch *d, int64_t front, int64_t back)
{
    firn_push(d, (uint64_t) front);
    firn_push(d, (uint64_t) back);
}

static void concat_setup(const struct firn_call *call, const struct firn_limits *limits, struct firn_dispatch *d)
{
    const struct concat_attrs *a = call->attrs;
    firn_setup_flat(call, limits, d);
    push_sizes(d, firn_count(&call->in[0]), firn_count(&call->in[1]) / a->batch);
}

static const struct firn_kernel concat_kernels[] = {
    { "concat_x4", "concat", "WIDE=4", .accepts = firn_is_wide_row, .setup = concat_setup },
    { "concat", "concat", .setup = concat_setup },
    { NULL },
};

static const struct concat_attrs one = { 1, 3 }, three = { 3, 2 }, five = { 5, 33 }, none = { 2, 0 };
static const struct firn_case concat_cases[] = {
    { .in = { FIRN_DIMS(3, 5), FIRN_DIMS(4, 5) }, &one },
    { .in = { FIRN_DIMS(2, 31), FIRN_DIMS(9, 31) }, &three },
    { .in = { FIRN_DIMS(33, 36), FIRN_DIMS(5, 36) }, &five, .no_grad = true },
    { .in = { FIRN_DIMS(0, 7), FIRN_DIMS(6, 7) }, &none },
    { .in = { FIRN_DIMS(3, 7), FIRN_DIMS(0, 7) }, &one },
};

static const struct firn_op concat = {
    .name = "concat",
    .math = "y = [p; x0; p; x1; ...]",
    .n_in = 2,
    .n_out = 1,
    .attrs_size = sizeof(struct concat_attrs),
    .shape = concat_shape,
    .ref = concat_ref,
    .cpu = concat_cpu,
    .grad = concat_grad,
    .kernels = concat_kernels,
    .cases = concat_cases,
    .n_cases = sizeof concat_cases / sizeof concat_cases[0],
};

static bool part_fits(struct firn_infer *s)
{
    const struct concat_attrs *a = s->attrs;
    if (!firn_infer_rank(s, 0, 2))
        return false;
    const int64_t rows = s->in[0].shape.dim[0];
    if (a->batch < 1 || rows % a->batch != 0 || rows / a->batch < a->front)
        return firn_infer_fail(s, "%lld rows are no %lld entries with %lld in front", (long long) rows,
                               (long long) a->batch, (long long) a->front);
    s->out[0] = s->in[0];
    return true;
}

static bool dp_shape(struct firn_infer *s)
{
    const bool fits = part_fits(s);
    s->out[0].shape.dim[0] = ((const struct concat_attrs *) s->attrs)->front;
    return fits;
}

static void dp_ref(const struct firn_call *call)
{
    const struct concat_attrs *a = call->attrs;
    const int64_t front = firn_count(&call->out[0]), all = firn_count(&call->in[0]) / a->batch;
    double *dy = firn_ref_in(call, 0), *dp = firn_ref_out(call, 0);
    for (int64_t b = 0; b < a->batch; b++)
        for (int64_t i = 0; i < front; i++)
            dp[i] += dy[b * all + i];
    firn_ref_free(dy);
    firn_ref_store(call, 0, dp);
}

FIRN_SIMD static void dp_body(void *user, int64_t begin, int64_t end)
{
    const struct firn_call *call = user;
    const struct concat_attrs *a = call->attrs;
    const int64_t all = firn_count(&call->in[0]) / a->batch;
    float *restrict dp = firn_f32(&call->out[0]);
    for (int64_t i = begin; i < end; i++)
        dp[i] = 0;
    for (int64_t b = 0; b < a->batch; b++) {
        const float *restrict dy = firn_f32(&call->in[0]) + b * all;
        for (int64_t i = begin; i < end; i++)
            dp[i] += dy[i];
    }
}

static void dp_cpu(const struct firn_call *call)
{
    firn_over(call->pool, firn_count(&call->out[0]), 4096, dp_body, (void *) call);
}

static void dp_bound(const struct firn_call *call, int out, double *bound)
{
    const struct concat_attrs *a = call->attrs;
    const int64_t front = firn_count(&call->out[0]), all = firn_count(&call->in[0]) / a->batch;
    double *dy = firn_ref_in(call, 0);
    (void) out;
    memset(bound, 0, sizeof *bound * (size_t) front);
    for (int64_t b = 0; b < a->batch; b++)
        for (int64_t i = 0; i < front; i++)
            bound[i] += (double) (a->batch + 2) * 0x1p-24 * fabs(dy[b * all + i]);
    firn_ref_free(dy);
}

static void part_setup(const struct firn_call *call, const struct firn_limits *limits, struct firn_dispatch *d)
{
    const struct concat_attrs *a = call->attrs;
    const int64_t front = a->front * firn_cols(&call->in[0]);
    firn_setup_flat(call, limits, d);
    push_sizes(d, front, firn_count(&call->in[0]) / a->batch - front);
    firn_push(d, (uint64_t) a->batch);
}

static const struct firn_kernel dp_kernels[] = {
    { "concat_dp_x4", "concat_dp", "WIDE=4", .accepts = firn_is_wide_row, .setup = part_setup },
    { "concat_dp", "concat_dp", .setup = part_setup },
    { NULL },
};

static const struct firn_case part_cases[] = {
    { .in = { FIRN_DIMS(7, 5) }, &one },
    { .in = { FIRN_DIMS(15, 31) }, &three },
    { .in = { FIRN_DIMS(170, 36) }, &five },
    { .in = { FIRN_DIMS(6, 7) }, &none },
    { .in = { FIRN_DIMS(3, 7) }, &one },
};

static const struct firn_op concat_dp = {
    .name = "concat_dp",
    .math = "dp = sum over entries, in order, of dy[entry, .. front]",
    .n_in = 1,
    .n_out = 1,
    .attrs_size = sizeof(struct concat_attrs),
    .shape = dp_shape,
    .ref = dp_ref,
    .cpu = dp_cpu,
    .kernels = dp_kernels,
    .cases = part_cases,
    .n_cases = sizeof part_cases / sizeof part_cases[0],
    .bound = dp_bound,
};

static bool dx_shape(struct firn_infer *s)
{
    const struct concat_attrs *a = s->attrs;
    const bool fits = part_fits(s);
    s->out[0].shape.dim[0] -= a->batch * a->front;
    return fits;
}

static void dx_ref(const struct firn_call *call)
{
    const struct concat_attrs *a = call->attrs;
    const int64_t back = firn_count(&call->out[0]) / a->batch, all = firn_count(&call->in[0]) / a->batch;
    double *dy = firn_ref_in(call, 0), *dx = firn_ref_out(call, 0);
    for (int64_t i = 0; i < a->batch * back; i++)
        dx[i] = dy[i / back * all + all - back + i % back];
    firn_ref_free(dy);
    firn_ref_store(call, 0, dx);
}

static void dx_cpu(const struct firn_call *call)
{
    const struct concat_attrs *a = call->attrs;
    const int64_t back = firn_count(&call->out[0]) / a->batch, all = firn_count(&call->in[0]) / a->batch;
    float *dx = firn_f32(&call->out[0]);
    for (int64_t b = 0; b < a->batch; b++)
        memcpy(dx + b * back, firn_f32(&call->in[0]) + b * all + all - back, sizeof *dx * (size_t) back);
}

static const struct firn_kernel dx_kernels[] = {
    { "concat_dx_x4", "concat_dx", "WIDE=4", .accepts = firn_is_wide_row, .setup = part_setup },
    { "concat_dx", "concat_dx", .setup = part_setup },
    { NULL },
};

static const struct firn_op concat_dx = {
    .name = "concat_dx",
    .math = "dx[entry] = dy[entry, front ..]",
    .n_in = 1,
    .n_out = 1,
    .attrs_size = sizeof(struct concat_attrs),
    .shape = dx_shape,
    .ref = dx_ref,
    .cpu = dx_cpu,
    .kernels = dx_kernels,
    .cases = part_cases,
    .n_cases = sizeof part_cases / sizeof part_cases[0],
};

firn_val firn_concat(struct firn_graph *g, firn_val p, firn_val x, int64_t batch)
{
    if (!firn_is_value(p) || !firn_is_value(x))
        return (firn_val){ 0 };
    const struct concat_attrs a = { batch, firn_val_shape(g, p).dim[0] };
    return firn_emit1(g, &concat, (firn_val[]){ p, x }, &a);
}

const struct firn_op *const firn_family_concat[] = { &concat, &concat_dp, &concat_dx, NULL };
