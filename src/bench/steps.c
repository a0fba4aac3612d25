/* SPDX-License-Identifier: Apache-2.0 */
/* Measures a plan: as a whole, and step by step, each step a program of its own, summed up by kernel. */
#include "bench/bench.h"
#include "firn/ops.h"
#include "graph/op.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static firn_status run_plan(void *user, struct firn_error *err)
{
    return firn_plan_run(user, true, true, err);
}

/* One single-step program. */
struct part {
    struct firn_device *device;
    struct firn_program *program;
};

static firn_status run_part(void *user, struct firn_error *err)
{
    struct part *p = user;
    return firn_program_run(p->device, &p->program, 1, err);
}

/* "layer.0.attention matmul" -> "matmul" */
static const char *op_of(const char *label)
{
    const char *space = strrchr(label, ' ');
    return space != NULL ? space + 1 : label;
}

static void describe(const struct firn_step *s, struct firn_bench_row *row)
{
    const struct firn_call *c = &s->call;
    size_t used = 0;
    used += (size_t) snprintf(row->name, sizeof row->name, "%.40s", op_of(s->label));
    for (int i = 0; i < 2 && used < sizeof row->name; i++)
        if (firn_has(&c->in[i]))
            used += (size_t) snprintf(row->name + used, sizeof row->name - used, " %s", FIRN_SHAPE_STR(&c->in[i].shape));
    snprintf(row->kernel, sizeof row->kernel, "%s", s->kernel != NULL ? s->kernel->name : "host");
}

static struct firn_bench_row *same(struct firn_bench *b, size_t first, const struct firn_bench_row *row)
{
    for (size_t i = first; i < b->n_rows; i++)
        if (strcmp(b->rows[i].name, row->name) == 0 && strcmp(b->rows[i].kernel, row->kernel) == 0)
            return &b->rows[i];
    return NULL;
}

static int by_cpu(const void *a, const void *b)
{
    const struct firn_bench_row *x = a, *y = b;
    return (x->time.cpu < y->time.cpu) - (x->time.cpu > y->time.cpu);
}

/* The runs of a step one after another: what it reads may come from a cache. In-place steps meet their own results. */
static firn_status each_step(struct firn_bench *b, const struct firn_plan *plan, struct firn_error *err)
{
    const size_t first = b->n_rows;
    struct firn_step step;
    enum firn_phase phase;
    firn_status status = FIRN_OK;
    struct firn_bench_settings brief = *b->settings;
    brief.repeat = brief.repeat < 3 ? 3 : brief.repeat;
    for (uint32_t i = 0; status == FIRN_OK && firn_plan_step(plan, i, &step, &phase); i++) {
        struct firn_bench_row row = { .count = 1 };
        struct part part = { .device = b->device };
        describe(&step, &row);
        struct firn_bench_row *into = same(b, first, &row);
        if (into != NULL) { /* measured already */
            into->count++;
            continue;
        }
        status = firn_program_create(b->device, &step, 1, &part.program, err);
        if (status == FIRN_OK)
            status = firn_bench_measure(&brief, run_part, &part, &row.time, err);
        firn_program_destroy(b->device, &part.program);
        row.bytes = firn_bench_bytes(&step.call);
        const struct firn_op *op = firn_op_find(op_of(step.label));
        row.flops = op != NULL && op->flops != NULL ? op->flops(&step.call) : 0;
        if (status == FIRN_OK && (into = firn_bench_row(b, err)) == NULL)
            status = FIRN_ERR_MEMORY;
        if (status == FIRN_OK)
            *into = row;
    }
    for (size_t i = first; i < b->n_rows; i++) {
        struct firn_bench_row *row = &b->rows[i];
        const double n = (double) row->count;
        row->time.wall *= n;
        row->time.cpu *= n;
        row->time.host *= n;
        row->flops *= n;
        row->bytes *= n;
    }
    if (b->n_rows > first)
        qsort(b->rows + first, b->n_rows - first, sizeof *b->rows, by_cpu);
    return status;
}

firn_status firn_bench_plan(struct firn_bench *b, const char *name, struct firn_plan *plan, bool each,
                            struct firn_error *err)
{
    struct firn_bench_row row = { .count = 0 };
    struct firn_step step;
    enum firn_phase phase;
    snprintf(row.name, sizeof row.name, "%s", name);
    for (uint32_t i = 0; firn_plan_step(plan, i, &step, &phase); i++) {
        const struct firn_op *op = firn_op_find(op_of(step.label));
        row.flops += op != NULL && op->flops != NULL ? op->flops(&step.call) : 0;
        row.bytes += firn_bench_bytes(&step.call);
        row.count++;
        if (row.count == 1)
            snprintf(row.kernel, sizeof row.kernel, "%s", step.kernel != NULL ? step.kernel->name : "host");
    }
    if (row.count > 1)
        snprintf(row.kernel, sizeof row.kernel, "(all)");
    firn_status status = firn_bench_measure(b->settings, run_plan, plan, &row.time, err);
    struct firn_bench_row *into = status == FIRN_OK ? firn_bench_row(b, err) : NULL;
    if (into != NULL)
        *into = row;
    else if (status == FIRN_OK)
        status = FIRN_ERR_MEMORY;
    if (status == FIRN_OK && (each || b->settings->steps) && row.count > 1)
        status = each_step(b, plan, err);
    firn_plan_bytes(plan, &b->plan);
    b->has_plan = true;
    return status;
}
