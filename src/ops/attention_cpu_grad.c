/* SPDX-License-Identifier: Apache-2.0 */
/* Attention backward on the host, in passes that own what they sum: panels of queries for dq and
 * dbias, panels of keys for dk and dv (attention_lanes.h). Each computes its probabilities again
 * from the log-sum-exp. */
#include "base/simd.h"

FIRN_FUSED

#include "ops/attention_lanes.h"

/* delta = dy y, and the log-sum-exp beside it. Summed in the order of the passes' dy v: where a
 * query sees one key, y is its v, and dy v - delta is zero without a rest. Adam's first steps would
 * make a step out of any rest, however small. */
FIRN_SIMD static void stats_rows(void *user, int64_t begin, int64_t end)
{
    const struct firn_call *call = user;
    const struct firn_attention_attrs *attrs = call->attrs;
    const int64_t h = attrs->n_heads, d = firn_cols(&call->in[0]) / h;
    const int64_t tq = firn_n_rows(&call->in[0]) / attrs->batch;
    const float *lse = firn_f32(&call->in[2]);
    float *stats = firn_f32(&call->out[0]);
    for (int64_t m = begin; m < end; m++)
        for (int64_t first = 0; first < h; first += LANES) {
            const float *y = firn_f32(&call->in[0]) + (m * h + first) * d;
            const float *dy = firn_f32(&call->in[1]) + (m * h + first) * d;
            const int64_t heads = h - first < LANES ? h - first : LANES;
            float sum[LANES] = { 0 };
            for (int64_t c = 0; c < d; c++)
                for (int64_t l = 0; l < heads; l++)
                    sum[l] += y[l * d + c] * dy[l * d + c];
            for (int64_t l = 0; l < heads; l++) {
                const int64_t r = (m / tq * h + first + l) * tq + m % tq;
                stats[2 * r] = lse[r];
                stats[2 * r + 1] = sum[l];
            }
        }
}

void firn_attention_stats_cpu(const struct firn_call *call)
{
    firn_over(call->pool, firn_n_rows(&call->in[0]), 64, stats_rows, (void *) call);
}

/* A thread's scratch: tiles [BLOCK][LANES]; dropout factors, for keys [BLOCK][PANELS * LANES]; then
 * the panels. */
struct grad_space {
    float *p, *ds, *slope, *drawn, *panels;
};

enum { SPAN = PANELS * LANES }; /* rows of a task */
static const int64_t tiles = 3 * BLOCK * LANES + BLOCK * SPAN;

LANES_INLINE struct grad_space space_of(const struct attention_job *job, int thread)
{
    float *at = job->scratch + thread * job->size;
    return (struct grad_space){ at, at + BLOCK * LANES, at + 2 * BLOCK * LANES,
                                at + 3 * BLOCK * LANES, at + tiles };
}

/* Two inputs and two sums a panel: q, dy, dq, or k, v, dk, dv. */
static int64_t grad_size(const struct firn_attention_sizes *n)
{
    return tiles + PANELS * 4 * n->d * LANES;
}

size_t firn_attention_grad_scratch(const struct firn_call *call, int n_threads)
{
    const struct firn_attention_sizes n = firn_attention_sizes(call);
    return sizeof(float) * (size_t) (n_threads * grad_size(&n));
}

/* A panel of queries against keys j0 .. j1 - 1: ds into space.ds, with the slope of the soft cap
 * multiplied in when `with_slope`. */
