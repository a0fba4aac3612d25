/* SPDX-License-Identifier: Apache-2.0 */
/* One cell of a comparison: trains, measures, and leaves its figures in result.json, by which it is known to be done. */
#include "compare/compare.h"

#include "base/file.h"
#include "train/measure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static double real_of(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

static void set_real(json_t *o, const char *key, double value)
{
    json_object_set_new(o, key, isfinite(value) ? json_real(value) : json_null());
}

static json_t *cell_json(const struct firn_cell *cell)
{
    json_t *o = json_object();
    for (int part = 0; part < FIRN_PART_COUNT; part++) {
        set_real(o, FIRN_STR("%s_quality", firn_part_words[part]), cell->quality[part]);
        set_real(o, FIRN_STR("%s_loss", firn_part_words[part]), cell->loss[part]);
    }
    set_real(o, "seconds", cell->seconds);
    set_real(o, "core_seconds", cell->core_seconds);
    set_real(o, "examples", cell->examples);
    json_object_set_new(o, "trainable", json_integer(cell->trainable));
    json_object_set_new(o, "total", json_integer(cell->total));
    json_object_set_new(o, "adapter_bytes", json_integer(cell->adapter_bytes));
    json_object_set_new(o, "memory_bytes", json_integer(cell->memory_bytes));
    return o;
}

static void read_cell(struct firn_cell *cell, const json_t *o)
{
    for (int part = 0; part < FIRN_PART_COUNT; part++) {
        cell->quality[part] = real_of(o, FIRN_STR("%s_quality", firn_part_words[part]));
        cell->loss[part] = real_of(o, FIRN_STR("%s_loss", firn_part_words[part]));
    }
    cell->seconds = real_of(o, "seconds");
    cell->core_seconds = real_of(o, "core_seconds");
    cell->examples = real_of(o, "examples");
    cell->trainable = json_integer_value(json_object_get(o, "trainable"));
    cell->total = json_integer_value(json_object_get(o, "total"));
    cell->adapter_bytes = json_integer_value(json_object_get(o, "adapter_bytes"));
    cell->memory_bytes = json_integer_value(json_object_get(o, "memory_bytes"));
    cell->is_done = true;
}

static void set_metric(struct firn_compare *c, const char *metric)
{
    c->metric = metric;
    c->is_share = strcmp(metric, "accuracy") == 0 || strcmp(metric, "exact match") == 0;
}

static double quality_of(struct firn_compare *c, const struct firn_metrics *m)
{
    const struct { const char *name; double value; } metrics[] = {
        { "accuracy", m->accuracy }, { "mean absolute error", m->mean_error }, { "exact match", m->exact_match } };
    for (int i = 0; i < 3; i++)
        if (isfinite(metrics[i].value)) {
            set_metric(c, metrics[i].name);
            return metrics[i].value;
        }
    set_metric(c, "perplexity");
    return m->perplexity;
}

/* A result that another recipe left would be shown as this one's. */
static firn_status load_result(struct firn_compare *c, struct firn_cell *cell, const char *path, const json_t *recipe,
                               struct firn_error *err)
{
    json_t *o = NULL;
    firn_status status = firn_json_load(path, &o, err);
    if (status)
        return status;
    if (!json_equal(recipe, json_object_get(o, "recipe"))) {
        status = firn_fail(err, FIRN_ERR_USAGE, .file = path,
                           .what = "was made with other settings; use another output, or remove this cell");
    } else {
        const char *metric = json_string_value(json_object_get(o, "metric"));
        static const char *const metrics[] = { "accuracy", "mean absolute error", "exact match", "perplexity" };
        for (int i = 0; i < 4; i++)
            if (metric != NULL && strcmp(metric, metrics[i]) == 0)
                set_metric(c, metrics[i]);
        read_cell(cell, json_object_get(o, "figures"));
    }
    json_decref(o);
    return status;
}

static int64_t bytes_below(const char *directory)
{
    char **names = NULL;
    size_t n = 0;
    int64_t total = 0;
    if (firn_dir_list(directory, &names, &n, NULL) != FIRN_OK)
        return 0;
    for (size_t i = 0; i < n; i++) {
        struct stat s;
        char *path = firn_path_join(directory, names[i]);
        if (strstr(names[i], ".tmp") != NULL) { /* left by a run that was killed while it wrote */
            free(path);
            continue;
        }
        if (path != NULL && stat(path, &s) == 0 && S_ISREG(s.st_mode))
            total += s.st_size;
        free(path);
    }
    firn_dir_list_free(names, n);
    return total;
}

