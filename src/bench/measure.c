/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks, repetition, medians. */
#include "bench/bench.h"

#include <stdlib.h>
#include <time.h>

double firn_bench_now(int clock)
{
    struct timespec t = { 0 };
    clock_gettime((clockid_t) clock, &t);
    return (double) t.tv_sec + 1e-9 * (double) t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *) a, y = *(const double *) b;
    return (x > y) - (x < y);
}

static double quantile(const double *sorted, int n, double q)
{
    const double at = q * (n - 1);
    const int i = (int) at;
    return i + 1 < n ? sorted[i] + (at - i) * (sorted[i + 1] - sorted[i]) : sorted[i];
}

void firn_bench_summarize(double *wall, double *cpu, double *host, int n, struct firn_bench_time *time)
{
    double *const all[] = { wall, cpu, host };
    for (int i = 0; i < 3; i++)
        qsort(all[i], (size_t) n, sizeof(double), by_value);
    *time = (struct firn_bench_time){ .wall = quantile(wall, n, 0.5), .cpu = quantile(cpu, n, 0.5),
                                      .host = quantile(host, n, 0.5), .runs = n };
    if (time->wall > 0)
        time->spread = (quantile(wall, n, 0.75) - quantile(wall, n, 0.25)) / time->wall;
}

enum { MOST = 1000 };

/* One run of one body. */
struct sample {
    double wall[MOST], cpu[MOST], host[MOST];
};

static firn_status run_once(firn_status (*body)(void *user, struct firn_error *err), void *user, int i, struct sample *x,
                            struct firn_error *err)
{
    const double w = firn_bench_now(CLOCK_MONOTONIC), c = firn_bench_now(CLOCK_PROCESS_CPUTIME_ID);
    const double h = firn_bench_now(CLOCK_THREAD_CPUTIME_ID);
    const firn_status status = body(user, err);
    x->host[i] = firn_bench_now(CLOCK_THREAD_CPUTIME_ID) - h;
    x->cpu[i] = firn_bench_now(CLOCK_PROCESS_CPUTIME_ID) - c;
    x->wall[i] = firn_bench_now(CLOCK_MONOTONIC) - w;
    return status;
}

static bool goes_on(const struct firn_bench_settings *s, int n, double begin)
{
    return n < MOST && n < s->repeat && (n < 3 || firn_bench_now(CLOCK_MONOTONIC) - begin < s->seconds);
}

firn_status firn_bench_measure(const struct firn_bench_settings *s, firn_status (*body)(void *user, struct firn_error *err),
                               void *user, struct firn_bench_time *time, struct firn_error *err)
{
    struct sample x;
    firn_status status = body(user, err);
    const double begin = firn_bench_now(CLOCK_MONOTONIC);
    int n = 0;
    for (; status == FIRN_OK && goes_on(s, n, begin); n++)
        status = run_once(body, user, n, &x, err);
    if (status == FIRN_OK)
        firn_bench_summarize(x.wall, x.cpu, x.host, n, time);
    return status;
}

firn_status firn_bench_measure_turns(const struct firn_bench_settings *s,
                                     firn_status (*body)(void *user, struct firn_error *err), void *const user[2],
                                     struct firn_bench_time time[2], struct firn_bench_ratio *ratio, struct firn_error *err)
{
    struct sample x[2];
    double wall[MOST], cpu[MOST];
    firn_status status = body(user[0], err);
    if (status == FIRN_OK)
        status = body(user[1], err);
    const double begin = firn_bench_now(CLOCK_MONOTONIC);
    int n = 0;
    for (; status == FIRN_OK && goes_on(s, n, begin); n++) {
        const int first = n % 2; /* so that neither always follows the other's caches */
        status = run_once(body, user[first], n, &x[first], err);
        if (status == FIRN_OK)
            status = run_once(body, user[1 - first], n, &x[1 - first], err);
        wall[n] = x[0].wall[n] / x[1].wall[n];
        cpu[n] = x[0].cpu[n] / x[1].cpu[n];
    }
    if (status)
        return status;
    for (int i = 0; i < 2; i++)
        firn_bench_summarize(x[i].wall, x[i].cpu, x[i].host, n, &time[i]);
    qsort(wall, (size_t) n, sizeof(double), by_value);
    qsort(cpu, (size_t) n, sizeof(double), by_value);
    *ratio = (struct firn_bench_ratio){ .wall = quantile(wall, n, 0.5), .cpu = quantile(cpu, n, 0.5),
                                        .low = quantile(cpu, n, 0.25), .high = quantile(cpu, n, 0.75), .runs = n };
    return FIRN_OK;
}

double firn_bench_bytes(const struct firn_call *call)
{
    double bytes = 0;
    for (int i = 0; i < FIRN_MAX_IN + FIRN_MAX_OUT; i++) {
        const struct firn_tensor *t = i < FIRN_MAX_IN ? &call->in[i] : &call->out[i - FIRN_MAX_IN];
        if (firn_has(t))
            bytes += (double) firn_tensor_bytes(t->dtype, &t->shape);
    }
    return bytes;
}

struct firn_bench_row *firn_bench_row(struct firn_bench *b, struct firn_error *err)
{
    struct firn_bench_row *rows = realloc(b->rows, sizeof *rows * (b->n_rows + 1));
    if (rows == NULL) {
        firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for results");
        return NULL;
    }
    b->rows = rows;
    rows[b->n_rows] = (struct firn_bench_row){ .count = 1 };
    return &rows[b->n_rows++];
}