LANES_INLINE void query_block(const struct attention_job *job, const struct grad_space *space,
                              int64_t b, int64_t h, int64_t i0, int64_t j0, int64_t j1,
                              const float *q, const float *dy, const float *lse, const float *delta,
                              bool with_slope)
{
    const struct firn_attention_sizes *n = &job->n;
    const int64_t stride = n->hkv * n->d, rows = j1 - j0,
                  count = n->tq - i0 < LANES ? n->tq - i0 : LANES;
    const int64_t at = job_k(job, b, h / n->group, j0);
    const float cap = job->attrs->softcap;
    float *p = space->p, *ds = space->ds;
    lanes_product(rows, firn_f32(&job->call->in[FIRN_ATT_K]) + at, stride, 1, n->d, q, p, false);
    lanes_scale(p, rows * LANES, job->attrs->scale);
    lanes_product(rows, firn_f32(&job->call->in[FIRN_ATT_V]) + at, stride, 1, n->d, dy, ds, false);
    if (cap > 0)
        lanes_softcap(p, space->slope, rows * LANES, cap);
    job_bias(job, h, i0, j0, rows, count, false, p);
    for (int64_t r = 0; r < rows && job->mask != NULL; r++)
        if (job->mask[b * n->tk + j0 + r] == 0)
            lanes_hide(p + r * LANES, 0, 0, -INFINITY);
    if (job->attrs->causal)
        for (int64_t r = 0; r < rows; r++) {
            const int64_t lo = j0 + r - n->ahead - i0;
            if (lo > 0 || lo + n->window < LANES)
                lanes_hide(p + r * LANES, lo, lo + n->window, -INFINITY);
        }
    if (job->drops)
        for (int64_t l = 0; l < count; l++) {
            firn_draw_factors(&job->draw,
                              (uint64_t) (((b * n->h + h) * n->tq + i0 + l) * n->tk + j0), rows,
                              space->drawn);
            for (int64_t r = 0; r < rows; r++)
                ds[r * LANES + l] *= space->drawn[r];
        }
    for (int64_t r = 0; r < rows; r++)
        for (int l = 0; l < LANES; l++) {
            const float e = firn_expf(p[r * LANES + l] - lse[l]);
            ds[r * LANES + l] = e * (ds[r * LANES + l] - delta[l]);
        }
    if (cap > 0 && with_slope)
        for (int64_t k = 0; k < rows * LANES; k++)
            ds[k] *= space->slope[k];
}

LANES_INLINE void load_stats(const struct attention_job *job, int64_t row, int64_t count,
                             float *lse, float *delta)
{
    const float *stats = firn_f32(&job->call->in[FIRN_ATT_STATS]) + 2 * row;
    for (int64_t l = 0; l < LANES; l++) {
        lse[l] = l < count ? stats[2 * l] : 0.0f;
        delta[l] = l < count ? stats[2 * l + 1] : 0.0f;
    }
}

FIRN_SIMD static void dq_task(void *user, int index, int thread)
{
    const struct attention_job *job = user;
    const struct firn_attention_sizes *n = &job->n;
    const int64_t head = index / job->n_blocks, b = head / n->h, h = head % n->h;
    const int64_t begin = index % job->n_blocks * SPAN;
    const int64_t end = begin + SPAN < n->tq ? begin + SPAN : n->tq;
    const int64_t stride = n->h * n->d, panels = (end - begin + LANES - 1) / LANES,
                  part = n->d * LANES;
    const struct grad_space space = space_of(job, thread);
    float lse[PANELS][LANES], delta[PANELS][LANES], scale[LANES];
    int64_t first, last;
    job_fetch_next(job, index, false, 2, 2, (int[]){ FIRN_ATT_Q, FIRN_ATT_DY }, (int[]){ FIRN_ATT_K, FIRN_ATT_V });
    for (int64_t p = 0; p < panels; p++) {
        const int64_t i0 = begin + p * LANES, count = end - i0 < LANES ? end - i0 : LANES;
        float *at = space.panels + 4 * p * part;
        lanes_pack(firn_f32(&job->call->in[FIRN_ATT_Q]) + job_q(job, b, h, i0), stride, count, n->d,
                   at);
        lanes_pack(firn_f32(&job->call->in[FIRN_ATT_DY]) + job_q(job, b, h, i0), stride, count,
                   n->d, at + part);
        memset(at + 2 * part, 0, sizeof *at * (size_t) part);
        load_stats(job, head * n->tq + i0, count, lse[p], delta[p]);
    }
    firn_attention_shown(n, job->mask, b, &first, &last);
    job_keys(job, begin, end, &first, &last);
    for (int64_t j0 = first; j0 < last; j0 += BLOCK)
        for (int64_t p = 0; p < panels; p++) {
            const int64_t i0 = begin + p * LANES, i1 = end - i0 < LANES ? end : i0 + LANES;
            const float *k = firn_f32(&job->call->in[FIRN_ATT_K]);
            float *at = space.panels + 4 * p * part;
            int64_t from = j0, to = j0 + BLOCK < last ? j0 + BLOCK : last;
            job_keys(job, i0, i1, &from, &to);
            if (from >= to)
                continue;
            query_block(job, &space, b, h, i0, from, to, at, at + part, lse[p], delta[p], true);
            lanes_product(n->d, k + job_k(job, b, h / n->group, from), 1, n->hkv * n->d, to - from,
                          space.ds, at + 2 * part, true);
        }
    for (int l = 0; l < LANES; l++)
        scale[l] = job->attrs->scale;
    for (int64_t p = 0; p < panels; p++) {
        const int64_t i0 = begin + p * LANES, count = end - i0 < LANES ? end - i0 : LANES;
        lanes_unpack(space.panels + (4 * p + 2) * part, count, n->d, scale,
                     firn_f32(&job->call->out[0]) + job_q(job, b, h, i0), stride);
    }
}

