/* SPDX-License-Identifier: Apache-2.0 */
/* A case of an operation in host memory, filled from a seed. */
#include "base/rng.h"
#include "plan/conform.h"

#include <stdio.h>
#include <stdlib.h>

static firn_status allocate(struct firn_tensor *t, struct firn_error *err)
{
    const size_t size = firn_tensor_bytes(t->dtype, &t->shape);
    t->data = calloc(1, size > 0 ? size : 1);
    return t->data != NULL ? FIRN_OK : firn_fail(err, FIRN_ERR_MEMORY, .what = "no memory for a case");
}

static firn_status fill(struct firn_tensor *t, const struct firn_case *c, int i, uint64_t seed, struct firn_error *err)
{
    const int64_t n = firn_shape_count(&t->shape);
    const double scale = c->scale != 0 ? c->scale : 1.0;
    const int64_t below = c->below[i] != 0 ? c->below[i] : 2;
    double *values = malloc(sizeof *values * (size_t) (n + 1));
    if (values == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "no memory for a case");
    for (int64_t k = 0; k < n; k++) {
        double x;
        if (t->dtype == FIRN_I32)
            x = (double) (int64_t) (firn_uniform(seed, (uint32_t) i, 1, (uint64_t) k) *
                                    (float) below);
        else
            x = scale * firn_normal(seed, (uint32_t) i, 0, (uint64_t) k);
        if (c->positive >> i & 1u)
            x = x < 0 ? -x : x;
        values[k] = x;
    }
    firn_tensor_write_f64(t, 0, n, values); /* at once: quantised types have no single elements */
    free(values);
    return FIRN_OK;
}

firn_status firn_trial_create(struct firn_trial *t, const struct firn_op *op, int case_index,
                              enum firn_dtype floats, uint64_t seed, struct firn_error *err)
{
    const struct firn_case *c = &op->cases[case_index];
    memset(t, 0, sizeof *t);
    t->op = op;
    t->call.attrs = c->attrs;
    struct firn_infer infer = { .n_in = op->n_in, .attrs = c->attrs };
    firn_status status = FIRN_OK;
    for (int i = 0; i < op->n_in && status == FIRN_OK; i++) {
        if (c->in[i].rank == 0)
            continue;
        t->call.in[i].dtype = op->integer >> i & 1u  ? FIRN_I32
                              : floats == FIRN_F32 && c->dtype[i] ? c->dtype[i]
                                                                  : floats;
        t->call.in[i].shape = c->in[i];
        status = allocate(&t->call.in[i], err);
        if (status == FIRN_OK)
            status = fill(&t->call.in[i], c, i, seed + (uint64_t) case_index, err);
        infer.in[i] = t->call.in[i];
    }
    if (status == FIRN_OK) {
        t->is_valid = op->shape(&infer);
        snprintf(t->reason, sizeof t->reason, "%.199s", infer.text);
    }
    for (int j = 0; j < op->n_out && t->is_valid && status == FIRN_OK; j++) {
        t->call.out[j] = infer.out[j];
        status = allocate(&t->call.out[j], err);
    }
    if (status)
        firn_trial_free(t);
    return status;
}

void firn_trial_free(struct firn_trial *t)
{
    for (int i = 0; i < FIRN_MAX_IN; i++)
        free(t->call.in[i].data);
    for (int j = 0; j < FIRN_MAX_OUT && t->is_valid; j++)
        free(t->call.out[j].data);
    memset(t, 0, sizeof *t);
}

void firn_trial_shapes(const struct firn_trial *t, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < t->op->n_in && used < size; i++) {
        const struct firn_tensor *in = &t->call.in[i];
        const int n = snprintf(text + used, size - used, "%s%s", i > 0 ? " " : "",
                               firn_has(in) ? FIRN_SHAPE_STR(&in->shape) : "-");
        used += n > 0 ? (size_t) n : 0;
    }
}
