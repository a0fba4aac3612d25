/* SPDX-License-Identifier: Apache-2.0 */
/* Selection of modules by PEFT's rules (tuners_utils.py), for the methods that wrap layers. */
#include "peft/wrap.h"

#include "peft/keys.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const head_names[] = { "classifier", "score" };

static firn_status no_memory(struct firn_error *err)
{
    return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for settings");
}

const struct firn_default_targets *firn_default_targets(const struct firn_default_targets *table, const char *type)
{
    for (; table->model_type != NULL; table++)
        if (strcmp(table->model_type, type) == 0)
            return table;
    return NULL;
}

firn_status firn_default_names(json_t **tree, const struct firn_default_targets *table, const struct firn_model *m,
                               const char *file, const char *key, struct firn_error *err)
{
    const struct firn_default_targets *row = firn_default_targets(table, m->arch->model_type);
    if (!firn_is_unset(*tree))
        return FIRN_OK;
    if (row == NULL)
        return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = key,
                         .expected = FIRN_STR("names of modules (this method has no default for %s)",
                                              m->arch->model_type),
                         .got = "none");
    json_decref(*tree);
    *tree = json_array();
    bool failed = *tree == NULL;
    for (const char *const *name = row->names; *name != NULL; name++)
        failed |= json_array_append_new(*tree, json_string(*name)) != 0;
    return failed ? no_memory(err) : FIRN_OK;
}

firn_status firn_wrap_targets_of(struct firn_wrap *w, const struct firn_model *m, struct firn_error *err)
{
    if (!firn_is_unset(w->target_modules))
        return FIRN_OK;
    json_decref(w->target_modules);
    w->target_modules = json_array();
    bool failed = w->target_modules == NULL;
    for (const char *const *t = m->arch->targets; t != NULL && *t != NULL; t++)
        failed |= json_array_append_new(w->target_modules, json_string(*t)) != 0;
    return failed ? no_memory(err) : FIRN_OK;
}

/* PEFT adds the usual names of heads for classification; what matches nothing is passed over. */
firn_status firn_wrap_open_saved(struct firn_wrap *w, enum firn_task task, const char *file, struct firn_error *err)
{
    json_t *list = json_array();
    const json_t *given = w->modules_to_save;
    bool failed = list == NULL;
    if (given != NULL && !json_is_null(given) && !json_is_array(given)) {
        json_decref(list);
        return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = "modules_to_save", .expected = "a list of names",
                         .got = "something else");
    }
    const size_t n_given = json_array_size(given), n_heads = task <= FIRN_TASK_TOKEN_CLS ? 2 : 0;
    for (size_t i = 0; i < n_given + n_heads; i++) {
        const json_t *v = json_array_get(given, i);
        const char *name = i < n_given ? json_string_value(v) : head_names[i - n_given];
        bool is_there = false;
        if (name == NULL) {
            json_decref(list);
            return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = "modules_to_save", .expected = "names",
                             .got = "something else in the list");
        }
        for (size_t k = 0; k < json_array_size(list); k++)
            is_there |= strcmp(json_string_value(json_array_get(list, k)), name) == 0;
        if (!is_there)
            failed |= json_array_append_new(list, json_string(name)) != 0;
    }
    json_decref(w->modules_to_save);
    w->modules_to_save = list;
    return failed ? no_memory(err) : FIRN_OK;
}

/* What PEFT refuses, so that no setting is passed over: layers are picked from lists of modules only. */
static firn_status check_layers(const struct firn_wrap *w, const char *file, struct firn_error *err)
{
    const bool has_layers = !firn_is_unset(w->layers_to_transform) || json_is_integer(w->layers_to_transform);
    if (!firn_is_unset(w->layers_pattern) && !has_layers)
        return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = "layers_pattern",
                         .expected = "layers_to_transform beside it", .got = "none");
    if (has_layers && json_is_string(w->target_modules) && !w->all_linear)
        return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = "layers_to_transform",
                         .expected = "target_modules that are a list of names", .got = "an expression");
    return FIRN_OK;
}

