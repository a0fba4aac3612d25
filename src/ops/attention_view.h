/* SPDX-License-Identifier: Apache-2.0 */
/* Attention's tensors in double and the formulas of one pair of rows, for the references and the
 * bounds. */
#ifndef FIRN_OPS_ATTENTION_VIEW_H
#define FIRN_OPS_ATTENTION_VIEW_H

#include "ops/attention.h"

/* A call's tensors as doubles. Absent ones are NULL. */
struct view {
    const struct firn_attention_attrs *attrs;
    struct firn_attention_sizes n;
    double *q, *k, *v, *bias, *dy, *stats;
    struct firn_attention_bias bias_at;
    const int32_t *mask;
    bool is_double; /* statistics hold doubles */
    struct firn_draw draw;
    double *out[FIRN_MAX_OUT]; /* for the user of the view */
    /* for bounds: what rounding both operands of a product costs, relative to the product, and the largest elements, of
     * which tiny ones lose more */
    double rounding, most_q, most_k, most_v, most_dy, most_p, most_ds;
    struct firn_attention_bias dbias_at; /* out[0] of dbias */
};

static inline void view_open(struct view *w, const struct firn_call *call, bool is_backward)
{
    const int mask = is_backward ? FIRN_ATT_MASK_B : FIRN_ATT_MASK;
    const int rng = is_backward ? FIRN_ATT_RNG_B : FIRN_ATT_RNG;
    *w = (struct view){ .attrs = call->attrs, .n = firn_attention_sizes(call) };
    w->q = firn_ref_in(call, FIRN_ATT_Q);
    w->k = firn_ref_in(call, FIRN_ATT_K);
    w->v = firn_ref_in(call, FIRN_ATT_V);
    const int bias = is_backward ? FIRN_ATT_BIAS_B : FIRN_ATT_BIAS;
    w->bias = firn_ref_in(call, bias);
    w->bias_at = firn_attention_bias(&w->n, &call->in[bias]);
    w->mask = firn_has(&call->in[mask]) ? firn_i32(&call->in[mask]) : NULL;
    if (is_backward) {
        w->dy = firn_ref_in(call, FIRN_ATT_DY);
        w->stats = firn_ref_in(call, FIRN_ATT_STATS);
    }
    w->is_double = call->in[FIRN_ATT_Q].dtype == FIRN_F64;
    if (w->attrs->dropout > 0)
        w->draw = firn_draw_start(firn_i32(&call->in[rng]), w->attrs->stream, w->attrs->dropout);
}

static inline void view_close(struct view *w)
{
    firn_ref_free(w->q);
    firn_ref_free(w->k);
    firn_ref_free(w->v);
    firn_ref_free(w->bias);
    firn_ref_free(w->dy);
    firn_ref_free(w->stats);
}

static inline int64_t q_at(const struct view *w, int64_t b, int64_t h, int64_t i)
{
    return ((b * w->n.tq + i) * w->n.h + h) * w->n.d;
}

static inline int64_t k_at(const struct view *w, int64_t b, int64_t h, int64_t j)
{
    return ((b * w->n.tk + j) * w->n.hkv + h / w->n.group) * w->n.d;
}

static inline int64_t row_at(const struct view *w, int64_t b, int64_t h, int64_t i)
{
    return (b * w->n.h + h) * w->n.tq + i;
}

static inline double dot(const double *x, const double *y, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i] * y[i];
    return sum;
}

static inline bool sees(const struct view *w, int64_t b, int64_t i, int64_t j)
{
    return firn_attention_sees(&w->n, i, j) && (w->mask == NULL || w->mask[b * w->n.tk + j] != 0);
}

/* The score of a pair, and the derivative of the soft cap there. */
static inline double score(const struct view *w, int64_t b, int64_t h, int64_t i, int64_t j,
                           double *slope)
{
    double s =
        (double) w->attrs->scale * dot(w->q + q_at(w, b, h, i), w->k + k_at(w, b, h, j), w->n.d);
    *slope = 1;
    if (w->attrs->softcap > 0) {
        const double cap = (double) w->attrs->softcap, t = tanh(s / cap);
        s = cap * t;
        *slope = 1 - t * t;
    }
    return w->bias != NULL ? s + w->bias[firn_bias_at(&w->bias_at, h, i, j)] : s;
}

static inline double factor(const struct view *w, int64_t b, int64_t h, int64_t i, int64_t j)
{
    if (!(w->attrs->dropout > 0))
        return 1;
    const uint64_t element = (uint64_t) (row_at(w, b, h, i) * w->n.tk + j);
    return firn_draw_keeps(&w->draw, element) ? 1 / (1 - (double) w->attrs->dropout) : 0;
}

/* p f and ds of a pair. */
static inline double pair(const struct view *w, int64_t b, int64_t h, int64_t i, int64_t j,
                          double *ds, double *slope)
{
    const double *stats = w->stats + 2 * row_at(w, b, h, i);
    const double p = exp(score(w, b, h, i, j, slope) - stats[0]), f = factor(w, b, h, i, j);
    const double dp =
        f != 0 ? f * dot(w->dy + q_at(w, b, h, i), w->v + k_at(w, b, h, j), w->n.d) : 0;
    /* Where a query sees one key, dp is delta: rounded alike, they cancel as they must. What would be left is
     * nothing beside other gradients, but Adam makes steps of it where there are none. */
    *ds = p * ((w->is_double ? dp : (double) (float) dp) - stats[1]);
    return p * f;
}

#endif
