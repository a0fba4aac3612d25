/* SPDX-License-Identifier: Apache-2.0 */
/* Tables: choosing the reader, and getting at columns. */
#include "data/table.h"

#include "base/file.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

#define MAX_FILE ((size_t) 1 << 36)

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

firn_status firn_table_load(struct firn_table *t, const char *path, struct firn_error *err)
{
    char *data = NULL;
    size_t size = 0;
    memset(t, 0, sizeof *t);
    firn_status status = firn_file_read(path, MAX_FILE, &data, &size, err);
    if (status)
        return status;
    if (ends_with(path, ".jsonl") || ends_with(path, ".json"))
        status = firn_table_parse_jsonl(t, path, data, size, err);
    else if (ends_with(path, ".csv"))
        status = firn_table_parse_csv(t, path, data, size, ',', err);
    else if (ends_with(path, ".tsv"))
        status = firn_table_parse_csv(t, path, data, size, '\t', err);
    else if (ends_with(path, ".txt"))
        status = firn_table_parse_text(t, path, data, size, err);
    else
        status = firn_fail(err, FIRN_ERR_USAGE, .file = path, .expected = "a name that ends in .jsonl, .csv, .tsv or .txt",
                           .got = "another");
    free(data);
    if (status == FIRN_OK && t->count == 0)
        status = firn_fail(err, FIRN_ERR_FORMAT, .file = path, .what = "holds no examples");
    if (status)
        firn_table_free(t);
    return status;
}

void firn_table_free(struct firn_table *t)
{
    for (size_t i = 0; i < t->count; i++)
        json_decref(t->rows[i].values);
    free(t->rows);
    free(t->path);
    memset(t, 0, sizeof *t);
}

firn_status firn_table_add(struct firn_table *t, json_t *values, size_t line, struct firn_error *err)
{
    if (t->count == t->capacity) {
        const size_t capacity = t->capacity > 0 ? 2 * t->capacity : 256;
        struct firn_row *rows = realloc(t->rows, capacity * sizeof *rows);
        if (rows == NULL) {
            json_decref(values);
            return firn_fail(err, FIRN_ERR_MEMORY, .file = t->path, .what = "out of memory for a table");
        }
        t->rows = rows;
        t->capacity = capacity;
    }
    t->rows[t->count++] = (struct firn_row){ values, line };
    return values != NULL ? FIRN_OK
                          : firn_fail(err, FIRN_ERR_MEMORY, .file = t->path, .what = "out of memory for a table");
}

const json_t *firn_table_value(const struct firn_table *t, size_t i, const char *key)
{
    const json_t *v = json_object_get(t->rows[i].values, key);
    return json_is_null(v) ? NULL : v;
}

firn_status firn_table_missing(const struct firn_table *t, size_t i, const char *key, struct firn_error *err)
{
    struct firn_str names = { 0 };
    const char *name;
    json_t *v;
    json_object_foreach (t->rows[i].values, name, v) {
        if (names.size < 300)
            firn_str_addf(&names, "%s%s", names.size > 0 ? ", " : "only ", name);
    }
    const firn_status status = firn_fail(err, FIRN_ERR_FORMAT, .file = t->path,
                                         .key = FIRN_STR("line %zu", t->rows[i].line),
                                         .expected = FIRN_STR("a column %s", key),
                                         .got = names.data != NULL ? names.data : "none");
    firn_str_free(&names);
    return status;
}

firn_status firn_table_text(const struct firn_table *t, size_t i, const char *key, const char **text, size_t *size,
                            struct firn_error *err)
{
    const json_t *v = firn_table_value(t, i, key);
    if (v == NULL)
        return firn_table_missing(t, i, key, err);
    if (!json_is_string(v))
        return firn_fail(err, FIRN_ERR_FORMAT, .file = t->path, .key = FIRN_STR("line %zu: %s", t->rows[i].line, key),
                         .expected = "a text", .got = "something else");
    *text = json_string_value(v);
    *size = json_string_length(v);
    return FIRN_OK;
}
