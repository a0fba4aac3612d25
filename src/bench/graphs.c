/* SPDX-License-Identifier: Apache-2.0 */
/* The subjects that are a few operations: each builds a small graph over device memory filled with random numbers. */
#include "bench/bench.h"
#include "firn/ops.h"
#include "grad/grad.h"
#include "ops/ops.h"

#include <stdio.h>
#include <stdlib.h>

/* A graph under construction, with its storage. */
struct setup {
    struct firn_bench *b;
    struct firn_graph *g;
    struct firn_store *store;
    struct firn_plan *plan;
    firn_status status;
    struct firn_error *err;
    int n_outputs;
};

static void begin(struct setup *s, struct firn_bench *b, struct firn_error *err)
{
    *s = (struct setup){ .b = b, .g = firn_graph_create(), .err = err };
    s->status = s->g != NULL ? firn_store_create(&s->store, b->device, err)
                             : firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a graph");
}

/* Bytes for `n` elements: small floats, or whole numbers below `below`. */
static void *values(enum firn_dtype dtype, int64_t n, int64_t below)
{
    char *data = malloc((size_t) n * firn_dtype_size(dtype) + 8);
    struct firn_tensor t = { .dtype = dtype, .shape = firn_dims(n), .data = data };
    uint64_t x = 88172645463325252u; /* xorshift64 (Marsaglia 2003) */
    for (int64_t i = 0; data != NULL && i < n; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        if (dtype == FIRN_I32) {
            ((int32_t *) data)[i] = (int32_t) ((x >> 33) % (uint64_t) below);
        } else {
            const float value = ((float) (int32_t) (uint32_t) (x >> 32)) * 0x1p-31f;
            firn_tensor_write_f32(&t, i, 1, &value);
        }
    }
    return data;
}

static firn_val leaf(struct setup *s, const char *name, enum firn_dtype dtype, struct firn_shape shape, int64_t below)
{
    const int64_t n = firn_shape_count(&shape);
    void *data = s->status == FIRN_OK ? values(dtype, n, below) : NULL;
    if (s->status == FIRN_OK && data == NULL)
        s->status = firn_fail(s->err, FIRN_ERR_MEMORY, .key = name, .what = "out of memory for it");
    if (s->status == FIRN_OK) /* STATE: in the device's memory, copied */
        s->status = firn_store_add(s->store, FIRN_LEAF_STATE, name, (size_t) n * firn_dtype_size(dtype), data, s->err);
    free(data);
    return firn_graph_leaf(s->g, FIRN_LEAF_STATE, name, dtype, shape);
}

static firn_val f32(struct setup *s, const char *name, struct firn_shape shape)
{
    return leaf(s, name, FIRN_F32, shape, 0);
}

/* Nothing is computed that nobody keeps. */
static void keep(struct setup *s, firn_val y)
{
    char name[32];
    if (!firn_is_value(y))
        return;
    snprintf(name, sizeof name, "kept.%d", s->n_outputs++);
    firn_graph_place(s->g, y, firn_graph_leaf(s->g, FIRN_LEAF_STATE, name, FIRN_F32, firn_val_shape(s->g, y)));
}

static firn_status finish(struct setup *s, const char *name, bool each)
{
    struct firn_device *d = s->b->device;
    if (s->status == FIRN_OK)
        s->status = firn_graph_check(s->g, s->err);
    if (s->status == FIRN_OK)
        s->status = firn_plan_create(&s->plan, s->g, &d->limits, d->is_host, d->is_exact, s->err);
    if (s->status == FIRN_OK)
        s->status = firn_plan_bind(s->plan, s->store, s->err);
    if (s->status == FIRN_OK)
        s->status = firn_bench_plan(s->b, name, s->plan, each, s->err);
    firn_plan_destroy(&s->plan);
    firn_store_destroy(&s->store);
    firn_graph_destroy(&s->g);
    return s->status;
}

static struct firn_shape sides(bool swapped, int64_t a, int64_t b)
{
    return swapped ? firn_dims(b, a) : firn_dims(a, b);
}

static int64_t or_else(int64_t value, int64_t fallback)
{
    return value > 0 ? value : fallback;
}

