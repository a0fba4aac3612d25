/* SPDX-License-Identifier: Apache-2.0 */
/* Root-mean-square normalisation over the last axis (Zhang & Sennrich 2019) and its gradients. */
#include "base/simd.h"
#include "ops/ops.h"
#include "ops/reduce.h"

#include <math.h>

struct rms_attrs {
    float eps, w_offset; /* y = x / rms (w + w_offset) */
};

static bool norm_shape(struct firn_infer *s)
{
    if (!firn_infer_rank(s, 0, 2) || firn_count(&s->in[1]) != firn_cols(&s->in[0]))
        return firn_infer_fail(s, "x is %s, the weight %s", FIRN_SHAPE_STR(&s->in[0].shape),
                               FIRN_SHAPE_STR(&s->in[1].shape));
    s->out[0] = s->in[0];
    return true;
}

static double row_rstd(const double *x, int64_t n, double eps)
{
    double squares = 0;
    for (int64_t c = 0; c < n; c++)
        squares += x[c] * x[c];
    return 1.0 / sqrt(squares / (double) n + eps);
}

static void norm_ref(const struct firn_call *call)
{
    const struct rms_attrs *a = call->attrs;
    const int64_t cols = firn_cols(&call->in[0]);
    double *x = firn_ref_in(call, 0), *w = firn_ref_in(call, 1), *y = firn_ref_out(call, 0);
    for (int64_t m = 0; m < firn_n_rows(&call->in[0]); m++) {
        const double rstd = row_rstd(x + m * cols, cols, (double) a->eps);
        for (int64_t c = 0; c < cols; c++)
            y[m * cols + c] = x[m * cols + c] * rstd * (w[c] + (double) a->w_offset);
    }
    firn_ref_free(x);
    firn_ref_free(w);
    firn_ref_store(call, 0, y);
}

FIRN_SIMD static float rstd_f32(const float *x, int64_t n, float eps)
{
    return 1.0f / sqrtf(firn_dot_f32(x, x, n) / (float) n + eps);
}

FIRN_SIMD static void body(void *user, int64_t begin, int64_t end)
{
    const struct firn_call *call = user;
    const struct rms_attrs *a = call->attrs;
    const int64_t cols = firn_cols(&call->in[0]);
    const float *w = firn_f32(&call->in[1]), offset = a->w_offset;
    for (int64_t m = begin; m < end; m++) {
        const float *x = firn_f32(&call->in[0]) + m * cols;
        float *y = firn_f32(&call->out[0]) + m * cols; /* may be x itself */
        const float rstd = rstd_f32(x, cols, a->eps);
        FIRN_INDEPENDENT
        for (int64_t c = 0; c < cols; c++)
            y[c] = x[c] * rstd * (w[c] + offset);
    }
}

static void norm_cpu(const struct firn_call *call)
{
    firn_over(call->pool, firn_n_rows(&call->in[0]), 16, body, (void *) call);
}

static const struct firn_op rms_norm_dx, rms_norm_dw;

static void norm_grad(struct firn_graph *g, const struct firn_node *n, const firn_val *dy, firn_val *dx)
{
    if (firn_wants(g, n->in[0]))
        dx[0] = firn_emit1(g, &rms_norm_dx, (firn_val[]){ n->in[0], n->in[1], dy[0] }, n->attrs);
    if (firn_wants(g, n->in[1]))
        dx[1] = firn_emit1(g, &rms_norm_dw, (firn_val[]){ n->in[0], dy[0] }, n->attrs);
}

static void push_attrs(const struct firn_call *call, struct firn_dispatch *d)
{
    const struct rms_attrs *a = call->attrs;
    firn_push_f32(d, a->eps);
    firn_push_f32(d, a->w_offset);
}

static void setup_lane(const struct firn_call *call, const struct firn_limits *limits,
                       struct firn_dispatch *d)
{
    firn_setup_row_lane(call, limits, d);
    push_attrs(call, d);
}

