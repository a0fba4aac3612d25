/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the cells of a comparison, smallest data first, and keeps its page up to date. */
#include "compare/compare.h"

#include "base/file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

json_t *firn_compare_json(const struct firn_compare *c)
{
    json_t *o = json_object(), *cells = json_array();
    json_object_set_new(o, "metric", json_string(c->metric));
    for (int i = 0; i < c->n_cells; i++) {
        const struct firn_cell *cell = &c->cells[i];
        json_t *x = json_pack("{s:s, s:I, s:I}", "method", c->methods[cell->method].name, "size", (json_int_t) cell->size,
                              "seed", (json_int_t) cell->seed);
        if (c->methods[cell->method].n_axes > 0 && cell->is_done)
            json_object_set_new(x, "settings", firn_choice_json(&c->methods[cell->method], cell->choice));
        if (cell->failure != NULL)
            json_object_set_new(x, "failure", json_string(cell->failure));
        for (int part = 0; part < FIRN_PART_COUNT && cell->is_done; part++)
            if (isfinite(cell->quality[part])) {
                json_object_set_new(x, firn_part_words[part], json_real(cell->quality[part]));
                json_object_set_new(x, FIRN_STR("%s_loss", firn_part_words[part]), json_real(cell->loss[part]));
            }
        if (cell->is_done) {
            json_object_set_new(x, "seconds", json_real(cell->seconds));
            if (isfinite(cell->core_seconds))
                json_object_set_new(x, "core_seconds", json_real(cell->core_seconds));
            json_object_set_new(x, "trainable", json_integer(cell->trainable));
            json_object_set_new(x, "adapter_bytes", json_integer(cell->adapter_bytes));
            json_object_set_new(x, "memory_bytes", json_integer(cell->memory_bytes));
        }
        json_array_append_new(cells, x);
    }
    json_object_set_new(o, "cells", cells);
    if (c->n_tries > 0)
        json_object_set_new(o, "tries", firn_search_json(c));
    return o;
}

static firn_status write_pages(const struct firn_compare *c, struct firn_error *err)
{
    char *json = firn_path_join(c->output, "compare.json"), *html = firn_path_join(c->output, "compare.html");
    json_t *o = firn_compare_json(c);
    firn_status status = json == NULL || html == NULL || o == NULL
                             ? firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a page")
                             : firn_json_save(json, o, false, err);
    if (status == FIRN_OK)
        status = firn_compare_page(c, html, err);
    json_decref(o);
    free(json);
    free(html);
    return status;
}

/* One writer at a time; what is there is only added to when it was asked for. */
static firn_status open_output(const struct firn_compare *c, const struct firn_compare_params *params, int *lock,
                               struct firn_error *err)
{
    char *cells = firn_path_join(c->output, "cells"), *lock_path = firn_path_join(c->output, ".lock");
    firn_status status = cells == NULL || lock_path == NULL
                             ? firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a path")
                             : FIRN_OK;
    if (status == FIRN_OK && !params->resume && !params->overwrite && !firn_dir_is_empty(c->output))
        status = firn_fail(err, FIRN_ERR_USAGE, .file = c->output,
                           .what = "holds something already; use --resume to go on with it, --overwrite to start anew, or "
                                   "another output");
    if (status == FIRN_OK)
        status = firn_dir_create(c->output, err);
    if (status == FIRN_OK && firn_lock_take(lock, lock_path, err) != FIRN_OK)
        status = firn_fail(err, FIRN_ERR_BUSY, .file = c->output, .what = "another comparison is writing there");
    if (status == FIRN_OK && params->overwrite && !params->resume && firn_path_exists(cells))
        status = firn_dir_remove(cells, err);
    free(cells);
    free(lock_path);
    return status;
}

/* What is wrong with one method or seed must not cost the others. Wrong usage and a full disk concern them all. */
static bool is_fatal(firn_status status)
{
    return status == FIRN_ERR_USAGE || status == FIRN_ERR_STOPPED || status == FIRN_ERR_IO || status == FIRN_ERR_BUSY;
}

struct progress {
    const struct firn_compare_params *params;
    struct firn_error first;    /* of the failures */
    int n, n_failed;
};

