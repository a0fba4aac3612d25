/* SPDX-License-Identifier: Apache-2.0 */
/* A layer of long short-term memory in one direction (Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al.
 * 2000), over short sequences: prompt encoders. Gates in PyTorch's order i, f, g, o. The whole sequence is one node; a
 * device dispatches its kernel once a step, since each step reads the last one's. Nearly all work is in W h. */
#include "base/simd.h"
#include "ops/fastmath.h"
#include "ops/ops.h"

#include <math.h>
#include <stdlib.h>

struct lstm_attrs {
    int64_t batch;    /* sequences; rows are ordered by sequence, then step */
    int64_t reverse;  /* 1: from the last step to the first */
};

enum { X, W };                       /* inputs: x [B T, 4 H], what does not depend on h, biases included; w [4 H, H] */
enum { Y, GATES, C };                /* outputs [B T, H], [B T, 4 H], [B T, H] */
enum { DX_DY, DX_W, DX_Y, DX_GATES, DX_C };

struct view {
    int64_t batch, steps, h;
    bool reverse;
};

static struct view view_of(const struct firn_call *call, int64_t rows, int64_t h)
{
    const struct lstm_attrs *a = call->attrs;
    return (struct view){ a->batch, rows / a->batch, h, a->reverse != 0 };
}

/* The row of the s-th step of sequence b; s - 1 is the one before it, whatever the direction. */
static int64_t row_of(const struct view *v, int64_t b, int64_t s)
{
    return b * v->steps + (v->reverse ? v->steps - 1 - s : s);
}

static bool rows_fit(struct firn_infer *s, int64_t rows)
{
    const struct lstm_attrs *a = s->attrs;
    if (a->batch >= 1 && rows % a->batch == 0)
        return true;
    return firn_infer_fail(s, "%lld rows are no %lld sequences", (long long) rows, (long long) a->batch);
}

static bool lstm_shape(struct firn_infer *s)
{
    if (!firn_infer_rank(s, X, 2) || !firn_infer_rank(s, W, 2))
        return false;
    const struct firn_shape *x = &s->in[X].shape, *w = &s->in[W].shape;
    if (w->dim[0] != 4 * w->dim[1] || x->dim[1] != w->dim[0])
        return firn_infer_fail(s, "x is %s and w %s, expected [T, 4 H] and [4 H, H]", FIRN_SHAPE_STR(x),
                               FIRN_SHAPE_STR(w));
    s->out[Y] = s->out[GATES] = s->out[C] = s->in[X];
    s->out[Y].shape.dim[1] = s->out[C].shape.dim[1] = w->dim[1];
    return rows_fit(s, x->dim[0]);
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* z = x + W h'; i f o = sigmoid z, g = tanh z; c = f c' + i g; h = o tanh c */
static void lstm_ref(const struct firn_call *call)
{
    double *x = firn_ref_in(call, X), *w = firn_ref_in(call, W);
    double *y = firn_ref_out(call, Y), *gates = firn_ref_out(call, GATES), *c = firn_ref_out(call, C);
    const struct view v = view_of(call, call->in[X].shape.dim[0], call->in[W].shape.dim[1]);
    for (int64_t b = 0; b < v.batch; b++)
        for (int64_t s = 0; s < v.steps; s++) {
            const int64_t at = row_of(&v, b, s), before = s > 0 ? row_of(&v, b, s - 1) : -1;
            for (int64_t j = 0; j < 4 * v.h; j++) {
                double z = x[at * 4 * v.h + j];
                for (int64_t k = 0; k < v.h && before >= 0; k++)
                    z += w[j * v.h + k] * y[before * v.h + k];
                gates[at * 4 * v.h + j] = j / v.h == 2 ? tanh(z) : sigmoid(z);
            }
            const double *g = gates + at * 4 * v.h;
            for (int64_t k = 0; k < v.h; k++) {
                const double old = before >= 0 ? c[before * v.h + k] : 0;
                c[at * v.h + k] = g[v.h + k] * old + g[k] * g[2 * v.h + k];
                y[at * v.h + k] = g[3 * v.h + k] * tanh(c[at * v.h + k]);
            }
        }
    firn_ref_free(x);
    firn_ref_free(w);
    firn_ref_store(call, Y, y);
    firn_ref_store(call, GATES, gates);
    firn_ref_store(call, C, c);
}

struct step {
    const struct firn_call *call;
    struct view v;
    int64_t s;
};

/* Eight partial sums in a fixed order. */
FIRN_SIMD static float dot(const float *restrict a, const float *restrict b, int64_t n)
{
    float sum[8] = { 0 }, tail = 0;
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int k = 0; k < 8; k++)
            sum[k] += a[i + k] * b[i + k];
    for (; i < n; i++)
        tail += a[i] * b[i];
    return ((sum[0] + sum[4]) + (sum[1] + sum[5])) + ((sum[2] + sum[6]) + (sum[3] + sum[7])) + tail;
}

