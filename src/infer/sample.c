/* SPDX-License-Identifier: Apache-2.0 */
/* Penalty, temperature, top-k, top-p, then one draw, in this order. */
#include "infer/sample.h"

#include "base/rng.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

firn_status firn_sampler_init(struct firn_sampler *s, int64_t vocabulary, struct firn_error *err)
{
    *s = (struct firn_sampler){ .vocabulary = vocabulary };
    s->score = malloc(sizeof *s->score * (size_t) (vocabulary + 1));
    s->order = malloc(sizeof *s->order * (size_t) (vocabulary + 1));
    if (s->score != NULL && s->order != NULL)
        return FIRN_OK;
    firn_sampler_finish(s);
    return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for the scores of tokens");
}

void firn_sampler_finish(struct firn_sampler *s)
{
    free(s->score);
    free(s->order);
    *s = (struct firn_sampler){ 0 };
}

/* Higher scores first; of equal ones the lower id. */
static bool is_before(const struct firn_sampler *s, int32_t a, int32_t b)
{
    return s->score[a] > s->score[b] || (!(s->score[a] < s->score[b]) && a < b);
}

static void sift(struct firn_sampler *s, int64_t at, int64_t n)
{
    const int32_t moved = s->order[at];
    for (int64_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && is_before(s, s->order[child + 1], s->order[child]))
            child++;
        if (!is_before(s, s->order[child], moved))
            break;
        s->order[at] = s->order[child];
    }
    s->order[at] = moved;
}

/* A heap gives the best tokens one by one: seldom are all of them wanted in order. */
static void heap_make(struct firn_sampler *s)
{
    for (int64_t i = 0; i < s->vocabulary; i++)
        s->order[i] = (int32_t) i;
    for (int64_t i = s->vocabulary / 2; i-- > 0;)
        sift(s, i, s->vocabulary);
}

/* Takes the best of the first n; it is kept behind them. */
static int32_t heap_take(struct firn_sampler *s, int64_t n)
{
    const int32_t best = s->order[0];
    s->order[0] = s->order[n - 1];
    s->order[n - 1] = best;
    sift(s, 0, n - 1);
    return best;
}

/* The scores with their penalty; the best token, or -1. */
static int32_t score_all(struct firn_sampler *s, const struct firn_sampling *how, const float *logits,
                         const uint8_t *seen)
{
    const double penalty = how->repetition_penalty > 0 ? how->repetition_penalty : 1;
    int32_t best = -1;
    for (int64_t v = 0; v < s->vocabulary; v++) {
        double x = (double) logits[v];
        if (isnan(x) || x == INFINITY)
            return -1;
        if (seen[v])
            x = x < 0 ? x * penalty : x / penalty;
        s->score[v] = x;
        if (x > -INFINITY && (best < 0 || x > s->score[best]))
            best = (int32_t) v;
    }
    return best;
}

/* Uniform in [0, 1), 53 bits. */
static double draw(uint64_t seed, uint32_t text, uint32_t step)
{
    uint32_t words[4];
    firn_philox(seed, text, step, 0, words);
    return ((double) (words[0] >> 5) * 67108864.0 + (double) (words[1] >> 6)) * 0x1p-53;
}

/* Everything may follow: no order is needed, the sums run through the vocabulary. */
static int32_t pick_any(struct firn_sampler *s, double most, double temperature, double u)
{
    double sum = 0, below = 0;
    int32_t last = -1;
    for (int64_t v = 0; v < s->vocabulary; v++)
        sum += s->score[v] = exp((s->score[v] - most) / temperature);
    for (int64_t v = 0; v < s->vocabulary; v++) {
        if (s->score[v] <= 0)
            continue;
        below += s->score[v];
        last = (int32_t) v;
        if (below > u * sum)
            break;
    }
    return last;
}

int32_t firn_sample(struct firn_sampler *s, const struct firn_sampling *how, const float *logits, const uint8_t *seen,
                    uint32_t text, uint32_t step)
{
    const int32_t best = score_all(s, how, logits, seen);
    if (best < 0 || how->temperature <= 0)
        return best;
    const double most = s->score[best], u = draw(how->seed, text, step), t = how->temperature;
    const int64_t n = s->vocabulary, top_k = how->top_k > 0 && how->top_k < n ? how->top_k : n;
    const bool has_top_p = how->top_p < 1;
    if (top_k == n && !has_top_p)
        return pick_any(s, most, t, u);
    /* kept tokens go to the end of `order`: the best last */
    double among = 0, kept = 0;
    int64_t count = 0;
    heap_make(s);
    if (top_k == n) /* top-p is a share of all tokens, or of the best k */
        for (int64_t v = 0; v < n; v++)
            among += exp((s->score[v] - most) / t);
    while (count < top_k && (top_k < n || count == 0 || kept < how->top_p * among))
        kept += exp((s->score[heap_take(s, n - count++)] - most) / t);
    if (top_k < n && has_top_p) {
        among = kept;
        kept = 0;
        const int64_t all = count;
        for (count = 0; count < all && (count == 0 || kept < how->top_p * among); count++)
            kept += exp((s->score[s->order[n - 1 - count]] - most) / t);
    }
    double below = 0;
    for (int64_t i = 0; i < count; i++) {
        below += exp((s->score[s->order[n - 1 - i]] - most) / t);
        if (below > u * kept)
            return s->order[n - 1 - i];
    }
    return s->order[n - 1];
}