/* A panel of queries of one head: ds of every batch row added up, a block of keys at a time, then
 * stored, or added by distance. */
LANES_INLINE void dbias_panel(const struct attention_job *job, int64_t h, int64_t i0, int thread)
{
    const struct firn_attention_sizes *n = &job->n;
    const struct firn_attention_bias at = firn_attention_bias(n, &job->call->out[0]);
    const bool adds = job->call->out[0].shape.rank == 2;
    float *out = firn_f32(&job->call->out[0]);
    const int64_t i1 = i0 + LANES < n->tq ? i0 + LANES : n->tq, count = i1 - i0,
                  part = n->d * LANES;
    const struct grad_space space = space_of(job, thread);
    float sum[BLOCK * LANES], lse[LANES], delta[LANES];
    for (int64_t j0 = 0; j0 < n->tk; j0 += BLOCK) {
        const int64_t j1 = j0 + BLOCK < n->tk ? j0 + BLOCK : n->tk;
        int64_t from = j0, to = j1;
        job_keys(job, i0, i1, &from, &to);
        memset(sum, 0, sizeof sum);
        for (int64_t b = 0; b < n->b && from < to; b++) {
            lanes_pack(firn_f32(&job->call->in[FIRN_ATT_Q]) + job_q(job, b, h, i0), n->h * n->d,
                       count, n->d, space.panels);
            lanes_pack(firn_f32(&job->call->in[FIRN_ATT_DY]) + job_q(job, b, h, i0), n->h * n->d,
                       count, n->d, space.panels + part);
            load_stats(job, (b * n->h + h) * n->tq + i0, count, lse, delta);
            query_block(job, &space, b, h, i0, from, to, space.panels, space.panels + part, lse,
                        delta, false);
            float *to_sum = sum + (from - j0) * LANES;
            for (int64_t k = 0; k < (to - from) * LANES; k++)
                to_sum[k] += space.ds[k];
        }
        for (int64_t l = 0; l < count; l++)
            for (int64_t r = 0; r < j1 - j0; r++) {
                float *element = out + firn_bias_at(&at, h, i0 + l, j0 + r);
                *element = adds ? *element + sum[r * LANES + l] : sum[r * LANES + l];
            }
    }
}

FIRN_SIMD static void dbias_task(void *user, int index, int thread)
{
    const struct attention_job *job = user;
    dbias_panel(job, index / job->n_blocks, index % job->n_blocks * LANES, thread);
}

/* By distance a head is one task: its panels add to the same elements, in their order. */
FIRN_SIMD static void dbias_head_task(void *user, int h, int thread)
{
    const struct attention_job *job = user;
    for (int64_t d = 0; d < job->call->out[0].shape.dim[0]; d++)
        firn_f32(&job->call->out[0])[d * job->n.h + h] = 0;
    for (int64_t i0 = 0; i0 < job->n.tq; i0 += LANES)
        dbias_panel(job, h, i0, thread);
}

/* Queries that see any of the keys j0 .. j1 - 1. */
LANES_INLINE void key_queries(const struct firn_attention_sizes *n, int64_t j0, int64_t j1,
                              int64_t *first, int64_t *end)
{
    const int64_t from = j0 - n->ahead, to = j1 - 1 - n->ahead + n->window;
    *first = *first < from ? from : *first;
    *end = *end > to ? to : *end;
}

