/* SPDX-License-Identifier: Apache-2.0 */
/* A table of examples in memory: rows of named values, with the line of the file that each came
 * from. */
#ifndef FIRN_DATA_TABLE_H
#define FIRN_DATA_TABLE_H

#include "base/json.h"

struct firn_row {
    json_t *values; /* an object */
    size_t line;    /* in the file, from 1 */
};

struct firn_table {
    char *path;
    struct firn_row *rows;
    size_t count, capacity;
};

/* Reads .jsonl or .json (an object a line), .csv, .tsv (a header line first), .txt (a text a line,
 * column "text"), by the name's end. A file without examples is an error, and so is a line that
 * cannot be read: both are named. */
firn_status firn_table_load(struct firn_table *table, const char *path, struct firn_error *err);
void firn_table_free(struct firn_table *table);

/* The readers, over bytes in memory, into a table that is zero; `name` is for messages. What was
 * read before an error stays: firn_table_free() it. */
firn_status firn_table_parse_jsonl(struct firn_table *table, const char *name, const char *data,
                                   size_t size, struct firn_error *err);
firn_status firn_table_parse_csv(struct firn_table *table, const char *name, const char *data,
                                 size_t size, char separator, struct firn_error *err);
firn_status firn_table_parse_text(struct firn_table *table, const char *name, const char *data,
                                  size_t size, struct firn_error *err);
/* The name that messages show; replaces one that is there. */
firn_status firn_table_name(struct firn_table *table, const char *name, struct firn_error *err);
/* Takes over `values`, also when it fails. */
firn_status firn_table_add(struct firn_table *table, json_t *values, size_t line,
                           struct firn_error *err);

/* Fails when no row has a value in this column: names the columns that there are, the nearest
 * first. */
firn_status firn_table_column(const struct firn_table *table, const char *key,
                              struct firn_error *err);
/* Column `key` of row i; NULL when it is absent or null. */
const json_t *firn_table_value(const struct firn_table *table, size_t i, const char *key);
/* A text column that must be there: its bytes live as long as the table. Numbers are errors. */
firn_status firn_table_text(const struct firn_table *table, size_t i, const char *key,
                            const char **text, size_t *size, struct firn_error *err);
/* A number that must be there: of JSON, or a text that is one (CSV has only texts). */
firn_status firn_table_number(const struct firn_table *table, size_t i, const char *key,
                              double *number, struct firn_error *err);
/* The error for a column that row i does not have: names those it has. */
firn_status firn_table_missing(const struct firn_table *table, size_t i, const char *key,
                               struct firn_error *err);
/* What a value is, for messages: "a text", "a list", "nothing" (NULL), ... */
const char *firn_value_kind(const json_t *value);

#endif
