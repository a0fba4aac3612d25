/* SPDX-License-Identifier: Apache-2.0 */
/* Tables: choosing the reader by the file's name, and getting at columns. */
#include "data/table.h"

#include "base/file.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#define MAX_FILE_BYTES ((size_t) 1 << 36)

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static firn_status no_memory(const struct firn_table *t, struct firn_error *err)
{
    return firn_fail(err, FIRN_ERR_MEMORY, .file = t->path, .what = "no memory for its examples");
}

firn_status firn_table_load(struct firn_table *t, const char *path, struct firn_error *err)
{
    static const char *const ends[] = { ".jsonl", ".json", ".csv", ".tsv", ".txt" };
    char *data = NULL;
    size_t size = 0;
    bool is_known = false;
    *t = (struct firn_table){ 0 };
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        is_known = is_known || ends_with(path, ends[i]);
    if (!is_known && firn_path_exists(path))
        return firn_fail(err, FIRN_ERR_USAGE, .file = path,
                         .expected = "a name that ends in .jsonl, .json, .csv, .tsv or .txt", .got = "another");
    firn_status s = firn_file_read(path, MAX_FILE_BYTES, &data, &size, err);
    if (s)
        return s;
    if (ends_with(path, ".jsonl") || ends_with(path, ".json"))
        s = firn_table_parse_jsonl(t, path, data, size, err);
    else if (ends_with(path, ".csv"))
        s = firn_table_parse_csv(t, path, data, size, ',', err);
    else if (ends_with(path, ".tsv"))
        s = firn_table_parse_csv(t, path, data, size, '\t', err);
    else
        s = firn_table_parse_text(t, path, data, size, err);
    free(data);
    if (s == FIRN_OK && t->count == 0)
        s = firn_fail(err, FIRN_ERR_FORMAT, .file = path, .what = "holds no examples");
    if (s)
        firn_table_free(t);
    return s;
}

void firn_table_free(struct firn_table *t)
{
    for (size_t i = 0; i < t->count; i++)
        json_decref(t->rows[i].values);
    free(t->rows);
    free(t->path);
    *t = (struct firn_table){ 0 };
}

firn_status firn_table_name(struct firn_table *t, const char *name, struct firn_error *err)
{
    char *path = firn_strdup(name);
    if (path == NULL)
        return no_memory(t, err);
    free(t->path);
    t->path = path;
    return FIRN_OK;
}

firn_status firn_table_add(struct firn_table *t, json_t *values, size_t line,
                           struct firn_error *err)
{
    if (values == NULL)
        return no_memory(t, err);
    if (t->count == t->capacity) {
        const size_t capacity = t->capacity > 0 ? 2 * t->capacity : 256;
        struct firn_row *rows = realloc(t->rows, capacity * sizeof *rows);
        if (rows == NULL) {
            json_decref(values);
            return no_memory(t, err);
        }
        t->rows = rows;
        t->capacity = capacity;
    }
    t->rows[t->count++] = (struct firn_row){ values, line };
    return FIRN_OK;
}

const json_t *firn_table_value(const struct firn_table *t, size_t i, const char *key)
{
    const json_t *v = json_object_get(t->rows[i].values, key);
    return json_is_null(v) ? NULL : v;
}

const char *firn_value_kind(const json_t *v)
{
    if (v == NULL)
        return "nothing";
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "a list";
    case JSON_STRING:
        return "a text";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    default:
        return "null";
    }
}

/* "a and b", the nearest to `key` first. */
static void list_columns(struct firn_str *out, json_t *values, const char *key)
{
    const size_t n = json_object_size(values);
    const char **names = calloc(n + 1, sizeof *names);
    const char *name;
    json_t *v;
    size_t i = 0;
    if (names == NULL)
        return;
    json_object_foreach(values, name, v) names[i++] = name;
    const char *nearest = firn_nearest(key, names);
    if (nearest != NULL)
        firn_str_addf(out, "%.100s", nearest);
    for (i = 0; i < n && out->size < 300; i++)
        if (names[i] != nearest)
            firn_str_addf(out, "%s%.100s", out->size > 0 ? ", " : "", names[i]);
    free(names);
}

/* `line` 0: none to name. */
static firn_status fail_missing(const struct firn_table *t, size_t line, json_t *values,
                                const char *key, struct firn_error *err)
{
    struct firn_str names = { 0 };
    list_columns(&names, values, key);
    const char *at = line > 0 ? FIRN_STR("line %zu", line) : NULL;
    firn_status s = firn_fail(err, FIRN_ERR_FORMAT, .file = t->path, .key = at,
                              .expected = FIRN_STR("a column %.200s", key),
                              .got = names.size > 0 ? FIRN_STR("only %s", names.data) : "none");
    firn_str_free(&names);
    return s;
}

firn_status firn_table_missing(const struct firn_table *t, size_t i, const char *key,
                               struct firn_error *err)
{
    const struct firn_row *row = &t->rows[i];
    if (json_object_get(row->values, key) != NULL)
        return firn_fail(err, FIRN_ERR_FORMAT, .file = t->path,
                         .key = FIRN_STR("line %zu: %.200s", row->line, key), .expected = "a value",
                         .got = "null");
    return fail_missing(t, row->line, row->values, key, err);
}

firn_status firn_table_column(const struct firn_table *t, const char *key, struct firn_error *err)
{
    for (size_t i = 0; i < t->count; i++)
        if (firn_table_value(t, i, key) != NULL)
            return FIRN_OK;
    if (t->count == 0)
        return firn_fail(err, FIRN_ERR_FORMAT, .file = t->path, .what = "holds no examples");
    if (json_object_get(t->rows[0].values, key) != NULL)
        return firn_fail(err, FIRN_ERR_FORMAT, .file = t->path, .key = key,
                         .what = "is null in every example");
    return fail_missing(t, 0, t->rows[0].values, key, err);
}

static firn_status wrong_kind(const struct firn_table *t, size_t i, const char *key,
                              const char *expected, const json_t *v, struct firn_error *err)
{
    const char *got =
        json_is_string(v) ? FIRN_STR("\"%.100s\"", json_string_value(v)) : firn_value_kind(v);
    return firn_fail(err, FIRN_ERR_FORMAT, .file = t->path,
                     .key = FIRN_STR("line %zu: %.200s", t->rows[i].line, key),
                     .expected = expected, .got = got);
}

firn_status firn_table_text(const struct firn_table *t, size_t i, const char *key,
                            const char **text, size_t *size, struct firn_error *err)
{
    const json_t *v = firn_table_value(t, i, key);
    if (v == NULL)
        return firn_table_missing(t, i, key, err);
    if (!json_is_string(v))
        return wrong_kind(t, i, key, "a text", v, err);
    *text = json_string_value(v);
    *size = json_string_length(v);
    return FIRN_OK;
}

firn_status firn_table_number(const struct firn_table *t, size_t i, const char *key, double *number,
                              struct firn_error *err)
{
    const json_t *v = firn_table_value(t, i, key);
    if (v == NULL)
        return firn_table_missing(t, i, key, err);
    if (json_is_number(v)) {
        *number = json_number_value(v);
        return FIRN_OK;
    }
    const char *text = json_string_value(v);
    if (text == NULL || strlen(text) != json_string_length(v) || !firn_real_parse(text, number))
        return wrong_kind(t, i, key, "a number", v, err);
    return FIRN_OK;
}
