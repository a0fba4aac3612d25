/* SPDX-License-Identifier: Apache-2.0 */
/* Named results of a replay, kept until they are written and compared. */
#ifndef FIRN_TRAIN_DUMP_H
#define FIRN_TRAIN_DUMP_H

#include "train/session.h"

struct firn_dump {
    struct firn_named_tensor *list; /* data owned */
    size_t count;
};

/* Copies `values` (of the dtype) under a name; NULL: zeroed. Returns the copy, or NULL without memory. */
void *firn_dump_add(struct firn_dump *d, const char *name, enum firn_dtype dtype, struct firn_shape shape,
                    const void *values);
const struct firn_tensor *firn_dump_find(const struct firn_dump *d, const char *name);
void firn_dump_free(struct firn_dump *d);

/* nf4.* and int8.* of the names in `stored`, or (no list) of every quantised matrix. */
firn_status firn_dump_quantised(struct firn_dump *d, struct firn_session *s, const json_t *stored, struct firn_error *err);

/* Compares with expected.safetensors by the tolerances of the recorded cases; a line a tensor. *failed counts those out of
 * tolerance, missing ones included. */
firn_status firn_dump_compare(const struct firn_dump *d, const struct firn_safetensors *expected,
                              void (*line)(void *user, const char *text), void *user, int *failed,
                              struct firn_error *err);

#endif