static void setup_group(const struct firn_call *call, const struct firn_limits *limits,
                        struct firn_dispatch *d)
{
    firn_setup_row_group(call, limits, d);
    push_attrs(call, d);
}

static const struct firn_kernel kernels[] = {
    { "rms_norm_subgroup", "rms_norm", "LANES=64 SUBGROUPS=1", .needs = FIRN_CAP_SHMEM | FIRN_CAP_SUBGROUP, .setup = setup_group },
    { "rms_norm_group", "rms_norm", "LANES=64", .needs = FIRN_CAP_SHMEM, .setup = setup_group },
    { "rms_norm_lane", "rms_norm", "LANES=1", .setup = setup_lane },
    { NULL },
};

static int64_t terms(const struct firn_call *call)
{
    return firn_cols(&call->in[0]) + 4;
}

static const struct rms_attrs plain = { 1e-5f, 0 }, gemma = { 1e-6f, 1 };
static const struct firn_case cases[] = {
    { .in = { FIRN_DIMS(1, 3), FIRN_DIMS(3) }, &plain },
    { .in = { FIRN_DIMS(9, 7), FIRN_DIMS(7) }, &gemma },
    { .in = { FIRN_DIMS(5, 129), FIRN_DIMS(129) }, &plain },
    { .in = { FIRN_DIMS(0, 5), FIRN_DIMS(5) }, &plain },
};

static const struct firn_op rms_norm = {
    .name = "rms_norm",
    .math = "y = x / sqrt(mean(x^2) + eps) (w + w_offset)",
    .n_in = 2,
    .n_out = 1,
    .cut = FIRN_CUT | 1,
    .by_rows = 1,
    .inplace = 1,
    .attrs_size = sizeof(struct rms_attrs),
    .shape = norm_shape,
    .ref = norm_ref,
    .cpu = norm_cpu,
    .grad = norm_grad,
    .kernels = kernels,
    .cases = cases,
    .n_cases = sizeof cases / sizeof cases[0],
    .terms = terms,
};

/* With h = x rstd and g = dy (w + w_offset):  dx = rstd (g - h mean(g h)). */
static bool dx_shape(struct firn_infer *s)
{
    s->out[0] = s->in[0];
    return firn_infer_rank(s, 0, 2) && firn_shape_eq(&s->in[0].shape, &s->in[2].shape);
}

static void dx_ref(const struct firn_call *call)
{
    const struct rms_attrs *a = call->attrs;
    const int64_t cols = firn_cols(&call->in[0]);
    double *x = firn_ref_in(call, 0), *w = firn_ref_in(call, 1), *dy = firn_ref_in(call, 2);
    double *dx = firn_ref_out(call, 0);
    for (int64_t m = 0; m < firn_n_rows(&call->in[0]); m++) {
        const double *xr = x + m * cols, *dr = dy + m * cols;
        const double rstd = row_rstd(xr, cols, (double) a->eps);
        double dot = 0;
        for (int64_t c = 0; c < cols; c++)
            dot += dr[c] * (w[c] + (double) a->w_offset) * xr[c] * rstd;
        for (int64_t c = 0; c < cols; c++)
            dx[m * cols + c] = rstd * (dr[c] * (w[c] + (double) a->w_offset) -
                                       xr[c] * rstd * dot / (double) cols);
    }
    firn_ref_free(x);
    firn_ref_free(w);
    firn_ref_free(dy);
    firn_ref_store(call, 0, dx);
}

