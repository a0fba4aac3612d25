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
    return u * ((double) (w->n.d + 8) * weight(w, b, h, i, j) + 16 * cap + 3 * (fabs(s) + bias));
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
    double most = -INFINITY, sum = 0, mean = 0, slope;
    for (int64_t j = 0; j < n->tk; j++)
        if (sees(w, b, i, j))
            most = fmax(most, score(w, b, h, i, j, &slope));
    for (int64_t j = 0; j < n->tk; j++)
        if (sees(w, b, i, j)) {
            const double s = score(w, b, h, i, j, &slope), p = exp(s - most);
            sum += p;
            mean += p * expm1(score_error(w, b, h, i, j, s) + exp_error(w, s - most));
        }
    if (!(sum > 0))
        return; /* nothing is seen: zeros, exactly */
    mean = mean / sum + (double) (n->tk + 4) * u;
    for (int64_t j = 0; j < n->tk && y != NULL; j++)
        if (sees(w, b, i, j)) {
            const double s = score(w, b, h, i, j, &slope),
                         p = exp(s - most) * factor(w, b, h, i, j);
            const double off = expm1(score_error(w, b, h, i, j, s) + exp_error(w, s - most)) +
                               mean + (double) (n->tk + 10) * u;
            for (int64_t c = 0; c < n->d; c++)
                y[c] += (off * p / sum + tiny) * fabs(w->v[k_at(w, b, h, j) + c]);
        }
    if (lse != NULL)
        *lse = mean + 0x1p-21 + 6 * u * log(sum) + 2 * u * fabs(most + log(sum));
}

void firn_attention_bound(const struct firn_call *call, int out, double *bound)
{
    struct view w;
    view_open(&w, call, false);
    memset(bound, 0, sizeof *bound * (size_t) firn_count(&call->out[out]));
    for (int64_t b = 0; b < w.n.b; b++)
        for (int64_t h = 0; h < w.n.h; h++)
            for (int64_t i = 0; i < w.n.tq; i++)
                forward_row(&w, b, h, i, out == 0 ? bound + q_at(&w, b, h, i) : NULL,
                            out == 1 ? bound + row_at(&w, b, h, i) : NULL);
    view_close(&w);
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

/* Errors of a pair's p f and ds, and what their sums of `terms` others lose: all absolute. */
struct pair_error {
    double pf, ds, ds_slope;
};

static struct pair_error pair_error(const struct view *w, int64_t b, int64_t h, int64_t i,
                                    int64_t j, int64_t terms)
{
    const double *stats = w->stats + 2 * row_at(w, b, h, i);
    const double *dy = w->dy + q_at(w, b, h, i), *v = w->v + k_at(w, b, h, j);
    const double f = factor(w, b, h, i, j), sums = (double) (terms + 5) * u;
    double slope, size = 0;
    const double s = score(w, b, h, i, j, &slope), x = s - stats[0], p = exp(x);
    const double s_error = score_error(w, b, h, i, j, s);
    const double off = expm1(s_error + u * fabs(x) + u * (6 + 4 * fabs(x)));
    for (int64_t c = 0; c < w->n.d; c++)
        size += fabs(dy[c] * v[c]);
    const double parts = f * size + fabs(stats[1]); /* dp and delta may cancel */
    struct pair_error e;
    e.pf = p * f * (off + sums) + tiny;
    e.ds = p * ((1 + off) * (double) (w->n.d + 4) * u * f * size + parts * (off + sums)) + tiny;
    e.ds_slope = e.ds * slope;
    if (w->attrs->softcap >
        0) /* 1 - t^2, with t off by 16 u and by the raw score's error over the cap */
        e.ds_slope += p * parts * (1 + off) * (2 * s_error / (double) w->attrs->softcap + 40 * u);
    return e;
}

void firn_attention_dq_bound(const struct firn_call *call, int out, double *bound)
{
    struct view w;
    view_open(&w, call, true);
    memset(bound, 0, sizeof *bound * (size_t) firn_count(&call->out[out]));
    for (int64_t row = 0; row < w.n.b * w.n.h * w.n.tq; row++)
        for (int64_t j = 0; j < w.n.tk; j++) {
            const int64_t b = row / w.n.tq / w.n.h, h = row / w.n.tq % w.n.h, i = row % w.n.tq;
            if (!sees(&w, b, i, j))
                continue;
            const struct pair_error e = pair_error(&w, b, h, i, j, w.n.tk);
            for (int64_t c = 0; c < w.n.d; c++)
                bound[q_at(&w, b, h, i) + c] +=
                    fabs((double) w.attrs->scale) * e.ds_slope * fabs(w.k[k_at(&w, b, h, j) + c]);
        }
    view_close(&w);
}

void firn_attention_dkv_bound(const struct firn_call *call, int out, double *bound)
{
    struct view w;
    view_open(&w, call, true);
    memset(bound, 0, sizeof *bound * (size_t) firn_count(&call->out[out]));
    for (int64_t row = 0; row < w.n.b * w.n.h * w.n.tq; row++)
        for (int64_t j = 0; j < w.n.tk; j++) {
            const int64_t b = row / w.n.tq / w.n.h, h = row / w.n.tq % w.n.h, i = row % w.n.tq;
            if (!sees(&w, b, i, j))
                continue;
            const struct pair_error e = pair_error(&w, b, h, i, j, w.n.tq * w.n.group);
            for (int64_t c = 0; c < w.n.d; c++)
                bound[k_at(&w, b, h, j) + c] += out == 0
                                                    ? fabs((double) w.attrs->scale) * e.ds_slope *
                                                          fabs(w.q[q_at(&w, b, h, i) + c])
                                                    : e.pf * fabs(w.dy[q_at(&w, b, h, i) + c]);
        }
    view_close(&w);
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
