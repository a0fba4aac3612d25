/* SPDX-License-Identifier: Apache-2.0 */
/* Holds every backward rule against central differences of its op's reference, in double. */
#include "base/rng.h"
#include "grad/grad.h"
#include "plan/conform.h"
#include "plan/plan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_PROBES = 200 };

/* A graph of one op with all its float inputs wanted, its gradients placed in leaves. */
struct probe {
    struct firn_trial trial;
    struct firn_graph *g;
    struct firn_plan *plan;
    struct firn_store *store;
    double *dy;
    int64_t n_y;
    bool has[FIRN_MAX_IN]; /* the rule gives a gradient for input i */
};

static const char *name_of(char *text, const char *what, int i)
{
    snprintf(text, 16, "%s%d", what, i);
    return text;
}

static void build(struct probe *p)
{
    const struct firn_op *op = p->trial.op;
    firn_val in[FIRN_MAX_IN] = { { 0 } }, out[FIRN_MAX_OUT] = { { 0 } }, dx[FIRN_MAX_IN];
    char name[16];
    for (int i = 0; i < op->n_in; i++) {
        const struct firn_tensor *t = &p->trial.call.in[i];
        if (!firn_has(t))
            continue;
        const bool is_int = t->dtype == FIRN_I32;
        in[i] = firn_graph_leaf(p->g, is_int ? FIRN_LEAF_INPUT : FIRN_LEAF_PARAM,
                                name_of(name, "x", i), t->dtype, t->shape);
        if (!is_int)
            firn_graph_want(p->g, in[i]);
    }
    firn_graph_emit(p->g, op, in, p->trial.call.attrs, out);
    if (firn_graph_error(p->g) != NULL)
        return;
    const struct firn_shape shape = firn_val_shape(p->g, out[0]);
    const firn_val dy = firn_graph_leaf(p->g, FIRN_LEAF_INPUT, "dy", FIRN_F64, shape);
    firn_val y = firn_mul(p->g, out[0], dy); /* d sum(y dy) is what dy asks for */
    firn_graph_place(p->g, y, firn_graph_leaf(p->g, FIRN_LEAF_OUTPUT, "y", FIRN_F64, shape));
    firn_grad(p->g, out[0], dy, in, op->n_in, dx);
    for (int i = 0; i < op->n_in && firn_graph_error(p->g) == NULL; i++) {
        if (!firn_is_value(dx[i]) || !firn_is_value(in[i]))
            continue;
        p->has[i] = true;
        const firn_val at = firn_graph_leaf(p->g, FIRN_LEAF_OUTPUT, name_of(name, "dx", i),
                                            FIRN_F64, firn_val_shape(p->g, in[i]));
        /* a rule may return dy itself or a view: copy by an op, so that it can be placed */
        firn_graph_place(p->g, firn_scale(p->g, dx[i], 1.0f), at);
    }
    p->n_y = firn_shape_count(&shape);
}

static firn_status upload(struct probe *p, struct firn_error *err)
{
    char name[16];
    firn_status status = FIRN_OK;
    for (int i = 0; i < p->trial.op->n_in && status == FIRN_OK; i++) {
        const struct firn_tensor *t = &p->trial.call.in[i];
        const size_t size = firn_tensor_bytes(t->dtype, &t->shape);
        if (firn_has(t))
            status = firn_store_add(p->store,
                                    t->dtype == FIRN_I32 ? FIRN_LEAF_INPUT : FIRN_LEAF_PARAM,
                                    name_of(name, "x", i), size, t->data, err);
    }
    return status;
}

/* sum(y dy) for the inputs that are in the store now. */
static firn_status evaluate(struct probe *p, double *sum, struct firn_error *err)
{
    firn_status status = firn_plan_run(p->plan, true, false, err);
    double *y = calloc((size_t) p->n_y + 1, sizeof *y);
    if (status == FIRN_OK && y != NULL)
        status = firn_store_read(p->store, "y", 0, y, sizeof *y * (size_t) p->n_y, err);
    *sum = 0;
    for (int64_t i = 0; y != NULL && i < p->n_y; i++)
        *sum += y[i];
    free(y);
    return status;
}

