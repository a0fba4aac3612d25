/* SPDX-License-Identifier: Apache-2.0 */
/* The inner parts of fast attention on the host. A panel is 16 rows that own an output (queries in
 * the forward and dq passes, keys in the dkv pass), one row a lane; the rows on the other side pass
 * by in blocks. So a block of scores [rows][16] needs no transposition and no sum across lanes:
 * maxima, sums and masks go straight down. */
#ifndef FIRN_OPS_ATTENTION_LANES_H
#define FIRN_OPS_ATTENTION_LANES_H

#include "ops/attention.h"
#include "ops/fastmath.h"

enum {
    LANES = 16,
    BLOCK = 64,
    PANELS = 4
}; /* rows of a panel, of a passing block; panels of a task */

/* Sixteen floats: one, two or four registers, as the function that they are inlined into is
 * compiled for. */
typedef float lanes_t __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
#define LANES_INLINE static inline __attribute__((always_inline))

/* c[r][lane] (+)= sum over k of a[r rs + k cs] b[k][lane] for n_rows <= 6 rows. Always inlined, so
 * n_rows is a constant and the sums stay in registers. */
LANES_INLINE void lanes_tile(int n_rows, const float *a, int64_t rs, int64_t cs, int64_t n_k,
                             const float *b, float *c, bool is_sum)
{
    lanes_t sum[6];
#pragma GCC unroll 6
    for (int r = 0; r < n_rows; r++)
        sum[r] = is_sum ? *(const lanes_t *) (c + r * LANES) : (lanes_t){ 0 };
    for (int64_t k = 0; k < n_k; k++) {
        const lanes_t row = *(const lanes_t *) (b + k * LANES);
#pragma GCC unroll 6
        for (int r = 0; r < n_rows; r++)
            sum[r] += a[r * rs + k * cs] * row;
    }
#pragma GCC unroll 6
    for (int r = 0; r < n_rows; r++)
        *(lanes_t *) (c + r * LANES) = sum[r];
}

/* The same for any number of rows. */
LANES_INLINE void lanes_product(int64_t n_rows, const float *a, int64_t rs, int64_t cs, int64_t n_k,
                                const float *b, float *c, bool is_sum)
{
    int64_t r = 0;
    for (; r + 6 <= n_rows; r += 6)
        lanes_tile(6, a + r * rs, rs, cs, n_k, b, c + r * LANES, is_sum);
    if (r + 4 <= n_rows) {
        lanes_tile(4, a + r * rs, rs, cs, n_k, b, c + r * LANES, is_sum);
        r += 4;
    }
    if (r + 2 <= n_rows) {
        lanes_tile(2, a + r * rs, rs, cs, n_k, b, c + r * LANES, is_sum);
        r += 2;
    }
    if (r < n_rows)
        lanes_tile(1, a + r * rs, rs, cs, n_k, b, c + r * LANES, is_sum);
}

/* Four rows of four floats, turned. */
typedef float quad_t __attribute__((vector_size(16), aligned(4), may_alias));

LANES_INLINE void lanes_turn(const quad_t *x, quad_t *y)
{
    const quad_t a = __builtin_shufflevector(x[0], x[1], 0, 4, 1, 5), b = __builtin_shufflevector(x[0], x[1], 2, 6, 3, 7);
    const quad_t c = __builtin_shufflevector(x[2], x[3], 0, 4, 1, 5), d = __builtin_shufflevector(x[2], x[3], 2, 6, 3, 7);
    y[0] = __builtin_shufflevector(a, c, 0, 1, 4, 5);
    y[1] = __builtin_shufflevector(a, c, 2, 3, 6, 7);
    y[2] = __builtin_shufflevector(b, d, 0, 1, 4, 5);
    y[3] = __builtin_shufflevector(b, d, 2, 3, 6, 7);
}

/* panel[c][lane] = x[lane][c] for `count` rows, zero in the lanes beyond. */
LANES_INLINE void lanes_pack(const float *x, int64_t stride, int64_t count, int64_t d, float *panel)
{
    const int64_t whole = count / 4 * 4, columns = d / 4 * 4;
    for (int64_t l = 0; l < whole; l += 4)
        for (int64_t c = 0; c < columns; c += 4) {
            quad_t in[4], out[4];
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++)
                in[i] = *(const quad_t *) (x + (l + i) * stride + c);
            lanes_turn(in, out);
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++)
                *(quad_t *) (panel + (c + i) * LANES + l) = out[i];
        }
    for (int64_t c = 0; c < d; c++)
        for (int64_t l = c < columns ? whole : 0; l < LANES; l++)
            panel[c * LANES + l] = l < count ? x[l * stride + c] : 0.0f;
}

LANES_INLINE void lanes_unpack(const float *panel, int64_t count, int64_t d, const float *factor,
                               float *x, int64_t stride)
{
    const int64_t whole = count / 4 * 4, columns = d / 4 * 4;
    for (int64_t l = 0; l < whole; l += 4)
        for (int64_t c = 0; c < columns; c += 4) {
            quad_t in[4], out[4];
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++)
                in[i] = *(const quad_t *) (panel + (c + i) * LANES + l);
            lanes_turn(in, out);
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++)
                *(quad_t *) (x + (l + i) * stride + c) = factor[l + i] * out[i];
        }
    for (int64_t l = 0; l < count; l++)
        for (int64_t c = l < whole ? columns : 0; c < d; c++)
            x[l * stride + c] = factor[l] * panel[c * LANES + l];
}

