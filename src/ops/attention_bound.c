/* SPDX-License-Identifier: Apache-2.0 */
/* How far an f32 attention may be from the exact one. Everything is first order in u = 2^-24, with
 * the orders of summation left open, and with exp and log as imprecise as Vulkan lets them be: exp
 * (3 + 2 |x|) ulp of 2 u each; log 3 ulp, or 2^-21 absolute near 1; a quotient 2.5 ulp tanh  made
 * of exp as 1 - 2 / (e^2x + 1): 12 u absolute An error e of an exponent is a factor e^e of the
 * probability; hence expm1. */
#include "ops/attention_view.h"

static const double u = 0x1p-24;
/* Below the smallest normal number results may be flushed to zero. */
static const double tiny = 0x1p-120;
/* On matrix units an operand is two 16-bit floats: 2^-21 of it is lost, 2^-20 by a product of two. Where it is 2^-17 of
 * its head's largest or less, a part may be subnormal: 2^-37 of the largest. */
static const double split = 0x1p-19, small = 0x1p-36;
/* With FIRN_CAP_ROUND16 it is one: 2^-11 of each. */
static const double round16 = 0x1p-9;

static double most(const double *x, int64_t n)
{
    double m = 0;
    for (int64_t i = 0; i < n; i++)
        m = fmax(m, fabs(x[i]));
    return m;
}

static void round_operands(struct view *w, const struct firn_call *call, double rounding)
{
    if (rounding == 0)
        return;
    w->rounding = rounding;
    w->most_q = most(w->q, firn_count(&call->in[FIRN_ATT_Q]));
    w->most_k = most(w->k, firn_count(&call->in[FIRN_ATT_K]));
    w->most_v = most(w->v, firn_count(&call->in[FIRN_ATT_V]));
    w->most_dy = w->dy != NULL ? most(w->dy, firn_count(&call->in[FIRN_ATT_DY])) : 0;
}

/* |scale| sum |q k|: what the rounding of a raw score is relative to. */
static double weight(const struct view *w, int64_t b, int64_t h, int64_t i, int64_t j)
{
    const double *q = w->q + q_at(w, b, h, i), *k = w->k + k_at(w, b, h, j);
    double sum = 0;
    for (int64_t c = 0; c < w->n.d; c++)
        sum += fabs(q[c] * k[c]);
    return fabs((double) w->attrs->scale) * sum;
}

/* Error of a score s: a sum of D products and the scaling, the soft cap (whose slope is at most 1),
 * the bias. */
static double score_error(const struct view *w, int64_t b, int64_t h, int64_t i, int64_t j,
                          double s)
{
    const double bias = w->bias != NULL ? fabs(w->bias[firn_bias_at(&w->bias_at, h, i, j)]) : 0;
    const double cap = (double) w->attrs->softcap;
    return u * ((double) (w->n.d + 8) * weight(w, b, h, i, j) + 16 * cap + 3 * (fabs(s) + bias)) +
           w->rounding * weight(w, b, h, i, j) +
           (w->rounding > 0 ? small * fabs((double) w->attrs->scale) * (double) w->n.d * w->most_q * w->most_k : 0);
}

/* Of exp(s - most) when the maximum rises on the way: a factor for each rise, at most one a key,
 * whose exponents add up to s - most. */
static double exp_error(const struct view *w, double x)
{
    return u * (6 + 5 * fabs(x)) + 7 * u * (double) w->n.tk;
}

/* y = sum p f v / sum p: each p is off by its own error, the divisor by the mean of them, both by
 * their sums. */
static void forward_row(const struct view *w, int64_t b, int64_t h, int64_t i, double *y,
                        double *lse)
{
    const struct firn_attention_sizes *n = &w->n;
    double top = -INFINITY, sum = 0, mean = 0, slope;
    for (int64_t j = 0; j < n->tk; j++)
        if (sees(w, b, i, j))
            top = fmax(top, score(w, b, h, i, j, &slope));
    for (int64_t j = 0; j < n->tk; j++)
        if (sees(w, b, i, j)) {
            const double s = score(w, b, h, i, j, &slope), p = exp(s - top);
            sum += p;
            mean += p * expm1(score_error(w, b, h, i, j, s) + exp_error(w, s - top));
        }
    if (!(sum > 0))
        return; /* nothing is seen: zeros, exactly */
    mean = mean / sum + (double) (n->tk + 4) * u;
    for (int64_t j = 0; j < n->tk && y != NULL; j++)
        if (sees(w, b, i, j)) {
            const double s = score(w, b, h, i, j, &slope),
                         p = exp(s - top) * factor(w, b, h, i, j);
            const double off = expm1(score_error(w, b, h, i, j, s) + exp_error(w, s - top)) +
                               mean + (double) (n->tk + 10) * u + w->rounding;
            for (int64_t c = 0; c < n->d; c++)
                y[c] += (off * p / sum + tiny) * fabs(w->v[k_at(w, b, h, j) + c]) + small * w->most_v;
        }
    if (lse != NULL)
        *lse = mean + 0x1p-21 + 6 * u * log(sum) + 2 * u * fabs(top + log(sum));
}

