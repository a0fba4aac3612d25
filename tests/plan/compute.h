/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a small graph on cpu:exact: input, weight and trained leaves are filled from their names. */
#ifndef FIRN_TESTS_PLAN_COMPUTE_H
#define FIRN_TESTS_PLAN_COMPUTE_H

#include "../graph/leaf.h"

/* Makes a plan of the graph (which rewrites it), runs the micro phase, and reads leaf `name` ([n] f32). */
void compute(struct firn_graph *g, const char *name, float *values, size_t n);

#endif
