/* SPDX-License-Identifier: Apache-2.0 */
/* Dropout: zeroes elements with probability p and scales the rest (Srivastava et al. 2014, inverted
 * form). The decisions are a function of (rng, stream, element), so the backward pass makes them
 * again. */
#include "ops/draw.h"
#include "ops/ops.h"

struct dropout_attrs {
    float p;
    uint32_t stream;
    int64_t first; /* of a part: elements before it, a multiple of 4 */
};

static bool dropout_shape(struct firn_infer *s)
{
    const float p = ((const struct dropout_attrs *) s->attrs)->p;
    if (!(p >= 0 && p < 1))
        return firn_infer_fail(s, "the probability is %g, not in [0, 1)", (double) p);
    if (firn_count(&s->in[1]) != 4)
        return firn_infer_fail(s, "rng is %s, not [4]", FIRN_SHAPE_STR(&s->in[1].shape));
    s->out[0] = s->in[0];
    return true;
}

static struct firn_draw draw_of(const struct firn_call *call)
{
    const struct dropout_attrs *attrs = call->attrs;
    struct firn_draw draw = firn_draw_start(firn_i32(&call->in[1]), attrs->stream, attrs->p);
    draw.first_block += (uint64_t) attrs->first / 4;
    return draw;
}

static bool cut_at(void *attrs, const struct firn_call *part, int64_t row, bool is_turn)
{
    (void) is_turn;
    const int64_t rows = part->in[0].shape.dim[0];
    ((struct dropout_attrs *) attrs)->first += row * (rows > 0 ? firn_count(&part->in[0]) / rows : 0);
    return ((struct dropout_attrs *) attrs)->first % 4 == 0;
}

static void dropout_ref(const struct firn_call *call)
{
    const struct firn_draw draw = draw_of(call);
    const double keep = 1.0 - (double) ((const struct dropout_attrs *) call->attrs)->p;
    double *x = firn_ref_in(call, 0), *y = firn_ref_out(call, 0);
    for (int64_t i = 0; i < firn_count(&call->out[0]); i++)
        y[i] = firn_draw_keeps(&draw, (uint64_t) i) ? x[i] / keep : 0;
    firn_ref_free(x);
    firn_ref_store(call, 0, y);
}

static void body(void *user, int64_t begin, int64_t end)
{
    const struct firn_call *call = user;
    const struct firn_draw draw = draw_of(call);
    const float *x = firn_f32(&call->in[0]);
    float *y = firn_f32(&call->out[0]), factors[512];
    for (int64_t i = begin; i < end; i += 512) {
        const int64_t n = end - i < 512 ? end - i : 512;
        firn_draw_factors(&draw, (uint64_t) i, n, factors);
        for (int64_t k = 0; k < n; k++) /* not a product: what is dropped may be infinite */
            y[i + k] = factors[k] != 0 ? x[i + k] * factors[k] : 0.0f;
    }
}

static void dropout_cpu(const struct firn_call *call)
{
    firn_over(call->pool, firn_count(&call->out[0]), 8192, body, (void *) call);
}

static void dropout_grad(struct firn_graph *g, const struct firn_node *n, const firn_val *dy,
                         firn_val *dx)
{
    const struct dropout_attrs *attrs = n->attrs;
    if (firn_wants(g, n->in[0]))
        dx[0] = firn_dropout(g, dy[0], n->in[1], attrs->p, attrs->stream);
}

/* A lane a Philox block, four elements. */
static void setup(const struct firn_call *call, const struct firn_limits *limits,
                  struct firn_dispatch *d)
{
    const struct dropout_attrs *attrs = call->attrs;
    const int64_t n = firn_count(&call->out[0]);
    firn_push(d, (uint64_t) n);
    firn_push(d, attrs->stream);
    firn_push(d, firn_draw_below(attrs->p));
    firn_push_f32(d, (float) (1.0 / (1.0 - (double) attrs->p)));
    firn_push(d, (uint64_t) (attrs->first / 4));
    firn_grid_flat(d, limits, ((n + 3) / 4 + 63) / 64);
}

static const struct firn_kernel kernels[] = { { "dropout", "dropout", .setup = setup }, { NULL } };

static const struct dropout_attrs tenth = { 0.1f, 7, 0 }, half = { 0.5f, 0, 0 },
                                  most = { 0.9375f, 0xffffffffu, 0 }, later = { 0.5f, 3, 64 };
static const struct firn_case cases[] = {
    { .in = { FIRN_DIMS(1), FIRN_DIMS(4) }, &half, .below = { 0, 1000 } },
    { .in = { FIRN_DIMS(3, 31), FIRN_DIMS(4) }, &tenth, .below = { 0, 1 << 30 } },
    { .in = { FIRN_DIMS(0, 5), FIRN_DIMS(4) }, &tenth, .below = { 0, 9 } },
    { .in = { FIRN_DIMS(3, 31), FIRN_DIMS(4) }, &later, .below = { 0, 1 << 30 }, .no_grad = true },
    { .in = { FIRN_DIMS(1, 1027), FIRN_DIMS(4) }, &most, .below = { 0, 9 }, .no_grad = true },
    { .in = { FIRN_DIMS(33, 257), FIRN_DIMS(4) },
      &half,
      .below = { 0, 1 << 30 },
      .scale = 1e20f,
      .no_grad = true },
};

static const struct firn_op dropout = {
    .name = "dropout",
    .math = "y = kept ? x / (1 - p) : 0",
    .n_in = 2,
    .n_out = 1,
    .cut = FIRN_CUT | 1,
    .cut_at = cut_at,
    .integer = 2,
    .by_rows = 1,
    .inplace = 1,
    .attrs_size = sizeof(struct dropout_attrs),
    .shape = dropout_shape,
    .ref = dropout_ref,
    .cpu = dropout_cpu,
    .grad = dropout_grad,
    .kernels = kernels,
    .cases = cases,
    .n_cases = sizeof cases / sizeof cases[0],
};

firn_val firn_dropout(struct firn_graph *g, firn_val x, firn_val rng, float p, uint32_t stream)
{
    if (p == 0)
        return x;
    return firn_emit1(g, &dropout, (firn_val[]){ x, rng }, &(struct dropout_attrs){ p, stream });
}

const struct firn_op *const firn_family_dropout[] = { &dropout, NULL };