static void forward_bound(const struct firn_call *call, int out, double *bound, double rounding)
{
    struct view w;
    view_open(&w, call, false);
    round_operands(&w, call, rounding);
    memset(bound, 0, sizeof *bound * (size_t) firn_count(&call->out[out]));
    for (int64_t b = 0; b < w.n.b; b++)
        for (int64_t h = 0; h < w.n.h; h++)
            for (int64_t i = 0; i < w.n.tq; i++)
                forward_row(&w, b, h, i, out == 0 ? bound + q_at(&w, b, h, i) : NULL,
                            out == 1 ? bound + row_at(&w, b, h, i) : NULL);
    view_close(&w);
}

void firn_attention_bound(const struct firn_call *call, int out, double *bound)
{
    forward_bound(call, out, bound, 0);
}

void firn_attention_coop_bound(const struct firn_call *call, int out, double *bound)
{
    forward_bound(call, out, bound, split);
}

void firn_attention_coop_fast_bound(const struct firn_call *call, int out, double *bound)
{
    forward_bound(call, out, bound, round16);
}

/* lse is a copy; delta a sum of D products. */
void firn_attention_stats_bound(const struct firn_call *call, int out, double *bound)
{
    const struct firn_attention_attrs *attrs = call->attrs;
    double *y = firn_ref_in(call, 0), *dy = firn_ref_in(call, 1);
    const int64_t h = attrs->n_heads, d = firn_cols(&call->in[0]) / h;
    const int64_t rows = firn_n_rows(&call->in[0]), tq = rows / attrs->batch;
    (void) out;
    for (int64_t m = 0; m < rows; m++)
        for (int64_t head = 0; head < h; head++) {
            const int64_t r = (m / tq * h + head) * tq + m % tq;
            double sum = 0;
            for (int64_t c = 0; c < d; c++)
                sum += fabs(y[(m * h + head) * d + c] * dy[(m * h + head) * d + c]);
            bound[2 * r] = 0;
            bound[2 * r + 1] = (double) (d + 2) * u * sum;
        }
    firn_ref_free(y);
    firn_ref_free(dy);
}

/* Errors of a pair's p f and ds, and what their sums of `terms` others lose: all absolute; how large both may be. */
struct pair_error {
    double pf, ds, ds_slope, most_pf, most_ds;
};

static struct pair_error pair_error(const struct view *w, int64_t b, int64_t h, int64_t i,
                                    int64_t j, int64_t terms)
{
    const double *stats = w->stats + 2 * row_at(w, b, h, i);
    const double *dy = w->dy + q_at(w, b, h, i), *v = w->v + k_at(w, b, h, j);
    const double f = factor(w, b, h, i, j), sums = (double) (terms + 5) * u + w->rounding;
    double slope, size = 0;
    const double s = score(w, b, h, i, j, &slope), x = s - stats[0], p = exp(x);
    const double s_error = score_error(w, b, h, i, j, s);
    const double off = expm1(s_error + u * fabs(x) + u * (6 + 4 * fabs(x)));
    for (int64_t c = 0; c < w->n.d; c++)
        size += fabs(dy[c] * v[c]);
    const double parts = f * size + fabs(stats[1]); /* dp and delta may cancel */
    struct pair_error e;
    e.pf = p * f * (off + sums) + tiny;
    e.ds = p * ((1 + off) * ((double) (w->n.d + 4) * u + w->rounding) * f * size + parts * (off + sums)) + tiny;
    if (w->rounding > 0)
        e.ds += p * f * small * (double) w->n.d * w->most_dy * w->most_v;
    e.most_pf = p * f;
    e.most_ds = p * parts;
    e.ds_slope = e.ds * slope;
    if (w->attrs->softcap >
        0) /* 1 - t^2, with t off by 16 u and by the raw score's error over the cap */
        e.ds_slope += p * parts * (1 + off) * (2 * s_error / (double) w->attrs->softcap + 40 * u);
    return e;
}

/* What each of `terms` operands that is small beside the largest one loses in a product with another. */
static void add_small(double *bound, int64_t n, int64_t terms, double largest, double other)
{
    for (int64_t i = 0; i < n; i++)
        bound[i] += small * (double) terms * largest * other;
}

