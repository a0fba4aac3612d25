/* SPDX-License-Identifier: Apache-2.0 */
/* Reads values into a struct by a table of options, and writes them back. */
#include "base/option.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void *slot(const struct firn_option *o, void *values)
{
    return (char *) values + o->offset;
}

static bool is_named(const struct firn_option *o, const char *name)
{
    if (strcmp(o->name, name) == 0)
        return true;
    for (int i = 0; i < 4 && o->also[i] != NULL; i++)
        if (strcmp(o->also[i], name) == 0)
            return true;
    return false;
}

const struct firn_option *firn_option_find(const struct firn_option *table, const char *name)
{
    for (const struct firn_option *o = table; o->name != NULL; o++)
        if (is_named(o, name))
            return o;
    return NULL;
}

const char *firn_option_nearest(const struct firn_option *table, const char *name)
{
    const char *names[512];
    size_t n = 0;
    for (const struct firn_option *o = table; o->name != NULL && n < 506; o++) {
        names[n++] = o->name;
        for (int i = 0; i < 4 && o->also[i] != NULL; i++)
            names[n++] = o->also[i];
    }
    names[n] = NULL;
    return firn_nearest(name, names);
}

static firn_status wrong(const struct firn_option *o, const char *file, const char *section,
                         const char *expected, const char *got, struct firn_error *err)
{
    return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = FIRN_STR("%s%s", section, o->name),
                     .expected = expected, .got = got);
}

static const char *words_text(const struct firn_option *o, char *text, size_t size)
{
    size_t used = 0;
    for (int i = 0; o->words[i] != NULL && used < size; i++)
        used += (size_t) snprintf(text + used, size - used, "%s%s",
                                  i == 0 ? "" : o->words[i + 1] == NULL ? " or " : ", ",
                                  o->words[i]);
    return text;
}

static firn_status set_word(const struct firn_option *o, const char *text, const char *file,
                            const char *section, int *out, struct firn_error *err)
{
    for (int i = 0; o->words[i] != NULL; i++) {
        const char *also = o->words_also != NULL ? o->words_also[i] : NULL;
        if (strcmp(o->words[i], text) == 0 || (also != NULL && strcmp(also, text) == 0)) {
            *out = i;
            return FIRN_OK;
        }
    }
    char words[300];
    return wrong(o, file, section, words_text(o, words, sizeof words), text, err);
}

static bool parse_bytes(const char *text, int64_t *out)
{
    char *end;
    const double value = strtod(text, &end);
    static const char units[] = "KMGT";
    double factor = 1;
    if (*end != '\0') {
        const char *unit = strchr(units, *end >= 'a' ? *end - 32 : *end);
        if (unit == NULL || *unit == '\0')
            return false;
        factor = pow(1024, (double) (unit - units + 1));
        end++;
        if (*end == 'i')
            end++;
        if (*end == 'B')
            end++;
    }
    if (end == text || *end != '\0' || !(value >= 0) || value * factor > 9e18)
        return false;
    *out = (int64_t) (value * factor);
    return true;
}

static firn_status check_range(const struct firn_option *o, double value, const char *file,
                               const char *section, const char *got, struct firn_error *err)
{
    if ((o->min == 0 && o->max == 0) || (value >= o->min && value <= o->max))
        return FIRN_OK;
    return wrong(o, file, section, FIRN_STR("%g to %g", o->min, o->max), got, err);
}