FIRN_SIMD static void dx_body(void *user, int64_t begin, int64_t end)
{
    const struct firn_call *call = user;
    const struct rms_attrs *a = call->attrs;
    const int64_t cols = firn_cols(&call->in[0]);
    const float *w = firn_f32(&call->in[1]), offset = a->w_offset;
    for (int64_t m = begin; m < end; m++) {
        const float *x = firn_f32(&call->in[0]) + m * cols, *dy = firn_f32(&call->in[2]) + m * cols;
        float *dx = firn_f32(&call->out[0]) + m * cols; /* may be dy itself */
        float parts[FIRN_PARTS] = { 0 }, dot = 0;
        const float rstd = rstd_f32(x, cols, a->eps);
        int64_t c = 0;
        for (; c + FIRN_PARTS <= cols; c += FIRN_PARTS)
            for (int l = 0; l < FIRN_PARTS; l++)
                parts[l] += dy[c + l] * (w[c + l] + offset) * x[c + l];
        for (; c < cols; c++)
            dot += dy[c] * (w[c] + offset) * x[c];
        dot = firn_join_parts(parts, dot) * (rstd * rstd / (float) cols);
        FIRN_INDEPENDENT
        for (c = 0; c < cols; c++)
            dx[c] = rstd * (dy[c] * (w[c] + offset) - x[c] * dot);
    }
}

static void dx_cpu(const struct firn_call *call)
{
    firn_over(call->pool, firn_n_rows(&call->in[0]), 16, dx_body, (void *) call);
}

/* The dot's error, cols u max|g| max|h|, is spread by h, which is at most sqrt(cols). */
static void dx_bound(const struct firn_call *call, int out, double *bound)
{
    const struct rms_attrs *a = call->attrs;
    const int64_t cols = firn_cols(&call->in[0]);
    double *x = firn_ref_in(call, 0), *w = firn_ref_in(call, 1), *dy = firn_ref_in(call, 2);
    (void) out;
    for (int64_t m = 0; m < firn_n_rows(&call->in[0]); m++) {
        const double rstd = row_rstd(x + m * cols, cols, (double) a->eps);
        double most = 0;
        for (int64_t c = 0; c < cols; c++)
            most = fmax(most, fabs(dy[m * cols + c]) * (fabs(w[c]) + (double) a->w_offset));
        for (int64_t c = 0; c < cols; c++)
            bound[m * cols + c] = (double) (cols + 16) * 0x1p-24 * rstd * most *
                                  (2 + 2 * sqrt((double) cols));
    }
    firn_ref_free(x);
    firn_ref_free(w);
    firn_ref_free(dy);
}

static const struct firn_kernel dx_kernels[] = {
    { "rms_norm_dx_subgroup", "rms_norm_dx", "LANES=64 SUBGROUPS=1", .needs = FIRN_CAP_SHMEM | FIRN_CAP_SUBGROUP, .setup = setup_group },
    { "rms_norm_dx_group", "rms_norm_dx", "LANES=64", .needs = FIRN_CAP_SHMEM, .setup = setup_group },
    { "rms_norm_dx_lane", "rms_norm_dx", "LANES=1", .setup = setup_lane },
    { NULL },
};

static const struct firn_case dx_cases[] = {
    { .in = { FIRN_DIMS(1, 3), FIRN_DIMS(3), FIRN_DIMS(1, 3) }, &plain },
    { .in = { FIRN_DIMS(9, 7), FIRN_DIMS(7), FIRN_DIMS(9, 7) }, &gemma },
    { .in = { FIRN_DIMS(5, 129), FIRN_DIMS(129), FIRN_DIMS(5, 129) }, &plain },
    { .in = { FIRN_DIMS(0, 5), FIRN_DIMS(5), FIRN_DIMS(0, 5) }, &plain },
};

static const struct firn_op rms_norm_dx = {
    .name = "rms_norm_dx",
    .math = "dx = rstd (g - h mean(g h)), g = dy (w + w_offset), h = x rstd",
    .n_in = 3,
    .n_out = 1,
    .cut = FIRN_CUT | 5,
    .inplace = 4,
    .attrs_size = sizeof(struct rms_attrs),
    .shape = dx_shape,
    .ref = dx_ref,
    .cpu = dx_cpu,
    .kernels = dx_kernels,
    .cases = dx_cases,
    .n_cases = sizeof dx_cases / sizeof dx_cases[0],
    .bound = dx_bound,
};

