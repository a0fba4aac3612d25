/* SPDX-License-Identifier: Apache-2.0 */
/* A pool of threads that runs numbered tasks. Which thread runs a task never changes a result:
 * tasks write disjoint outputs and sums inside a task have a fixed order. */
#ifndef FIRN_BASE_POOL_H
#define FIRN_BASE_POOL_H

#include "firn/status.h"

struct firn_pool;

/* n_threads 0: as many as the process may use (FIRN_THREADS overrides). */
firn_status firn_pool_create(struct firn_pool **pool, int n_threads, struct firn_error *err);
void firn_pool_destroy(struct firn_pool **pool);
int firn_pool_threads(const struct firn_pool *pool); /* 1 for NULL */
/* Calls task(user, i, thread) for i in 0..n_tasks-1 and waits; the caller's thread works too.
 * pool NULL: runs them in order on this thread. A task must not run its own pool; two threads that
 * share a pool take turns. `thread` is in 0..firn_pool_threads()-1. */
void firn_pool_run(struct firn_pool *pool, int n_tasks,
                   void (*task)(void *user, int index, int thread), void *user);

#endif
