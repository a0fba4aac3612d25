/* SPDX-License-Identifier: Apache-2.0 */
/* CSV and TSV (RFC 4180): a header line, quoted fields with "" for a quote, line feeds inside quotes. */
#include "base/str.h"
#include "data/table.h"

#include <stdlib.h>
#include <string.h>

struct csv {
    const char *at, *end, *name;
    char separator;
    size_t line;
};

static firn_status bad(const struct csv *c, const char *what, struct firn_error *err)
{
    return firn_fail(err, FIRN_ERR_FORMAT, .file = c->name, .key = FIRN_STR("line %zu", c->line), .what = what);
}

/* One field; *last: the record ends with it. */
static firn_status field(struct csv *c, struct firn_str *out, bool *last, struct firn_error *err)
{
    out->size = 0;
    firn_str_add_n(out, "", 0);
    if (c->at < c->end && *c->at == '"') {
        for (c->at++;;) {
            if (c->at == c->end)
                return bad(c, "a quoted field has no end", err);
            if (*c->at == '"' && c->at + 1 < c->end && c->at[1] == '"')
                c->at++;
            else if (*c->at == '"')
                break;
            c->line += *c->at == '\n';
            firn_str_add_n(out, c->at++, 1);
        }
        c->at++;
        if (c->at < c->end && *c->at != c->separator && *c->at != '\n' && *c->at != '\r')
            return bad(c, "text after a quoted field", err);
    }
    while (c->at < c->end && *c->at != c->separator && *c->at != '\n') {
        if (!(*c->at == '\r' && (c->at + 1 == c->end || c->at[1] == '\n')))
            firn_str_add_n(out, c->at, 1);
        c->at++;
    }
    *last = c->at == c->end || *c->at == '\n';
    if (c->at < c->end)
        c->at++;
    return out->failed ? firn_fail(err, FIRN_ERR_MEMORY, .file = c->name, .what = "out of memory") : FIRN_OK;
}

/* A record as a list of texts. */
static firn_status record(struct csv *c, json_t **out, struct firn_error *err)
{
    struct firn_str text = { 0 };
    json_t *list = json_array();
    bool last = false;
    firn_status status = FIRN_OK;
    while (!last && status == FIRN_OK) {
        status = field(c, &text, &last, err);
        if (status)
            break;
        json_t *value = json_stringn(text.data != NULL ? text.data : "", text.size);
        if (value == NULL)
            status = bad(c, "is no UTF-8", err);
        else
            json_array_append_new(list, value);
    }
    firn_str_free(&text);
    if (status) {
        json_decref(list);
        list = NULL;
    }
    *out = list;
    return status;
}

static bool is_empty(const json_t *list)
{
    return json_array_size(list) == 1 && json_string_length(json_array_get(list, 0)) == 0;
}

static firn_status add_row(struct firn_table *t, const struct csv *c, const json_t *header, const json_t *list,
                           size_t line, struct firn_error *err)
{
    json_t *row = json_object();
    for (size_t i = 0; i < json_array_size(header); i++)
        json_object_set(row, json_string_value(json_array_get(header, i)), json_array_get(list, i));
    (void) c;
    return firn_table_add(t, row, line, err);
}

firn_status firn_table_parse_csv(struct firn_table *t, const char *name, const char *data, size_t size,
                                 char separator, struct firn_error *err)
{
    struct csv c = { data, data + size, name, separator, 1 };
    json_t *header = NULL, *list = NULL;
    t->path = firn_strdup(name);
    if (size >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0)
        c.at += 3;
    if (c.at == c.end)
        return FIRN_OK;
    firn_status status = record(&c, &header, err);
    for (size_t i = 0; i < json_array_size(header) && status == FIRN_OK; i++)
        for (size_t k = 0; k < i && status == FIRN_OK; k++)
            if (json_equal(json_array_get(header, i), json_array_get(header, k)))
                status = bad(&c, FIRN_STR("the column %s is there twice", json_string_value(json_array_get(header, i))),
                             err);
    while (status == FIRN_OK && c.at < c.end) {
        const size_t line = ++c.line;
        status = record(&c, &list, err);
        if (status == FIRN_OK && !is_empty(list)) {
            if (json_array_size(list) != json_array_size(header))
                status = firn_fail(err, FIRN_ERR_FORMAT, .file = name, .key = FIRN_STR("line %zu", line),
                                   .expected = FIRN_STR("%zu fields as in the header", json_array_size(header)),
                                   .got = FIRN_STR("%zu", json_array_size(list)));
            else
                status = add_row(t, &c, header, list, line, err);
        }
        json_decref(list);
        list = NULL;
    }
    json_decref(header);
    return status;
}
