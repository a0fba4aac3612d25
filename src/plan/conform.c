/* SPDX-License-Identifier: Apache-2.0 */
/* Runs each kernel of each operation on each case and holds it against the reference. The memory
 * around every tensor is checked too: a kernel that writes past its output fails. */
#include "plan/conform.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { GUARD = 256, FILL = 0xA5 };

/* A tensor on the device between two guards. */
struct guarded {
    struct firn_buffer *buffer;
    size_t size;
};

static size_t bytes_of(const struct firn_tensor *t)
{
    return firn_tensor_bytes(t->dtype, &t->shape);
}

static size_t guard_of(const struct firn_device *d)
{
    return d->limits.bind_align > GUARD ? d->limits.bind_align : GUARD;
}

static firn_status guard_create(struct firn_device *d, size_t size, const void *data,
                                struct guarded *out, struct firn_error *err)
{
    const size_t guard = guard_of(d), total = 2 * guard + size;
    unsigned char *image = malloc(total);
    if (image == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "no memory for a case");
    memset(image, FILL, total);
    if (data != NULL && size > 0)
        memcpy(image + guard, data, size);
    out->size = size;
    firn_status status = firn_buffer_create(d, FIRN_MEM_DEVICE, total, &out->buffer, err);
    if (status == FIRN_OK)
        status = firn_buffer_write(d, out->buffer, 0, image, total, err);
    free(image);
    return status;
}

/* Reads the tensor back; *is_clean: the guards are untouched. */
static firn_status guard_read(struct firn_device *d, const struct guarded *g, void *data,
                              bool *is_clean, struct firn_error *err)
{
    const size_t guard = guard_of(d), total = 2 * guard + g->size;
    unsigned char *image = malloc(total);
    if (image == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "no memory for a case");
    const firn_status status = firn_buffer_read(d, g->buffer, 0, image, total, err);
    if (status == FIRN_OK) {
        memcpy(data, image + guard, g->size);
        for (size_t i = 0; i < guard; i++)
            *is_clean &= image[i] == FILL && image[guard + g->size + i] == FILL;
    }
    free(image);
    return status;
}

static struct firn_bind bind_of(const struct firn_device *d, const struct guarded *g)
{
    return (struct firn_bind){ g->buffer, guard_of(d), g->size };
}

/* Runs one step on the device; `got` receives outputs and updated inputs. */
static firn_status run_step(struct firn_device *d, struct firn_step *step, struct firn_trial *got,
                            bool *is_clean, struct firn_error *err)
{
    struct guarded in[FIRN_MAX_IN] = { 0 }, out[FIRN_MAX_OUT] = { 0 }, scratch = { 0 };
    struct firn_program *program = NULL;
    const struct firn_op *op = got->op;
    firn_status status = FIRN_OK;
    size_t scratch_size = 0;
    if (step->kernel != NULL && step->kernel->scratch != NULL)
        scratch_size = step->kernel->scratch(&got->call, &d->limits);
    if (d->is_host && step->host == op->cpu && op->cpu_scratch != NULL)
        scratch_size = op->cpu_scratch(&got->call, d->limits.n_threads);
    for (int i = 0; i < op->n_in && status == FIRN_OK; i++) {
        const struct firn_tensor *t = &got->call.in[i];
        if (!firn_has(t))
            continue;
        status = guard_create(d, bytes_of(t), t->data, &in[i], err);
        step->in[i] = bind_of(d, &in[i]);
    }
    for (int j = 0; j < op->n_out && status == FIRN_OK; j++) {
        status = guard_create(d, bytes_of(&got->call.out[j]), NULL, &out[j], err);
        step->out[j] = bind_of(d, &out[j]);
    }
    if (status == FIRN_OK && scratch_size > 0) {
        status = guard_create(d, scratch_size, NULL, &scratch, err);
        step->scratch = bind_of(d, &scratch);
    }
    if (status == FIRN_OK)
        status = firn_program_create(d, step, 1, &program, err);
    if (status == FIRN_OK)
        status = firn_program_run(d, &program, 1, err);
    for (int i = 0; i < op->n_in && status == FIRN_OK; i++)
        if (in[i].buffer != NULL)
            status = guard_read(d, &in[i], got->call.in[i].data, is_clean, err);
    for (int j = 0; j < op->n_out && status == FIRN_OK; j++)
        status = guard_read(d, &out[j], got->call.out[j].data, is_clean, err);
    firn_program_destroy(d, &program);
    for (int i = 0; i < FIRN_MAX_IN; i++)
        firn_buffer_destroy(d, &in[i].buffer);
    for (int j = 0; j < FIRN_MAX_OUT; j++)
        firn_buffer_destroy(d, &out[j].buffer);
    firn_buffer_destroy(d, &scratch.buffer);
    return status;
}

/* A kernel must not touch what it only reads. */
static void look_for_writes(const struct firn_trial *got, const struct firn_trial *before, struct firn_conform_result *r)
{
    for (int i = 0; i < got->op->n_in; i++) {
        const struct firn_tensor *t = &before->call.in[i];
        if (firn_has(t) && (got->op->updates >> i & 1u) == 0 && memcmp(got->call.in[i].data, t->data, bytes_of(t)) != 0)
            snprintf(r->reason, sizeof r->reason, "input %d was written", i);
    }
}