/* A panel of keys against queries i0 .. i1 - 1 of head h: p f into space.p, ds softcap' into
 * space.ds. */
LANES_INLINE void key_block(const struct attention_job *job, const struct grad_space *space,
                            int64_t b, int64_t h, int64_t j0, int64_t i0, int64_t i1,
                            const float *k, const float *v, const int32_t *hidden,
                            const float *drawn)
{
    const struct firn_attention_sizes *n = &job->n;
    const int64_t stride = n->h * n->d, rows = i1 - i0, at = job_q(job, b, h, i0);
    const int64_t count = n->tk - j0 < LANES ? n->tk - j0 : LANES,
                  row = (b * n->h + h) * n->tq + i0;
    const float *stats = firn_f32(&job->call->in[FIRN_ATT_STATS]) + 2 * row,
                cap = job->attrs->softcap;
    float *p = space->p, *ds = space->ds;
    lanes_product(rows, firn_f32(&job->call->in[FIRN_ATT_Q]) + at, stride, 1, n->d, k, p, false);
    lanes_scale(p, rows * LANES, job->attrs->scale);
    lanes_product(rows, firn_f32(&job->call->in[FIRN_ATT_DY]) + at, stride, 1, n->d, v, ds, false);
    if (cap > 0)
        lanes_softcap(p, space->slope, rows * LANES, cap);
    job_bias(job, h, i0, j0, rows, count, true, p);
    for (int64_t r = 0; r < rows; r++)
        for (int l = 0; l < LANES; l++)
            p[r * LANES + l] = hidden[l] ? -INFINITY : p[r * LANES + l];
    if (job->attrs->causal)
        for (int64_t r = 0; r < rows; r++) {
            const int64_t hi =
                i0 + r + n->ahead - j0 + 1; /* query i0 + r sees key j0 + l in lanes before hi */
            if (hi < LANES || hi > n->window)
                lanes_hide(p + r * LANES, hi - n->window, hi, -INFINITY);
        }
    for (int64_t r = 0; r < rows; r++) {
        const float lse = stats[2 * r], delta = stats[2 * r + 1];
        float *pr = p + r * LANES, *dr = ds + r * LANES;
        if (job->drops) {
            const float *f = drawn + r * SPAN;
            for (int l = 0; l < LANES; l++) {
                const float e = firn_expf(pr[l] - lse);
                dr[l] = e * (f[l] * dr[l] - delta);
                pr[l] = e * f[l];
            }
        } else
            for (int l = 0; l < LANES; l++) {
                pr[l] = firn_expf(pr[l] - lse);
                dr[l] = pr[l] * (dr[l] - delta);
            }
    }
    for (int64_t x = 0; x < rows * LANES && cap > 0; x++)
        ds[x] *= space->slope[x];
}

