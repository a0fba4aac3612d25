/* SPDX-License-Identifier: Apache-2.0 */
/* Layer normalisation over the last axis (Ba et al. 2016), its input gradient and its weights' gradient. */
#include "base/simd.h"
#include "ops/ops.h"
#include "ops/reduce.h"

#include <math.h>

static bool norm_shape(struct firn_infer *s)
{
    if (!firn_infer_rank(s, 0, 2) || firn_count(&s->in[1]) != firn_cols(&s->in[0]) ||
        firn_count(&s->in[2]) != firn_cols(&s->in[0]))
        return firn_infer_fail(s, "x is %s, the weight %s", FIRN_SHAPE_STR(&s->in[0].shape),
                               FIRN_SHAPE_STR(&s->in[1].shape));
    s->out[0] = s->in[0];
    return true;
}

/* Mean and 1 / sqrt(var + eps) of a row. */
static void row_stats(const double *x, int64_t n, double eps, double *mean, double *rstd)
{
    double sum = 0, squares = 0;
    for (int64_t c = 0; c < n; c++)
        sum += x[c];
    *mean = sum / (double) n;
    for (int64_t c = 0; c < n; c++)
        squares += (x[c] - *mean) * (x[c] - *mean);
    *rstd = 1.0 / sqrt(squares / (double) n + eps);
}

static void norm_ref(const struct firn_call *call)
{
    const float eps = *(const float *) call->attrs;
    const int64_t cols = firn_cols(&call->in[0]);
    double *x = firn_ref_in(call, 0), *w = firn_ref_in(call, 1), *b = firn_ref_in(call, 2);
    double *y = firn_ref_out(call, 0), mean, rstd;
    for (int64_t m = 0; m < firn_n_rows(&call->in[0]); m++) {
        row_stats(x + m * cols, cols, (double) eps, &mean, &rstd);
        for (int64_t c = 0; c < cols; c++)
            y[m * cols + c] = (x[m * cols + c] - mean) * rstd * w[c] + b[c];
    }
    firn_ref_free(x);
    firn_ref_free(w);
    firn_ref_free(b);
    firn_ref_store(call, 0, y);
}

FIRN_SIMD static void stats_f32(const float *x, int64_t n, float eps, float *mean, float *rstd)
{
    *mean = firn_sum_f32(x, n) / (float) n;
    *rstd = 1.0f / sqrtf(firn_spread_f32(x, *mean, n) / (float) n + eps);
}

FIRN_SIMD static void body(void *user, int64_t begin, int64_t end)
{
    const struct firn_call *call = user;
    const int64_t cols = firn_cols(&call->in[0]);
    const float eps = *(const float *) call->attrs;
    const float *w = firn_f32(&call->in[1]), *b = firn_f32(&call->in[2]);
    for (int64_t m = begin; m < end; m++) {
        const float *x = firn_f32(&call->in[0]) + m * cols;
        float *y = firn_f32(&call->out[0]) + m * cols, mean, rstd; /* may be x itself */
        stats_f32(x, cols, eps, &mean, &rstd);
        FIRN_INDEPENDENT
        for (int64_t c = 0; c < cols; c++)
            y[c] = (x[c] - mean) * rstd * w[c] + b[c];
    }
}

static void norm_cpu(const struct firn_call *call)
{
    firn_over(call->pool, firn_n_rows(&call->in[0]), 16, body, (void *) call);
}

static const struct firn_op layer_norm_dx, layer_norm_dw;

static void norm_grad(struct firn_graph *g, const struct firn_node *n, const firn_val *dy, firn_val *dx)
{
    if (firn_wants(g, n->in[0]))
        dx[0] = firn_emit1(g, &layer_norm_dx, (firn_val[]){ n->in[0], n->in[1], dy[0] }, n->attrs);
    if (firn_wants(g, n->in[1]) || firn_wants(g, n->in[2])) {
        firn_val both[FIRN_MAX_OUT];
        firn_graph_emit(g, &layer_norm_dw, (firn_val[]){ n->in[0], dy[0] }, n->attrs, both);
        dx[1] = both[0];
        dx[2] = both[1];
    }
}