/* scale q k. The factor comes last in every pass, so that all of them see the same bits of a score.
 */
LANES_INLINE void lanes_scale(float *x, int64_t n, float factor)
{
    for (int64_t i = 0; i < n; i++)
        x[i] *= factor;
}

/* Sets the lanes before lo and from hi on. */
LANES_INLINE void lanes_hide(float *row, int64_t lo, int64_t hi, float value)
{
    const int32_t from = (int32_t) (lo < 0 ? 0 : lo > LANES ? LANES : lo);
    const int32_t to = (int32_t) (hi < 0 ? 0 : hi > LANES ? LANES : hi);
    for (int32_t l = 0; l < LANES; l++)
        row[l] = l < from || l >= to ? value : row[l];
}

/* x = cap tanh(x / cap) for a block, and slope = 1 - tanh^2 where it is not NULL. */
LANES_INLINE void lanes_softcap(float *x, float *slope, int64_t n, float cap)
{
    const float inverse = 1.0f / cap;
    for (int64_t i = 0; i < n; i++) {
        const float t = firn_tanhf(x[i] * inverse);
        x[i] = cap * t;
        if (slope != NULL)
            slope[i] = 1.0f - t * t;
    }
}

/* What a task works on. The offsets of a head's first row, and the strides from row to row, are in
 * floats. */
struct attention_job {
    const struct firn_call *call;
    const struct firn_attention_attrs *attrs;
    struct firn_attention_sizes n;
    const int32_t *mask;
    const float *bias;
    struct firn_attention_bias bias_at;
    bool drops;
    struct firn_draw draw;
    float *scratch; /* `size` floats a thread */
    int64_t size;
    int64_t n_blocks; /* tasks of a head */
};

LANES_INLINE int64_t job_q(const struct attention_job *job, int64_t b, int64_t h, int64_t i)
{
    return ((b * job->n.tq + i) * job->n.h + h) * job->n.d;
}

/* h: a key head. */
LANES_INLINE int64_t job_k(const struct attention_job *job, int64_t b, int64_t h, int64_t j)
{
    return ((b * job->n.tk + j) * job->n.hkv + h) * job->n.d;
}

/* s[r][l] += bias of query i0 + l and key j0 + r in head h (of query i0 + r and key j0 + l where
 * the panel holds keys). */
LANES_INLINE void job_bias(const struct attention_job *job, int64_t h, int64_t i0, int64_t j0,
                           int64_t rows, int64_t count, bool holds_keys, float *s)
{
    const struct firn_attention_bias *at = &job->bias_at;
    const int64_t down = holds_keys ? at->i : at->j, across = holds_keys ? at->j : at->i;
    const int64_t first = firn_bias_at(at, h, i0, j0);
    for (int64_t l = 0; l < count && job->bias != NULL; l++)
        for (int64_t r = 0; r < rows; r++)
            s[r * LANES + l] += job->bias[first + r * down + l * across];
}

/* Keys that the queries i0 .. i1 - 1 may see, of those from *first to *end. */
LANES_INLINE void job_keys(const struct attention_job *job, int64_t i0, int64_t i1, int64_t *first,
                           int64_t *end)
{
    const int64_t last = i1 - 1 + job->n.ahead, from = i0 + job->n.ahead - job->n.window + 1;
    *end = *end > last + 1 ? last + 1 : *end;
    *first = *first < from ? from : *first;
}

/* Asks for a head's part of some rows: too short and too far apart for the processor to see a stream. */
LANES_INLINE void job_fetch(const float *x, int64_t rows, int64_t stride, int64_t d)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t c = 0; c < d; c += 16)
            __builtin_prefetch(x + i * stride + c, 0, 2);
}

/* What the task starts with that this thread is likely to take next: the panels' rows, a block of those that pass by. `h` is a
 * head of queries, or of keys where panels hold keys (then the first query head that shares it is fetched). */
LANES_INLINE void job_fetch_next(const struct attention_job *job, int index, bool holds_keys, int n_side, int n_pass,
                                 const int *side, const int *pass)
{
    const struct firn_attention_sizes *n = &job->n;
    const int64_t next = index + firn_pool_threads(job->call->pool), heads = holds_keys ? n->hkv : n->h;
    const int64_t head = next / job->n_blocks, begin = next % job->n_blocks * PANELS * LANES, b = head / heads;
    const int64_t h = head % heads, own = holds_keys ? n->tk : n->tq, other = holds_keys ? n->tq : n->tk;
    const int64_t hq = holds_keys ? h * n->group : h, hk = holds_keys ? h : h / n->group;
    const int64_t rows = own - begin < PANELS * LANES ? own - begin : PANELS * LANES, passing = other < BLOCK ? other : BLOCK;
    if (b >= n->b)
        return;
    for (int i = 0; i < n_side; i++)
        job_fetch(firn_f32(&job->call->in[side[i]]) + (holds_keys ? job_k(job, b, hk, begin) : job_q(job, b, hq, begin)), rows,
                  (holds_keys ? n->hkv : n->h) * n->d, n->d);
    for (int i = 0; i < n_pass; i++)
        job_fetch(firn_f32(&job->call->in[pass[i]]) + (holds_keys ? job_q(job, b, hq, 0) : job_k(job, b, hk, 0)), passing,
                  (holds_keys ? n->h : n->hkv) * n->d, n->d);
}

void attention_job_start(struct attention_job *job, const struct firn_call *call, bool is_backward);

#endif
