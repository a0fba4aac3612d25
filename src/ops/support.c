/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers that operation files share: references in double, shape rules, grids. */
#include "ops/ops.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

double *firn_ref_in(const struct firn_call *call, int i)
{
    const struct firn_tensor *t = &call->in[i];
    if (!firn_has(t))
        return NULL;
    const int64_t n = firn_count(t);
    double *values = malloc(sizeof *values * (size_t) (n > 0 ? n : 1));
    if (values == NULL)
        abort(); /* the reference device only; an allocation of a tensor's own size */
    firn_tensor_read_f64(t, 0, n, values);
    return values;
}

double *firn_ref_out(const struct firn_call *call, int j)
{
    const int64_t n = firn_count(&call->out[j]);
    double *values = calloc((size_t) (n > 0 ? n : 1), sizeof *values);
    if (values == NULL)
        abort();
    return values;
}

void firn_ref_store(const struct firn_call *call, int j, double *values)
{
    firn_tensor_write_f64(&call->out[j], 0, firn_count(&call->out[j]), values);
    free(values);
}

void firn_ref_store_in(const struct firn_call *call, int i, double *values)
{
    firn_tensor_write_f64(&call->in[i], 0, firn_count(&call->in[i]), values);
    free(values);
}

void firn_ref_free(double *values)
{
    free(values);
}

bool firn_infer_fail(struct firn_infer *s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(s->text, sizeof s->text, format, args);
    va_end(args);
    return false;
}

bool firn_infer_rank(struct firn_infer *s, int i, int rank)
{
    if (s->in[i].shape.rank == rank)
        return true;
    return firn_infer_fail(s, "input %d has the shape %s, not %d axes", i,
                           FIRN_SHAPE_STR(&s->in[i].shape), rank);
}

bool firn_shape_same(struct firn_infer *s)
{
    for (int i = 1; i < s->n_in; i++) {
        if (!firn_dtype_is_float(s->in[i].dtype))
            continue;
        if (!firn_shape_eq(&s->in[i].shape, &s->in[0].shape))
            return firn_infer_fail(s, "shapes differ: %s and %s", FIRN_SHAPE_STR(&s->in[0].shape),
                                   FIRN_SHAPE_STR(&s->in[i].shape));
    }
    s->out[0] = s->in[0];
    return true;
}

firn_val firn_emit1(struct firn_graph *g, const struct firn_op *op, const firn_val *in,
                    const void *attrs)
{
    firn_val out[FIRN_MAX_OUT] = { { 0 } };
    firn_graph_emit(g, op, in, attrs, out);
    return out[0];
}

/* A row of 2,048 work groups, so that work which is cut into rows is cut finely. */
void firn_grid_flat(struct firn_dispatch *d, const struct firn_limits *limits, int64_t n_groups)
{
    const int64_t rows = limits->max_groups[1], need = (n_groups + rows - 1) / rows;
    int64_t width = need > 2048 ? need : 2048;
    width = width < limits->max_groups[0] ? width : limits->max_groups[0];
    d->is_flat = true;
    d->groups[0] = (uint32_t) (n_groups < width ? n_groups : width);
    d->groups[1] = (uint32_t) (n_groups < width ? n_groups > 0 : (n_groups + width - 1) / width);
    d->groups[2] = 1;
}

void firn_setup_flat(const struct firn_call *call, const struct firn_limits *limits,
                     struct firn_dispatch *d)
{
    const struct firn_tensor *t = firn_has(&call->out[0]) ? &call->out[0] : &call->in[0];
    const int64_t n = firn_count(t);
    firn_push(d, (uint64_t) n);
    firn_grid_flat(d, limits, (n + 1023) / 1024);
}

bool firn_is_wide(const struct firn_call *call, const struct firn_limits *limits)
{
    (void) limits;
    return firn_count(firn_has(&call->out[0]) ? &call->out[0] : &call->in[0]) % 4 == 0;
}

bool firn_is_wide_row(const struct firn_call *call, const struct firn_limits *limits)
{
    (void) limits;
    return firn_cols(&call->in[0]) % 4 == 0;
}

static void push_rows(const struct firn_call *call, struct firn_dispatch *d)
{
    firn_push(d, (uint64_t) firn_n_rows(&call->in[0]));
    firn_push(d, (uint64_t) firn_cols(&call->in[0]));
}

void firn_setup_row_lane(const struct firn_call *call, const struct firn_limits *limits,
                         struct firn_dispatch *d)
{
    push_rows(call, d);
    firn_grid_flat(d, limits, (firn_n_rows(&call->in[0]) + 7) / 8);
}

void firn_setup_row_group(const struct firn_call *call, const struct firn_limits *limits,
                          struct firn_dispatch *d)
{
    push_rows(call, d);
    firn_grid_flat(d, limits, firn_n_rows(&call->in[0]));
}

struct over {
    void (*body)(void *user, int64_t begin, int64_t end);
    void *user;
    int64_t n, piece;
};

static void over_task(void *user, int index, int thread)
{
    const struct over *o = user;
    const int64_t begin = index * o->piece;
    (void) thread;
    o->body(o->user, begin, begin + o->piece < o->n ? begin + o->piece : o->n);
}

void firn_over(struct firn_pool *pool, int64_t n, int64_t piece,
               void (*body)(void *user, int64_t begin, int64_t end), void *user)
{
    struct over o = { body, user, n, piece };
    if (n > 0)
        firn_pool_run(pool, (int) ((n + piece - 1) / piece), over_task, &o);
}