firn_status firn_wrap_open(struct firn_wrap *w, enum firn_task task, const char *file, struct firn_error *err)
{
    firn_status status = firn_wrap_open_saved(w, task, file, err);
    const char *word = json_string_value(w->target_modules);
    w->all_linear = word != NULL && strcasecmp(word, "all-linear") == 0;
    if (status == FIRN_OK)
        status = check_layers(w, file, err);
    if (status == FIRN_OK && !w->all_linear)
        status = firn_names_open(&w->targets, w->target_modules, file, "target_modules", err);
    if (status == FIRN_OK)
        status = firn_names_open(&w->excludes, w->exclude_modules, file, "exclude_modules", err);
    if (status == FIRN_OK)
        status = firn_layers_open(&w->layers, w->layers_to_transform, w->layers_pattern, file, err);
    return status;
}

void firn_wrap_close(struct firn_wrap *w)
{
    firn_names_close(&w->targets);
    firn_names_close(&w->excludes);
    firn_layers_close(&w->layers);
}

bool firn_wrap_copies(const struct firn_wrap *w, const struct firn_site *s)
{
    for (size_t i = 0; i < json_array_size(w->modules_to_save); i++)
        if (firn_is_saved(s->path, json_string_value(json_array_get(w->modules_to_save, i))))
            return true;
    return false;
}

/* "all-linear": every linear layer but the output and, for sequences, the head. */
static bool is_plain_linear(const struct firn_site *s)
{
    if (s->kind != FIRN_SITE_LINEAR || s->is_output)
        return false;
    return s->task != FIRN_TASK_SEQ_CLS || (strcmp(s->path, head_names[0]) != 0 && strcmp(s->path, head_names[1]) != 0);
}

bool firn_wrap_targets(const struct firn_wrap *w, const struct firn_site *s)
{
    if (s->kind == FIRN_SITE_OTHER || firn_names_match(&w->excludes, s->path) || firn_wrap_copies(w, s))
        return false;
    if (w->all_linear)
        return is_plain_linear(s) && firn_layers_match(&w->layers, s->path);
    return firn_names_match(&w->targets, s->path) && firn_layers_match(&w->layers, s->path);
}

const char *firn_wrap_trains(const struct firn_wrap *w, const struct firn_site *s, const char *part, char *text,
                             size_t size)
{
    if (firn_wrap_copies(w, s)) {
        snprintf(text, size, FIRN_PREFIX "%s.%s", s->path, part);
        return text;
    }
    if (strcmp(part, "bias") != 0 || w->bias == FIRN_BIAS_NONE)
        return NULL;
    const bool is_wrapped = firn_wrap_targets(w, s);
    if (w->bias == FIRN_BIAS_WRAPPED && !is_wrapped)
        return NULL;
    snprintf(text, size, FIRN_PREFIX "%s.%s%s", s->path, is_wrapped ? "base_layer." : "", part);
    return text;
}

firn_status firn_wrap_check(const struct firn_wrap *w, const char *file, struct firn_error *err)
{
    const struct { const char *key, *pattern; } all[] = {
        { "target_modules", firn_pattern_gave_up(w->targets.pattern) },
        { "exclude_modules", firn_pattern_gave_up(w->excludes.pattern) },
        { "layers_pattern", w->layers.n_patterns > 0 ? firn_pattern_gave_up(w->layers.patterns[0]) : NULL },
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (all[i].pattern != NULL)
            return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = all[i].key,
                             .expected = "an expression that is quick to match", .got = all[i].pattern);
    return FIRN_OK;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *) a, *(const char *const *) b);
}

