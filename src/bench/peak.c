/* SPDX-License-Identifier: Apache-2.0 */
/* What the device reaches when it does nothing else: multiply-adds that stay in registers, the best matrix product of its
 * library (host) or its matrix units, and a copy of memory. */
#include "base/simd.h"
#include "bench/bench.h"
#include "firn/ops.h"
#include "tensor/blas.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* -- the host -- */

enum { LANES = 16, CHAINS = 10, TURNS = 2000000 };
struct chains {
    float x[CHAINS][LANES];
};

#if defined(__GNUC__) && !defined(__clang__)
#define CONTRACTED __attribute__((optimize("fp-contract=fast", "tree-vectorize")))
#else
#define CONTRACTED
#endif
typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));

/* Enough chains to hide the latency of one multiply-add in each of two pipes. */
FIRN_SIMD CONTRACTED static float multiply_add(const float *scale, int turns)
{
    lanes a = { 0 }, b = { 0 }, x0 = { 1 }, x1 = { 2 }, x2 = { 3 }, x3 = { 4 }, x4 = { 5 }, x5 = { 6 }, x6 = { 7 }, x7 = { 8 },
          x8 = { 9 }, x9 = { 10 };
    a += scale[0];
    b += scale[1];
    for (int i = 0; i < turns; i++) {
        x0 = x0 * a + b;
        x1 = x1 * a + b;
        x2 = x2 * a + b;
        x3 = x3 * a + b;
        x4 = x4 * a + b;
        x5 = x5 * a + b;
        x6 = x6 * a + b;
        x7 = x7 * a + b;
        x8 = x8 * a + b;
        x9 = x9 * a + b;
    }
    x0 += x1 + x2 + x3 + x4 + x5 + x6 + x7 + x8 + x9;
    return x0[0] + x0[LANES - 1];
}

static void multiply_add_task(void *user, int index, int thread)
{
    const float scale[2] = { 0.999f, 0.001f };
    (void) thread;
    ((float *) user)[index] = multiply_add(scale, TURNS);
}

struct host {
    struct firn_pool *pool;
    int n_threads;
    float results[1024];
    float *a, *b;
    size_t bytes;
};

static firn_status host_fma(void *user, struct firn_error *err)
{
    struct host *h = user;
    (void) err;
    firn_pool_run(h->pool, h->n_threads, multiply_add_task, h->results);
    return FIRN_OK;
}

enum { SIDE = 768 };

static void gemm_task(void *user, int index, int thread)
{
    struct host *h = user;
    (void) thread;
    firn_sgemm(false, false, SIDE, SIDE, SIDE, 1, h->a, SIDE, h->a + SIDE * SIDE, SIDE, 0,
               h->b + (size_t) index * SIDE * SIDE, SIDE);
}

static firn_status host_gemm(void *user, struct firn_error *err)
{
    struct host *h = user;
    (void) err;
    firn_pool_run(h->pool, h->n_threads, gemm_task, h);
    return FIRN_OK;
}

static void copy_task(void *user, int index, int thread)
{
    struct host *h = user;
    const size_t each = h->bytes / (size_t) h->n_threads / 64 * 64;
    (void) thread;
    memcpy((char *) h->b + each * (size_t) index, (char *) h->a + each * (size_t) index, each);
}

static firn_status host_copy(void *user, struct firn_error *err)
{
    struct host *h = user;
    (void) err;
    firn_pool_run(h->pool, h->n_threads, copy_task, h);
    return FIRN_OK;
}

