/* SPDX-License-Identifier: Apache-2.0 */
/* How far what a device computed lies from the reference, in parts of what is allowed. */
#ifndef FIRN_PLAN_DIFFERENCE_H
#define FIRN_PLAN_DIFFERENCE_H

#include "graph/op.h"

struct firn_difference {
    double ratio;     /* |got - want| / allowed; agrees up to 1, infinite where a NaN is on one side only */
    const char *what; /* "output 0", "input 2" (updated); NULL: nothing was compared */
    int64_t index;    /* of the worst element */
    double got, want, allowed;
};

/* Compares the outputs and updated inputs of one execution with the reference's; both calls hold data. Keeps in *worst
 * what is worse than what it holds. k: the kernel that ran, or NULL for a host function. */
firn_status firn_difference(const struct firn_op *op, const struct firn_kernel *k, const struct firn_call *got,
                            const struct firn_call *want, struct firn_difference *worst, struct firn_error *err);

#endif
