/* SPDX-License-Identifier: Apache-2.0 */
/* One table of options is what a YAML reader, an override, --help, a man page and the docs are made from:
 * name, type, unit, default, range, one line of help. */
#ifndef FIRN_BASE_OPTION_H
#define FIRN_BASE_OPTION_H

#include "base/json.h"
#include "base/str.h"

enum firn_option_type {
    FIRN_OPTION_TEXT,  /* char *, owned */
    FIRN_OPTION_INT,   /* int64_t */
    FIRN_OPTION_REAL,  /* double */
    FIRN_OPTION_BOOL,  /* bool */
    FIRN_OPTION_WORD,  /* int: index into words */
    FIRN_OPTION_BYTES, /* int64_t; "512M", "8G" */
    FIRN_OPTION_TREE,  /* json_t *, owned: a mapping or list read by somebody else */
    FIRN_OPTION_TEXTS, /* json_t *, owned: a list of texts; each setting adds one */
};

struct firn_option {
    const char *name;
    const char *also[4];         /* other spellings that are accepted */
    enum firn_option_type type;
    size_t offset;               /* into the struct that the table describes */
    const char *fallback;        /* default, as text; NULL: unset (NULL, 0) */
    double min, max;             /* of numbers; both 0: any */
    const char *const *words;    /* of FIRN_OPTION_WORD, NULL at the end */
    const char *const *words_also; /* other spellings, as many as words, each may be NULL */
    const char *unit;            /* "steps", "bytes", "path" ...; NULL: none */
    const char *help;
    bool is_required;
};

/* Sets every option of the table to its default. The struct must be zeroed. */
firn_status firn_options_reset(const struct firn_option *table, void *values,
                               struct firn_error *err);
/* Reads a mapping; an unknown key is an error that names the nearest known one. `file` and `section` are for the
 * message ("recipe.yaml", "train."). Keys listed in `skip` (NULL-ended, may be NULL) are left alone. */
firn_status firn_options_read(const struct firn_option *table, const json_t *mapping,
                              const char *file, const char *section, const char *const *skip,
                              void *values, struct firn_error *err);
/* Reads those keys of the table that the mapping has, whatever else it holds (a config.json). */
firn_status firn_options_pick(const struct firn_option *table, const json_t *mapping, const char *file,
                              void *values, struct firn_error *err);
/* Sets one option from a text (a command-line value). */
firn_status firn_option_set(const struct firn_option *option, const char *text, const char *file,
                            const char *section, void *values, struct firn_error *err);
const struct firn_option *firn_option_find(const struct firn_option *table, const char *name);
/* The nearest known spelling, or NULL. */
const char *firn_option_nearest(const struct firn_option *table, const char *name);
/* The values as a mapping, in table order; unset ones are left out. */
json_t *firn_options_tree(const struct firn_option *table, const void *values);
void firn_options_free(const struct firn_option *table, void *values);

#endif