/* Runs one cell; what is wrong with it is kept with it, unless it concerns all. */
static firn_status run_cell(struct firn_compare *c, struct firn_cell *cell, struct progress *p, struct firn_error *err)
{
    struct firn_error why = { 0 };
    if (p->params->stop != NULL && *p->params->stop)
        return firn_fail(err, FIRN_ERR_STOPPED, .what = "stopped; go on with --resume");
    const firn_status status =
        cell->choice < 0 ? firn_fail(&why, FIRN_ERR_DEVICE, .what = "none of the settings that were tried could be trained")
                         : firn_cell_run(c, cell, p->params, &why);
    if (status != FIRN_OK && is_fatal(status)) {
        if (err != NULL)
            *err = why;
        return status;
    }
    if (status != FIRN_OK)
        cell->failure = firn_strdup(why.text);
    if (status != FIRN_OK && !cell->is_try) /* a rate that is too high is what a search is there to find */
        p->first = p->n_failed++ == 0 ? why : p->first;
    if (p->params->progress != NULL)
        p->params->progress(p->params->user, c, cell, p->n);
    p->n++;
    return write_pages(c, err);
}

/* The tries of one method, where it has several settings and they were not run for another size. */
static firn_status search(struct firn_compare *c, int size, int method, struct progress *p, struct firn_error *err)
{
    const int at = firn_search_of(c, size), choices = c->methods[method].n_choices;
    const int n = choices > 1 ? choices * c->n_search_seeds : 0;
    firn_status status = FIRN_OK;
    for (int k = 0; k < n && status == FIRN_OK; k++) {
        struct firn_cell *cell = firn_compare_try(c, at, method, 0, k);
        if (!cell->is_done && cell->failure == NULL)
            status = run_cell(c, cell, p, err);
    }
    const int best = firn_search_best(c, at, method);
    for (int k = 0; k < c->n_seeds; k++)
        firn_compare_cell(c, size, method, k)->choice = best;
    return status;
}

firn_status firn_compare_run(struct firn_compare *c, const struct firn_compare_params *params, struct firn_error *err)
{
    int lock = -1;
    struct progress p = { .params = params };
    firn_status status = open_output(c, params, &lock, err);
    for (int size = 0; size < c->n_sizes; size++)
        for (int m = 0; m < c->n_methods; m++) {
            if (status == FIRN_OK)
                status = search(c, size, m, &p, err);
            for (int k = 0; k < c->n_seeds && status == FIRN_OK; k++)
                status = run_cell(c, firn_compare_cell(c, size, m, k), &p, err);
        }
    if (lock >= 0)
        firn_lock_release(&lock);
    if (status == FIRN_OK && p.n_failed > 0)
        status = firn_fail(err, p.first.status, .file = c->output,
                           .what = FIRN_STR("%d of %d cells failed; the first: %.300s", p.n_failed, c->n_cells, p.first.text));
    return status;
}

struct firn_statistic firn_compare_statistic(const struct firn_compare *c, int size, int method, firn_cell_value value)
{
    struct firn_statistic s = { .mean = NAN };
    double sum = 0, squares = 0;
    for (int k = 0; k < c->n_seeds; k++) {
        const struct firn_cell *cell = firn_compare_cell(c, size, method, k);
        const double x = cell->is_done ? value(cell) : NAN;
        if (!isfinite(x))
            continue;
        sum += x;
        s.n++;
    }
    if (s.n > 0)
        s.mean = sum / s.n;
    for (int k = 0; k < c->n_seeds; k++) {
        const struct firn_cell *cell = firn_compare_cell(c, size, method, k);
        const double x = cell->is_done ? value(cell) : NAN;
        if (isfinite(x))
            squares += (x - s.mean) * (x - s.mean);
    }
    s.spread = s.n > 1 ? sqrt(squares / (s.n - 1)) : 0;
    return s;
}

static double quality_train(const struct firn_cell *cell)
{
    return cell->quality[FIRN_PART_TRAIN];
}
static double quality_validation(const struct firn_cell *cell)
{
    return cell->quality[FIRN_PART_VALIDATION];
}
static double quality_test(const struct firn_cell *cell)
{
    return cell->quality[FIRN_PART_TEST];
}
static double quality_out(const struct firn_cell *cell)
{
    return cell->quality[FIRN_PART_OUT];
}

struct firn_statistic firn_compare_quality(const struct firn_compare *c, int size, int method, enum firn_part part)
{
    static const firn_cell_value values[] = { quality_train, quality_validation, quality_test, quality_out };
    return firn_compare_statistic(c, size, method, values[part]);
}

double firn_cell_seconds(const struct firn_cell *cell)
{
    return cell->seconds;
}

double firn_cell_core_seconds(const struct firn_cell *cell)
{
    return cell->core_seconds;
}

double firn_cell_memory(const struct firn_cell *cell)
{
    return (double) cell->memory_bytes;
}

double firn_cell_bytes(const struct firn_cell *cell)
{
    return (double) cell->adapter_bytes;
}

double firn_cell_trainable(const struct firn_cell *cell)
{
    return (double) cell->trainable;
}
