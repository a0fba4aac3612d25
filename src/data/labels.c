/* SPDX-License-Identifier: Apache-2.0 */
/* Label names from data, and their indices. */
#include "data/labels.h"

#include "base/str.h"

#include <stdlib.h>
#include <string.h>

/* A label's name: its text, or its number as written. NULL for anything else. */
static const char *name_of(const json_t *v, char *text, size_t size)
{
    if (json_is_string(v))
        return json_string_value(v);
    if (json_is_integer(v))
        return firn_format(text, size, "%lld", (long long) json_integer_value(v));
    if (json_is_real(v))
        return firn_format(text, size, "%.9g", json_real_value(v));
    if (json_is_boolean(v))
        return json_is_true(v) ? "true" : "false";
    return NULL;
}

static bool is_number(const char *s, double *value)
{
    char *end;
    *value = strtod(s, &end);
    return s[0] != '\0' && *end == '\0';
}

static int compare(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    double m, n;
    const bool x_number = is_number(*x, &m), y_number = is_number(*y, &n);
    if (x_number && y_number && m != n)
        return m < n ? -1 : 1;
    if (x_number != y_number)
        return x_number ? -1 : 1;
    return strcmp(*x, *y);
}

static bool is_known(const struct firn_labels *l, const char *name)
{
    for (size_t i = 0; i < l->count; i++)
        if (strcmp(l->names[i], name) == 0)
            return true;
    return false;
}

static firn_status add(struct firn_labels *l, const char *name, struct firn_error *err)
{
    if (is_known(l, name))
        return FIRN_OK;
    char **names = realloc(l->names, sizeof *names * (l->count + 1));
    if (names != NULL)
        l->names = names;
    if (names == NULL || (names[l->count] = firn_strdup(name)) == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for labels");
    l->count++;
    return FIRN_OK;
}

static firn_status bad_label(const struct firn_table *t, size_t i, const char *column, struct firn_error *err)
{
    return firn_fail(err, FIRN_ERR_FORMAT, .file = t->path, .key = FIRN_STR("line %zu: %s", t->rows[i].line, column),
                     .expected = "a label: a word, a number or a list of them", .got = "something else");
}

firn_status firn_labels_collect(struct firn_labels *l, const struct firn_table *t, const char *column,
                                struct firn_error *err)
{
    enum { MAX_LABELS = 65536 };
    char text[64];
    firn_status status = FIRN_OK;
    memset(l, 0, sizeof *l);
    for (size_t i = 0; i < t->count && status == FIRN_OK; i++) {
        const json_t *v = firn_table_value(t, i, column);
        const size_t n = json_is_array(v) ? json_array_size(v) : 1;
        if (v == NULL)
            status = firn_table_missing(t, i, column, err);
        for (size_t k = 0; k < n && status == FIRN_OK; k++) {
            const char *name = name_of(json_is_array(v) ? json_array_get(v, k) : v, text, sizeof text);
            status = name != NULL ? add(l, name, err) : bad_label(t, i, column, err);
        }
        if (status == FIRN_OK && l->count > MAX_LABELS)
            status = firn_fail(err, FIRN_ERR_FORMAT, .file = t->path, .key = column,
                               .expected = "at most 65536 labels", .got = "more");
    }
    if (status)
        firn_labels_free(l);
    else
        qsort(l->names, l->count, sizeof *l->names, compare);
    return status;
}

firn_status firn_labels_from_json(struct firn_labels *l, const json_t *list, struct firn_error *err)
{
    size_t i;
    json_t *v;
    memset(l, 0, sizeof *l);
    json_array_foreach ((json_t *) list, i, v) {
        const firn_status status = json_is_string(v)
                                       ? add(l, json_string_value(v), err)
                                       : firn_fail(err, FIRN_ERR_FORMAT, .key = "labels", .expected = "a list of texts",
                                                   .got = "something else");
        if (status) {
            firn_labels_free(l);
            return status;
        }
    }
    return FIRN_OK;
}

json_t *firn_labels_json(const struct firn_labels *l)
{
    json_t *list = json_array();
    for (size_t i = 0; i < l->count; i++)
        json_array_append_new(list, json_string(l->names[i]));
    return list;
}

firn_status firn_labels_find(const struct firn_labels *l, const struct firn_table *t, size_t i, const json_t *value,
                             int32_t *index, struct firn_error *err)
{
    char text[64];
    const char *name = name_of(value, text, sizeof text);
    if (name == NULL)
        return bad_label(t, i, "label", err);
    for (size_t k = 0; k < l->count; k++)
        if (strcmp(l->names[k], name) == 0) {
            *index = (int32_t) k;
            return FIRN_OK;
        }
    struct firn_str known = { 0 };
    for (size_t k = 0; k < l->count && known.size < 300; k++)
        firn_str_addf(&known, "%s%s", k > 0 ? ", " : "one of ", l->names[k]);
    const firn_status status = firn_fail(err, FIRN_ERR_FORMAT, .file = t->path,
                                         .key = FIRN_STR("line %zu: label", t->rows[i].line),
                                         .expected = known.data != NULL ? known.data : "none", .got = name);
    firn_str_free(&known);
    return status;
}

void firn_labels_free(struct firn_labels *l)
{
    for (size_t i = 0; i < l->count; i++)
        free(l->names[i]);
    free(l->names);
    memset(l, 0, sizeof *l);
}
