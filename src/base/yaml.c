/* SPDX-License-Identifier: Apache-2.0 */
/* YAML through libyaml's events into jansson values: the part of YAML that is JSON with fewer
 * signs. Anchors, aliases, tags, several documents and duplicate keys are refused. */
#include "base/json.h"

#include "base/file.h"
#include "base/str.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum { MAX_DEPTH = 64, MAX_FILE_BYTES = 1 << 22 };
/* About what a value takes in memory, and how much of it a text of no size may ask for. */
enum { VALUE_BYTES = 200, TREE_BYTES = 2 << 20 };

struct reader {
    yaml_parser_t parser;
    yaml_event_t event; /* the event at hand; has_event tells whether it holds memory */
    bool has_event;
    size_t left; /* bytes that the tree may still grow by */
    const char *name;
    struct firn_error *err;
};

static firn_status fail_at(struct reader *r, size_t line, const char *what)
{
    return firn_fail(r->err, FIRN_ERR_FORMAT, .file = r->name,
                     .key = FIRN_STR("line %zu", line + 1), .what = what);
}

static firn_status fail_here(struct reader *r, const char *what)
{
    return fail_at(r, r->event.start_mark.line, what);
}

static firn_status fail_memory(struct reader *r)
{
    return firn_fail(r->err, FIRN_ERR_MEMORY, .file = r->name, .what = "no memory to read it");
}

static firn_status next(struct reader *r)
{
    if (r->has_event)
        yaml_event_delete(&r->event);
    r->has_event = false;
    if (yaml_parser_parse(&r->parser, &r->event)) {
        r->has_event = true;
        return FIRN_OK;
    }
    if (r->parser.error == YAML_MEMORY_ERROR)
        return fail_memory(r);
    const char *problem = r->parser.problem != NULL ? r->parser.problem : "is not YAML";
    if (r->parser.error == YAML_READER_ERROR)
        return firn_fail(r->err, FIRN_ERR_FORMAT, .file = r->name,
                         .key = FIRN_STR("byte %zu", r->parser.problem_offset), .what = problem);
    return fail_at(r, r->parser.problem_mark.line,
                   r->parser.context == NULL ? problem
                                             : FIRN_STR("%s: %s", r->parser.context, problem));
}

static bool is_one_of(const char *text, const char *const *words)
{
    for (; *words != NULL; words++)
        if (strcmp(text, *words) == 0)
            return true;
    return false;
}

static const char *const null_words[] = { "", "~", "null", "Null", "NULL", NULL };
static const char *const true_words[] = { "true", "True", "TRUE", NULL };
static const char *const false_words[] = { "false", "False", "FALSE", NULL };
static const char *const not_finite_words[] = { ".inf",  ".Inf",  ".INF",  "+.inf", "+.Inf",
                                                "+.INF", "-.inf", "-.Inf", "-.INF", ".nan",
                                                ".NaN",  ".NAN",  NULL };

/* Whole numbers as the core schema has them: decimal with a sign, 0o17, 0x1f. */
static bool looks_whole(const char *text)
{
    if (strncmp(text, "0o", 2) == 0)
        return text[2] != '\0' && text[2 + strspn(text + 2, "01234567")] == '\0';
    if (strncmp(text, "0x", 2) == 0)
        return text[2] != '\0' && text[2 + strspn(text + 2, "0123456789abcdefABCDEF")] == '\0';
    text += *text == '-' || *text == '+';
    return *text != '\0' && text[strspn(text, "0123456789")] == '\0';
}

static bool whole_value(const char *text, int64_t *value)
{
    if (text[0] != '0' || (text[1] != 'o' && text[1] != 'x'))
        return firn_int_parse(text, value);
    const int base = text[1] == 'x' ? 16 : 8;
    const char *digits = text + 2 + strspn(text + 2, "0");
    errno = 0;
    *value = strtoll(*digits == '\0' ? "0" : digits, NULL, base);
    return errno == 0;
}