static void push_eps(const struct firn_call *call, struct firn_dispatch *d)
{
    firn_push_f32(d, *(const float *) call->attrs);
}

static void setup_lane(const struct firn_call *call, const struct firn_limits *limits,
                       struct firn_dispatch *d)
{
    firn_setup_row_lane(call, limits, d);
    push_eps(call, d);
}

static void setup_group(const struct firn_call *call, const struct firn_limits *limits,
                        struct firn_dispatch *d)
{
    firn_setup_row_group(call, limits, d);
    push_eps(call, d);
}

static const struct firn_kernel kernels[] = {
    { "layer_norm_subgroup", "layer_norm", "LANES=64 SUBGROUPS=1", .needs = FIRN_CAP_SHMEM | FIRN_CAP_SUBGROUP, .setup = setup_group },
    { "layer_norm_group", "layer_norm", "LANES=64", .needs = FIRN_CAP_SHMEM, .setup = setup_group },
    { "layer_norm_lane", "layer_norm", "LANES=1", .setup = setup_lane },
    { NULL },
};

/* Rounding of the statistics grows with the row: x - mean loses |x| u, and so does the sum. */
static int64_t terms(const struct firn_call *call)
{
    return firn_cols(&call->in[0]) + 8;
}

static const float tiny = 1e-12f, small = 1e-5f;
static const struct firn_case cases[] = {
    { .in = { FIRN_DIMS(1, 3), FIRN_DIMS(3), FIRN_DIMS(3) }, &small },
    { .in = { FIRN_DIMS(9, 7), FIRN_DIMS(7), FIRN_DIMS(7) }, &small },
    { .in = { FIRN_DIMS(5, 33), FIRN_DIMS(33), FIRN_DIMS(33) }, &tiny },
    { .in = { FIRN_DIMS(0, 5), FIRN_DIMS(5), FIRN_DIMS(5) }, &tiny },
    { .in = { FIRN_DIMS(17, 129), FIRN_DIMS(129), FIRN_DIMS(129) }, &tiny, .scale = 100, .no_grad = true },
};

static const struct firn_op layer_norm = {
    .name = "layer_norm",
    .math = "y = (x - mean) / sqrt(var + eps) w + b",
    .n_in = 3,
    .n_out = 1,
    .cut = FIRN_CUT | 1,
    .by_rows = 1,
    .inplace = 1,
    .attrs_size = sizeof(float),
    .shape = norm_shape,
    .ref = norm_ref,
    .cpu = norm_cpu,
    .grad = norm_grad,
    .kernels = kernels,
    .cases = cases,
    .n_cases = sizeof cases / sizeof cases[0],
    .terms = terms,
};

/* With h = (x - mean) rstd and g = dy w:  dx = rstd (g - mean(g) - h mean(g h)). */
static bool dx_shape(struct firn_infer *s)
{
    s->out[0] = s->in[0];
    return firn_infer_rank(s, 0, 2) && firn_shape_eq(&s->in[0].shape, &s->in[2].shape);
}

static void dx_ref(const struct firn_call *call)
{
    const float eps = *(const float *) call->attrs;
    const int64_t cols = firn_cols(&call->in[0]);
    double *x = firn_ref_in(call, 0), *w = firn_ref_in(call, 1), *dy = firn_ref_in(call, 2);
    double *dx = firn_ref_out(call, 0), mean, rstd;
    for (int64_t m = 0; m < firn_n_rows(&call->in[0]); m++) {
        const double *xr = x + m * cols, *dr = dy + m * cols;
        double sum = 0, dot = 0;
        row_stats(xr, cols, (double) eps, &mean, &rstd);
        for (int64_t c = 0; c < cols; c++) {
            sum += dr[c] * w[c];
            dot += dr[c] * w[c] * (xr[c] - mean) * rstd;
        }
        for (int64_t c = 0; c < cols; c++)
            dx[m * cols + c] = rstd * (dr[c] * w[c] - sum / (double) cols -
                                       (xr[c] - mean) * rstd * dot / (double) cols);
    }
    firn_ref_free(x);
    firn_ref_free(w);
    firn_ref_free(dy);
    firn_ref_store(call, 0, dx);
}

