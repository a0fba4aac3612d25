/* SPDX-License-Identifier: Apache-2.0 */
/* Character classes of a regular expression that is being translated; for regex.c only. */
#ifndef FIRN_TEXT_REGEX_CLASS_H
#define FIRN_TEXT_REGEX_CLASS_H

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct firn_regex {
    const char *start, *at, *end;
    char *what; /* 100 bytes: why it was refused */
    int n_groups;
    bool failed;
};

/* Members of a class for what \w is when it stands alone: in a class it lacks the numbers of
 * Latin-1. */
void firn_regex_word(struct firn_str *members);
void firn_regex_refuse(struct firn_regex *r, const char *what);
/* Writes a code point so that it means itself, inside and outside of a class. */
void firn_regex_code(struct firn_str *out, uint32_t code);
/* Translates the class, or the escape for one character or a set of them, at r->at. */
void firn_regex_class(struct firn_regex *r, struct firn_str *out, int depth);
void firn_regex_class_escape(struct firn_regex *r, struct firn_str *out);

#endif
