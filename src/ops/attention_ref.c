/* SPDX-License-Identifier: Apache-2.0 */
/* Attention and its gradients in double, a query row at a time, straight from the formulas in
 * attention.h. */
#include "ops/attention_view.h"

/* Runs a task over heads, and stores what it put into the outputs. */
static void run(const struct firn_call *call, bool is_backward, bool over_key_heads,
                bool over_batch, void (*task)(void *user, int index, int thread))
{
    struct view w;
    view_open(&w, call, is_backward);
    for (int j = 0; j < FIRN_MAX_OUT && firn_has(&call->out[j]); j++)
        w.out[j] = firn_ref_out(call, j);
    w.dbias_at = firn_attention_bias(&w.n, &call->out[0]);
    const int64_t heads = over_key_heads ? w.n.hkv : w.n.h;
    firn_pool_run(call->pool, (int) (over_batch ? w.n.b * heads : heads), task, &w);
    for (int j = 0; j < FIRN_MAX_OUT && w.out[j] != NULL; j++)
        firn_ref_store(call, j, w.out[j]);
    view_close(&w);
}

static void forward_row(struct view *w, int64_t b, int64_t h, int64_t i)
{
    const struct firn_attention_sizes *n = &w->n;
    double *y = w->out[0] + q_at(w, b, h, i), most = -INFINITY, sum = 0, slope;
    bool any = false;
    for (int64_t j = 0; j < n->tk; j++)
        if (sees(w, b, i, j)) {
            const double s = score(w, b, h, i, j, &slope);
            most = s > most ? s : most;
            any = true;
        }
    for (int64_t j = 0; j < n->tk; j++)
        if (sees(w, b, i, j)) {
            const double p = exp(score(w, b, h, i, j, &slope) - most);
            const double *v = w->v + k_at(w, b, h, j);
            const double pf = p * factor(w, b, h, i, j);
            sum += p;
            for (int64_t c = 0; c < n->d && pf != 0; c++)
                y[c] += pf * v[c];
        }
    for (int64_t c = 0; c < n->d && any; c++)
        y[c] /= sum;
    w->out[1][row_at(w, b, h, i)] =
        any ? most + log(sum) : 0; /* never read where nothing is seen */
}

static void forward_task(void *user, int index, int thread)
{
    struct view *w = user;
    (void) thread;
    for (int64_t i = 0; i < w->n.tq; i++)
        forward_row(w, index / w->n.h, index % w->n.h, i);
}

void firn_attention_ref(const struct firn_call *call)
{
    run(call, false, false, true, forward_task);
}

void firn_attention_stats_ref(const struct firn_call *call)
{
    const struct firn_attention_attrs *attrs = call->attrs;
    double *y = firn_ref_in(call, 0), *dy = firn_ref_in(call, 1), *lse = firn_ref_in(call, 2);
    double *stats = firn_ref_out(call, 0);
    const int64_t h = attrs->n_heads, d = firn_cols(&call->in[0]) / h;
    const int64_t rows = firn_n_rows(&call->in[0]), tq = rows / attrs->batch;
    for (int64_t m = 0; m < rows; m++)
        for (int64_t head = 0; head < h; head++) {
            const int64_t r = (m / tq * h + head) * tq + m % tq;
            stats[2 * r] = lse[r];
            stats[2 * r + 1] = dot(y + (m * h + head) * d, dy + (m * h + head) * d, d);
        }
    firn_ref_free(y);
    firn_ref_free(dy);
    firn_ref_free(lse);
    firn_ref_store(call, 0, stats);
}

static void dq_task(void *user, int index, int thread)
{
    struct view *w = user;
    const int64_t b = index / w->n.h, h = index % w->n.h;
    (void) thread;
    for (int64_t i = 0; i < w->n.tq; i++)
        for (int64_t j = 0; j < w->n.tk; j++) {
            double ds, slope, *dq = w->out[0] + q_at(w, b, h, i);
            if (!sees(w, b, i, j))
                continue;
            pair(w, b, h, i, j, &ds, &slope);
            for (int64_t c = 0; c < w->n.d; c++)
                dq[c] += (double) w->attrs->scale * ds * slope * w->k[k_at(w, b, h, j) + c];
        }
}

void firn_attention_dq_ref(const struct firn_call *call)
{
    run(call, true, false, true, dq_task);
}

static void dkv_task(void *user, int index, int thread)
{
    struct view *w = user;
    const int64_t b = index / w->n.hkv, first = index % w->n.hkv * w->n.group;
    (void) thread;
    for (int64_t j = 0; j < w->n.tk; j++)
        for (int64_t h = first; h < first + w->n.group; h++)
            for (int64_t i = 0; i < w->n.tq; i++) {
                double ds, slope, *dk = w->out[0] + k_at(w, b, h, j),
                                  *dv = w->out[1] + k_at(w, b, h, j);
                if (!sees(w, b, i, j))
                    continue;
                const double pf = pair(w, b, h, i, j, &ds, &slope);
                for (int64_t c = 0; c < w->n.d; c++) {
                    dk[c] += (double) w->attrs->scale * ds * slope * w->q[q_at(w, b, h, i) + c];
                    dv[c] += pf * w->dy[q_at(w, b, h, i) + c];
                }
            }
}

void firn_attention_dkv_ref(const struct firn_call *call)
{
    run(call, true, true, true, dkv_task);
}

static void dbias_task(void *user, int index, int thread)
{
    struct view *w = user;
    const int64_t h = index;
    (void) thread;
    for (int64_t i = 0; i < w->n.tq; i++)
        for (int64_t j = 0; j < w->n.tk; j++)
            for (int64_t b = 0; b < w->n.b; b++) {
                double ds, slope;
                if (!sees(w, b, i, j))
                    continue;
                pair(w, b, h, i, j, &ds, &slope);
                w->out[0][firn_bias_at(&w->dbias_at, h, i, j)] += ds;
            }
}

void firn_attention_dbias_ref(const struct firn_call *call)
{
    run(call, true, false, false, dbias_task);
}