static firn_status read_summary(struct firn_cell *cell, const char *directory, struct firn_error *err)
{
    char *path = firn_path_join(directory, "summary.json");
    json_t *o = NULL;
    const firn_status status = path != NULL ? firn_json_load(path, &o, err)
                                            : firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a path");
    if (status == FIRN_OK) {
        const char *key;
        json_t *value;
        const char *device = json_string_value(json_object_get(o, "device"));
        const bool is_cpu = device != NULL && strncmp(device, "cpu", 3) == 0;
        cell->seconds = real_of(o, "seconds");
        cell->core_seconds = is_cpu ? real_of(o, "core_seconds") : NAN; /* elsewhere the work is not this process's */
        cell->examples = real_of(o, "examples");
        cell->trainable = json_integer_value(json_object_get(o, "trainable"));
        cell->total = json_integer_value(json_object_get(o, "total"));
        cell->memory_bytes = 0;
        json_object_foreach (json_object_get(o, "bytes"), key, value)
            cell->memory_bytes += json_integer_value(value);
    }
    json_decref(o);
    free(path);
    return status;
}

static firn_status measure(struct firn_compare *c, struct firn_cell *cell, const struct firn_recipe *r,
                           const char *adapter, const struct firn_log *log, struct firn_error *err)
{
    const char *const all[FIRN_PART_COUNT] = { NULL, c->validation, r->data.test, c->out_of_domain };
    const char *files[FIRN_PART_COUNT];
    enum firn_part parts[FIRN_PART_COUNT];
    struct firn_metrics metrics[FIRN_PART_COUNT];
    int n = 0;
    for (int part = 0; part < FIRN_PART_COUNT; part++) {
        cell->quality[part] = cell->loss[part] = NAN;
        if ((part != FIRN_PART_TRAIN && all[part] == NULL) || (cell->is_try && part != FIRN_PART_VALIDATION))
            continue;
        parts[n] = (enum firn_part) part;
        files[n++] = all[part];
    }
    const firn_status status = firn_measure(r, adapter, files, n, log, metrics, err);
    for (int i = 0; i < n && status == FIRN_OK; i++) {
        cell->quality[parts[i]] = quality_of(c, &metrics[i]);
        cell->loss[parts[i]] = metrics[i].loss;
    }
    return status;
}

static firn_status save_result(const struct firn_compare *c, const struct firn_cell *cell, const char *path,
                               const json_t *recipe, struct firn_error *err)
{
    json_t *o = json_pack("{s:s, s:s, s:O, s:o}", "format", "firn comparison cell 1", "metric", c->metric, "recipe", recipe,
                          "figures", cell_json(cell));
    const firn_status status = o != NULL ? firn_json_save(path, o, false, err)
                                         : firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a result");
    json_decref(o);
    return status;
}

/* Weights of a fully trained model for each cell would fill a disk. */
static firn_status remove_adapter(const char *directory, struct firn_error *err)
{
    static const char *const names[] = { "adapter", "checkpoints", "best" };
    firn_status status = FIRN_OK;
    for (int i = 0; i < 3 && status == FIRN_OK; i++) {
        char *path = firn_path_join(directory, names[i]);
        if (path != NULL && firn_path_exists(path))
            status = firn_dir_remove(path, err);
        free(path);
    }
    return status;
}

static firn_status train_and_measure(struct firn_compare *c, struct firn_cell *cell, const struct firn_recipe *r,
                                     const struct firn_compare_params *params, struct firn_error *err)
{
    const struct firn_train_params how = { .resume = true, .log = params->log, .stop = params->stop };
    char *adapter = firn_path_join(r->output, "adapter");
    firn_status status = adapter != NULL ? firn_train(r, &how, err)
                                         : firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a path");
    if (status == FIRN_OK)
        status = read_summary(cell, r->output, err);
    if (status == FIRN_OK)
        status = measure(c, cell, r, adapter, &params->log, err);
    cell->adapter_bytes = adapter != NULL ? bytes_below(adapter) : 0;
    free(adapter);
    return status;
}

firn_status firn_cell_run(struct firn_compare *c, struct firn_cell *cell, const struct firn_compare_params *params,
                          struct firn_error *err)
{
    struct firn_recipe r;
    firn_status status = firn_compare_recipe(c, cell, &r, err);
    if (status)
        return status;
    json_t *recipe = firn_recipe_tree(&r);
    char *path = firn_path_join(r.output, "result.json");
    if (recipe == NULL || path == NULL) {
        status = firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a cell");
    } else if (firn_path_exists(path)) {
        status = load_result(c, cell, path, recipe, err);
    } else {
        status = train_and_measure(c, cell, &r, params, err);
        if (status == FIRN_OK)
            status = save_result(c, cell, path, recipe, err);
        if (status == FIRN_OK && !c->keep_adapters)
            status = remove_adapter(r.output, err);
        cell->is_done = status == FIRN_OK;
    }
    json_decref(recipe);
    free(path);
    firn_recipe_free(&r);
    return status;
}