/* Units [begin, end) of all sequences, at one step. */
static void step_body(void *user, int64_t begin, int64_t end)
{
    const struct step *step = user;
    const struct firn_call *call = step->call;
    const int64_t h = step->v.h;
    const float *x = firn_f32(&call->in[X]), *w = firn_f32(&call->in[W]);
    float *y = firn_f32(&call->out[Y]), *c = firn_f32(&call->out[C]);
    for (int64_t i = begin; i < end; i++) {
        const int64_t b = i / h, k = i % h, at = row_of(&step->v, b, step->s);
        const int64_t before = step->s > 0 ? row_of(&step->v, b, step->s - 1) : -1;
        float z[4], *gates = firn_f32(&call->out[GATES]) + at * 4 * h;
        for (int q = 0; q < 4; q++)
            z[q] = x[(at * 4 + q) * h + k] + (before >= 0 ? dot(w + (q * h + k) * h, y + before * h, h) : 0);
        for (int q = 0; q < 4; q++)
            gates[q * h + k] = q == 2 ? firn_tanhf(z[q]) : firn_sigmoidf(z[q]).y;
        c[at * h + k] = gates[h + k] * (before >= 0 ? c[before * h + k] : 0) + gates[k] * gates[2 * h + k];
        y[at * h + k] = gates[3 * h + k] * firn_tanhf(c[at * h + k]);
    }
}

static void lstm_cpu(const struct firn_call *call)
{
    struct step step = { call, view_of(call, call->in[X].shape.dim[0], call->in[W].shape.dim[1]), 0 };
    const int64_t piece = 16384 / (step.v.h + 1) + 1;
    for (; step.s < step.v.steps; step.s++)
        firn_over(call->pool, step.v.batch * step.v.h, piece, step_body, &step);
}

static const struct firn_op lstm_dx;

/* dW = dz^T h' over all steps. */
static void lstm_grad(struct firn_graph *g, const struct firn_node *n, const firn_val *dy, firn_val *dx)
{
    firn_val out[FIRN_MAX_OUT];
    firn_graph_emit(g, &lstm_dx, (firn_val[]){ dy[Y], n->in[W], n->out[Y], n->out[GATES], n->out[C] }, n->attrs, out);
    if (firn_wants(g, n->in[X]))
        dx[X] = out[0];
    if (firn_wants(g, n->in[W]))
        dx[W] = firn_matmul(g, out[0], out[1], firn_matmul_params(.trans_a = true));
}

static void push_step(const struct firn_call *call, const struct firn_limits *limits, struct firn_dispatch *d, int64_t rows,
                      int64_t h)
{
    const struct view v = view_of(call, rows, h);
    firn_push(d, (uint64_t) v.batch);
    firn_push(d, (uint64_t) v.steps);
    firn_push(d, (uint64_t) v.h);
    firn_push(d, v.reverse);
    firn_push(d, (uint64_t) d->turn);
    firn_grid_flat(d, limits, (v.batch * v.h + 31) / 32);
}

