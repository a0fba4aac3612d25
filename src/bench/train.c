/* SPDX-License-Identifier: Apache-2.0 */
/* Whole training steps of a model that is only a config.json: random weights, random tokens. */
#include "bench/bench.h"
#include "device/vulkan/vulkan.h"
#include "train/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct run {
    struct firn_session session;
    struct firn_inputs inputs;
    struct firn_rates rates;
    float scale;
    int64_t step;
};

static firn_status step(void *user, struct firn_error *err)
{
    struct run *r = user;
    double loss, norm;
    r->rates.t = ++r->step;
    const struct firn_micro micro = { .inputs = &r->inputs, .scale = r->scale, .step = r->step - 1, .seed = 1,
                                      .rates = &r->rates };
    return firn_session_micro(&r->session, &micro, &loss, &norm, err);
}

static firn_status fill_inputs(struct run *r, const struct firn_bench_settings *p, struct firn_error *err)
{
    const int64_t batch = p->batch > 0 ? p->batch : 1, length = p->length > 0 ? p->length : 128;
    const enum firn_task task = (enum firn_task) p->task;
    firn_status status = firn_inputs_create(&r->inputs, batch, length, 2, err);
    if (status == FIRN_OK && task == FIRN_TASK_SEQ2SEQ_LM) /* as many tokens for the decoder */
        status = firn_inputs_add_target(&r->inputs, length, err);
    if (status)
        return status;
    const struct firn_model *m = &r->session.model;
    uint32_t x = 2463534242u; /* xorshift32 (Marsaglia 2003) */
    for (int64_t i = 0; i < batch * length; i++) {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        r->inputs.input_ids[i] = (int32_t) (x % (uint32_t) m->config.vocabulary);
        r->inputs.attention_mask[i] = 1;
        r->inputs.labels[i] = task == FIRN_TASK_SEQ_CLS || task == FIRN_TASK_TOKEN_CLS ? (int32_t) (x >> 16) & 1
                                                                                      : r->inputs.input_ids[i];
    }
    const struct firn_build_params build = { .batch = batch, .length = length, .task = task, .n_labels = 2 };
    firn_inputs_finish(&r->inputs, m, NULL, &build);
    r->scale = 1.0f / (float) (r->inputs.counted > 0 ? r->inputs.counted : 1);
    return FIRN_OK;
}

/* The first step and its plan. */
static firn_status start(struct run *r, const struct firn_bench_settings *p, struct firn_session_plan **plan,
                         struct firn_error *err)
{
    firn_status status = fill_inputs(r, p, err);
    r->rates = (struct firn_rates){ .lr = 1e-4, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .max_norm = 1 };
    if (status == FIRN_OK)
        status = firn_session_push(&r->session, "params", r->session.flat, err);
    if (status == FIRN_OK)
        status = step(r, err);
    if (status == FIRN_OK)
        status = firn_session_plan_pair(&r->session, FIRN_PLAN_TRAIN, r->inputs.batch, r->inputs.length,
                                        r->inputs.target, plan, err);
    return status;
}

static firn_status add_row(struct firn_bench *b, const struct run *r, const struct firn_plan *plan, const char *what,
                           const struct firn_bench_time *time, struct firn_error *err)
{
    struct firn_bench_row *row = firn_bench_row(b, err);
    struct firn_plan_bytes bytes;
    if (row == NULL)
        return FIRN_ERR_MEMORY;
    firn_plan_bytes(plan, &bytes);
    snprintf(row->name, sizeof row->name, "%s, %lld x %lld tokens, %s", what, (long long) r->inputs.batch,
             (long long) r->inputs.length, r->session.adapter.method != NULL ? r->session.adapter.method->name : "none");
    snprintf(row->kernel, sizeof row->kernel, "(all)");
    row->time = *time;
    row->flops = bytes.flops[0] + bytes.flops[1];
    row->count = (int64_t) (bytes.nodes[0] + bytes.nodes[1]);
    return FIRN_OK;
}