static firn_status read_scalar(struct reader *r, json_t **out)
{
    const char *text = (const char *) r->event.data.scalar.value;
    const size_t size = r->event.data.scalar.length;
    int64_t whole;
    double real;
    if (strlen(text) != size)
        return fail_here(r, "a text holds a NUL");
    if (r->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        *out = json_stringn(text, size);
    else if (is_one_of(text, null_words))
        *out = json_null();
    else if (is_one_of(text, true_words))
        *out = json_true();
    else if (is_one_of(text, false_words))
        *out = json_false();
    else if (is_one_of(text, not_finite_words))
        return fail_here(r, FIRN_STR("%s is not a finite number", text));
    else if (looks_whole(text)) {
        if (!whole_value(text, &whole))
            return fail_here(r, FIRN_STR("%.60s is beyond 64 bits", text));
        *out = json_integer(whole);
    } else if (firn_real_parse(text, &real)) {
        *out = json_real(real);
    } else {
        *out = json_stringn(text, size);
    }
    return *out != NULL ? FIRN_OK : fail_memory(r);
}

/* What the event may not carry. */
static firn_status check_plain(struct reader *r, const yaml_char_t *anchor, const yaml_char_t *tag)
{
    if (anchor != NULL)
        return fail_here(r, FIRN_STR("the anchor &%.60s: anchors are not read", anchor));
    if (tag != NULL)
        return fail_here(r, FIRN_STR("the tag %.60s: tags are not read", tag));
    return FIRN_OK;
}

static firn_status read_value(struct reader *r, int depth, json_t **out);

static firn_status read_list(struct reader *r, int depth, json_t *list)
{
    for (;;) {
        firn_status s = next(r);
        if (s || r->event.type == YAML_SEQUENCE_END_EVENT)
            return s;
        json_t *item = NULL;
        s = read_value(r, depth + 1, &item);
        if (s)
            return s;
        if (json_array_append_new(list, item) != 0)
            return fail_memory(r);
    }
}

static firn_status read_key(struct reader *r, const json_t *map, char **key)
{
    if (r->event.type == YAML_ALIAS_EVENT)
        return fail_here(r, "aliases are not read");
    if (r->event.type != YAML_SCALAR_EVENT)
        return fail_here(r, "a key must be a word");
    firn_status s = check_plain(r, r->event.data.scalar.anchor, r->event.data.scalar.tag);
    if (s)
        return s;
    const char *text = (const char *) r->event.data.scalar.value;
    const size_t size = r->event.data.scalar.length;
    if (size == 0)
        return fail_here(r, "a key is empty");
    if (strlen(text) != size)
        return fail_here(r, "a key holds a NUL");
    if (json_object_get(map, text) != NULL)
        return fail_here(r, FIRN_STR("%.100s: the key is there twice", text));
    *key = firn_strdup(text);
    return *key != NULL ? FIRN_OK : fail_memory(r);
}

static firn_status read_map(struct reader *r, int depth, json_t *map)
{
    for (;;) {
        char *key = NULL;
        json_t *item = NULL;
        firn_status s = next(r);
        if (s || r->event.type == YAML_MAPPING_END_EVENT)
            return s;
        s = read_key(r, map, &key);
        if (s == FIRN_OK)
            s = next(r);
        if (s == FIRN_OK)
            s = read_value(r, depth + 1, &item);
        if (s == FIRN_OK && json_object_set_new(map, key, item) != 0)
            s = fail_memory(r);
        free(key);
        if (s)
            return s;
    }
}

/* Reads the value that starts with the event at hand. On failure *out is NULL. */
static firn_status read_value(struct reader *r, int depth, json_t **out)
{
    firn_status s;
    *out = NULL;
    if (depth > MAX_DEPTH)
        return fail_here(r, FIRN_STR("nested deeper than %d", MAX_DEPTH));
    if (r->left < VALUE_BYTES)
        return fail_here(r, "holds more values than a file of its size may");
    r->left -= VALUE_BYTES;
    switch (r->event.type) {
    case YAML_SCALAR_EVENT:
        s = check_plain(r, r->event.data.scalar.anchor, r->event.data.scalar.tag);
        if (s == FIRN_OK)
            s = read_scalar(r, out);
        break;
    case YAML_SEQUENCE_START_EVENT:
        s = check_plain(r, r->event.data.sequence_start.anchor, r->event.data.sequence_start.tag);
        *out = s == FIRN_OK ? json_array() : NULL;
        if (s == FIRN_OK)
            s = *out == NULL ? fail_memory(r) : read_list(r, depth, *out);
        break;
    case YAML_MAPPING_START_EVENT:
        s = check_plain(r, r->event.data.mapping_start.anchor, r->event.data.mapping_start.tag);
        *out = s == FIRN_OK ? json_object() : NULL;
        if (s == FIRN_OK)
            s = *out == NULL ? fail_memory(r) : read_map(r, depth, *out);
        break;
    case YAML_ALIAS_EVENT:
        s = fail_here(r, "aliases are not read");
        break;
    default:
        s = fail_here(r, "is not YAML");
        break;
    }
    if (s) {
        json_decref(*out);
        *out = NULL;
    }
    return s;
}

/* Stream start, at most one document, stream end. An empty text is null. */
static firn_status read_stream(struct reader *r, json_t **out)
{
    firn_status s = next(r); /* stream start */
    if (s == FIRN_OK)
        s = next(r);
    if (s)
        return s;
    if (r->event.type == YAML_STREAM_END_EVENT) {
        *out = json_null();
        return FIRN_OK;
    }
    s = next(r);
    if (s == FIRN_OK)
        s = read_value(r, 1, out);
    if (s == FIRN_OK)
        s = next(r); /* document end */
    if (s == FIRN_OK)
        s = next(r);
    if (s == FIRN_OK && r->event.type != YAML_STREAM_END_EVENT)
        s = fail_here(r, "a second document starts here");
    return s;
}

firn_status firn_yaml_parse(const char *text, size_t size, const char *name, json_t **out,
                            struct firn_error *err)
{
    struct reader r = { .name = name, .err = err, .left = size + TREE_BYTES };
    *out = NULL;
    if (size > MAX_FILE_BYTES)
        return firn_fail(err, FIRN_ERR_FORMAT, .file = name, .what = "is too large",
                         .expected = FIRN_STR("at most %d bytes", MAX_FILE_BYTES),
                         .got = FIRN_STR("%zu", size));
    if (!yaml_parser_initialize(&r.parser))
        return fail_memory(&r);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *) text, size);
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    firn_status s = read_stream(&r, out);
    if (s) {
        json_decref(*out);
        *out = NULL;
    }
    if (r.has_event)
        yaml_event_delete(&r.event);
    yaml_parser_delete(&r.parser);
    return s;
}

firn_status firn_yaml_load(const char *path, json_t **out, struct firn_error *err)
{
    char *text;
    size_t size;
    *out = NULL;
    firn_status s = firn_file_read(path, MAX_FILE_BYTES, &text, &size, err);
    if (s == FIRN_OK)
        s = firn_yaml_parse(text, size, path, out, err);
    free(text);
    return s;
}