/* y = a b in one transposition, or in all of them. */
static firn_status gemm(struct firn_bench *b, int trans, struct firn_error *err)
{
    const struct firn_bench_settings *p = b->settings;
    const int64_t m = or_else(p->m, 512), n = or_else(p->n, 768), k = or_else(p->k, 384);
    const bool ta = trans & 2, tb = trans & 1;
    const enum firn_dtype dtype = firn_bench_dtype(p->dtype);
    struct setup s;
    char name[160];
    begin(&s, b, err);
    struct firn_matmul_params params = { .trans_a = ta, .trans_b = tb };
    const firn_val x = f32(&s, "a", sides(ta, m, k)), w = leaf(&s, "b", dtype, sides(tb, k, n), 0);
    if (p->has_bias)
        params.bias = f32(&s, "bias", firn_dims(n));
    if (p->has_residual)
        params.residual = f32(&s, "residual", firn_dims(m, n));
    if (p->r > 0) {
        params.u = f32(&s, "u", firn_dims(m, p->r));
        params.v = f32(&s, "v", sides(params.trans_v = tb, p->r, n));
    }
    keep(&s, firn_matmul(s.g, x, w, &params));
    snprintf(name, sizeof name, "gemm %s %s m=%lld n=%lld k=%lld", firn_bench_trans[trans], firn_bench_dtypes[p->dtype],
             (long long) m, (long long) n, (long long) k);
    return finish(&s, name, false);
}

firn_status firn_bench_gemm(struct firn_bench *b, struct firn_error *err)
{
    const int last = 3;
    if (b->settings->trans <= last)
        return gemm(b, b->settings->trans, err);
    firn_status status = FIRN_OK;
    for (int trans = 0; trans <= last && status == FIRN_OK; trans++)
        status = gemm(b, trans, err);
    return status;
}

/* A linear layer alone and with a low-rank update beside it, forward and backward: what the update costs. */
static firn_status lowrank(struct firn_bench *b, bool updated, struct firn_error *err)
{
    const struct firn_bench_settings *p = b->settings;
    const int64_t m = or_else(p->m, 512), n = or_else(p->n, 768), k = or_else(p->k, 768), r = or_else(p->r, 16);
    struct setup s;
    char name[160];
    begin(&s, b, err);
    const firn_val x = f32(&s, "x", firn_dims(m, k)), w = leaf(&s, "w", firn_bench_dtype(p->dtype), firn_dims(n, k), 0);
    const firn_val a = f32(&s, "lora_A", firn_dims(r, k)), c = f32(&s, "lora_B", firn_dims(n, r));
    firn_val all[] = { x, a, c }, dx[3];
    const int n_all = updated ? 3 : 1;
    for (int i = 0; i < n_all && !p->no_backward; i++)
        firn_graph_want(s.g, all[i]);
    firn_val y = firn_matmul(s.g, x, w, firn_matmul_params(.trans_b = true));
    if (updated) {
        const firn_val h = firn_matmul(s.g, x, a, firn_matmul_params(.trans_b = true));
        y = firn_add(s.g, y, firn_matmul(s.g, h, c, firn_matmul_params(.trans_b = true, .alpha = 2)));
    }
    if (!p->no_backward) {
        firn_grad(s.g, y, f32(&s, "dy", firn_dims(m, n)), all, n_all, dx);
        for (int i = 0; i < n_all; i++)
            keep(&s, dx[i]);
    }
    keep(&s, y);
    snprintf(name, sizeof name, "%s m=%lld n=%lld k=%lld r=%lld", updated ? "with low rank" : "linear layer",
             (long long) m, (long long) n, (long long) k, (long long) r);
    return finish(&s, name, updated);
}

firn_status firn_bench_lowrank(struct firn_bench *b, struct firn_error *err)
{
    const firn_status status = lowrank(b, false, err);
    return status ? status : lowrank(b, true, err);
}

