/* SPDX-License-Identifier: Apache-2.0 */
/* What splits and replaces look for: a text, or a regular expression run by PCRE2. */
#ifndef FIRN_TEXT_PATTERN_H
#define FIRN_TEXT_PATTERN_H

#include "text/fields.h"

#include <stddef.h>
#include <stdint.h>

struct firn_pattern {
    void *code; /* pcre2_code; NULL for a text */
    char *text;
    size_t size;
    bool has_jit;
};

/* What a thread needs to run patterns; zero-initialise. */
struct firn_matcher {
    void *data, *context, *stack;
};
void firn_matcher_free(struct firn_matcher *m);

/* Reads `key` of a stage: {"String": ...} or {"Regex": ...}. */
firn_status firn_pattern_read(struct firn_pattern *p, const struct firn_place *at,
                              const json_t *object, const char *key);
firn_status firn_pattern_compile(struct firn_pattern *p, const struct firn_place *at,
                                 const char *regex, size_t size);
void firn_pattern_free(struct firn_pattern *p);

/* A walk over the matches in a subject. Matches do not overlap; an empty one is not found where the
 * one before ended. */
struct firn_walk {
    const uint8_t *subject;
    size_t size, from, last;
    bool has_last;
    size_t begin, end; /* of the match found */
};
/* Finds the next match: *found says whether there was one. */
firn_status firn_pattern_next(const struct firn_pattern *p, struct firn_matcher *m,
                              struct firn_walk *w, bool *found, struct firn_error *err);

#endif
