/* SPDX-License-Identifier: Apache-2.0 */
/* Reverse-mode differentiation as a walk that appends nodes to the same graph. */
#ifndef FIRN_GRAD_GRAD_H
#define FIRN_GRAD_GRAD_H

#include "graph/graph.h"

/* Appends the nodes that compute d(sum of y * dy) / d x[i] for every x[i] (leaves or views that were
 * firn_graph_want()ed). dy has y's shape; it may be empty when y is what firn_attach_grad() returned (a loss, whose
 * gradients are known already), else the graph fails. dx[i] is empty when no gradient reaches x[i]. Two uses of one
 * value meet in `add`. */
void firn_grad(struct firn_graph *g, firn_val y, firn_val dy, const firn_val *x, int n, firn_val *dx);

#endif