void firn_conform_report(const struct firn_conform_params *p, struct firn_conform_counts *counts,
                         struct firn_conform_result *r)
{
    if (r->verdict != FIRN_SKIPPED)
        r->verdict = r->most.ratio <= 1.0 && r->reason[0] == '\0' ? FIRN_PASS : FIRN_FAILED;
    counts->passed += r->verdict == FIRN_PASS;
    counts->failed += r->verdict == FIRN_FAILED;
    counts->skipped += r->verdict == FIRN_SKIPPED;
    if (p->result != NULL)
        p->result(p->user, r);
}

static void limits_text(const struct firn_kernel *k, const struct firn_limits *l, char *text,
                        size_t size)
{
    const bool missing = (l->caps & k->needs) != k->needs;
    snprintf(text, size, missing ? "this device lacks a capability it needs (bits 0x%x)"
                                 : "not meant for this class of device (bits 0x%x)",
             missing ? k->needs & ~l->caps : k->never & l->caps);
}

/* One kernel (or host function) on one case. */
static firn_status try_case(struct firn_device *d, const struct firn_op *op,
                            const struct firn_kernel *k, int c,
                            const struct firn_conform_params *p, struct firn_conform_counts *counts,
                            struct firn_error *err)
{
    struct firn_trial got, want, before;
    struct firn_conform_result r = { .op = op->name, .kernel = k != NULL ? k->name : "cpu",
                                     .case_index = c };
    firn_status status = firn_trial_create(&want, op, c, FIRN_F32, p->seed, err);
    if (status)
        return status;
    firn_trial_shapes(&want, r.shapes, sizeof r.shapes);
    if (!want.is_valid) {
        snprintf(r.reason, sizeof r.reason, "the case's shapes are refused: %.150s", want.reason);
        r.verdict = FIRN_FAILED;
        firn_conform_report(p, counts, &r);
        firn_trial_free(&want);
        return FIRN_OK;
    }
    const bool needs_met = k == NULL || (d->limits.caps & k->needs) == k->needs;
    const bool accepted = k == NULL ? op->cpu_accepts == NULL || op->cpu_accepts(&want.call)
                                    : k->accepts == NULL || k->accepts(&want.call, &d->limits);
    if (!needs_met || !accepted) { /* a shape that a kernel leaves to others is no news; a missing capability is, once */
        r.verdict = FIRN_SKIPPED;
        if (!needs_met) {
            limits_text(k, &d->limits, r.reason, sizeof r.reason);
            if (c == 0)
                firn_conform_report(p, counts, &r);
        }
        firn_trial_free(&want);
        return FIRN_OK;
    }
    memset(&before, 0, sizeof before);
    status = firn_trial_create(&got, op, c, FIRN_F32, p->seed, err);
    if (status == FIRN_OK)
        status = firn_trial_create(&before, op, c, FIRN_F32, p->seed, err);
    if (status == FIRN_OK) {
        struct firn_step step = { .label = k != NULL ? k->name : op->name, .call = got.call,
                                  .n_in = op->n_in, .n_out = op->n_out, .updates = op->updates,
                                  .kernel = k, .host = op->cpu };
        step.cost = op->flops != NULL ? op->flops(&got.call) : 0;
        bool is_clean = true;
        struct firn_error fault = { 0 };
        op->ref(&want.call);
        if (run_step(d, &step, &got, &is_clean, &fault) != FIRN_OK)
            snprintf(r.reason, sizeof r.reason, "%.199s", fault.text);
        else if (!is_clean)
            snprintf(r.reason, sizeof r.reason, "memory beside a tensor was written");
        else
            status = firn_difference(op, k, &got.call, &want.call, &r.most, err);
        if (r.reason[0] == '\0')
            look_for_writes(&got, &before, &r);
        firn_conform_report(p, counts, &r);
    }
    firn_trial_free(&got);
    firn_trial_free(&want);
    firn_trial_free(&before);
    return status;
}

static bool selected(const struct firn_conform_params *p, const char *op, const char *kernel)
{
    return p->filter == NULL || strstr(op, p->filter) != NULL || strstr(kernel, p->filter) != NULL;
}

firn_status firn_conform_kernels(struct firn_device *device,
                                 const struct firn_conform_params *params,
                                 struct firn_conform_counts *counts, struct firn_error *err)
{
    firn_status status = FIRN_OK;
    for (const struct firn_op *const *it = firn_op_list(); *it != NULL; it++) {
        const struct firn_op *op = *it;
        for (int c = 0; c < op->n_cases && status == FIRN_OK; c++) {
            if (device->is_host && op->cpu != NULL && selected(params, op->name, "cpu"))
                status = try_case(device, op, NULL, c, params, counts, err);
            for (const struct firn_kernel *k = op->kernels;
                 !device->is_host && k != NULL && k->name != NULL && status == FIRN_OK; k++)
                if (selected(params, op->name, k->name))
                    status = try_case(device, op, k, c, params, counts, err);
        }
        if (status)
            break;
    }
    return status;
}
