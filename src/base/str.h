/* SPDX-License-Identifier: Apache-2.0 */
/* A growing text, and the nearest known word for an unknown one. */
#ifndef FIRN_BASE_STR_H
#define FIRN_BASE_STR_H

#include "firn/status.h"

#include <stdbool.h>
#include <stdint.h>

/* Zero-initialise; `data` is NUL-terminated once anything was added; free with firn_str_free.
 * Without memory it becomes `failed` and stays as it was. */
struct firn_str {
    char *data;
    size_t size, capacity;
    bool failed;
};
void firn_str_add(struct firn_str *s, const char *text);
void firn_str_add_n(struct firn_str *s, const char *bytes, size_t n);
void firn_str_addf(struct firn_str *s, const char *format, ...) FIRN_PRINTF(2, 3);
void firn_str_free(struct firn_str *s);

char *firn_strdup(const char *text); /* NULL for NULL or without memory */

/* The shortest of 15 to 17 digits that reads back as `value`, with a point or an exponent: 0.001,
 * 1e-05, 3.0 (as Python prints it, in every locale). Returns `text`. */
#define FIRN_REAL_TEXT 40
const char *firn_real_text(char text[FIRN_REAL_TEXT], double value);
/* The whole text as a finite decimal number, in any locale; false when it is not one. */
bool firn_real_parse(const char *text, double *value);
bool firn_int_parse(const char *text, int64_t *value); /* false also beyond 64 bits */

/* The word of the NULL-ended list with the smallest edit distance, or NULL when none is close. */
const char *firn_nearest(const char *word, const char *const *words);

#endif