/* dw[c] = sum over rows of dy x rstd. */
static bool dw_shape(struct firn_infer *s)
{
    s->out[0].dtype = s->in[0].dtype;
    s->out[0].shape = firn_dims(firn_cols(&s->in[0]));
    return firn_infer_rank(s, 0, 2) && firn_shape_eq(&s->in[0].shape, &s->in[1].shape);
}

static void dw_ref(const struct firn_call *call)
{
    const struct rms_attrs *a = call->attrs;
    const int64_t cols = firn_cols(&call->in[0]);
    double *x = firn_ref_in(call, 0), *dy = firn_ref_in(call, 1), *dw = firn_ref_out(call, 0);
    for (int64_t m = 0; m < firn_n_rows(&call->in[0]); m++) {
        const double rstd = row_rstd(x + m * cols, cols, (double) a->eps);
        for (int64_t c = 0; c < cols; c++)
            dw[c] += dy[m * cols + c] * x[m * cols + c] * rstd;
    }
    firn_ref_free(x);
    firn_ref_free(dy);
    firn_ref_store(call, 0, dw);
}

static void dw_stats(void *user, int64_t begin, int64_t end)
{
    const struct firn_call *call = user;
    const struct rms_attrs *a = call->attrs;
    const int64_t cols = firn_cols(&call->in[0]);
    for (int64_t m = begin; m < end; m++)
        ((float *) call->scratch)[m] = rstd_f32(firn_f32(&call->in[0]) + m * cols, cols, a->eps);
}

/* A task owns columns and goes through the rows in order. */
FIRN_SIMD static void dw_body(void *user, int64_t begin, int64_t end)
{
    const struct firn_call *call = user;
    const int64_t cols = firn_cols(&call->in[0]), rows = firn_n_rows(&call->in[0]);
    float *dw = firn_f32(&call->out[0]);
    memset(dw + begin, 0, sizeof *dw * (size_t) (end - begin));
    for (int64_t m = 0; m < rows; m++) {
        const float *x = firn_f32(&call->in[0]) + m * cols, *dy = firn_f32(&call->in[1]) + m * cols;
        const float rstd = ((const float *) call->scratch)[m];
        FIRN_INDEPENDENT
        for (int64_t c = begin; c < end; c++)
            dw[c] += dy[c] * (x[c] * rstd);
    }
}

static void dw_cpu(const struct firn_call *call)
{
    firn_over(call->pool, firn_n_rows(&call->in[0]), 16, dw_stats, (void *) call);
    firn_over(call->pool, firn_cols(&call->in[0]), 128, dw_body, (void *) call);
}

static size_t dw_cpu_scratch(const struct firn_call *call, int n_threads)
{
    (void) n_threads;
    return sizeof(float) * (size_t) (firn_n_rows(&call->in[0]) + 1);
}

static void dw_bound(const struct firn_call *call, int out, double *bound)
{
    const struct rms_attrs *a = call->attrs;
    const int64_t cols = firn_cols(&call->in[0]), rows = firn_n_rows(&call->in[0]);
    double *x = firn_ref_in(call, 0), *dy = firn_ref_in(call, 1);
    (void) out;
    memset(bound, 0, sizeof *bound * (size_t) cols);
    for (int64_t m = 0; m < rows; m++) {
        const double rstd = row_rstd(x + m * cols, cols, (double) a->eps);
        for (int64_t c = 0; c < cols; c++)
            bound[c] += (double) (rows + cols + 16) * 0x1p-24 *
                        fabs(dy[m * cols + c] * x[m * cols + c]) * rstd;
    }
    firn_ref_free(x);
    firn_ref_free(dy);
}