static void setup(const struct firn_call *call, const struct firn_limits *limits, struct firn_dispatch *d)
{
    push_step(call, limits, d, call->in[X].shape.dim[0], call->in[W].shape.dim[1]);
}

static int64_t turns(const struct firn_call *call)
{
    const struct lstm_attrs *a = call->attrs;
    return call->in[0].shape.dim[0] / a->batch;
}

static const struct firn_kernel kernels[] = { { "lstm", "lstm", .setup = setup, .turns = turns }, { NULL } };

/* Errors carried along the sequence, to first order: of z its own sum and W times that of h'; a gate passes on a fourth of
 * it (tanh: all of it). */
static void lstm_bound(const struct firn_call *call, int out, double *bound)
{
    const double u = 0x1p-24;
    double *x = firn_ref_in(call, X), *w = firn_ref_in(call, W), *y = firn_ref_in(&(struct firn_call){ .in = { call->out[Y] } }, 0);
    double *c = firn_ref_in(&(struct firn_call){ .in = { call->out[C] } }, 0);
    const struct view v = view_of(call, call->in[X].shape.dim[0], call->in[W].shape.dim[1]);
    double *ey = firn_ref_out(call, Y), *eg = firn_ref_out(call, GATES), *ec = firn_ref_out(call, C);
    for (int64_t i = 0; i < v.batch * v.steps * v.h; i++) {
        const int64_t b = i / (v.steps * v.h), s = i / v.h % v.steps, k = i % v.h, at = row_of(&v, b, s);
        const int64_t before = s > 0 ? row_of(&v, b, s - 1) : -1;
        double *e = eg + at * 4 * v.h;
        for (int q = 0; q < 4; q++) {
            double size = fabs(x[(at * 4 + q) * v.h + k]), carried = 0;
            for (int64_t m = 0; m < v.h && before >= 0; m++) {
                size += fabs(w[(q * v.h + k) * v.h + m] * y[before * v.h + m]);
                carried += fabs(w[(q * v.h + k) * v.h + m]) * ey[before * v.h + m];
            }
            const double z = (double) (v.h + 4) * u * size + carried;
            e[q * v.h + k] = (q == 2 ? 1 : 0.25) * z + 64 * u;
        }
        const double old = before >= 0 ? fabs(c[before * v.h + k]) : 0, eold = before >= 0 ? ec[before * v.h + k] : 0;
        ec[at * v.h + k] = e[v.h + k] * old + eold + e[k] + e[2 * v.h + k] + 4 * u * (1 + old);
        ey[at * v.h + k] = e[3 * v.h + k] + ec[at * v.h + k] + 64 * u;
    }
    memcpy(bound, out == Y ? ey : out == GATES ? eg : ec, sizeof *bound * (size_t) firn_count(&call->out[out]));
    double *const all[] = { x, w, y, c, ey, eg, ec };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        firn_ref_free(all[i]);
}

static const struct lstm_attrs forward = { 1, 0 }, backward = { 1, 1 }, pair = { 2, 0 }, pair_back = { 2, 1 };
static const struct firn_case cases[] = {
    { .in = { FIRN_DIMS(1, 4), FIRN_DIMS(4, 1) }, &forward },
    { .in = { FIRN_DIMS(5, 28), FIRN_DIMS(28, 7) }, &forward },
    { .in = { FIRN_DIMS(5, 28), FIRN_DIMS(28, 7) }, &backward },
    { .in = { FIRN_DIMS(6, 12), FIRN_DIMS(12, 3) }, &pair },
    { .in = { FIRN_DIMS(6, 12), FIRN_DIMS(12, 3) }, &pair_back },
    { .in = { FIRN_DIMS(9, 132), FIRN_DIMS(132, 33) }, &backward, .scale = 0.3f, .no_grad = true },
    { .in = { FIRN_DIMS(4, 260), FIRN_DIMS(260, 65) }, &pair, .scale = 0.2f, .no_grad = true },
    { .in = { FIRN_DIMS(0, 12), FIRN_DIMS(12, 3) }, &forward },
};