FIRN_SIMD static void dx_body(void *user, int64_t begin, int64_t end)
{
    const struct firn_call *call = user;
    const int64_t cols = firn_cols(&call->in[0]);
    const float eps = *(const float *) call->attrs, *w = firn_f32(&call->in[1]);
    for (int64_t m = begin; m < end; m++) {
        const float *x = firn_f32(&call->in[0]) + m * cols, *dy = firn_f32(&call->in[2]) + m * cols;
        float *dx = firn_f32(&call->out[0]) + m * cols, mean, rstd; /* may be dy itself */
        float sums[FIRN_PARTS] = { 0 }, dots[FIRN_PARTS] = { 0 }, sum = 0, dot = 0;
        int64_t c = 0;
        stats_f32(x, cols, eps, &mean, &rstd);
        for (; c + FIRN_PARTS <= cols; c += FIRN_PARTS)
            for (int l = 0; l < FIRN_PARTS; l++) {
                const float g = dy[c + l] * w[c + l];
                sums[l] += g;
                dots[l] += g * ((x[c + l] - mean) * rstd);
            }
        for (; c < cols; c++) {
            sum += dy[c] * w[c];
            dot += dy[c] * w[c] * ((x[c] - mean) * rstd);
        }
        sum = firn_join_parts(sums, sum) / (float) cols;
        dot = firn_join_parts(dots, dot) / (float) cols;
        FIRN_INDEPENDENT
        for (c = 0; c < cols; c++)
            dx[c] = rstd * (dy[c] * w[c] - sum - (x[c] - mean) * rstd * dot);
    }
}

static void dx_cpu(const struct firn_call *call)
{
    firn_over(call->pool, firn_n_rows(&call->in[0]), 16, dx_body, (void *) call);
}

/* Errors of the two sums and of the statistics meet; all are relative to rstd max|dy w|. */
static void dx_bound(const struct firn_call *call, int out, double *bound)
{
    const int64_t cols = firn_cols(&call->in[0]);
    const float eps = *(const float *) call->attrs;
    double *x = firn_ref_in(call, 0), *w = firn_ref_in(call, 1), *dy = firn_ref_in(call, 2), mean, rstd;
    (void) out;
    for (int64_t m = 0; m < firn_n_rows(&call->in[0]); m++) {
        double most = 0, peak = 0;
        row_stats(x + m * cols, cols, (double) eps, &mean, &rstd);
        for (int64_t c = 0; c < cols; c++) {
            most = fmax(most, fabs(dy[m * cols + c] * w[c]));
            peak = fmax(peak, fabs(x[m * cols + c]) * rstd);
        }
        for (int64_t c = 0; c < cols; c++) /* h is at most sqrt(cols); x - mean loses |x| rstd u */
            bound[m * cols + c] = (double) (cols + 16) * 0x1p-24 * rstd * most *
                                  (4 + 2 * peak) * (1 + sqrt((double) cols));
    }
    firn_ref_free(x);
    firn_ref_free(w);
    firn_ref_free(dy);
}

static const struct firn_kernel dx_kernels[] = {
    { "layer_norm_dx_subgroup", "layer_norm_dx", "LANES=64 SUBGROUPS=1", .needs = FIRN_CAP_SHMEM | FIRN_CAP_SUBGROUP, .setup = setup_group },
    { "layer_norm_dx_group", "layer_norm_dx", "LANES=64", .needs = FIRN_CAP_SHMEM, .setup = setup_group },
    { "layer_norm_dx_lane", "layer_norm_dx", "LANES=1", .setup = setup_lane },
    { NULL },
};