/* One row a step: of the method, and of what it is held against. */
static firn_status measure(struct firn_bench *b, struct run *r, struct run *other, struct firn_error *err)
{
    const struct firn_bench_settings *p = b->settings;
    struct firn_session_plan *plan = NULL, *other_plan = NULL;
    struct firn_bench_time time[2] = { 0 };
    const double begin = firn_bench_now(CLOCK_MONOTONIC);
    firn_status status = start(r, p, &plan, err);
    b->setup_seconds += firn_bench_now(CLOCK_MONOTONIC) - begin;
    if (status == FIRN_OK && other != NULL)
        status = start(other, p, &other_plan, err);
    if (status == FIRN_OK && other == NULL)
        status = firn_bench_measure(p, step, r, time, err);
    else if (status == FIRN_OK)
        status = firn_bench_measure_turns(p, step, (void *[]){ r, other }, time, &b->ratio, err);
    if (status == FIRN_OK)
        status = add_row(b, r, plan->plan, "train step", &time[0], err);
    if (status == FIRN_OK && other != NULL)
        status = add_row(b, other, other_plan->plan, "against", &time[1], err);
    if (status)
        return status;
    firn_plan_bytes(plan->plan, &b->plan);
    b->has_plan = true;
    b->tokens = r->inputs.batch * (r->inputs.length + r->inputs.target);
    if (!b->device->is_host) {
        struct firn_vulkan_stats stats;
        firn_vulkan_stats(b->device, &stats);
        b->device_bytes = stats.memory_bytes;
        b->dispatches = stats.dispatches;
        b->longest_seconds = stats.longest_seconds;
    }
    if (!p->steps)
        return FIRN_OK;
    struct firn_bench_settings brief = *p;
    brief.repeat = 3;
    const struct firn_bench_settings *all = b->settings;
    const size_t n = b->n_rows;
    b->settings = &brief;
    status = firn_bench_plan(b, "plan", plan->plan, true, err);
    b->settings = all;
    if (status == FIRN_OK) { /* the plan as a whole is there already, with its inputs */
        b->rows[0].bytes = b->rows[n].bytes;
        memmove(&b->rows[n], &b->rows[n + 1], sizeof *b->rows * (b->n_rows - n - 1));
        b->n_rows--;
    }
    return status;
}

static firn_status open_session(struct run *r, const struct firn_bench *b, const char *yaml, const char *flag,
                                json_t **method, struct firn_error *err)
{
    const struct firn_bench_settings *p = b->settings;
    firn_status status = firn_yaml_parse(yaml, strlen(yaml), flag, method, err);
    const struct firn_session_params params = {
        .model = p->model, .made = firn_bench_dtype(p->dtype), .device = b->device->id, .task = (enum firn_task) p->task,
        .n_labels = 2, .training = true, .method = *method, .method_file = flag, .method_section = "",
        .log = b->device->log };
    if (status == FIRN_OK)
        status = firn_session_open(&r->session, &params, err);
    if (status == FIRN_OK)
        status = firn_adapter_init(&r->session.adapter, &r->session.model, 1, r->session.flat, err);
    return status;
}

firn_status firn_bench_train(struct firn_bench *b, struct firn_error *err)
{
    const struct firn_bench_settings *p = b->settings;
    json_t *method[2] = { NULL, NULL };
    struct run r[2] = { 0 };
    if (p->model == NULL)
        return firn_fail(err, FIRN_ERR_USAGE, .key = "--model", .expected = "a config.json or a directory that holds one",
                         .got = "nothing");
    const double begin = firn_bench_now(CLOCK_MONOTONIC);
    firn_status status = open_session(&r[0], b, p->method, "--method", &method[0], err);
    b->setup_seconds = firn_bench_now(CLOCK_MONOTONIC) - begin;
    if (status == FIRN_OK && p->against != NULL)
        status = open_session(&r[1], b, p->against, "--against", &method[1], err);
    struct firn_device *outer = b->device;
    if (status == FIRN_OK) {
        b->device = r[0].session.device; /* plans run where the session is */
        status = measure(b, &r[0], p->against != NULL ? &r[1] : NULL, err);
    }
    b->device = outer;
    for (int i = 0; i < 2; i++) {
        firn_inputs_free(&r[i].inputs);
        if (r[i].session.device != NULL)
            firn_session_close(&r[i].session);
        json_decref(method[i]);
    }
    return status;
}
