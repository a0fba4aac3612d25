/* SPDX-License-Identifier: Apache-2.0 */
/* Rotary positions from a table of cosines and sines. The gradient is the transposed rotation: the
 * same op with the sines negated. A position outside the table leaves its row as it is. */
#include "base/simd.h"
#include "ops/ops.h"

#include <math.h>

struct rope_attrs {
    int32_t n_heads;
    int32_t inverse;
};

static bool rope_shape(struct firn_infer *s)
{
    const struct rope_attrs *attrs = s->attrs;
    if (!firn_infer_rank(s, 0, 2) || !firn_infer_rank(s, 1, 1) || !firn_infer_rank(s, 2, 2))
        return false;
    const int64_t cols = firn_cols(&s->in[0]);
    if (attrs->n_heads < 1 || cols % attrs->n_heads != 0 || cols / attrs->n_heads % 2 != 0)
        return firn_infer_fail(s, "a width of %lld is not %d heads of an even size",
                               (long long) cols, attrs->n_heads);
    if (firn_cols(&s->in[2]) != cols / attrs->n_heads)
        return firn_infer_fail(s, "the head size is %lld, the table %s",
                               (long long) (cols / attrs->n_heads),
                               FIRN_SHAPE_STR(&s->in[2].shape));
    if (s->in[1].shape.dim[0] != s->in[0].shape.dim[0])
        return firn_infer_fail(s, "%lld rows have %lld positions",
                               (long long) s->in[0].shape.dim[0],
                               (long long) s->in[1].shape.dim[0]);
    s->out[0] = s->in[0];
    return true;
}

/* y1 = x1 cos - x2 sin; y2 = x2 cos + x1 sin (Su et al. 2021, eq. 34, with pairs (i, i + D/2)). */
static void rope_ref(const struct firn_call *call)
{
    const struct rope_attrs *attrs = call->attrs;
    const int64_t cols = firn_cols(&call->in[0]), d = cols / attrs->n_heads, half = d / 2;
    const int32_t *pos = firn_i32(&call->in[1]);
    double *x = firn_ref_in(call, 0), *table = firn_ref_in(call, 2), *y = firn_ref_out(call, 0);
    for (int64_t m = 0; m < firn_n_rows(&call->in[0]); m++) {
        const bool known = pos[m] >= 0 && pos[m] < call->in[2].shape.dim[0];
        for (int64_t c = 0; c < cols; c++) {
            const int64_t k = c % d % half;
            const double cosine = known ? table[pos[m] * d + k] : 1;
            const double sine =
                known ? table[pos[m] * d + half + k] * (attrs->inverse ? -1 : 1) : 0;
            y[m * cols + c] = c % d < half
                                  ? x[m * cols + c] * cosine - x[m * cols + c + half] * sine
                                  : x[m * cols + c] * cosine + x[m * cols + c - half] * sine;
        }
    }
    firn_ref_free(x);
    firn_ref_free(table);
    firn_ref_store(call, 0, y);
}

FIRN_SIMD static void rotate(const float *x, float *y, const float *restrict cosine,
                             const float *restrict sine, int64_t half, float sign)
{
    for (int64_t k = 0; k < half; k++) { /* y may be x: both are read before either is written */
        const float a = x[k], b = x[k + half];
        y[k] = a * cosine[k] - b * (sign * sine[k]);
        y[k + half] = b * cosine[k] + a * (sign * sine[k]);
    }
}

static void body(void *user, int64_t begin, int64_t end)
{
    const struct firn_call *call = user;
    const struct rope_attrs *attrs = call->attrs;
    const int64_t cols = firn_cols(&call->in[0]), d = cols / attrs->n_heads;
    const int32_t *pos = firn_i32(&call->in[1]);
    for (int64_t m = begin; m < end; m++) {
        const float *x = firn_f32(&call->in[0]) + m * cols;
        float *y = firn_f32(&call->out[0]) + m * cols;
        if (pos[m] < 0 || pos[m] >= call->in[2].shape.dim[0]) {
            memmove(y, x, sizeof *y * (size_t) cols);
            continue;
        }
        const float *row = firn_f32(&call->in[2]) + pos[m] * d;
        for (int64_t c = 0; c < cols; c += d)
            rotate(x + c, y + c, row, row + d / 2, d / 2, attrs->inverse ? -1.0f : 1.0f);
    }
}

static void rope_cpu(const struct firn_call *call)
{
    firn_over(call->pool, firn_n_rows(&call->in[0]), 32, body, (void *) call);
}

