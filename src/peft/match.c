/* SPDX-License-Identifier: Apache-2.0 */
/* Matching module paths: expressions with a limit on their work, lists of names, numbers by pattern. */
#include "peft/match.h"

#include "base/str.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

/* Steps of the matcher for one path; an expression that needs more is refused rather than waited for. */
enum { MATCH_LIMIT = 100000, MAX_PATTERN = 4096 };

struct firn_pattern {
    pcre2_code *code;
    pcre2_match_data *data;
    pcre2_match_context *context;
    char *text;
    bool gave_up;
};

firn_status firn_pattern_open(struct firn_pattern **pattern, const char *before, const char *text, const char *after,
                              bool whole, const char *file, const char *key, struct firn_error *err)
{
    struct firn_pattern *p = calloc(1, sizeof *p);
    struct firn_str all = { 0 };
    int code = 0;
    PCRE2_SIZE at = 0;
    firn_status status = FIRN_OK;
    firn_str_addf(&all, "%s%s%s", before, text, after);
    if (p == NULL || all.failed || (p->text = firn_strdup(text)) == NULL)
        status = firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a pattern");
    else if (strlen(text) > MAX_PATTERN)
        status = firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = key,
                           .expected = FIRN_STR("an expression of at most %d bytes", MAX_PATTERN), .got = "a longer one");
    if (status == FIRN_OK) {
        p->code = pcre2_compile((PCRE2_SPTR) all.data, all.size,
                                PCRE2_UTF | PCRE2_ANCHORED | (whole ? PCRE2_ENDANCHORED : 0), &code, &at, NULL);
        p->context = pcre2_match_context_create(NULL);
        if (p->code != NULL)
            p->data = pcre2_match_data_create_from_pattern(p->code, NULL);
        if (p->code == NULL) {
            unsigned char reason[200] = { 0 };
            pcre2_get_error_message(code, reason, sizeof reason);
            status = firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = key, .expected = "a regular expression",
                               .got = FIRN_STR("\"%s\": %s", text, (const char *) reason));
        } else if (p->data == NULL || p->context == NULL) {
            status = firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a pattern");
        } else {
            pcre2_set_match_limit(p->context, MATCH_LIMIT);
        }
    }
    firn_str_free(&all);
    if (status)
        firn_pattern_close(&p);
    *pattern = p;
    return status;
}

void firn_pattern_close(struct firn_pattern **pattern)
{
    struct firn_pattern *p = *pattern;
    if (p == NULL)
        return;
    pcre2_match_data_free(p->data);
    pcre2_match_context_free(p->context);
    pcre2_code_free(p->code);
    free(p->text);
    free(p);
    *pattern = NULL;
}

bool firn_pattern_matches(const struct firn_pattern *pattern, const char *text, int64_t *group)
{
    struct firn_pattern *p = (struct firn_pattern *) pattern; /* scratch and a flag only: the pattern stays */
    const int n = pcre2_match(p->code, (PCRE2_SPTR) text, strlen(text), 0, 0, p->data, p->context);
    if (group != NULL)
        *group = -1;
    if (n < 0 && n != PCRE2_ERROR_NOMATCH)
        p->gave_up = true;
    if (n > 1 && group != NULL) {
        const PCRE2_SIZE *at = pcre2_get_ovector_pointer(p->data);
        const PCRE2_SIZE from = at[2 * (n - 1)], to = at[2 * (n - 1) + 1];
        char digits[24];
        if (from != PCRE2_UNSET && to > from && to - from < sizeof digits) {
            memcpy(digits, text + from, to - from);
            digits[to - from] = '\0';
            firn_int_parse(digits, group);
        }
    }
    return n > 0;
}

const char *firn_pattern_gave_up(const struct firn_pattern *p)
{
    return p != NULL && p->gave_up ? p->text : NULL;
}

static bool is_end_of(const char *path, const char *name)
{
    const size_t n = strlen(path), m = strlen(name);
    return strcmp(path, name) == 0 || (m > 0 && n > m && path[n - m - 1] == '.' && strcmp(path + n - m, name) == 0);
}

firn_status firn_names_open(struct firn_names *names, const json_t *value, const char *file, const char *key,
                            struct firn_error *err)
{
    *names = (struct firn_names){ 0 };
    if (value == NULL || json_is_null(value))
        return FIRN_OK;
    if (json_is_string(value))
        return firn_pattern_open(&names->pattern, "(?:", json_string_value(value), ")", true, file, key, err);
    for (size_t i = 0; json_is_array(value) && i < json_array_size(value); i++)
        if (!json_is_string(json_array_get(value, i)))
            return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = key, .expected = "names of modules",
                             .got = "something else in the list");
    if (!json_is_array(value))
        return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = key,
                         .expected = "a list of names or a regular expression", .got = "something else");
    names->list = value;
    return FIRN_OK;
}

void firn_names_close(struct firn_names *names)
{
    firn_pattern_close(&names->pattern);
    *names = (struct firn_names){ 0 };
}

bool firn_names_match(const struct firn_names *names, const char *path)
{
    if (names->pattern != NULL)
        return firn_pattern_matches(names->pattern, path, NULL);
    for (size_t i = 0; i < json_array_size(names->list); i++)
        if (is_end_of(path, json_string_value(json_array_get(names->list, i))))
            return true;
    return false;
}

