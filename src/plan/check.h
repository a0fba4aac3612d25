/* SPDX-License-Identifier: Apache-2.0 */
/* The first wrong step, named: runs a plan one step at a time and holds each against the reference. */
#ifndef FIRN_PLAN_CHECK_H
#define FIRN_PLAN_CHECK_H

#include "plan/difference.h"
#include "plan/plan.h"

/* What agreed so far; zeroed before the first use. */
struct firn_check {
    uint64_t steps;
    struct firn_difference worst;
    char where[200]; /* the step of `worst` */
};

/* As firn_plan_run, but each step's inputs are read back, the reference computes the step from them, and the first step
 * whose outputs lie further off than its bound ends the run with FIRN_ERR_DEVICE, which names step, kernel and element.
 * The steps after it have not run. For what reading back and doubles in fixed order cost: hundreds of times slower. */
firn_status firn_plan_check(struct firn_plan *plan, struct firn_store *store, bool micro, bool update,
                            struct firn_check *check, struct firn_error *err);

#endif
