/* SPDX-License-Identifier: Apache-2.0 */
/* The large parts of a tokenizer.json, model.vocab and model.merges, read straight from the file:
 * as a tree of values they would take many times its size. */
#ifndef FIRN_TEXT_SCAN_H
#define FIRN_TEXT_SCAN_H

#include "base/str.h"
#include "firn/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A position in JSON text. The first failure is kept: later calls do nothing. */
struct firn_scan {
    const char *start, *at, *end;
    const char *file; /* for errors */
    struct firn_error *err;
    struct firn_str text; /* the last string that was read, unescaped */
    firn_status status;
};

void firn_scan_init(struct firn_scan *s, const char *file, const char *data, size_t size,
                    struct firn_error *err);
void firn_scan_finish(struct firn_scan *s);
void firn_scan_fail(struct firn_scan *s, const char *expected);

/* The next character that is not white space, not consumed; '\0' at the end or after a failure. */
char firn_scan_peek(struct firn_scan *s);
/* Consumes `c` or fails. */
void firn_scan_expect(struct firn_scan *s, char c);
/* Inside of an object or array: false at its end (`close`, consumed). Set *is_first before. */
bool firn_scan_more(struct firn_scan *s, char close, bool *is_first);
void firn_scan_string(struct firn_scan *s);
/* A number, as serde_json reads it into a double (which may be off by the last bit). */
double firn_scan_number(struct firn_scan *s);
int64_t firn_scan_integer(struct firn_scan *s);
void firn_scan_skip(struct firn_scan *s); /* any value, nested to 64 levels at most */

/* Where model.vocab and model.merges are ([0, 0] when not there), and the file without them: each
 * is null in `rest`, with as many line feeds as it had. */
struct firn_parts {
    const char *vocab, *vocab_end, *merges, *merges_end;
    struct firn_str rest;
};
firn_status firn_scan_parts(struct firn_parts *parts, const char *file, const char *data,
                            size_t size, struct firn_error *err);

#endif