bool firn_names_is_set(const struct firn_names *names)
{
    return names->pattern != NULL || json_array_size(names->list) > 0;
}

firn_status firn_layers_open(struct firn_layers *layers, const json_t *indices, const json_t *pattern, const char *file,
                             struct firn_error *err)
{
    *layers = (struct firn_layers){ 0 };
    if (indices == NULL || json_is_null(indices) || (json_is_array(indices) && json_array_size(indices) == 0))
        return FIRN_OK;
    bool is_right = json_is_integer(indices) || json_is_array(indices);
    for (size_t i = 0; i < json_array_size(indices); i++)
        is_right = is_right && json_is_integer(json_array_get(indices, i));
    if (!is_right)
        return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = "layers_to_transform",
                         .expected = "a number or a list of numbers", .got = "something else");
    layers->indices = indices;
    const bool is_list = json_is_array(pattern);
    const size_t n = is_list ? json_array_size(pattern) : json_is_string(pattern) ? 1 : 0;
    if (pattern != NULL && !json_is_null(pattern) && !is_list && !json_is_string(pattern))
        return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = "layers_pattern",
                         .expected = "a name or a list of names", .got = "something else");
    layers->patterns = calloc(n + 1, sizeof(struct firn_pattern *));
    if (layers->patterns == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for patterns");
    firn_status status = FIRN_OK;
    for (size_t i = 0; i < n && status == FIRN_OK; i++) {
        const char *text = json_string_value(is_list ? json_array_get(pattern, i) : pattern);
        if (text == NULL)
            status = firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = "layers_pattern", .expected = "names",
                               .got = "something else in the list");
        else if (text[0] != '\0')
            status = firn_pattern_open(&layers->patterns[layers->n_patterns++], "(?:^|.*?\\.)", text, "\\.(\\d+)\\.",
                                       false, file, "layers_pattern", err);
    }
    if (status == FIRN_OK && layers->n_patterns == 0)
        status = firn_pattern_open(&layers->patterns[layers->n_patterns++], "", ".*?\\.[^.]*\\.(\\d+)\\.", "", false,
                                   file, "layers_pattern", err);
    return status;
}

void firn_layers_close(struct firn_layers *layers)
{
    for (size_t i = 0; i < layers->n_patterns; i++)
        firn_pattern_close(&layers->patterns[i]);
    free(layers->patterns);
    *layers = (struct firn_layers){ 0 };
}

bool firn_layers_match(const struct firn_layers *layers, const char *path)
{
    int64_t layer = -1;
    if (layers->indices == NULL)
        return true;
    for (size_t i = 0; i < layers->n_patterns; i++)
        if (firn_pattern_matches(layers->patterns[i], path, &layer))
            break;
    if (layer < 0)
        return false;
    if (json_is_integer(layers->indices))
        return json_integer_value(layers->indices) == layer;
    for (size_t i = 0; i < json_array_size(layers->indices); i++)
        if (json_integer_value(json_array_get(layers->indices, i)) == layer)
            return true;
    return false;
}

firn_status firn_numbers_open(struct firn_numbers *numbers, const json_t *map, bool whole, const char *file,
                              const char *key, struct firn_error *err)
{
    const char *name;
    json_t *value;
    *numbers = (struct firn_numbers){ 0 };
    if (map == NULL || json_is_null(map))
        return FIRN_OK;
    if (!json_is_object(map))
        return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = key, .expected = "a mapping of modules to numbers",
                         .got = "something else");
    numbers->list = calloc(json_object_size(map) + 1, sizeof *numbers->list);
    if (numbers->list == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for patterns");
    json_object_foreach ((json_t *) map, name, value) {
        const double x = json_number_value(value);
        if (!json_is_number(value) || (whole && (!json_is_integer(value) || x < 1 || x > 65536)))
            return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = FIRN_STR("%s.%s", key, name),
                             .expected = whole ? "a whole number from 1 to 65536" : "a number",
                             .got = "something else");
        struct firn_number *n = &numbers->list[numbers->count++];
        n->value = x;
        const firn_status status = firn_pattern_open(&n->pattern, "(?:.*\\.)?(?:", name, ")$", false, file, key, err);
        if (status)
            return status;
    }
    return FIRN_OK;
}

void firn_numbers_close(struct firn_numbers *numbers)
{
    for (size_t i = 0; i < numbers->count; i++)
        firn_pattern_close(&numbers->list[i].pattern);
    free(numbers->list);
    *numbers = (struct firn_numbers){ 0 };
}

double firn_numbers_find(const struct firn_numbers *numbers, const char *path, double fallback)
{
    for (size_t i = 0; i < numbers->count; i++)
        if (firn_pattern_matches(numbers->list[i].pattern, path, NULL))
            return numbers->list[i].value;
    return fallback;
}

bool firn_is_saved(const char *path, const char *name)
{
    const size_t n = strlen(name);
    for (const char *at = n > 0 ? strstr(path, name) : NULL; at != NULL; at = strstr(at + 1, name))
        if (at[n] == '.' || at[n] == '\0')
            return true;
    return false;
}
