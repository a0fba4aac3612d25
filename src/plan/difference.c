/* SPDX-License-Identifier: Apache-2.0 */
/* Holds one execution of an operation against the reference's, element by element. */
#include "plan/difference.h"

#include <math.h>
#include <stdlib.h>

static void default_bound(const struct firn_op *op, const struct firn_call *call, const struct firn_tensor *t,
                          double *bound)
{
    const int64_t n = firn_shape_count(&t->shape);
    double most = 0;
    for (int64_t i = 0; i < n; i++) {
        double x;
        firn_tensor_read_f64(t, i, 1, &x);
        most = fabs(x) > most && isfinite(x) ? fabs(x) : most;
    }
    const double terms = op->terms != NULL ? (double) op->terms(call) : 1.0;
    for (int64_t i = 0; i < n; i++)
        bound[i] = (8.0 + 2.0 * terms) * 0x1p-24 * most;
}

static void compare(const struct firn_tensor *got, const struct firn_tensor *want, const double *bound, const char *what,
                    struct firn_difference *worst)
{
    const int64_t n = firn_shape_count(&want->shape);
    for (int64_t i = 0; i < n; i++) {
        double g, w;
        firn_tensor_read_f64(got, i, 1, &g);
        firn_tensor_read_f64(want, i, 1, &w);
        const bool same = g == w; /* equal infinities too */
        double ratio = same ? 0 : fabs(g - w) / bound[i];
        if (!same && !(fabs(g - w) <= bound[i])) /* NaN never passes */
            ratio = isfinite(ratio) && ratio > 1 ? ratio : INFINITY;
        if (ratio > worst->ratio || worst->what == NULL)
            *worst = (struct firn_difference){ ratio, what, i, g, w, bound[i] };
    }
}

static firn_status compare_tensor(const struct firn_op *op, const struct firn_kernel *k, const struct firn_call *got,
                                  const struct firn_call *want, int out, int in, struct firn_difference *worst,
                                  struct firn_error *err)
{
    static const char *const outs[FIRN_MAX_OUT] = { "output 0", "output 1", "output 2" };
    static const char *const ins[FIRN_MAX_IN] = { "input 0", "input 1", "input 2", "input 3",
                                                  "input 4", "input 5", "input 6", "input 7" };
    const struct firn_tensor *w = out >= 0 ? &want->out[out] : &want->in[in];
    const struct firn_tensor *g = out >= 0 ? &got->out[out] : &got->in[in];
    double *bound = calloc((size_t) firn_shape_count(&w->shape) + 1, sizeof *bound);
    if (bound == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "no memory for a comparison");
    if (out >= 0 && k != NULL && k->bound != NULL)
        k->bound(want, out, bound);
    else if (out >= 0 && op->bound != NULL)
        op->bound(want, out, bound);
    else
        default_bound(op, want, w, bound);
    compare(g, w, bound, out >= 0 ? outs[out] : ins[in], worst);
    free(bound);
    return FIRN_OK;
}

firn_status firn_difference(const struct firn_op *op, const struct firn_kernel *k, const struct firn_call *got,
                            const struct firn_call *want, struct firn_difference *worst, struct firn_error *err)
{
    firn_status status = FIRN_OK;
    for (int j = 0; j < op->n_out && status == FIRN_OK; j++)
        status = compare_tensor(op, k, got, want, j, -1, worst, err);
    for (int i = 0; i < op->n_in && status == FIRN_OK; i++)
        if (firn_has(&want->in[i]) && (op->updates >> i & 1u))
            status = compare_tensor(op, k, got, want, -1, i, worst, err);
    return status;
}