static const struct firn_op lstm = {
    .name = "lstm",
    .math = "z = x + W h'; i f o = sigmoid z, g = tanh z; c = f c' + i g; h = o tanh c",
    .n_in = 2,
    .n_out = 3,
    .attrs_size = sizeof(struct lstm_attrs),
    .shape = lstm_shape,
    .ref = lstm_ref,
    .cpu = lstm_cpu,
    .grad = lstm_grad,
    .kernels = kernels,
    .cases = cases,
    .n_cases = sizeof cases / sizeof cases[0],
    .bound = lstm_bound,
};

/* Outputs: dz [B T, 4 H] and h' [B T, H], zero at a sequence's first step. */
static bool dx_shape(struct firn_infer *s)
{
    for (int i = 0; i < 5; i++)
        if (!firn_infer_rank(s, i, 2))
            return false;
    const struct firn_shape *dy = &s->in[DX_DY].shape, *w = &s->in[DX_W].shape, *gates = &s->in[DX_GATES].shape;
    if (!firn_shape_eq(dy, &s->in[DX_Y].shape) || !firn_shape_eq(dy, &s->in[DX_C].shape) || dy->dim[1] != w->dim[1] ||
        gates->dim[0] != dy->dim[0] || gates->dim[1] != w->dim[0] || w->dim[0] != 4 * w->dim[1])
        return firn_infer_fail(s, "dy is %s, w %s and gates %s", FIRN_SHAPE_STR(dy), FIRN_SHAPE_STR(w),
                               FIRN_SHAPE_STR(gates));
    s->out[0] = s->in[DX_GATES];
    s->out[1] = s->in[DX_DY];
    return rows_fit(s, dy->dim[0]);
}

/* From the last step to the first: dh = dy + Wt dz of the step after, dc likewise carried through its forget gate. */
static void dx_ref(const struct firn_call *call)
{
    double *in[5], *dz = firn_ref_out(call, 0), *prev = firn_ref_out(call, 1);
    for (int i = 0; i < 5; i++)
        in[i] = firn_ref_in(call, i);
    const struct view v = view_of(call, call->in[DX_DY].shape.dim[0], call->in[DX_DY].shape.dim[1]);
    const int64_t h = v.h;
    double *carry = calloc((size_t) (v.batch * h + 1), sizeof *carry);
    for (int64_t i = 0; i < v.batch * v.steps * h; i++) {
        const int64_t b = i / (v.steps * h), s = v.steps - 1 - i / h % v.steps, k = i % h, at = row_of(&v, b, s);
        const int64_t before = s > 0 ? row_of(&v, b, s - 1) : -1, after = s + 1 < v.steps ? row_of(&v, b, s + 1) : -1;
        const double *g = in[DX_GATES] + at * 4 * h;
        double dh = in[DX_DY][at * h + k];
        for (int64_t j = 0; j < 4 * h && after >= 0; j++)
            dh += dz[after * 4 * h + j] * in[DX_W][j * h + k];
        const double gi = g[k], gf = g[h + k], gg = g[2 * h + k], go = g[3 * h + k], t = tanh(in[DX_C][at * h + k]);
        const double dc = carry[b * h + k] + dh * go * (1 - t * t), old = before >= 0 ? in[DX_C][before * h + k] : 0;
        dz[at * 4 * h + k] = dc * gg * gi * (1 - gi);
        dz[at * 4 * h + h + k] = dc * old * gf * (1 - gf);
        dz[at * 4 * h + 2 * h + k] = dc * gi * (1 - gg * gg);
        dz[at * 4 * h + 3 * h + k] = dh * t * go * (1 - go);
        prev[at * h + k] = before >= 0 ? in[DX_Y][before * h + k] : 0;
        carry[b * h + k] = dc * gf;
    }
    free(carry);
    for (int i = 0; i < 5; i++)
        firn_ref_free(in[i]);
    firn_ref_store(call, 0, dz);
    firn_ref_store(call, 1, prev);
}

static size_t carry_scratch(const struct firn_call *call, int n_threads)
{
    const struct lstm_attrs *a = call->attrs;
    (void) n_threads;
    return sizeof(float) * (size_t) (a->batch * firn_cols(&call->in[DX_DY]));
}