static firn_status host_peaks(struct firn_bench *b, const struct firn_bench_settings *s, struct firn_error *err)
{
    struct host h = { .n_threads = b->device->limits.n_threads, .bytes = (size_t) 64 << 20 };
    struct firn_bench_peaks *p = &b->peaks;
    firn_status status = firn_pool_create(&h.pool, h.n_threads, err);
    if (h.n_threads > 1024)
        h.n_threads = 1024;
    if (h.bytes < sizeof(float) * SIDE * SIDE * (size_t) (h.n_threads + 2))
        h.bytes = sizeof(float) * SIDE * SIDE * (size_t) (h.n_threads + 2);
    h.a = malloc(h.bytes);
    h.b = malloc(h.bytes);
    if (status == FIRN_OK && (h.a == NULL || h.b == NULL))
        status = firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for the probes");
    for (size_t i = 0; i < h.bytes / sizeof(float) && status == FIRN_OK; i++)
        h.a[i] = (float) (i % 17) * 0.1f;
    if (status == FIRN_OK)
        status = firn_bench_measure(s, host_fma, &h, &p->fma_time, err);
    if (status == FIRN_OK)
        status = firn_bench_measure(s, host_gemm, &h, &p->matrix_time, err);
    if (status == FIRN_OK)
        status = firn_bench_measure(s, host_copy, &h, &p->copy_time, err);
    if (status == FIRN_OK) {
        const double n = (double) h.n_threads;
        const double fma = 2.0 * CHAINS * LANES * TURNS * n, matrix = 2.0 * SIDE * SIDE * SIDE * n;
        p->fma = fma / p->fma_time.wall;
        p->fma_core = fma / p->fma_time.cpu;
        p->matrix = matrix / p->matrix_time.wall;
        p->matrix_core = matrix / p->matrix_time.cpu;
        p->copy = 2.0 * (double) h.bytes / p->copy_time.wall;
        p->copy_core = 2.0 * (double) h.bytes / p->copy_time.cpu;
        snprintf(p->matrix_name, sizeof p->matrix_name, "%s, %d^3", firn_blas_name(), SIDE);
    }
    free(h.a);
    free(h.b);
    firn_pool_destroy(&h.pool);
    return status;
}

/* -- shaders -- */

enum { GROUPS = 512, FMA_LANES = 64, FMA_CHAINS = 8, SUBGROUPS = 4, COOP_CHAINS = 8, FIRST_TURNS = 16, MOST_TURNS = 1 << 20 };

/* How long the chains are is the step's attribute. */
static void push_turns(const struct firn_call *call, struct firn_dispatch *d)
{
    const uint32_t *turns = call->attrs;
    d->groups[0] = GROUPS;
    firn_push(d, *turns);
    firn_push_f32(d, 0.999f);
    firn_push_f32(d, 0.001f);
}

static void fma_setup(const struct firn_call *call, const struct firn_limits *limits, struct firn_dispatch *d)
{
    (void) limits;
    push_turns(call, d);
}

static void coop_setup(const struct firn_call *call, const struct firn_limits *limits, struct firn_dispatch *d)
{
    push_turns(call, d);
    firn_spec(d, SUBGROUPS * limits->subgroup_size);
    firn_spec(d, limits->coop_m);
    firn_spec(d, limits->coop_n);
    firn_spec(d, limits->coop_k);
}

const struct firn_kernel firn_bench_fma_kernel = { .name = "peak_fma", .shader = "peak_fma", .setup = fma_setup };
const struct firn_kernel firn_bench_coop_kernel = { .name = "peak_coop", .shader = "peak_coop", .needs = FIRN_CAP_COOPMAT,
                                                    .setup = coop_setup };

struct shader {
    struct firn_device *device;
    struct firn_program *program;
};

static firn_status run_shader(void *user, struct firn_error *err)
{
    struct shader *s = user;
    return firn_program_run(s->device, &s->program, 1, err);
}

/* FLOP/s, and per processor second, of a kernel that does `flops` a turn; chains grow until a run is no matter of starting it. */
static firn_status shader_peak(struct firn_bench *b, const struct firn_bench_settings *s, const struct firn_kernel *kernel,
                               double flops, struct firn_bench_time *time, double *peak, double *peak_core,
                               struct firn_error *err)
{
    uint32_t turns = FIRST_TURNS;
    struct firn_step step = { .label = "peak probe", .n_out = 1, .kernel = kernel, .call.attrs = &turns };
    struct shader shader = { .device = b->device };
    step.out[0].size = sizeof(float) * GROUPS * SUBGROUPS * 128;
    firn_status status = firn_buffer_create(b->device, FIRN_MEM_DEVICE, step.out[0].size, &step.out[0].buffer, err);
    for (double once = 0; status == FIRN_OK && once < 0.01; turns *= once < 0.01 ? 4 : 1) {
        firn_program_destroy(b->device, &shader.program);
        status = firn_program_create(b->device, &step, 1, &shader.program, err);
        for (int i = 0; i < 2 && status == FIRN_OK; i++) { /* the first one warms up */
            const double start = firn_bench_now(CLOCK_MONOTONIC);
            status = run_shader(&shader, err);
            once = firn_bench_now(CLOCK_MONOTONIC) - start;
        }
        if (turns >= MOST_TURNS)
            break;
    }
    if (status == FIRN_OK)
        status = firn_bench_measure(s, run_shader, &shader, time, err);
    if (status == FIRN_OK) {
        *peak = flops * turns / time->wall;
        *peak_core = flops * turns / time->cpu;
    }
    firn_program_destroy(b->device, &shader.program);
    firn_buffer_destroy(b->device, &step.out[0].buffer);
    return status;
}