json_t *firn_sorted_names(const json_t *names)
{
    const size_t n = json_array_size(names);
    const char **text = calloc(n + 1, sizeof *text);
    if (!json_is_array(names) || text == NULL) {
        free(text);
        return names != NULL ? json_deep_copy(names) : json_null();
    }
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        text[i] = json_string_value(json_array_get(names, i));
    qsort(text, n, sizeof *text, by_text);
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_string(text[i]));
    free(text);
    return list;
}

/* The modules of the tensors whose names have this end. */
static json_t *wrapped_modules(const struct firn_param_set *params, const char *end)
{
    json_t *list = json_array();
    const size_t cut = sizeof FIRN_PREFIX - 1 + strlen(end);
    for (size_t i = 0; i < params->count; i++) {
        const char *name = params->list[i].name;
        const size_t length = strlen(name);
        if (length > cut && strcmp(name + length - strlen(end), end) == 0)
            json_array_append_new(list, json_stringn(name + sizeof FIRN_PREFIX - 1, length - cut));
    }
    return list;
}

void firn_wrap_describe(const struct firn_wrap *w, const struct firn_param_set *params, const char *end,
                        json_t *config)
{
    const bool saves = json_array_size(w->modules_to_save) > 0;
    json_t *all = w->all_linear ? wrapped_modules(params, end) : NULL;
    json_object_set_new(config, "exclude_modules", firn_copy_or_null(w->exclude_modules));
    json_object_set_new(config, "modules_to_save", saves ? json_deep_copy(w->modules_to_save) : json_null());
    json_object_set_new(config, "target_modules", firn_sorted_names(w->all_linear ? all : w->target_modules));
    json_decref(all);
}

json_t *firn_number_tree(double x)
{
    return x == floor(x) && fabs(x) < 9e15 ? json_integer((json_int_t) x) : json_real(x);
}

json_t *firn_copy_or_null(const json_t *v)
{
    return v != NULL ? json_deep_copy(v) : json_null();
}

json_t *firn_copy_or_map(const json_t *v)
{
    return v != NULL ? json_deep_copy(v) : json_object();
}

const char *firn_wrap_name(const char *path, const char *param, char *text, size_t size)
{
    snprintf(text, size, FIRN_PREFIX "%s.%s", path, param);
    return text;
}

const struct firn_param *firn_wrap_find(const struct firn_param_set *params, const char *path, const char *param)
{
    char name[600];
    return firn_params_find(params, firn_wrap_name(path, param, name, sizeof name));
}

bool firn_wrap_path(const struct firn_param *p, const char *param, char *path, size_t size)
{
    const size_t n = strlen(p->name), before = sizeof FIRN_PREFIX - 1, after = strlen(param) + 1;
    if (n <= before + after || strncmp(p->name, FIRN_PREFIX, before) != 0 || p->name[n - after] != '.' ||
        strcmp(p->name + n - after + 1, param) != 0)
        return false;
    snprintf(path, size, "%.*s", (int) (n - before - after), p->name + before);
    return true;
}

struct firn_shape firn_wrap_matrix_shape(const struct firn_model *m, const char *path, const struct firn_tensor *t)
{
    return firn_arch_is_conv1d(m->arch, path) ? firn_dims(t->shape.dim[1], t->shape.dim[0]) : t->shape;
}

float *firn_wrap_matrix(const struct firn_model *m, const char *path, const struct firn_tensor *t)
{
    const int64_t rows = t->shape.dim[0], cols = t->shape.dim[1];
    float *w = malloc(sizeof *w * (size_t) (rows * cols + 1)), *row = malloc(sizeof *row * (size_t) (cols + 1));
    const bool turns = firn_arch_is_conv1d(m->arch, path);
    for (int64_t i = 0; i < rows && w != NULL && row != NULL; i++) {
        firn_tensor_read_f32(t, i * cols, cols, row);
        for (int64_t j = 0; j < cols; j++)
            w[turns ? j * rows + i : i * cols + j] = row[j];
    }
    if (row == NULL) {
        free(w);
        w = NULL;
    }
    free(row);
    return w;
}
