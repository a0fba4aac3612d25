/* SPDX-License-Identifier: Apache-2.0 */
/* Attention forward on the host. A task takes 64 queries of a head as four panels of lanes
 * (attention_lanes.h) and walks over the keys in blocks, with a running maximum and sum a lane
 * (online softmax, Milakov & Gimelshein 2018). */
#include "base/simd.h"

FIRN_FUSED

#include "ops/attention_lanes.h"

#include <float.h>

void attention_job_start(struct attention_job *job, const struct firn_call *call, bool is_backward)
{
    const int mask = is_backward ? FIRN_ATT_MASK_B : FIRN_ATT_MASK;
    const int bias = is_backward ? FIRN_ATT_BIAS_B : FIRN_ATT_BIAS;
    const int rng = is_backward ? FIRN_ATT_RNG_B : FIRN_ATT_RNG;
    *job = (struct attention_job){
        .call = call,
        .attrs = call->attrs,
        .n = firn_attention_sizes(call),
        .mask = firn_has(&call->in[mask]) ? firn_i32(&call->in[mask]) : NULL,
        .bias = firn_has(&call->in[bias]) ? firn_f32(&call->in[bias]) : NULL,
        .scratch = call->scratch,
    };
    job->bias_at = firn_attention_bias(&job->n, &call->in[bias]);
    job->drops = job->attrs->dropout > 0;
    if (job->drops)
        job->draw =
            firn_draw_start(firn_i32(&call->in[rng]), job->attrs->stream, job->attrs->dropout);
}

/* Running softmax of a panel of queries. */
struct panel {
    float most[LANES], sum[LANES];
    float *q, *y; /* [D][16] */
};

/* Keys j0 .. j1 - 1 (at most BLOCK) for the queries i0 .. i0 + 15 of head h; `drawn` [LANES][BLOCK]
 * holds dropout factors. */
LANES_INLINE void forward_block(const struct attention_job *job, struct panel *panel, int64_t b,
                                int64_t h, int64_t i0, int64_t j0, int64_t j1, float *s,
                                const float *drawn, bool is_first)
{
    const struct firn_attention_sizes *n = &job->n;
    const int64_t stride = n->hkv * n->d, rows = j1 - j0,
                  count = n->tq - i0 < LANES ? n->tq - i0 : LANES;
    const float *k = firn_f32(&job->call->in[FIRN_ATT_K]) + job_k(job, b, h / n->group, j0);
    const float *v = firn_f32(&job->call->in[FIRN_ATT_V]) + job_k(job, b, h / n->group, j0);
    float most[LANES], shrink[LANES], sum[LANES];
    lanes_product(rows, k, stride, 1, n->d, panel->q, s, false);
    lanes_scale(s, rows * LANES, job->attrs->scale);
    if (job->attrs->softcap > 0)
        lanes_softcap(s, NULL, rows * LANES, job->attrs->softcap);
    job_bias(job, h, i0, j0, rows, count, false, s);
    for (int64_t r = 0; r < rows && job->mask != NULL; r++)
        if (job->mask[b * n->tk + j0 + r] == 0)
            lanes_hide(s + r * LANES, 0, 0, -INFINITY);
    if (job->attrs->causal)
        for (int64_t r = 0; r < rows; r++) {
            const int64_t lo =
                j0 + r - n->ahead - i0; /* query i0 + l sees key j0 + r from lane lo on */
            if (lo > 0 || lo + n->window < LANES)
                lanes_hide(s + r * LANES, lo, lo + n->window, -INFINITY);
        }
    for (int l = 0; l < LANES; l++)
        most[l] = panel->most[l];
    for (int64_t r = 0; r < rows; r++)
        for (int l = 0; l < LANES; l++)
            most[l] = s[r * LANES + l] > most[l] ? s[r * LANES + l] : most[l];
    for (int l = 0; l < LANES; l++) {
        shrink[l] = firn_expf(panel->most[l] - most[l]);
        sum[l] = panel->sum[l] * shrink[l];
        panel->most[l] = most[l];
    }
    for (int64_t r = 0; r < rows; r++)
        for (int l = 0; l < LANES; l++)
            s[r * LANES + l] = firn_expf(s[r * LANES + l] - most[l]);
    for (int64_t r = 0; r < rows; r++)
        for (int l = 0; l < LANES; l++)
            sum[l] += s[r * LANES + l];
    for (int l = 0; l < LANES; l++)
        panel->sum[l] = sum[l];
    if (job->drops)
        for (int64_t r = 0; r < rows; r++)
            for (int l = 0; l < LANES; l++)
                s[r * LANES + l] *= drawn[l * BLOCK + r];
    for (int64_t c = 0; c < n->d && !is_first; c++)
        for (int l = 0; l < LANES; l++)
            panel->y[c * LANES + l] *= shrink[l];
    lanes_product(n->d, v, 1, stride, rows, s, panel->y, !is_first);
}

