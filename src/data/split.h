/* SPDX-License-Identifier: Apache-2.0 */
/* A seeded split of a table into rows to train on and rows to validate with. */
#ifndef FIRN_DATA_SPLIT_H
#define FIRN_DATA_SPLIT_H

#include "data/table.h"

/* Moves round(fraction * rows) rows, at least one, from `table` to `validation` (made anew; free
 * it). Both keep the file's order. Which rows depends on their number and the seed only. The
 * fraction is in (0, 1) and at least one row must stay, else it is an error. */
firn_status firn_table_split(struct firn_table *table, double fraction, uint64_t seed,
                             struct firn_table *validation, struct firn_error *err);

/* Keeps `count` rows, in the file's order; does nothing when there are no more. A smaller count keeps a part of what a
 * larger one keeps. */
firn_status firn_table_sample(struct firn_table *table, size_t count, uint64_t seed, struct firn_error *err);

#endif
