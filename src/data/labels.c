/* SPDX-License-Identifier: Apache-2.0 */
/* Label names from data, and their indices. */
#include "data/labels.h"

#include "base/str.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LABELS = 65536, MAX_NAME_BYTES = 1024 };

/* A label's name: its text, or its number as written. NULL for anything else. */
static const char *name_of(const json_t *v, char number[FIRN_REAL_TEXT])
{
    if (json_is_string(v)) {
        const size_t n = json_string_length(v);
        return n <= MAX_NAME_BYTES && strlen(json_string_value(v)) == n ? json_string_value(v)
                                                                        : NULL;
    }
    if (json_is_integer(v))
        return firn_format(number, FIRN_REAL_TEXT, "%lld", (long long) json_integer_value(v));
    if (json_is_real(v)) {
        const double real = json_real_value(v);
        return real == floor(real) && fabs(real) < 1e15
                   ? firn_format(number, FIRN_REAL_TEXT, "%lld", (long long) real)
                   : firn_real_text(number, real);
    }
    return json_is_boolean(v) ? (json_is_true(v) ? "true" : "false") : NULL;
}

static int compare(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    double m, n;
    const bool x_number = firn_real_parse(*x, &m), y_number = firn_real_parse(*y, &n);
    if (x_number && y_number && m != n)
        return m < n ? -1 : 1;
    if (x_number != y_number)
        return x_number ? -1 : 1;
    return strcmp(*x, *y);
}

static firn_status no_memory(struct firn_error *err)
{
    return firn_fail(err, FIRN_ERR_MEMORY, .what = "no memory for labels");
}

/* Adds a name that is not there yet: places[name] = its place as it was added. */
static firn_status add(struct firn_labels *l, const char *name, struct firn_error *err)
{
    if (json_object_get(l->places, name) != NULL)
        return FIRN_OK;
    if ((l->count & (l->count - 1)) == 0) { /* a power of two: the list is full */
        char **names = realloc(l->names, sizeof *names * (l->count > 0 ? 2 * l->count : 1));
        if (names == NULL)
            return no_memory(err);
        l->names = names;
    }
    l->names[l->count] = firn_strdup(name);
    if (l->names[l->count] == NULL)
        return no_memory(err);
    l->count++;
    return json_object_set_new(l->places, name, json_integer((json_int_t) l->count - 1)) == 0
               ? FIRN_OK
               : no_memory(err);
}

static firn_status start(struct firn_labels *l, struct firn_error *err)
{
    *l = (struct firn_labels){ .places = json_object() };
    return l->places != NULL ? FIRN_OK : no_memory(err);
}

static firn_status bad_label(const struct firn_table *t, size_t i, const char *column,
                             const json_t *value, struct firn_error *err)
{
    const char *got =
        json_is_string(value) ? "a text that is too long or holds a NUL" : firn_value_kind(value);
    return firn_fail(err, FIRN_ERR_FORMAT, .file = t->path,
                     .key = FIRN_STR("line %zu: %.200s", t->rows[i].line, column),
                     .expected = "a label: a word, a number or a list of them", .got = got);
}

static firn_status collect_row(struct firn_labels *l, const struct firn_table *t, size_t i,
                               const char *column, struct firn_error *err)
{
    char number[FIRN_REAL_TEXT];
    firn_status s = FIRN_OK;
    const json_t *v = firn_table_value(t, i, column);
    if (v == NULL)
        return firn_table_missing(t, i, column, err);
    const size_t n = json_is_array(v) ? json_array_size(v) : 1;
    for (size_t k = 0; k < n && s == FIRN_OK; k++) {
        const json_t *item = json_is_array(v) ? json_array_get(v, k) : v;
        const char *name = name_of(item, number);
        s = name != NULL ? add(l, name, err) : bad_label(t, i, column, item, err);
        if (s == FIRN_OK && l->count > MAX_LABELS)
            s = firn_fail(err, FIRN_ERR_FORMAT, .file = t->path, .key = column,
                          .expected = FIRN_STR("at most %d labels", MAX_LABELS), .got = "more");
    }
    return s;
}

firn_status firn_labels_collect(struct firn_labels *l, const struct firn_table *t,
                                const char *column, struct firn_error *err)
{
    firn_status s = start(l, err);
    if (s == FIRN_OK)
        s = firn_table_column(t, column, err);
    for (size_t i = 0; i < t->count && s == FIRN_OK; i++)
        s = collect_row(l, t, i, column, err);
    if (s == FIRN_OK && l->count == 0)
        s = firn_fail(err, FIRN_ERR_FORMAT, .file = t->path, .key = column,
                      .what = "holds no labels");
    if (s == FIRN_OK)
        qsort(l->names, l->count, sizeof *l->names, compare);
    for (size_t k = 0; k < l->count && s == FIRN_OK; k++)
        if (json_object_set_new(l->places, l->names[k], json_integer((json_int_t) k)) != 0)
            s = no_memory(err);
    if (s)
        firn_labels_free(l);
    return s;
}

firn_status firn_labels_from_json(struct firn_labels *l, const json_t *list, struct firn_error *err)
{
    char number[FIRN_REAL_TEXT];
    size_t i;
    json_t *v;
    firn_status s = start(l, err);
    json_array_foreach((json_t *) (uintptr_t) list, i, v)
    {
        const char *name = name_of(v, number);
        if (s)
            break;
        if (name == NULL)
            s = firn_fail(err, FIRN_ERR_FORMAT, .key = "labels", .expected = "a list of texts",
                          .got = firn_value_kind(v));
        else if (json_object_get(l->places, name) != NULL)
            s = firn_fail(err, FIRN_ERR_FORMAT, .key = "labels",
                          .what = FIRN_STR("the label %.200s is there twice", name));
        else
            s = add(l, name, err);
    }
    if (s)
        firn_labels_free(l);
    return s;
}

json_t *firn_labels_json(const struct firn_labels *l)
{
    json_t *list = json_array();
    for (size_t i = 0; i < l->count; i++)
        json_array_append_new(list, json_string(l->names[i]));
    return list;
}

firn_status firn_labels_find(const struct firn_labels *l, const struct firn_table *t, size_t i,
                             const json_t *value, int32_t *index, struct firn_error *err)
{
    char number[FIRN_REAL_TEXT];
    const char *name = name_of(value, number);
    if (name == NULL)
        return bad_label(t, i, "label", value, err);
    const json_t *place = json_object_get(l->places, name);
    if (place != NULL) {
        *index = (int32_t) json_integer_value(place);
        return FIRN_OK;
    }
    struct firn_str known = { 0 };
    size_t k = 0;
    for (; k < l->count && known.size < 300; k++)
        firn_str_addf(&known, "%s%.100s", k > 0 ? ", " : "one of ", l->names[k]);
    if (k < l->count)
        firn_str_addf(&known, " and %zu more", l->count - k);
    firn_status s = firn_fail(
        err, FIRN_ERR_FORMAT, .file = t->path, .key = FIRN_STR("line %zu: label", t->rows[i].line),
        .expected = known.size > 0 ? known.data : "no label", .got = FIRN_STR("%.200s", name));
    firn_str_free(&known);
    return s;
}

void firn_labels_free(struct firn_labels *l)
{
    for (size_t i = 0; i < l->count; i++)
        free(l->names[i]);
    free(l->names);
    json_decref(l->places);
    *l = (struct firn_labels){ 0 };
}
