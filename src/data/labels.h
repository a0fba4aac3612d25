/* SPDX-License-Identifier: Apache-2.0 */
/* The labels of a classification task: words or numbers, sorted, and their places in that order. */
#ifndef FIRN_DATA_LABELS_H
#define FIRN_DATA_LABELS_H

#include "data/table.h"

struct firn_labels {
    char **names;
    size_t count;
    json_t *places; /* name -> place in `names` */
};

/* Those found in a column (a value, or a list of values a row), sorted: numbers by size, then words
 * by bytes. A text that is a number counts as one, since CSV has only texts; 1.0 and 1 are one
 * label. */
firn_status firn_labels_collect(struct firn_labels *labels, const struct firn_table *table,
                                const char *column, struct firn_error *err);
/* From a list of texts (or numbers) in the order that is to hold. */
firn_status firn_labels_from_json(struct firn_labels *labels, const json_t *list,
                                  struct firn_error *err);
json_t *firn_labels_json(const struct firn_labels *labels);
/* The place of row i's value (one of a list: `value`); an unknown one is an error that names the
 * line and what is known. */
firn_status firn_labels_find(const struct firn_labels *labels, const struct firn_table *table,
                             size_t i, const json_t *value, int32_t *index, struct firn_error *err);
void firn_labels_free(struct firn_labels *labels);

#endif