/* Wt dz of the step after, by rows of W so that the loop runs along memory; dh lies where dz's first quarter will. */
FIRN_SIMD static void add_rows(const float *restrict w, const float *restrict dz, int64_t h, int64_t begin, int64_t end,
                               float *restrict dh)
{
    for (int64_t j = 0; j < 4 * h; j++)
        for (int64_t k = begin; k < end; k++)
            dh[k] += dz[j] * w[j * h + k];
}

static void dx_body(void *user, int64_t begin, int64_t end)
{
    const struct step *step = user;
    const struct firn_call *call = step->call;
    const struct view *v = &step->v;
    const int64_t h = v->h, s = step->s;
    const float *y = firn_f32(&call->in[DX_Y]), *c = firn_f32(&call->in[DX_C]);
    float *prev = firn_f32(&call->out[1]), *carry = call->scratch;
    for (int64_t b = 0; b < v->batch; b++) {
        const int64_t at = row_of(v, b, s), before = s > 0 ? row_of(v, b, s - 1) : -1;
        const float *g = firn_f32(&call->in[DX_GATES]) + at * 4 * h;
        float *dz = firn_f32(&call->out[0]) + at * 4 * h;
        memcpy(dz + begin, firn_f32(&call->in[DX_DY]) + at * h + begin, sizeof *dz * (size_t) (end - begin));
        if (s + 1 < v->steps)
            add_rows(firn_f32(&call->in[DX_W]), firn_f32(&call->out[0]) + row_of(v, b, s + 1) * 4 * h, h, begin, end, dz);
        for (int64_t k = begin; k < end; k++) {
            const float dh = dz[k], gi = g[k], gf = g[h + k], gg = g[2 * h + k], go = g[3 * h + k];
            const float t = firn_tanhf(c[at * h + k]), old = before >= 0 ? c[before * h + k] : 0;
            const float dc = (s + 1 < v->steps ? carry[b * h + k] : 0) + dh * go * (1 - t * t);
            dz[k] = dc * gg * gi * (1 - gi);
            dz[h + k] = dc * old * gf * (1 - gf);
            dz[2 * h + k] = dc * gi * (1 - gg * gg);
            dz[3 * h + k] = dh * t * go * (1 - go);
            prev[at * h + k] = before >= 0 ? y[before * h + k] : 0;
            carry[b * h + k] = dc * gf;
        }
    }
}

static void dx_cpu(const struct firn_call *call)
{
    struct step step = { call, view_of(call, call->in[DX_DY].shape.dim[0], call->in[DX_DY].shape.dim[1]), 0 };
    for (step.s = step.v.steps - 1; step.s >= 0; step.s--)
        firn_over(call->pool, step.v.h, 256, dx_body, &step);
}

static void dx_setup(const struct firn_call *call, const struct firn_limits *limits, struct firn_dispatch *d)
{
    push_step(call, limits, d, call->in[DX_DY].shape.dim[0], call->in[DX_DY].shape.dim[1]);
}

static size_t dx_scratch(const struct firn_call *call, const struct firn_limits *limits)
{
    (void) limits;
    return carry_scratch(call, 1);
}

static const struct firn_kernel dx_kernels[] = {
    { "lstm_dx", "lstm_dx", .setup = dx_setup, .turns = turns, .scratch = dx_scratch }, { NULL }
};