firn_status firn_option_set(const struct firn_option *o, const char *text, const char *file,
                            const char *section, void *values, struct firn_error *err)
{
    void *at = slot(o, values);
    char *end;
    errno = 0;
    switch (o->type) {
    case FIRN_OPTION_TEXT: {
        char *copy = firn_strdup(text);
        if (copy == NULL)
            return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for an option");
        free(*(char **) at);
        *(char **) at = copy;
        return FIRN_OK;
    }
    case FIRN_OPTION_INT: {
        const long long value = strtoll(text, &end, 10);
        if (end == text || *end != '\0' || errno != 0)
            return wrong(o, file, section, "a whole number", text, err);
        *(int64_t *) at = value;
        return check_range(o, (double) value, file, section, text, err);
    }
    case FIRN_OPTION_REAL: {
        const double value = strtod(text, &end);
        if (end == text || *end != '\0' || !isfinite(value))
            return wrong(o, file, section, "a number", text, err);
        *(double *) at = value;
        return check_range(o, value, file, section, text, err);
    }
    case FIRN_OPTION_BOOL:
        if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
            return wrong(o, file, section, "true or false", text, err);
        *(bool *) at = text[0] == 't';
        return FIRN_OK;
    case FIRN_OPTION_WORD:
        return set_word(o, text, file, section, at, err);
    case FIRN_OPTION_BYTES:
        if (!parse_bytes(text, at))
            return wrong(o, file, section, "bytes, as 512M or 8G", text, err);
        return FIRN_OK;
    case FIRN_OPTION_TREE: {
        json_t *tree = NULL;
        const firn_status status = firn_yaml_parse(text, strlen(text), file, &tree, err);
        if (status)
            return status;
        json_decref(*(json_t **) at);
        *(json_t **) at = tree;
        return FIRN_OK;
    }
    case FIRN_OPTION_TEXTS: {
        json_t *word = json_string(text), **list = at;
        if (word == NULL)
            return wrong(o, file, section, "UTF-8", "other bytes", err);
        if (*list == NULL)
            *list = json_array();
        if (json_array_append_new(*list, word) != 0)
            return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for an option");
        return FIRN_OK;
    }
    }
    return FIRN_OK;
}

/* A scalar as the text it was written as, near enough for firn_option_set. */
static const char *scalar_text(const json_t *v, char *text, size_t size)
{
    if (json_is_string(v))
        return json_string_value(v);
    if (json_is_integer(v))
        return firn_format(text, size, "%lld", (long long) json_integer_value(v));
    if (json_is_real(v))
        return firn_format(text, size, "%.17g", json_real_value(v));
    return json_is_true(v) ? "true" : json_is_false(v) ? "false" : NULL;
}

static firn_status read_one(const struct firn_option *o, const json_t *v, const char *file,
                            const char *section, void *values, struct firn_error *err)
{
    if (o->type == FIRN_OPTION_TREE) {
        json_decref(*(json_t **) slot(o, values));
        *(json_t **) slot(o, values) = json_deep_copy(v);
        return FIRN_OK;
    }
    if (json_is_null(v))
        return o->is_required ? wrong(o, file, section, "a value", "nothing", err) : FIRN_OK;
    char text[64];
    const char *as_text = scalar_text(v, text, sizeof text);
    if (as_text == NULL)
        return wrong(o, file, section, "a single value",
                     json_is_array(v) ? "a list" : "a mapping", err);
    if ((o->type == FIRN_OPTION_INT || o->type == FIRN_OPTION_REAL) && json_is_string(v))
        return wrong(o, file, section, "a number", FIRN_STR("\"%s\"", as_text), err);
    if (o->type == FIRN_OPTION_INT && json_is_real(v) &&
        json_real_value(v) == floor(json_real_value(v)) && fabs(json_real_value(v)) < 9e15)
        as_text = firn_format(text, sizeof text, "%.0f", json_real_value(v));
    return firn_option_set(o, as_text, file, section, values, err);
}

firn_status firn_options_reset(const struct firn_option *table, void *values,
                               struct firn_error *err)
{
    firn_status status = FIRN_OK;
    for (const struct firn_option *o = table; o->name != NULL && status == FIRN_OK; o++)
        if (o->fallback != NULL)
            status = firn_option_set(o, o->fallback, "default", "", values, err);
    return status;
}

static bool is_in(const char *const *list, const char *word)
{
    for (; list != NULL && *list != NULL; list++)
        if (strcmp(*list, word) == 0)
            return true;
    return false;
}

