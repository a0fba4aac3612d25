/* SPDX-License-Identifier: Apache-2.0 */
/* The limits that every reader of files must keep, whatever the file holds: an error (or what it asked for) after at
 * most so much processor time, with at most so much memory. */
#ifndef FIRN_TESTS_HOSTILE_LIMITS_H
#define FIRN_TESTS_HOSTILE_LIMITS_H

#include "../model/scratch.h"

#include "firn/status.h"

#include <stdint.h>

#define N_OF(list) (sizeof(list) / sizeof(list)[0])

/* Reads what scratch_path(place) is and lets go of it again. */
typedef firn_status hostile_read(const char *place, struct firn_error *err);

struct reader {
    const char *name;
    void (*make)(void);  /* writes a good `place` into scratch, or NULL */
    hostile_read *read;
    const char *place;   /* what read() gets: a file or folder */
    const char *file;    /* the file that is damaged; NULL: the place itself */
};

/* Reads once, and fails the test when a limit is broken, or when there is an error without a reason. `what` says what
 * was done to the file of `size` bytes. Returns the status. */
firn_status limited(const struct reader *r, size_t size, const char *what);
/* The bytes of a file of scratch; free() them. And writing some, without waiting for the disk. */
uint8_t *hostile_bytes(const char *name, size_t *size);
void hostile_write(const char *name, const void *bytes, size_t size);
/* False where the C library or a sanitizer keeps the count to itself. */
extern const int hostile_counts_memory;
/* The worst so far, for the last line of a test. */
extern double worst_ms;
extern double worst_ratio; /* bytes over what is allowed */

#endif