static void dq_bound(const struct firn_call *call, int out, double *bound, double rounding)
{
    struct view w;
    view_open(&w, call, true);
    round_operands(&w, call, rounding);
    double most_ds = 0;
    const double scale = fabs((double) w.attrs->scale);
    memset(bound, 0, sizeof *bound * (size_t) firn_count(&call->out[out]));
    for (int64_t row = 0; row < w.n.b * w.n.h * w.n.tq; row++)
        for (int64_t j = 0; j < w.n.tk; j++) {
            const int64_t b = row / w.n.tq / w.n.h, h = row / w.n.tq % w.n.h, i = row % w.n.tq;
            if (!sees(&w, b, i, j))
                continue;
            const struct pair_error e = pair_error(&w, b, h, i, j, w.n.tk);
            most_ds = fmax(most_ds, e.most_ds);
            for (int64_t c = 0; c < w.n.d; c++)
                bound[q_at(&w, b, h, i) + c] +=
                    scale * e.ds_slope * fabs(w.k[k_at(&w, b, h, j) + c]);
        }
    if (rounding > 0)
        add_small(bound, firn_count(&call->out[out]), w.n.tk, scale * most_ds, w.most_k);
    view_close(&w);
}

void firn_attention_dq_bound(const struct firn_call *call, int out, double *bound)
{
    dq_bound(call, out, bound, 0);
}

void firn_attention_coop_dq_bound(const struct firn_call *call, int out, double *bound)
{
    dq_bound(call, out, bound, split);
}

void firn_attention_coop_dq_fast_bound(const struct firn_call *call, int out, double *bound)
{
    dq_bound(call, out, bound, round16);
}

static void dkv_bound(const struct firn_call *call, int out, double *bound, double rounding)
{
    struct view w;
    view_open(&w, call, true);
    round_operands(&w, call, rounding);
    double most_ds = 0, most_pf = 0;
    const double scale = fabs((double) w.attrs->scale);
    memset(bound, 0, sizeof *bound * (size_t) firn_count(&call->out[out]));
    for (int64_t row = 0; row < w.n.b * w.n.h * w.n.tq; row++)
        for (int64_t j = 0; j < w.n.tk; j++) {
            const int64_t b = row / w.n.tq / w.n.h, h = row / w.n.tq % w.n.h, i = row % w.n.tq;
            if (!sees(&w, b, i, j))
                continue;
            const struct pair_error e = pair_error(&w, b, h, i, j, w.n.tq * w.n.group);
            most_ds = fmax(most_ds, e.most_ds);
            most_pf = fmax(most_pf, e.most_pf);
            for (int64_t c = 0; c < w.n.d; c++)
                bound[k_at(&w, b, h, j) + c] += out == 0
                                                    ? scale * e.ds_slope * fabs(w.q[q_at(&w, b, h, i) + c])
                                                    : e.pf * fabs(w.dy[q_at(&w, b, h, i) + c]);
        }
    if (rounding > 0)
        add_small(bound, firn_count(&call->out[out]), w.n.tq * w.n.group, out == 0 ? scale * most_ds : most_pf,
                  out == 0 ? w.most_q : w.most_dy);
    view_close(&w);
}

void firn_attention_dkv_bound(const struct firn_call *call, int out, double *bound)
{
    dkv_bound(call, out, bound, 0);
}

void firn_attention_coop_dkv_bound(const struct firn_call *call, int out, double *bound)
{
    dkv_bound(call, out, bound, split);
}

void firn_attention_coop_dkv_fast_bound(const struct firn_call *call, int out, double *bound)
{
    dkv_bound(call, out, bound, round16);
}

void firn_attention_dbias_bound(const struct firn_call *call, int out, double *bound)
{
    struct view w;
    view_open(&w, call, true);
    memset(bound, 0, sizeof *bound * (size_t) firn_count(&call->out[out]));
    const struct firn_attention_bias at = firn_attention_bias(&w.n, &call->out[0]);
    const int64_t terms = w.n.b * (call->out[0].shape.rank == 2 ? w.n.tq : 1);
    for (int64_t row = 0; row < w.n.b * w.n.h * w.n.tq; row++)
        for (int64_t j = 0; j < w.n.tk; j++) {
            const int64_t b = row / w.n.tq / w.n.h, h = row / w.n.tq % w.n.h, i = row % w.n.tq;
            if (sees(&w, b, i, j))
                bound[firn_bias_at(&at, h, i, j)] += pair_error(&w, b, h, i, j, terms).ds;
        }
    view_close(&w);
}