static const struct firn_case dx_cases[] = {
    { .in = { FIRN_DIMS(1, 3), FIRN_DIMS(3), FIRN_DIMS(1, 3) }, &small },
    { .in = { FIRN_DIMS(9, 7), FIRN_DIMS(7), FIRN_DIMS(9, 7) }, &small },
    { .in = { FIRN_DIMS(5, 129), FIRN_DIMS(129), FIRN_DIMS(5, 129) }, &tiny },
    { .in = { FIRN_DIMS(0, 5), FIRN_DIMS(5), FIRN_DIMS(0, 5) }, &tiny },
};

static const struct firn_op layer_norm_dx = {
    .name = "layer_norm_dx",
    .math = "dx = rstd (dy w - mean(dy w) - h mean(dy w h)), h = (x - mean) rstd",
    .n_in = 3,
    .n_out = 1,
    .cut = FIRN_CUT | 5,
    .inplace = 4,
    .attrs_size = sizeof(float),
    .shape = dx_shape,
    .ref = dx_ref,
    .cpu = dx_cpu,
    .kernels = dx_kernels,
    .cases = dx_cases,
    .n_cases = sizeof dx_cases / sizeof dx_cases[0],
    .bound = dx_bound,
};

/* dw[c] = sum over rows of dy h; db[c] = sum over rows of dy. */
static bool dw_shape(struct firn_infer *s)
{
    if (!firn_infer_rank(s, 0, 2) || !firn_shape_eq(&s->in[0].shape, &s->in[1].shape))
        return firn_infer_fail(s, "shapes differ");
    s->out[0].dtype = s->out[1].dtype = s->in[0].dtype;
    s->out[0].shape = s->out[1].shape = firn_dims(firn_cols(&s->in[0]));
    return true;
}

static void dw_ref(const struct firn_call *call)
{
    const float eps = *(const float *) call->attrs;
    const int64_t cols = firn_cols(&call->in[0]);
    double *x = firn_ref_in(call, 0), *dy = firn_ref_in(call, 1);
    double *dw = firn_ref_out(call, 0), *db = firn_ref_out(call, 1), mean, rstd;
    for (int64_t m = 0; m < firn_n_rows(&call->in[0]); m++) {
        row_stats(x + m * cols, cols, (double) eps, &mean, &rstd);
        for (int64_t c = 0; c < cols; c++) {
            dw[c] += dy[m * cols + c] * (x[m * cols + c] - mean) * rstd;
            db[c] += dy[m * cols + c];
        }
    }
    firn_ref_free(x);
    firn_ref_free(dy);
    firn_ref_store(call, 0, dw);
    firn_ref_store(call, 1, db);
}

/* Mean and rstd of each row, side by side in the scratch. */
static void dw_stats(void *user, int64_t begin, int64_t end)
{
    const struct firn_call *call = user;
    const int64_t cols = firn_cols(&call->in[0]);
    float *stats = call->scratch;
    for (int64_t m = begin; m < end; m++)
        stats_f32(firn_f32(&call->in[0]) + m * cols, cols, *(const float *) call->attrs,
                  &stats[2 * m], &stats[2 * m + 1]);
}