static firn_status check_input(struct probe *p, int i, double *dx, struct firn_difference *worst,
                               struct firn_error *err)
{
    const struct firn_tensor *t = &p->trial.call.in[i];
    const int64_t n = firn_shape_count(&t->shape);
    double *x = t->data, most = 0;
    char name[16];
    firn_status status = FIRN_OK;
    for (int64_t k = 0; k < n; k++)
        most = fabs(dx[k]) > most ? fabs(dx[k]) : most;
    const int64_t stride = n > MAX_PROBES ? n / MAX_PROBES : 1;
    for (int64_t k = 0; k < n && status == FIRN_OK; k += stride) {
        const double h = 1e-5 * (fabs(x[k]) > 1 ? fabs(x[k]) : 1), keep = x[k];
        double up = 0, down = 0;
        name_of(name, "x", i);
        x[k] = keep + h;
        status = firn_store_write(p->store, name, (size_t) k * 8, &x[k], 8, err);
        if (status == FIRN_OK)
            status = evaluate(p, &up, err);
        x[k] = keep - h;
        if (status == FIRN_OK)
            status = firn_store_write(p->store, name, (size_t) k * 8, &x[k], 8, err);
        if (status == FIRN_OK)
            status = evaluate(p, &down, err);
        x[k] = keep;
        if (status == FIRN_OK)
            status = firn_store_write(p->store, name, (size_t) k * 8, &x[k], 8, err);
        /* central differences: h^2 f''' / 6 of truncation, eps |f| / h of rounding */
        const double slope = (up - down) / (2 * h);
        const double allowed = 1e-6 * (most + fabs(dx[k])) + 1e-9 * (1 + fabs(up)) + 1e-10;
        const double ratio = fabs(slope - dx[k]) / allowed;
        if (!(ratio <= worst->ratio))
            *worst = (struct firn_difference){ isnan(ratio) ? INFINITY : ratio, worst->what, k, dx[k], slope, allowed };
    }
    return status;
}

static firn_status start(struct probe *p, struct firn_device *exact, uint64_t seed,
                         struct firn_error *err)
{
    firn_status status = firn_store_create(&p->store, exact, err);
    if (status == FIRN_OK)
        status = upload(p, err);
    if (status == FIRN_OK)
        status = firn_plan_create(&p->plan, p->g, &exact->limits, true, true, err);
    if (status == FIRN_OK)
        status = firn_plan_bind(p->plan, p->store, err);
    p->dy = calloc((size_t) p->n_y + 1, sizeof *p->dy);
    for (int64_t k = 0; p->dy != NULL && k < p->n_y; k++)
        p->dy[k] = firn_normal(seed, 99, 0, (uint64_t) k);
    if (status == FIRN_OK && p->dy != NULL)
        status = firn_store_write(p->store, "dy", 0, p->dy, 8 * (size_t) p->n_y, err);
    return status;
}

static firn_status check_case(struct firn_device *exact, const struct firn_op *op, int c,
                              const struct firn_conform_params *params,
                              struct firn_conform_counts *counts, struct firn_error *err)
{
    struct probe p = { 0 };
    firn_status status = firn_trial_create(&p.trial, op, c, FIRN_F64, params->seed, err);
    if (status)
        return status;
    p.g = firn_graph_create();
    if (p.g != NULL && p.trial.is_valid)
        build(&p);
    struct firn_conform_result r = { .op = op->name, .kernel = "gradient", .case_index = c };
    firn_trial_shapes(&p.trial, r.shapes, sizeof r.shapes);
    if (p.g == NULL || firn_graph_error(p.g) != NULL || !p.trial.is_valid)
        snprintf(r.reason, sizeof r.reason, "%.199s",
                 p.g == NULL || p.trial.reason[0] ? p.trial.reason : firn_graph_error(p.g));
    else
        status = start(&p, exact, params->seed, err);
    for (int i = 0; i < op->n_in && status == FIRN_OK && r.reason[0] == '\0'; i++) {
        const struct firn_tensor *t = &p.trial.call.in[i];
        static const char *const names[] = { "d input 0", "d input 1", "d input 2", "d input 3",
                                             "d input 4", "d input 5", "d input 6", "d input 7" };
        if (!p.has[i])
            continue;
        const int64_t n = firn_shape_count(&t->shape);
        double *dx = calloc((size_t) n + 1, sizeof *dx), sum;
        char name[16];
        r.most.what = names[i];
        if (dx == NULL)
            status = firn_fail(err, FIRN_ERR_MEMORY, .what = "no memory for a case");
        if (status == FIRN_OK)
            status = evaluate(&p, &sum, err);
        if (status == FIRN_OK)
            status = firn_store_read(p.store, name_of(name, "dx", i), 0, dx, 8 * (size_t) n, err);
        if (status == FIRN_OK)
            status = check_input(&p, i, dx, &r.most, err);
        free(dx);
        if (r.most.ratio > 1)
            break;
    }
    if (status == FIRN_OK)
        firn_conform_report(params, counts, &r);
    firn_plan_destroy(&p.plan);
    firn_store_destroy(&p.store);
    firn_graph_destroy(&p.g);
    free(p.dy);
    firn_trial_free(&p.trial);
    return status;
}

firn_status firn_conform_gradients(const struct firn_conform_params *params,
                                   struct firn_conform_counts *counts, struct firn_error *err)
{
    struct firn_device *exact = NULL;
    firn_status status = firn_cpu_open(&exact, true, 1, err);
    for (const struct firn_op *const *it = firn_op_list(); *it != NULL && status == FIRN_OK; it++) {
        const struct firn_op *op = *it;
        if (op->grad == NULL || op->alias || op->join ||
            (params->filter != NULL && strstr(op->name, params->filter) == NULL))
            continue;
        for (int c = 0; c < op->n_cases && status == FIRN_OK; c++)
            if (!op->cases[c].no_grad)
                status = check_case(exact, op, c, params, counts, err);
    }
    firn_device_close(&exact);
    return status;
}