LANES_INLINE void draw_block(const struct attention_job *job, int64_t b, int64_t h, int64_t i0,
                             int64_t j0, int64_t j1, float *drawn)
{
    const struct firn_attention_sizes *n = &job->n;
    for (int64_t l = 0; l < LANES && i0 + l < n->tq; l++)
        firn_draw_factors(&job->draw, (uint64_t) (((b * n->h + h) * n->tq + i0 + l) * n->tk + j0),
                          j1 - j0, drawn + l * BLOCK);
}

FIRN_SIMD static void forward_task(void *user, int index, int thread)
{
    const struct attention_job *job = user;
    const struct firn_attention_sizes *n = &job->n;
    const int64_t head = index / job->n_blocks, b = head / n->h, h = head % n->h;
    const int64_t begin = index % job->n_blocks * PANELS * LANES;
    const int64_t end = begin + PANELS * LANES < n->tq ? begin + PANELS * LANES : n->tq;
    const int64_t stride = n->h * n->d, panels = (end - begin + LANES - 1) / LANES;
    float *s = job->scratch + thread * job->size, *drawn = s + BLOCK * LANES,
          *q = drawn + BLOCK * LANES;
    float *lse = firn_f32(&job->call->out[1]) + head * n->tq;
    struct panel panel[PANELS];
    int64_t first, last;
    job_fetch_next(job, index, false, 1, 2, (int[]){ FIRN_ATT_Q }, (int[]){ FIRN_ATT_K, FIRN_ATT_V });
    firn_attention_shown(n, job->mask, b, &first, &last);
    memset(drawn, 0, sizeof *drawn * BLOCK * LANES); /* lanes beyond the last query */
    for (int64_t p = 0; p < panels; p++) {
        const int64_t i0 = begin + p * LANES, count = end - i0 < LANES ? end - i0 : LANES;
        panel[p].q = q + 2 * p * n->d * LANES;
        panel[p].y = panel[p].q + n->d * LANES;
        lanes_pack(firn_f32(&job->call->in[FIRN_ATT_Q]) + job_q(job, b, h, i0), stride, count, n->d,
                   panel[p].q);
        memset(panel[p].y, 0, sizeof(float) * (size_t) (n->d * LANES));
        for (int l = 0; l < LANES; l++) {
            panel[p].most[l] =
                -FLT_MAX; /* finite: hidden scores are -inf, and e^(-inf - most) is 0 */
            panel[p].sum[l] = 0;
        }
    }
    job_keys(job, begin, end, &first, &last);
    for (int64_t j0 = first; j0 < last; j0 += BLOCK)
        for (int64_t p = 0; p < panels; p++) {
            const int64_t i0 = begin + p * LANES, i1 = end - i0 < LANES ? end : i0 + LANES;
            int64_t from = j0, to = j0 + BLOCK < last ? j0 + BLOCK : last;
            job_keys(job, i0, i1, &from, &to);
            if (from >= to)
                continue;
            if (job->drops)
                draw_block(job, b, h, i0, from, to, drawn);
            forward_block(job, &panel[p], b, h, i0, from, to, s, drawn, false);
        }
    for (int64_t p = 0; p < panels; p++) {
        const int64_t i0 = begin + p * LANES, count = end - i0 < LANES ? end - i0 : LANES;
        float inverse[LANES];
        for (int l = 0; l < LANES; l++) /* a sum of NaN stays one; nothing seen is a sum of 0 */
            inverse[l] = panel[p].sum[l] == 0 ? 0.0f : 1.0f / panel[p].sum[l];
        for (int64_t l = 0; l < count; l++)
            lse[i0 + l] = panel[p].sum[l] == 0 ? 0.0f : panel[p].most[l] + logf(panel[p].sum[l]);
        lanes_unpack(panel[p].y, count, n->d, inverse,
                     firn_f32(&job->call->out[0]) + job_q(job, b, h, i0), stride);
    }
}

/* A block of scores, one of dropout factors, q and y of the panels; a thread. */
static int64_t forward_size(const struct firn_attention_sizes *n)
{
    return 2 * BLOCK * LANES + 2 * PANELS * n->d * LANES;
}

size_t firn_attention_scratch(const struct firn_call *call, int n_threads)
{
    const struct firn_attention_sizes n = firn_attention_sizes(call);
    return sizeof(float) * (size_t) (n_threads * forward_size(&n));
}

void firn_attention_cpu(const struct firn_call *call)
{
    struct attention_job job;
    attention_job_start(&job, call, false);
    job.size = forward_size(&job.n);
    job.n_blocks = (job.n.tq + PANELS * LANES - 1) / (PANELS * LANES);
    firn_pool_run(call->pool, (int) (job.n.b * job.n.h * job.n_blocks), forward_task, &job);
}
