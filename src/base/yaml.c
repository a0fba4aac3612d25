/* SPDX-License-Identifier: Apache-2.0 */
/* YAML into jansson values through libyaml's events, and a tree written back as YAML. One document, no anchors, no
 * tags: what a recipe needs, and nothing that surprises. */
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum { MAX_DEPTH = 64, MAX_SIZE = 16 << 20 };

struct reader {
    yaml_parser_t parser;
    const char *name;
    struct firn_error *err;
    firn_status status;
};

static json_t *fail(struct reader *r, size_t line, const char *what)
{
    if (r->status == FIRN_OK)
        r->status = firn_fail(r->err, FIRN_ERR_FORMAT, .file = r->name, .key = FIRN_STR("line %zu", line + 1),
                              .what = what);
    return NULL;
}

static bool next(struct reader *r, yaml_event_t *event)
{
    if (r->status == FIRN_OK && yaml_parser_parse(&r->parser, event))
        return true;
    fail(r, r->parser.problem_mark.line, r->parser.problem != NULL ? r->parser.problem : "is no YAML");
    memset(event, 0, sizeof *event);
    return false;
}

static bool is_integer(const char *s, size_t n)
{
    size_t i = n > 0 && (s[0] == '-' || s[0] == '+');
    if (i == n || n > 20)
        return false;
    for (; i < n; i++)
        if (s[i] < '0' || s[i] > '9')
            return false;
    return true;
}

/* Digits with a point or an exponent, as YAML's core schema has it. */
static bool is_real(const char *s, size_t n)
{
    size_t i = n > 0 && (s[0] == '-' || s[0] == '+'), digits = 0;
    for (; i < n && s[i] >= '0' && s[i] <= '9'; i++)
        digits++;
    if (i < n && s[i] == '.')
        for (i++; i < n && s[i] >= '0' && s[i] <= '9'; i++)
            digits++;
    if (digits == 0)
        return false;
    if (i < n && (s[i] == 'e' || s[i] == 'E')) {
        i++;
        if (i < n && (s[i] == '-' || s[i] == '+'))
            i++;
        if (i == n)
            return false;
        while (i < n && s[i] >= '0' && s[i] <= '9')
            i++;
    }
    return i == n;
}

static bool is_word(const char *s, const char *low, const char *title, const char *upper)
{
    return strcmp(s, low) == 0 || strcmp(s, title) == 0 || strcmp(s, upper) == 0;
}

static json_t *scalar(struct reader *r, const yaml_event_t *e)
{
    const char *s = (const char *) e->data.scalar.value;
    const size_t n = e->data.scalar.length;
    if (memchr(s, '\0', n) != NULL)
        return fail(r, e->start_mark.line, "a NUL character in a text");
    if (e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE) {
        if (n == 0 || strcmp(s, "~") == 0 || is_word(s, "null", "Null", "NULL"))
            return json_null();
        if (is_word(s, "true", "True", "TRUE"))
            return json_true();
        if (is_word(s, "false", "False", "FALSE"))
            return json_false();
        if (is_integer(s, n) && strtod(s, NULL) < 9.2e18 && strtod(s, NULL) > -9.2e18)
            return json_integer(strtoll(s, NULL, 10));
        if (is_real(s, n) && isfinite(strtod(s, NULL)))
            return json_real(strtod(s, NULL));
    }
    json_t *text = json_stringn(s, n);
    return text != NULL ? text : fail(r, e->start_mark.line, "is no UTF-8");
}

static json_t *value(struct reader *r, const yaml_event_t *event, int depth);

static json_t *sequence(struct reader *r, int depth)
{
    json_t *list = json_array();
    yaml_event_t e;
    while (next(r, &e)) {
        const bool ends = e.type == YAML_SEQUENCE_END_EVENT;
        json_t *v = ends ? NULL : value(r, &e, depth);
        yaml_event_delete(&e);
        if (ends)
            return list;
        if (v == NULL)
            break;
        json_array_append_new(list, v);
    }
    json_decref(list);
    return NULL;
}

static json_t *mapping(struct reader *r, int depth)
{
    json_t *map = json_object();
    yaml_event_t e;
    while (next(r, &e)) {
        const size_t line = e.start_mark.line;
        if (e.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&e);
            return map;
        }
        char *key = e.type == YAML_SCALAR_EVENT ? firn_strdup((const char *) e.data.scalar.value) : NULL;
        yaml_event_delete(&e);
        json_t *v = NULL;
        if (key == NULL)
            fail(r, line, "a key must be a word");
        else if (json_object_get(map, key) != NULL)
            fail(r, line, FIRN_STR("the key %s is there twice", key));
        else if (next(r, &e)) {
            v = value(r, &e, depth);
            yaml_event_delete(&e);
        }
        const bool added = v != NULL && json_object_set_new(map, key, v) == 0;
        if (v != NULL && !added)
            fail(r, line, "a key is no UTF-8");
        free(key);
        if (!added)
            break;
    }
    json_decref(map);
    return NULL;
}