firn_status firn_options_read(const struct firn_option *table, const json_t *mapping,
                              const char *file, const char *section, const char *const *skip,
                              void *values, struct firn_error *err)
{
    const size_t length = strlen(section); /* it ends in a dot */
    if (!json_is_object(mapping))
        return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = FIRN_STR("%.*s", (int) (length > 0 ? length - 1 : 0), section),
                         .expected = "a mapping of keys to values", .got = "something else");
    const char *key;
    json_t *v;
    bool seen[512] = { false };
    json_object_foreach ((json_t *) mapping, key, v) {
        if (is_in(skip, key))
            continue;
        const struct firn_option *o = firn_option_find(table, key);
        if (o == NULL) {
            const char *near = firn_option_nearest(table, key);
            return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = FIRN_STR("%s%s", section, key),
                             .what = near != NULL ? FIRN_STR("unknown key; did you mean %s?", near)
                                                  : "unknown key");
        }
        if (seen[o - table])
            return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = FIRN_STR("%s%s", section, key),
                             .what = FIRN_STR("given twice, as %s too", o->name));
        seen[o - table] = true;
        const firn_status status = read_one(o, v, file, section, values, err);
        if (status)
            return status;
    }
    for (const struct firn_option *o = table; o->name != NULL; o++)
        if (o->is_required && !seen[o - table])
            return firn_fail(err, FIRN_ERR_USAGE, .file = file,
                             .key = FIRN_STR("%s%s", section, o->name), .what = "is required");
    return FIRN_OK;
}

firn_status firn_options_pick(const struct firn_option *table, const json_t *mapping, const char *file,
                              void *values, struct firn_error *err)
{
    for (const struct firn_option *o = table; o->name != NULL; o++) {
        const json_t *v = json_object_get(mapping, o->name);
        for (int i = 0; i < 4 && v == NULL && o->also[i] != NULL; i++)
            v = json_object_get(mapping, o->also[i]);
        if (v == NULL && o->is_required)
            return firn_fail(err, FIRN_ERR_FORMAT, .file = file, .key = o->name, .what = "is missing");
        const firn_status status = v != NULL ? read_one(o, v, file, "", values, err) : FIRN_OK;
        if (status)
            return status;
    }
    return FIRN_OK;
}

json_t *firn_options_tree(const struct firn_option *table, const void *values)
{
    json_t *tree = json_object();
    for (const struct firn_option *o = table; o->name != NULL; o++) {
        const void *at = (const char *) values + o->offset;
        json_t *v = NULL;
        switch (o->type) {
        case FIRN_OPTION_TEXT:
            v = *(char *const *) at != NULL ? json_string(*(char *const *) at) : NULL;
            break;
        case FIRN_OPTION_INT:
        case FIRN_OPTION_BYTES:
            v = json_integer(*(const int64_t *) at);
            break;
        case FIRN_OPTION_REAL:
            v = json_real(*(const double *) at);
            break;
        case FIRN_OPTION_BOOL:
            v = json_boolean(*(const bool *) at);
            break;
        case FIRN_OPTION_WORD:
            v = json_string(o->words[*(const int *) at]);
            break;
        case FIRN_OPTION_TREE:
        case FIRN_OPTION_TEXTS:
            v = *(json_t *const *) at != NULL ? json_deep_copy(*(json_t *const *) at) : NULL;
            break;
        }
        if (v != NULL)
            json_object_set_new(tree, o->name, v);
    }
    return tree;
}

void firn_options_free(const struct firn_option *table, void *values)
{
    for (const struct firn_option *o = table; o->name != NULL; o++) {
        void *at = slot(o, values);
        if (o->type == FIRN_OPTION_TEXT) {
            free(*(char **) at);
            *(char **) at = NULL;
        } else if (o->type == FIRN_OPTION_TREE || o->type == FIRN_OPTION_TEXTS) {
            json_decref(*(json_t **) at);
            *(json_t **) at = NULL;
        }
    }
}