static firn_status shader_peaks(struct firn_bench *b, const struct firn_bench_settings *s, struct firn_error *err)
{
    struct firn_bench_peaks *p = &b->peaks;
    const struct firn_limits *l = &b->device->limits;
    const double fma = 2.0 * GROUPS * FMA_LANES * FMA_CHAINS * 4;
    const double coop = 2.0 * GROUPS * SUBGROUPS * COOP_CHAINS * l->coop_m * l->coop_n * l->coop_k;
    const firn_status status = shader_peak(b, s, &firn_bench_fma_kernel, fma, &p->fma_time, &p->fma, &p->fma_core, err);
    if (status != FIRN_OK || !(l->caps & FIRN_CAP_COOPMAT) || SUBGROUPS * l->subgroup_size > l->max_lanes)
        return status;
    snprintf(p->matrix_name, sizeof p->matrix_name, "f16 matrices of %u x %u x %u, f32 sums", l->coop_m, l->coop_n, l->coop_k);
    return shader_peak(b, s, &firn_bench_coop_kernel, coop, &p->matrix_time, &p->matrix, &p->matrix_core, err);
}

/* The elementwise kernel that reads one number and writes one. */
static firn_status shader_copy(struct firn_bench *b, const struct firn_bench_settings *s, struct firn_error *err)
{
    uint64_t bytes = (uint64_t) 64 << 20;
    if (bytes > b->device->limits.max_binding_bytes)
        bytes = b->device->limits.max_binding_bytes / 4096 * 4096;
    struct firn_bench_settings quiet = *s;
    struct firn_bench inner = { .settings = &quiet, .device = b->device };
    struct firn_graph *g = firn_graph_create();
    struct firn_store *store = NULL;
    struct firn_plan *plan = NULL;
    const int64_t n = (int64_t) (bytes / sizeof(float));
    firn_status status = g != NULL ? firn_store_create(&store, b->device, err)
                                   : firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a graph");
    if (status == FIRN_OK) {
        const firn_val x = firn_graph_leaf(g, FIRN_LEAF_STATE, "from", FIRN_F32, firn_dims(n));
        firn_graph_place(g, firn_scale(g, x, 0.5f), firn_graph_leaf(g, FIRN_LEAF_STATE, "to", FIRN_F32, firn_dims(n)));
        status = firn_graph_check(g, err);
    }
    if (status == FIRN_OK)
        status = firn_plan_create(&plan, g, &b->device->limits, b->device->is_host, b->device->is_exact, err);
    if (status == FIRN_OK)
        status = firn_plan_bind(plan, store, err);
    if (status == FIRN_OK)
        status = firn_bench_plan(&inner, "copy", plan, false, err);
    if (status == FIRN_OK) {
        b->peaks.copy_time = inner.rows[0].time;
        b->peaks.copy = 2.0 * (double) bytes / inner.rows[0].time.wall;
        b->peaks.copy_core = 2.0 * (double) bytes / inner.rows[0].time.cpu;
    }
    free(inner.rows);
    firn_plan_destroy(&plan);
    firn_store_destroy(&store);
    firn_graph_destroy(&g);
    return status;
}

firn_status firn_bench_peaks(struct firn_bench *b, struct firn_error *err)
{
    struct firn_bench_settings brief = *b->settings;
    brief.repeat = 7;
    brief.seconds = 0.5;
    brief.steps = false;
    if (b->device->is_host)
        return host_peaks(b, &brief, err);
    const firn_status status = shader_peaks(b, &brief, err);
    return status ? status : shader_copy(b, &brief, err);
}