static const struct firn_op rope;

static void rope_grad(struct firn_graph *g, const struct firn_node *n, const firn_val *dy,
                      firn_val *dx)
{
    struct rope_attrs attrs = *(const struct rope_attrs *) n->attrs;
    attrs.inverse = !attrs.inverse;
    if (firn_wants(g, n->in[0]))
        dx[0] = firn_emit1(g, &rope, (firn_val[]){ dy[0], n->in[1], n->in[2] }, &attrs);
}

/* A lane a pair. */
static void setup(const struct firn_call *call, const struct firn_limits *limits,
                  struct firn_dispatch *d)
{
    const struct rope_attrs *attrs = call->attrs;
    const int64_t cols = firn_cols(&call->in[0]), rows = firn_n_rows(&call->in[0]);
    firn_push(d, (uint64_t) (rows * cols / 2));
    firn_push(d, (uint64_t) cols);
    firn_push(d, (uint64_t) (cols / attrs->n_heads / 2));
    firn_push(d, (uint64_t) call->in[2].shape.dim[0]);
    firn_push_f32(d, attrs->inverse ? -1.0f : 1.0f);
    firn_grid_flat(d, limits, (rows * cols / 2 + 63) / 64);
}

static const struct firn_kernel kernels[] = { { "rope", "rope", .setup = setup }, { NULL } };

/* Two products and their sum, in any of the orders that contraction allows: (|a cos| + |b sin|) 2
 * u. */
static void rope_bound(const struct firn_call *call, int out, double *bound)
{
    const struct rope_attrs *attrs = call->attrs;
    const int64_t cols = firn_cols(&call->in[0]), d = cols / attrs->n_heads, half = d / 2;
    const int32_t *pos = firn_i32(&call->in[1]);
    double *x = firn_ref_in(call, 0), *table = firn_ref_in(call, 2);
    (void) out;
    for (int64_t m = 0; m < firn_n_rows(&call->in[0]); m++) {
        const bool known = pos[m] >= 0 && pos[m] < call->in[2].shape.dim[0];
        for (int64_t c = 0; c < cols; c++) {
            const int64_t k = c % d % half, other = c % d < half ? c + half : c - half;
            const double cosine = known ? table[pos[m] * d + k] : 0;
            const double sine = known ? table[pos[m] * d + half + k] : 0;
            bound[m * cols + c] =
                0x1p-22 * (fabs(x[m * cols + c] * cosine) + fabs(x[m * cols + other] * sine));
        }
    }
    firn_ref_free(x);
    firn_ref_free(table);
}

static const struct rope_attrs one = { 1, 0 }, three = { 3, 0 }, back = { 3, 1 }, four = { 4, 0 };
static const struct firn_case cases[] = {
    { .in = { FIRN_DIMS(1, 2), FIRN_DIMS(1), FIRN_DIMS(1, 2) }, &one },
    { .in = { FIRN_DIMS(5, 18), FIRN_DIMS(5), FIRN_DIMS(7, 6) }, &three, .below = { 0, 7 } },
    { .in = { FIRN_DIMS(5, 42), FIRN_DIMS(5), FIRN_DIMS(4, 14) }, &back, .below = { 0, 6 } },
    { .in = { FIRN_DIMS(0, 8), FIRN_DIMS(0), FIRN_DIMS(3, 8) }, &one },
    { .in = { FIRN_DIMS(33, 256), FIRN_DIMS(33), FIRN_DIMS(65, 64) },
      &four,
      .below = { 0, 65 },
      .no_grad = true },
};

static const struct firn_op rope = {
    .name = "rope",
    .math = "y1 = x1 cos - x2 sin, y2 = x2 cos + x1 sin",
    .n_in = 3,
    .n_out = 1,
    .cut = FIRN_CUT | 3,
    .integer = 2,
    .inplace = 1,
    .attrs_size = sizeof(struct rope_attrs),
    .shape = rope_shape,
    .ref = rope_ref,
    .cpu = rope_cpu,
    .grad = rope_grad,
    .kernels = kernels,
    .cases = cases,
    .n_cases = sizeof cases / sizeof cases[0],
    .bound = rope_bound,
};

firn_val firn_rope(struct firn_graph *g, firn_val x, firn_val pos, firn_val table, int n_heads)
{
    return firn_emit1(g, &rope, (firn_val[]){ x, pos, table }, &(struct rope_attrs){ n_heads, 0 });
}

const struct firn_op *const firn_family_rope[] = { &rope, NULL };
