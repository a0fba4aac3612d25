/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a bound plan step by step, each beside the reference on the very inputs that the device had: a difference is of
 * that step alone, not of what came before it. */
#include "plan/check.h"

#include <stdio.h>
#include <stdlib.h>

static size_t bytes_of(const struct firn_tensor *t)
{
    return firn_tensor_bytes(t->dtype, &t->shape);
}

static void call_free(struct firn_call *c)
{
    for (int i = 0; i < FIRN_MAX_IN; i++)
        free(c->in[i].data);
    for (int j = 0; j < FIRN_MAX_OUT; j++)
        free(c->out[j].data);
}

static firn_status allocate(struct firn_tensor *t, struct firn_error *err)
{
    t->data = calloc(1, bytes_of(t) + 1);
    return t->data != NULL ? FIRN_OK : firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a check");
}

/* A step's call with host memory of its own. */
static firn_status call_create(struct firn_call *c, const struct firn_step *step, struct firn_error *err)
{
    firn_status status = FIRN_OK;
    *c = step->call;
    c->pool = NULL;
    c->scratch = NULL;
    for (int i = 0; i < FIRN_MAX_IN; i++)
        c->in[i].data = NULL;
    for (int j = 0; j < FIRN_MAX_OUT; j++)
        c->out[j].data = NULL;
    for (int i = 0; i < step->n_in && status == FIRN_OK; i++)
        if (step->in[i].buffer != NULL)
            status = allocate(&c->in[i], err);
    for (int j = 0; j < step->n_out && status == FIRN_OK; j++)
        status = allocate(&c->out[j], err);
    return status;
}

static firn_status read(struct firn_device *d, const struct firn_bind *bind, struct firn_tensor *t, struct firn_error *err)
{
    return bind->buffer != NULL ? firn_buffer_read(d, bind->buffer, bind->offset, t->data, bytes_of(t), err) : FIRN_OK;
}

static firn_status read_inputs(struct firn_device *d, const struct firn_step *step, struct firn_call *c, struct firn_error *err)
{
    firn_status status = FIRN_OK;
    for (int i = 0; i < step->n_in && status == FIRN_OK; i++)
        status = read(d, &step->in[i], &c->in[i], err);
    return status;
}

static firn_status run(struct firn_device *d, const struct firn_step *step, struct firn_error *err)
{
    struct firn_program *program = NULL;
    firn_status status = firn_program_create(d, step, 1, &program, err);
    if (status == FIRN_OK)
        status = firn_program_run(d, &program, 1, err);
    firn_program_destroy(d, &program);
    return status;
}

/* got: what the device made of it; want: what the reference makes of the same inputs. */
static firn_status run_both(struct firn_device *d, const struct firn_op *op, const struct firn_step *step, struct firn_call *got,
                            struct firn_call *want, struct firn_error *err)
{
    firn_status status = call_create(got, step, err);
    if (status == FIRN_OK)
        status = call_create(want, step, err);
    if (status == FIRN_OK)
        status = read_inputs(d, step, want, err);
    if (status == FIRN_OK)
        status = run(d, step, err);
    if (status == FIRN_OK)
        status = read_inputs(d, step, got, err); /* those that the step updates */
    for (int j = 0; j < step->n_out && status == FIRN_OK; j++)
        status = read(d, &step->out[j], &got->out[j], err);
    if (status == FIRN_OK)
        op->ref(want);
    return status;
}

static firn_status check_step(struct firn_device *d, const struct firn_op *op, const struct firn_step *step,
                              struct firn_check *check, struct firn_error *err)
{
    struct firn_call got = { 0 }, want = { 0 };
    struct firn_difference here = { 0 };
    firn_status status = run_both(d, op, step, &got, &want, err);
    if (status == FIRN_OK)
        status = firn_difference(op, step->kernel, &got, &want, &here, err);
    call_free(&got);
    call_free(&want);
    const char *const by = step->kernel != NULL ? step->kernel->name : d->id;
    if (status == FIRN_OK && here.ratio > 1)
        status = firn_fail(err, FIRN_ERR_DEVICE, .key = step->label,
                           .what = FIRN_STR("%s computes %s wrongly", by, here.what),
                           .expected = FIRN_STR("%.9g at [%lld], give or take %.3g", here.want, (long long) here.index,
                                                here.allowed),
                           .got = FIRN_STR("%.9g", here.got));
    if (status == FIRN_OK && (check->steps == 0 || here.ratio > check->worst.ratio)) {
        check->worst = here;
        snprintf(check->where, sizeof check->where, "%s (%s)", step->label, by);
    }
    check->steps += status == FIRN_OK;
    return status;
}

firn_status firn_plan_check(struct firn_plan *plan, struct firn_store *store, bool micro, bool update,
                            struct firn_check *check, struct firn_error *err)
{
    static const enum firn_phase order[] = { FIRN_PHASE_MICRO, FIRN_PHASE_UPDATE };
    const bool runs[] = { micro, update };
    firn_status status = firn_plan_refresh(plan, err);
    for (int p = 0; p < 2; p++) {
        struct firn_step step;
        enum firn_phase phase;
        for (uint32_t i = 0; runs[p] && status == FIRN_OK && firn_plan_step(plan, i, &step, &phase); i++)
            if (phase == order[p])
                status = check_step(firn_store_device(store), firn_plan_op(plan, i), &step, check, err);
    }
    return status;
}
