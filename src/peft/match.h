/* SPDX-License-Identifier: Apache-2.0 */
/* Which modules a setting names, by PEFT's rules (tuners_utils.py, utils/other.py). Python's `re` is matched by PCRE2. */
#ifndef FIRN_PEFT_MATCH_H
#define FIRN_PEFT_MATCH_H

#include "base/json.h"

struct firn_pattern; /* one compiled expression */

/* `before` and `after` go around the expression. whole: must match the whole text, else a part from its start. */
firn_status firn_pattern_open(struct firn_pattern **pattern, const char *before, const char *text, const char *after,
                              bool whole, const char *file, const char *key, struct firn_error *err);
void firn_pattern_close(struct firn_pattern **pattern);
/* `group` (may be NULL) gets the number that the last group holds, or -1. */
bool firn_pattern_matches(const struct firn_pattern *pattern, const char *text, int64_t *group);
/* An expression that takes too long gives no match; this tells that it happened. NULL: none did. */
const char *firn_pattern_gave_up(const struct firn_pattern *pattern);

/* A setting that is a text (an expression for the whole path) or a list (paths or their ends). NULL or null: names
 * nothing. The value must outlive it. */
struct firn_names {
    const json_t *list;
    struct firn_pattern *pattern;
};
firn_status firn_names_open(struct firn_names *names, const json_t *value, const char *file, const char *key,
                            struct firn_error *err);
void firn_names_close(struct firn_names *names);
bool firn_names_match(const struct firn_names *names, const char *path);
bool firn_names_is_set(const struct firn_names *names);

/* layers_to_transform and layers_pattern: the layer's number in a path. */
struct firn_layers {
    const json_t *indices;           /* a number or a list; NULL: all layers */
    struct firn_pattern **patterns;
    size_t n_patterns;
};
firn_status firn_layers_open(struct firn_layers *layers, const json_t *indices, const json_t *pattern, const char *file,
                             struct firn_error *err);
void firn_layers_close(struct firn_layers *layers);
bool firn_layers_match(const struct firn_layers *layers, const char *path);

/* rank_pattern and alpha_pattern: numbers by the end of a path or an expression for it; the first that matches. */
struct firn_numbers {
    struct firn_number { struct firn_pattern *pattern; double value; } *list;
    size_t count;
};
firn_status firn_numbers_open(struct firn_numbers *numbers, const json_t *map, bool whole, const char *file,
                              const char *key, struct firn_error *err);
void firn_numbers_close(struct firn_numbers *numbers);
double firn_numbers_find(const struct firn_numbers *numbers, const char *path, double fallback);

/* modules_to_save: true when `path`, or a module that it lies in, ends with `name`. As in PEFT any end will do, so that
 * "classifier" saves DistilBERT's pre_classifier too. */
bool firn_is_saved(const char *path, const char *name);

#endif