/* The same errors carried from the last step to the first. Gates and cells are given: here they may be any numbers. */
static void dx_bound(const struct firn_call *call, int out, double *bound)
{
    const double u = 0x1p-24;
    double *in[5], *dz = firn_ref_in(&(struct firn_call){ .in = { call->out[0] } }, 0);
    const struct view v = view_of(call, call->in[DX_DY].shape.dim[0], call->in[DX_DY].shape.dim[1]);
    const int64_t h = v.h;
    for (int i = 0; i < 5; i++)
        in[i] = firn_ref_in(call, i);
    double *e = calloc((size_t) (v.batch * v.steps * 4 * h + 1), sizeof *e);
    double *carry = calloc((size_t) (2 * v.batch * h + 1), sizeof *carry), *size = carry + v.batch * h;
    for (int64_t i = 0; i < v.batch * v.steps * h; i++) {
        const int64_t b = i / (v.steps * h), s = v.steps - 1 - i / h % v.steps, k = i % h, at = row_of(&v, b, s);
        const int64_t before = s > 0 ? row_of(&v, b, s - 1) : -1, after = s + 1 < v.steps ? row_of(&v, b, s + 1) : -1;
        const double *g = in[DX_GATES] + at * 4 * h;
        double dh = fabs(in[DX_DY][at * h + k]), carried = 0;
        for (int64_t j = 0; j < 4 * h && after >= 0; j++) {
            dh += fabs(dz[after * 4 * h + j] * in[DX_W][j * h + k]);
            carried += e[after * 4 * h + j] * fabs(in[DX_W][j * h + k]);
        }
        const double gi = fabs(g[k]), gf = fabs(g[h + k]), gg = fabs(g[2 * h + k]), go = fabs(g[3 * h + k]);
        const double edh = (double) (4 * h + 4) * u * dh + carried, old = before >= 0 ? fabs(in[DX_C][before * h + k]) : 0;
        const double dc = size[b * h + k] + dh * go, edc = carry[b * h + k] + edh * go + 64 * u * dc;
        const double each[4] = { (edc + 8 * u * dc) * gg * gi * (1 + gi), (edc + 8 * u * dc) * old * gf * (1 + gf),
                                 (edc + 8 * u * dc) * gi * (1 + gg * gg), (edh + 64 * u * dh) * go * (1 + go) };
        for (int q = 0; q < 4; q++)
            e[(at * 4 + q) * h + k] = each[q];
        carry[b * h + k] = (edc + 2 * u * dc) * gf;
        size[b * h + k] = dc * gf;
    }
    for (int64_t i = 0; i < firn_count(&call->out[out]); i++)
        bound[i] = out == 0 ? e[i] : 0;
    free(e);
    free(carry);
    firn_ref_free(dz);
    for (int i = 0; i < 5; i++)
        firn_ref_free(in[i]);
}

#define DX_CASE(t, h, a, size)                                                                                         \
    { .in = { FIRN_DIMS(t, h), FIRN_DIMS(4 * h, h), FIRN_DIMS(t, h), FIRN_DIMS(t, 4 * h), FIRN_DIMS(t, h) }, a, .scale = size }
static const struct firn_case dx_cases[] = {
    DX_CASE(1, 1, &forward, 1), DX_CASE(5, 7, &backward, 0.5f), DX_CASE(6, 3, &pair, 0.5f), DX_CASE(6, 3, &pair_back, 0.5f),
    DX_CASE(9, 33, &forward, 0.3f), DX_CASE(4, 65, &pair, 0.2f), DX_CASE(0, 3, &forward, 1),
};

static const struct firn_op lstm_dx = {
    .name = "lstm_dx",
    .math = "dh = dy + Wt dz'; dc = dc' f' + dh o (1 - tanh(c)^2); dz by gate; and h of the step before",
    .n_in = 5,
    .n_out = 2,
    .attrs_size = sizeof(struct lstm_attrs),
    .shape = dx_shape,
    .ref = dx_ref,
    .cpu = dx_cpu,
    .cpu_scratch = carry_scratch,
    .kernels = dx_kernels,
    .cases = dx_cases,
    .n_cases = sizeof dx_cases / sizeof dx_cases[0],
    .bound = dx_bound,
};

firn_val firn_lstm(struct firn_graph *g, firn_val x, firn_val w, int64_t batch, bool reverse)
{
    const struct lstm_attrs a = { batch, reverse };
    return firn_emit1(g, &lstm, (firn_val[]){ x, w }, &a);
}

const struct firn_op *const firn_family_lstm[] = { &lstm, &lstm_dx, NULL };