FIRN_SIMD static void dkv_task(void *user, int index, int thread)
{
    const struct attention_job *job = user;
    const struct firn_attention_sizes *n = &job->n;
    const int64_t head = index / job->n_blocks, b = head / n->hkv, hkv = head % n->hkv;
    const int64_t begin = index % job->n_blocks * SPAN;
    const int64_t end = begin + SPAN < n->tk ? begin + SPAN : n->tk;
    const int64_t stride = n->hkv * n->d, panels = (end - begin + LANES - 1) / LANES,
                  part = n->d * LANES;
    const struct grad_space space = space_of(job, thread);
    int32_t hidden[PANELS][LANES], shown = 0;
    float scale[LANES], one[LANES];
    job_fetch_next(job, index, true, 2, 2, (int[]){ FIRN_ATT_K, FIRN_ATT_V }, (int[]){ FIRN_ATT_Q, FIRN_ATT_DY });
    memset(space.drawn, 0,
           sizeof(float) * BLOCK * SPAN); /* keys beyond the last are hidden, not drawn */
    for (int64_t p = 0; p < panels; p++) {
        const int64_t j0 = begin + p * LANES, count = end - j0 < LANES ? end - j0 : LANES;
        float *at = space.panels + 4 * p * part;
        lanes_pack(firn_f32(&job->call->in[FIRN_ATT_K]) + job_k(job, b, hkv, j0), stride, count,
                   n->d, at);
        lanes_pack(firn_f32(&job->call->in[FIRN_ATT_V]) + job_k(job, b, hkv, j0), stride, count,
                   n->d, at + part);
        memset(at + 2 * part, 0, sizeof *at * (size_t) (2 * part));
        for (int64_t l = 0; l < LANES; l++) {
            hidden[p][l] = l >= count || (job->mask != NULL && job->mask[b * n->tk + j0 + l] == 0);
            shown += !hidden[p][l];
        }
    }
    for (int64_t h = hkv * n->group; h < (hkv + 1) * n->group && shown > 0; h++) {
        int64_t first = 0, last = n->tq;
        key_queries(n, begin, end, &first, &last);
        for (int64_t i0 = first; i0 < last; i0 += BLOCK) {
            for (int64_t i = i0; i < i0 + BLOCK && i < last && job->drops; i++)
                firn_draw_factors(&job->draw,
                                  (uint64_t) (((b * n->h + h) * n->tq + i) * n->tk + begin),
                                  end - begin, space.drawn + (i - i0) * SPAN);
            for (int64_t p = 0; p < panels; p++) {
                const int64_t j0 = begin + p * LANES, j1 = end - j0 < LANES ? end : j0 + LANES;
                int64_t from = i0, to = i0 + BLOCK < last ? i0 + BLOCK : last;
                float *at = space.panels + 4 * p * part;
                key_queries(n, j0, j1, &from, &to);
                if (from >= to)
                    continue;
                key_block(job, &space, b, h, j0, from, to, at, at + part, hidden[p],
                          space.drawn + (from - i0) * SPAN + p * LANES);
                lanes_product(n->d, firn_f32(&job->call->in[FIRN_ATT_Q]) + job_q(job, b, h, from),
                              1, n->h * n->d, to - from, space.ds, at + 2 * part, true);
                lanes_product(n->d, firn_f32(&job->call->in[FIRN_ATT_DY]) + job_q(job, b, h, from),
                              1, n->h * n->d, to - from, space.p, at + 3 * part, true);
            }
        }
    }
    for (int l = 0; l < LANES; l++) {
        scale[l] = job->attrs->scale;
        one[l] = 1.0f;
    }
    for (int64_t p = 0; p < panels; p++) {
        const int64_t j0 = begin + p * LANES, count = end - j0 < LANES ? end - j0 : LANES;
        const int64_t at = job_k(job, b, hkv, j0);
        lanes_unpack(space.panels + (4 * p + 2) * part, count, n->d, scale,
                     firn_f32(&job->call->out[0]) + at, stride);
        lanes_unpack(space.panels + (4 * p + 3) * part, count, n->d, one,
                     firn_f32(&job->call->out[1]) + at, stride);
    }
}

static struct attention_job start(const struct firn_call *call, bool over_keys, int64_t per_task)
{
    struct attention_job job;
    attention_job_start(&job, call, true);
    job.size = grad_size(&job.n);
    job.n_blocks = ((over_keys ? job.n.tk : job.n.tq) + per_task - 1) / per_task;
    return job;
}

void firn_attention_dq_cpu(const struct firn_call *call)
{
    struct attention_job job = start(call, false, SPAN);
    firn_pool_run(call->pool, (int) (job.n.b * job.n.h * job.n_blocks), dq_task, &job);
}

void firn_attention_dkv_cpu(const struct firn_call *call)
{
    struct attention_job job = start(call, true, SPAN);
    firn_pool_run(call->pool, (int) (job.n.b * job.n.hkv * job.n_blocks), dkv_task, &job);
}

void firn_attention_dbias_cpu(const struct firn_call *call)
{
    struct attention_job job = start(call, false, LANES);
    if (call->out[0].shape.rank == 2)
        firn_pool_run(call->pool, (int) job.n.h, dbias_head_task, &job);
    else
        firn_pool_run(call->pool, (int) (job.n.h * job.n_blocks), dbias_task, &job);
}
