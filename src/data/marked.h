/* SPDX-License-Identifier: Apache-2.0 */
/* A text with the parts that are answers: what a template or a conversation becomes. */
#ifndef FIRN_DATA_MARKED_H
#define FIRN_DATA_MARKED_H

#include "base/json.h"
#include "base/str.h"

/* Zero-initialise; firn_marked_free() it. */
struct firn_marked {
    struct firn_str text;
    struct firn_mark { size_t begin, end; } *marks; /* bytes of the text, in order, apart from each other */
    size_t n, capacity;
    bool failed;                                    /* out of memory */
};
void firn_marked_free(struct firn_marked *m);
void firn_marked_clear(struct firn_marked *m);
/* What is between the two is an answer. */
void firn_marked_begin(struct firn_marked *m);
void firn_marked_end(struct firn_marked *m);
/* UTF-8 code points before byte `at`: what the offsets of tokens count. */
size_t firn_marked_points(const struct firn_marked *m, size_t at);

/* Fills a template: {name} is a column of `row`, {{ and }} are braces. From the field `answer` (NULL: none) to the end it is
 * an answer, with the spaces before it, which tokenizers make part of its first token; with `is_prompt` the text ends
 * there. `file` and `line` are for messages. */
firn_status firn_template_fill(const char *template, const json_t *row, const char *answer, bool is_prompt,
                               const char *file, size_t line, struct firn_marked *out, struct firn_error *err);
/* Whether braces pair up and the answer is one of the fields; `file` is for messages. */
firn_status firn_template_check(const char *template, const char *answer, const char *file, struct firn_error *err);
/* The only field but the answer, malloc'd; NULL when there are several or none. */
char *firn_template_only_field(const char *template, const char *answer);

#endif