static json_t *value(struct reader *r, const yaml_event_t *e, int depth)
{
    const size_t line = e->start_mark.line;
    if (depth > MAX_DEPTH)
        return fail(r, line, "nested too deeply");
    switch (e->type) {
    case YAML_SCALAR_EVENT:
        if (e->data.scalar.anchor != NULL || e->data.scalar.tag != NULL)
            return fail(r, line, "anchors and tags are not taken");
        return scalar(r, e);
    case YAML_SEQUENCE_START_EVENT:
        if (e->data.sequence_start.anchor != NULL || e->data.sequence_start.tag != NULL)
            return fail(r, line, "anchors and tags are not taken");
        return sequence(r, depth + 1);
    case YAML_MAPPING_START_EVENT:
        if (e->data.mapping_start.anchor != NULL || e->data.mapping_start.tag != NULL)
            return fail(r, line, "anchors and tags are not taken");
        return mapping(r, depth + 1);
    case YAML_ALIAS_EVENT:
        return fail(r, line, "aliases are not taken");
    default:
        return fail(r, line, "a value is missing");
    }
}

static json_t *document(struct reader *r)
{
    json_t *root = NULL;
    yaml_event_t e;
    bool more = true;
    while (more && next(r, &e)) {
        if (e.type == YAML_STREAM_END_EVENT)
            more = false;
        else if (e.type != YAML_STREAM_START_EVENT && e.type != YAML_DOCUMENT_START_EVENT &&
                 e.type != YAML_DOCUMENT_END_EVENT) {
            if (root != NULL)
                fail(r, e.start_mark.line, "one document is taken, not two");
            else
                root = value(r, &e, 0);
        }
        yaml_event_delete(&e);
    }
    if (r->status == FIRN_OK)
        return root != NULL ? root : json_null();
    json_decref(root);
    return NULL;
}

firn_status firn_yaml_parse(const char *text, size_t size, const char *name, json_t **out, struct firn_error *err)
{
    struct reader r = { .name = name, .err = err };
    *out = NULL;
    if (size > MAX_SIZE)
        return firn_fail(err, FIRN_ERR_FORMAT, .file = name, .expected = "at most 16 MiB of YAML",
                         .got = FIRN_STR("%zu bytes", size));
    if (!yaml_parser_initialize(&r.parser))
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for YAML");
    yaml_parser_set_input_string(&r.parser, (const unsigned char *) text, size);
    *out = document(&r);
    yaml_parser_delete(&r.parser);
    return r.status;
}

firn_status firn_yaml_load(const char *path, json_t **out, struct firn_error *err)
{
    char *text = NULL;
    size_t size = 0;
    *out = NULL;
    firn_status status = firn_file_read(path, MAX_SIZE, &text, &size, err);
    if (status == FIRN_OK)
        status = firn_yaml_parse(text, size, path, out, err);
    free(text);
    return status;
}

/* JSON is YAML: scalars, and whatever is empty or inside a list, are written as JSON. */
static void dump(struct firn_str *s, const json_t *v, int indent)
{
    const char *key;
    json_t *item;
    json_object_foreach ((json_t *) v, key, item) {
        for (int i = 0; i < indent; i++)
            firn_str_add(s, "  ");
        json_t *name = json_string(key);
        char *quoted = json_dumps(name, JSON_ENCODE_ANY);
        const bool plain = key[0] != '\0' && strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") ==
                                                 strlen(key) && (key[0] < '0' || key[0] > '9');
        firn_str_add(s, plain || quoted == NULL ? key : quoted);
        free(quoted);
        json_decref(name);
        if (json_is_object(item) && json_object_size(item) > 0) {
            firn_str_add(s, ":\n");
            dump(s, item, indent + 1);
            continue;
        }
        char *text = json_dumps(item, JSON_ENCODE_ANY | JSON_REAL_PRECISION(12));
        firn_str_addf(s, ": %s\n", text != NULL ? text : "null");
        free(text);
    }
}

char *firn_yaml_dump(const json_t *v)
{
    struct firn_str s = { 0 };
    if (json_is_object(v)) {
        dump(&s, v, 0);
    } else {
        char *text = json_dumps(v, JSON_ENCODE_ANY);
        firn_str_addf(&s, "%s\n", text != NULL ? text : "null");
        free(text);
    }
    if (s.failed)
        firn_str_free(&s);
    return s.data;
}