/* A task owns columns and goes through the rows in order. */
FIRN_SIMD static void dw_body(void *user, int64_t begin, int64_t end)
{
    const struct firn_call *call = user;
    const int64_t cols = firn_cols(&call->in[0]), rows = firn_n_rows(&call->in[0]);
    const float *stats = call->scratch;
    float *dw = firn_f32(&call->out[0]), *db = firn_f32(&call->out[1]);
    memset(dw + begin, 0, sizeof *dw * (size_t) (end - begin));
    memset(db + begin, 0, sizeof *db * (size_t) (end - begin));
    for (int64_t m = 0; m < rows; m++) {
        const float *x = firn_f32(&call->in[0]) + m * cols, *dy = firn_f32(&call->in[1]) + m * cols;
        const float mean = stats[2 * m], rstd = stats[2 * m + 1];
        FIRN_INDEPENDENT
        for (int64_t c = begin; c < end; c++) {
            dw[c] += dy[c] * ((x[c] - mean) * rstd);
            db[c] += dy[c];
        }
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
    return sizeof(float) * 2 * (size_t) (firn_n_rows(&call->in[0]) + 1);
}

static void dw_bound(const struct firn_call *call, int out, double *bound)
{
    const int64_t cols = firn_cols(&call->in[0]), rows = firn_n_rows(&call->in[0]);
    double *x = firn_ref_in(call, 0), *dy = firn_ref_in(call, 1), mean, rstd;
    const float eps = *(const float *) call->attrs;
    memset(bound, 0, sizeof *bound * (size_t) cols);
    for (int64_t m = 0; m < rows; m++) {
        row_stats(x + m * cols, cols, (double) eps, &mean, &rstd);
        for (int64_t c = 0; c < cols; c++) {
            const double h = out == 0 ? (fabs(x[m * cols + c]) + fabs(mean)) * rstd : 1;
            bound[c] += (double) (rows + (out == 0 ? 2 * cols + 16 : 2)) * 0x1p-24 *
                        fabs(dy[m * cols + c]) * (h + (out == 0));
        }
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
    return sizeof(float) * 2 * (size_t) (firn_n_rows(&call->in[0]) +
                                         dw_blocks(call) * firn_cols(&call->in[0]) + 1);
}

static void dw_setup(const struct firn_call *call, const struct firn_limits *limits,
                     struct firn_dispatch *d, int64_t blocks)
{
    const int64_t cols = firn_cols(&call->in[0]);
    firn_push(d, (uint64_t) firn_n_rows(&call->in[0]));
    firn_push(d, (uint64_t) cols);
    push_eps(call, d);
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

static const struct firn_kernel dw_join = { "layer_norm_dw_join", "layer_norm_dw", "JOIN=1",
                                            .setup = join_setup };
static const struct firn_kernel dw_sums = { "layer_norm_dw_blocks", "layer_norm_dw", "JOIN=0",
                                            .setup = blocks_setup, .then = &dw_join };
static const struct firn_kernel dw_kernels[] = {
    { "layer_norm_dw_subgroup", "layer_norm_stats", "LANES=64 SUBGROUPS=1", .needs = FIRN_CAP_SHMEM | FIRN_CAP_SUBGROUP,
      .setup = setup_group, .scratch = dw_scratch, .then = &dw_sums },
    { "layer_norm_dw_group", "layer_norm_stats", "LANES=64", .needs = FIRN_CAP_SHMEM,
      .setup = setup_group, .scratch = dw_scratch, .then = &dw_sums },
    { "layer_norm_dw_lane", "layer_norm_stats", "LANES=1", .setup = setup_lane,
      .scratch = dw_scratch, .then = &dw_sums },
    { NULL },
};

static const struct firn_case dw_cases[] = {
    { .in = { FIRN_DIMS(9, 7), FIRN_DIMS(9, 7) }, &small },
    { .in = { FIRN_DIMS(65, 33), FIRN_DIMS(65, 33) }, &tiny },
    { .in = { FIRN_DIMS(257, 129), FIRN_DIMS(257, 129) }, &tiny },
    { .in = { FIRN_DIMS(0, 5), FIRN_DIMS(0, 5) }, &tiny },
};

static const struct firn_op layer_norm_dw = {
    .name = "layer_norm_dw",
    .math = "dw = sum of dy h; db = sum of dy",
    .n_in = 2,
    .n_out = 2,
    .attrs_size = sizeof(float),
    .shape = dw_shape,
    .ref = dw_ref,
    .cpu = dw_cpu,
    .cpu_scratch = dw_cpu_scratch,
    .kernels = dw_kernels,
    .cases = dw_cases,
    .n_cases = sizeof dw_cases / sizeof dw_cases[0],
    .bound = dw_bound,
};

firn_val firn_layer_norm(struct firn_graph *g, firn_val x, firn_val w, firn_val b, float eps)
{
    return firn_emit1(g, &layer_norm, (firn_val[]){ x, w, b }, &eps);
}

const struct firn_op *const firn_family_layer_norm[] = { &layer_norm, &layer_norm_dx, &layer_norm_dw, NULL };
