/* SPDX-License-Identifier: Apache-2.0 */
/* JSON lines, and plain text: a line an example. */
#include "base/str.h"
#include "data/table.h"

#include <stdlib.h>
#include <string.h>

/* Calls take(line, bytes, n) for each line; CR before LF is dropped. */
struct lines {
    const char *at, *end;
    size_t number;
};

static bool next_line(struct lines *l, const char **line, size_t *n)
{
    if (l->at >= l->end)
        return false;
    const char *stop = memchr(l->at, '\n', (size_t) (l->end - l->at));
    if (stop == NULL)
        stop = l->end;
    *line = l->at;
    *n = (size_t) (stop - l->at);
    if (*n > 0 && (*line)[*n - 1] == '\r')
        (*n)--;
    l->at = stop < l->end ? stop + 1 : stop;
    l->number++;
    return true;
}

static bool is_blank(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (s[i] != ' ' && s[i] != '\t')
            return false;
    return true;
}

static void skip_mark(const char **data, size_t *size)
{
    if (*size >= 3 && memcmp(*data, "\xef\xbb\xbf", 3) == 0) {
        *data += 3;
        *size -= 3;
    }
}

firn_status firn_table_parse_jsonl(struct firn_table *t, const char *name, const char *data, size_t size,
                                   struct firn_error *err)
{
    skip_mark(&data, &size);
    struct lines l = { data, data + size, 0 };
    const char *line;
    size_t n;
    t->path = firn_strdup(name);
    while (next_line(&l, &line, &n)) {
        json_t *row = NULL;
        struct firn_error why = { 0 };
        if (is_blank(line, n))
            continue;
        if (firn_json_parse(line, n, "json", &row, &why) != FIRN_OK || !json_is_object(row)) {
            json_decref(row);
            return firn_fail(err, FIRN_ERR_FORMAT, .file = name, .key = FIRN_STR("line %zu", l.number),
                             .expected = "a JSON object", .got = why.text[0] != '\0' ? why.text : "another value");
        }
        const firn_status status = firn_table_add(t, row, l.number, err);
        if (status)
            return status;
    }
    return FIRN_OK;
}

firn_status firn_table_parse_text(struct firn_table *t, const char *name, const char *data, size_t size,
                                  struct firn_error *err)
{
    skip_mark(&data, &size);
    struct lines l = { data, data + size, 0 };
    const char *line;
    size_t n;
    t->path = firn_strdup(name);
    while (next_line(&l, &line, &n)) {
        if (is_blank(line, n))
            continue;
        json_t *text = json_stringn(line, n);
        if (text == NULL)
            return firn_fail(err, FIRN_ERR_FORMAT, .file = name, .key = FIRN_STR("line %zu", l.number),
                             .expected = "UTF-8", .got = "other bytes");
        const firn_status status = firn_table_add(t, json_pack("{s:o}", "text", text), l.number, err);
        if (status)
            return status;
    }
    return FIRN_OK;
}