/* Three dispatches: the rows' statistics; sums over blocks of rows, a lane a column; the blocks' sums in order. */
enum { BLOCK = 64 };

static int64_t dw_blocks(const struct firn_call *call)
{
    return (firn_n_rows(&call->in[0]) + BLOCK - 1) / BLOCK;
}

static size_t dw_scratch(const struct firn_call *call, const struct firn_limits *limits)
{
    (void) limits;
    return sizeof(float) * (size_t) (firn_n_rows(&call->in[0]) +
                                     dw_blocks(call) * firn_cols(&call->in[0]) + 1);
}

static void dw_setup(const struct firn_call *call, const struct firn_limits *limits,
                     struct firn_dispatch *d, int64_t blocks)
{
    const int64_t cols = firn_cols(&call->in[0]);
    firn_push(d, (uint64_t) firn_n_rows(&call->in[0]));
    firn_push(d, (uint64_t) cols);
    push_attrs(call, d);
    firn_grid_flat(d, limits, (cols + 63) / 64 * blocks);
}

static void blocks_setup(const struct firn_call *call, const struct firn_limits *limits,
                         struct firn_dispatch *d)
{
    dw_setup(call, limits, d, dw_blocks(call));
}

static void join_setup(const struct firn_call *call, const struct firn_limits *limits,
                       struct firn_dispatch *d)
{
    dw_setup(call, limits, d, 1);
}

static const struct firn_kernel dw_join = { "rms_norm_dw_join", "rms_norm_dw", "JOIN=1",
                                            .setup = join_setup };
static const struct firn_kernel dw_sums = { "rms_norm_dw_blocks", "rms_norm_dw", "JOIN=0",
                                            .setup = blocks_setup, .then = &dw_join };
static const struct firn_kernel dw_kernels[] = {
    { "rms_norm_dw_subgroup", "rms_norm_stats", "LANES=64 SUBGROUPS=1", .needs = FIRN_CAP_SHMEM | FIRN_CAP_SUBGROUP,
      .setup = setup_group, .scratch = dw_scratch, .then = &dw_sums },
    { "rms_norm_dw_group", "rms_norm_stats", "LANES=64", .needs = FIRN_CAP_SHMEM,
      .setup = setup_group, .scratch = dw_scratch, .then = &dw_sums },
    { "rms_norm_dw_lane", "rms_norm_stats", "LANES=1", .setup = setup_lane, .scratch = dw_scratch,
      .then = &dw_sums },
    { NULL },
};

static const struct firn_case dw_cases[] = {
    { .in = { FIRN_DIMS(9, 7), FIRN_DIMS(9, 7) }, &plain },
    { .in = { FIRN_DIMS(65, 33), FIRN_DIMS(65, 33) }, &plain },
    { .in = { FIRN_DIMS(257, 129), FIRN_DIMS(257, 129) }, &plain },
    { .in = { FIRN_DIMS(0, 5), FIRN_DIMS(0, 5) }, &plain },
};

static const struct firn_op rms_norm_dw = {
    .name = "rms_norm_dw",
    .math = "dw = sum of dy x rstd",
    .n_in = 2,
    .n_out = 1,
    .attrs_size = sizeof(struct rms_attrs),
    .shape = dw_shape,
    .ref = dw_ref,
    .cpu = dw_cpu,
    .cpu_scratch = dw_cpu_scratch,
    .kernels = dw_kernels,
    .cases = dw_cases,
    .n_cases = sizeof dw_cases / sizeof dw_cases[0],
    .bound = dw_bound,
};

firn_val firn_rms_norm(struct firn_graph *g, firn_val x, firn_val w, float eps, float w_offset)
{
    return firn_emit1(g, &rms_norm, (firn_val[]){ x, w }, &(struct rms_attrs){ eps, w_offset });
}

const struct firn_op *const firn_family_rms_norm[] = { &rms_norm, &rms_norm_dx, &rms_norm_dw, NULL };
