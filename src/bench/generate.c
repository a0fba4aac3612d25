/* SPDX-License-Identifier: Apache-2.0 */
/* Text generation by a model that is only a config.json: what a prompt costs, and what each token behind it. */
#include "bench/bench.h"
#include "infer/generate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct run {
    struct firn_session session;
    struct firn_prompt *prompts;
    int32_t *ids;
    size_t n;
    int64_t length;
    struct firn_generate_params params;
};

static firn_status generate(void *user, struct firn_error *err)
{
    struct run *r = user;
    struct firn_generated *out = calloc(r->n, sizeof *out);
    if (out == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for answers");
    const firn_status status = firn_generate(&r->session, r->prompts, r->n, &r->params, out, err);
    firn_generated_free(out, r->n);
    free(out);
    return status;
}

static firn_status fill(struct run *r, struct firn_error *err)
{
    r->prompts = calloc(r->n, sizeof *r->prompts);
    r->ids = calloc(r->n * (size_t) r->length + 1, sizeof *r->ids);
    if (r->prompts == NULL || r->ids == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for prompts");
    uint32_t x = 2463534242u; /* xorshift32 (Marsaglia 2003) */
    for (size_t i = 0; i < r->n * (size_t) r->length; i++) {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        r->ids[i] = (int32_t) (x % (uint32_t) r->session.model.config.vocabulary);
    }
    for (size_t i = 0; i < r->n; i++)
        r->prompts[i] = (struct firn_prompt){ r->ids + i * (size_t) r->length, (size_t) r->length, (uint32_t) i };
    return FIRN_OK;
}

static firn_status add_row(struct firn_bench *b, const char *name, const struct run *r, double tokens,
                           const struct firn_bench_time *t, double per, struct firn_error *err)
{
    struct firn_bench_row *row = firn_bench_row(b, err);
    if (row == NULL)
        return FIRN_ERR_MEMORY;
    snprintf(row->name, sizeof row->name, "%s %zu x %lld, %.1f tokens a core s", name, r->n, (long long) r->length,
             t->cpu > 0 ? tokens / t->cpu * per : 0);
    snprintf(row->kernel, sizeof row->kernel, "(all)");
    row->time = *t;
    row->time.wall /= per;
    row->time.cpu /= per;
    row->time.host /= per;
    return FIRN_OK;
}

static firn_status measure(struct firn_bench *b, struct run *r, int64_t count, struct firn_error *err)
{
    struct firn_bench_time prompt, all;
    r->params = (struct firn_generate_params){ .max_new_tokens = 1, .sampling = { .top_p = 1, .repetition_penalty = 1 } };
    const double begin = firn_bench_now(CLOCK_MONOTONIC);
    firn_status status = fill(r, err);
    if (status == FIRN_OK)
        status = firn_session_push(&r->session, "params", r->session.flat, err);
    if (status == FIRN_OK)
        status = generate(r, err);
    b->setup_seconds += firn_bench_now(CLOCK_MONOTONIC) - begin;
    if (status == FIRN_OK)
        status = firn_bench_measure(b->settings, generate, r, &prompt, err);
    r->params.max_new_tokens = 1 + count;
    if (status == FIRN_OK)
        status = firn_bench_measure(b->settings, generate, r, &all, err);
    if (status == FIRN_OK)
        status = add_row(b, "prompt", r, (double) r->n * (double) r->length, &prompt, 1, err);
    all.wall -= prompt.wall;
    all.cpu -= prompt.cpu;
    all.host -= prompt.host;
    return status ? status : add_row(b, "then each token", r, (double) r->n, &all, (double) count, err);
}

firn_status firn_bench_generate(struct firn_bench *b, struct firn_error *err)
{
    const struct firn_bench_settings *p = b->settings;
    struct run r = { .n = p->batch > 0 ? (size_t) p->batch : 1, .length = p->length > 0 ? p->length : 128 };
    if (p->model == NULL)
        return firn_fail(err, FIRN_ERR_USAGE, .key = "--model", .expected = "a config.json or a directory that holds one",
                         .got = "nothing");
    const double begin = firn_bench_now(CLOCK_MONOTONIC);
    const struct firn_session_params params = { .model = p->model, .made = firn_bench_dtype(p->dtype),
                                                .device = b->device->id, .task = FIRN_TASK_CAUSAL_LM,
                                                .log = b->device->log };
    firn_status status = firn_session_open(&r.session, &params, err);
    if (status == FIRN_OK) {
        b->setup_seconds = firn_bench_now(CLOCK_MONOTONIC) - begin;
        status = measure(b, &r, p->n > 0 ? p->n : 32, err);
        firn_session_close(&r.session);
    }
    free(r.prompts);
    free(r.ids);
    return status;
}
