/* SPDX-License-Identifier: Apache-2.0 */
/* CSV and TSV (RFC 4180): a header line, quoted fields with "" for a quote and with line feeds
 * inside, LF or CRLF. All values are texts. */
#include "base/str.h"
#include "data/table.h"
#include "text/utf8.h"

#include <string.h>

/* Each row holds its column names again: long ones would make memory grow past the file's size. */
enum { MAX_NAME_BYTES = 256 };

struct csv {
    const char *at, *end, *name;
    char separator;
    size_t line, start; /* the line at hand; where the record at hand starts */
    struct firn_str quoted;
};

static firn_status bad(const struct csv *c, const char *what, struct firn_error *err)
{
    return firn_fail(err, FIRN_ERR_FORMAT, .file = c->name, .key = FIRN_STR("line %zu", c->line),
                     .what = what);
}

static firn_status no_memory(const struct csv *c, struct firn_error *err)
{
    return firn_fail(err, FIRN_ERR_MEMORY, .file = c->name, .what = "no memory to read it");
}

/* Reads up to the quote that ends the field into `quoted`. */
static firn_status quoted_field(struct csv *c, struct firn_error *err)
{
    const size_t line = c->line;
    c->quoted.size = 0;
    firn_str_add_n(&c->quoted, "", 0);
    for (c->at++;;) {
        const char *quote = memchr(c->at, '"', (size_t) (c->end - c->at));
        if (quote == NULL) {
            c->line = line;
            return bad(c, "a quoted field starts here and has no end", err);
        }
        for (const char *p = c->at; p < quote; p++)
            c->line += *p == '\n';
        const bool doubled = quote + 1 < c->end && quote[1] == '"';
        firn_str_add_n(&c->quoted, c->at, (size_t) (quote - c->at) + doubled);
        c->at = quote + 1 + doubled;
        if (!doubled)
            return c->quoted.failed ? no_memory(c, err) : FIRN_OK;
    }
}

/* One field, and the separator or line end behind it; *last: the record ends with it. */
static firn_status field(struct csv *c, json_t **value, bool *last, struct firn_error *err)
{
    const bool is_quoted = c->at < c->end && *c->at == '"';
    if (is_quoted) {
        firn_status s = quoted_field(c, err);
        if (s)
            return s;
    }
    const char *rest = c->at;
    while (c->at < c->end && *c->at != c->separator && *c->at != '\n')
        c->at++;
    *last = c->at == c->end || *c->at == '\n';
    size_t n = (size_t) (c->at - rest);
    if (*last && n > 0 && rest[n - 1] == '\r')
        n--;
    if (is_quoted && n > 0)
        return bad(c, "text after the quote that ends a field", err);
    const char *text = is_quoted ? c->quoted.data : rest;
    n = is_quoted ? c->quoted.size : n;
    if (firn_utf8_valid((const uint8_t *) text, n) < n)
        return bad(c, "is not UTF-8", err);
    *value = json_stringn(text, n);
    if (*value == NULL)
        return no_memory(c, err);
    c->line += c->at < c->end && *last;
    c->at += c->at < c->end;
    return FIRN_OK;
}

/* A record as a list of texts. */
static firn_status record(struct csv *c, json_t *list, struct firn_error *err)
{
    bool last = false;
    firn_status s = FIRN_OK;
    json_array_clear(list);
    c->start = c->line;
    while (!last && s == FIRN_OK) {
        json_t *value = NULL;
        s = field(c, &value, &last, err);
        if (s == FIRN_OK && json_array_append_new(list, value) != 0)
            s = no_memory(c, err);
    }
    return s;
}

static firn_status check_header(const struct csv *c, const json_t *header, struct firn_error *err)
{
    json_t *seen = json_object(), *name;
    firn_status s = seen == NULL ? no_memory(c, err) : FIRN_OK;
    size_t i;
    json_array_foreach(header, i, name)
    {
        const char *text = json_string_value(name);
        const size_t n = json_string_length(name);
        const char *wrong = n > MAX_NAME_BYTES                    ? "has too long a name"
                            : strlen(text) != n                   ? "has a NUL in its name"
                            : json_object_get(seen, text) != NULL ? "is there twice"
                                                                  : NULL;
        if (s == FIRN_OK && wrong != NULL)
            s = firn_fail(err, FIRN_ERR_FORMAT, .file = c->name,
                          .key = FIRN_STR("line %zu", c->start),
                          .what = FIRN_STR("column %zu (%.100s) %s", i + 1, text, wrong));
        else if (s == FIRN_OK && json_object_set(seen, text, name) != 0)
            s = no_memory(c, err);
        if (s)
            break;
    }
    json_decref(seen);
    return s;
}

static firn_status add_row(struct firn_table *t, const struct csv *c, const json_t *header,
                           const json_t *list, struct firn_error *err)
{
    const size_t n = json_array_size(header);
    if (json_array_size(list) != n)
        return firn_fail(
            err, FIRN_ERR_FORMAT, .file = c->name, .key = FIRN_STR("line %zu", c->start),
            .expected = FIRN_STR("%zu field%s, as in the header", n, n == 1 ? "" : "s"),
            .got = FIRN_STR("%zu", json_array_size(list)));
    json_t *row = json_object();
    for (size_t i = 0; i < n && row != NULL; i++)
        if (json_object_set(row, json_string_value(json_array_get(header, i)),
                            json_array_get(list, i)) != 0) {
            json_decref(row);
            row = NULL;
        }
    return firn_table_add(t, row, c->start, err);
}

/* A blank line; a lone empty field in quotes counts as one too. */
static bool is_blank(const json_t *list)
{
    return json_array_size(list) == 1 && json_string_length(json_array_get(list, 0)) == 0;
}

firn_status firn_table_parse_csv(struct firn_table *t, const char *name, const char *data,
                                 size_t size, char separator, struct firn_error *err)
{
    struct csv c = { .at = data, .end = data, .name = name, .separator = separator, .line = 1 };
    firn_status s = firn_table_name(t, name, err);
    if (size > 0)
        c.end += size;
    if (size >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0)
        c.at += 3;
    json_t *header = json_array(), *list = json_array();
    if (s == FIRN_OK && (header == NULL || list == NULL))
        s = no_memory(&c, err);
    do { /* blank lines may stand before the header */
        if (s == FIRN_OK && c.at < c.end)
            s = record(&c, header, err);
    } while (s == FIRN_OK && c.at < c.end && is_blank(header));
    if (s == FIRN_OK)
        s = check_header(&c, header, err);
    while (s == FIRN_OK && c.at < c.end) {
        s = record(&c, list, err);
        if (s == FIRN_OK && !is_blank(list))
            s = add_row(t, &c, header, list, err);
    }
    json_decref(header);
    json_decref(list);
    firn_str_free(&c.quoted);
    return s;
}