firn_status firn_bench_attention(struct firn_bench *b, struct firn_error *err)
{
    const struct firn_bench_settings *p = b->settings;
    const int64_t batch = or_else(p->batch, 1), length = or_else(p->length, 512), heads = or_else(p->heads, 8);
    const int64_t kv = or_else(p->kv_heads, heads), size = or_else(p->head_size, 64), rows = batch * length;
    struct setup s;
    char name[160];
    begin(&s, b, err);
    firn_val all[] = { f32(&s, "q", firn_dims(rows, heads * size)), f32(&s, "k", firn_dims(rows, kv * size)),
                       f32(&s, "v", firn_dims(rows, kv * size)) }, dx[3];
    for (int i = 0; i < 3 && !p->no_backward; i++)
        firn_graph_want(s.g, all[i]);
    const firn_val y = firn_attention(s.g, all[0], all[1], all[2],
                                      firn_attention_params(.batch = (int) batch, .n_heads = (int) heads,
                                                            .n_kv_heads = (int) kv, .causal = p->is_causal,
                                                            .window = (int) p->window));
    if (!p->no_backward) {
        firn_grad(s.g, y, f32(&s, "dy", firn_dims(rows, heads * size)), all, 3, dx);
        for (int i = 0; i < 3; i++)
            keep(&s, dx[i]);
    }
    keep(&s, y);
    snprintf(name, sizeof name, "attention %lld x %lld, heads %lld/%lld of %lld%s", (long long) batch, (long long) length,
             (long long) heads, (long long) kv, (long long) size, p->is_causal ? ", causal" : "");
    return finish(&s, name, true);
}

firn_status firn_bench_loss(struct firn_bench *b, struct firn_error *err)
{
    const struct firn_bench_settings *p = b->settings;
    const int64_t rows = or_else(p->m, 512), vocabulary = or_else(p->n, 4096), width = or_else(p->k, 512);
    struct setup s;
    char name[160];
    begin(&s, b, err);
    const firn_val h = f32(&s, "h", firn_dims(rows, width));
    const firn_val w = leaf(&s, "w", firn_bench_dtype(p->dtype), firn_dims(vocabulary, width), 0);
    const firn_val labels = leaf(&s, "labels", FIRN_I32, firn_dims(rows), vocabulary);
    if (!p->no_backward)
        firn_graph_want(s.g, h);
    const firn_val loss = firn_linear_loss(s.g, h, w, labels, f32(&s, "scale", firn_dims(1)),
                                           &(const struct firn_linear_loss_params){ 0 });
    firn_val dh = { 0 };
    if (!p->no_backward)
        firn_grad(s.g, loss, (firn_val){ 0 }, &h, 1, &dh);
    keep(&s, dh);
    keep(&s, loss);
    snprintf(name, sizeof name, "loss rows=%lld vocabulary=%lld width=%lld", (long long) rows, (long long) vocabulary,
             (long long) width);
    return finish(&s, name, true);
}

static firn_status norm(struct firn_bench *b, bool is_rms, struct firn_error *err)
{
    const struct firn_bench_settings *p = b->settings;
    const int64_t rows = or_else(p->m, 512), width = or_else(p->n, 768);
    struct setup s;
    char name[160];
    begin(&s, b, err);
    firn_val all[] = { f32(&s, "x", firn_dims(rows, width)), f32(&s, "w", firn_dims(width)),
                       f32(&s, "b", firn_dims(width)) }, dx[3];
    const int n = is_rms ? 2 : 3;
    for (int i = 0; i < n && !p->no_backward; i++)
        firn_graph_want(s.g, all[i]);
    const firn_val y = is_rms ? firn_rms_norm(s.g, all[0], all[1], 1e-6f, 0)
                              : firn_layer_norm(s.g, all[0], all[1], all[2], 1e-6f);
    if (!p->no_backward) {
        firn_grad(s.g, y, f32(&s, "dy", firn_dims(rows, width)), all, n, dx);
        for (int i = 0; i < n; i++)
            keep(&s, dx[i]);
    }
    keep(&s, y);
    snprintf(name, sizeof name, "%s rows=%lld width=%lld", is_rms ? "rms_norm" : "layer_norm", (long long) rows,
             (long long) width);
    return finish(&s, name, true);
}

firn_status firn_bench_norm(struct firn_bench *b, struct firn_error *err)
{
    const firn_status status = norm(b, false, err);
    return status ? status : norm(b, true, err);
}

firn_status firn_bench_adamw(struct firn_bench *b, struct firn_error *err)
{
    const int64_t n = or_else(b->settings->n, 1 << 20);
    struct setup s;
    char name[160];
    begin(&s, b, err);
    const firn_val grad = f32(&s, "grad", firn_dims(n)), size = firn_norm2(s.g, grad);
    firn_adamw(s.g, f32(&s, "p", firn_dims(n)), grad, f32(&s, "m", firn_dims(n)), f32(&s, "v", firn_dims(n)),
               f32(&s, "rates", firn_dims(8)), size);
    keep(&s, size);
    snprintf(name, sizeof name, "adamw elements=%lld", (long long) n);
    return finish(&s, name, true);
}
