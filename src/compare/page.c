/* SPDX-License-Identifier: Apache-2.0 */
/* compare.html: tables, curves over the amount of data, what they say, and the settings; one self-contained page. */
#include "compare/compare.h"

#include "base/file.h"
#include "base/html.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *unit_of(const struct firn_compare *c)
{
    return c->is_share ? "%" : NULL;
}

/* Mean over seeds of a part's quality at each size; all examples are drawn at the largest number seen. */
static void add_curves(struct firn_str *s, const struct firn_compare *c, enum firn_part part, const char *title)
{
    const size_t per = (size_t) c->n_sizes, n = (size_t) c->n_methods;
    double *numbers = calloc(3 * per * n + 1, sizeof *numbers);
    struct firn_plot_line *lines = calloc(n + 1, sizeof *lines);
    const double factor = c->is_share ? 100 : 1;
    if (numbers == NULL || lines == NULL) {
        s->failed = true;
        free(numbers);
        free(lines);
        return;
    }
    for (int m = 0; m < c->n_methods; m++) {
        double *x = numbers + 3 * per * (size_t) m, *y = x + per, *spread = y + per;
        for (int k = 0; k < c->n_sizes; k++) {
            const struct firn_statistic q = firn_compare_quality(c, k, m, part);
            const struct firn_cell *cell = firn_compare_cell(c, k, m, 0);
            x[k] = c->sizes[k] > 0 ? (double) c->sizes[k] : cell->is_done ? cell->examples : NAN;
            y[k] = q.n > 0 ? factor * q.mean : NAN;
            spread[k] = factor * q.spread;
        }
        lines[m] = (struct firn_plot_line){ .name = c->methods[m].name, .colour = firn_html_colour(m), .x = x, .y = y,
                                            .spread = spread, .n = per, .has_marks = true,
                                            .is_dashed = firn_html_is_dashed(m) };
    }
    firn_html_plot(s, &(struct firn_plot){ .title = title, .x_name = "training examples", .y_name = unit_of(c), .log_x = true,
                                           .shares_x = true, .lines = lines, .n = c->n_methods });
    free(numbers);
    free(lines);
}

/* One point a method at the largest amount of data. */
static void add_cost(struct firn_str *s, const struct firn_compare *c, int size, firn_cell_value cost, double unit,
                     const char *title, const char *x_name)
{
    const size_t n = (size_t) c->n_methods;
    double *numbers = calloc(3 * n + 1, sizeof *numbers);
    struct firn_plot_line *lines = calloc(n + 1, sizeof *lines);
    const double factor = c->is_share ? 100 : 1;
    const enum firn_part part = firn_compare_quality(c, size, 0, FIRN_PART_TEST).n > 0 ? FIRN_PART_TEST : FIRN_PART_VALIDATION;
    for (size_t m = 0; m < n && numbers != NULL && lines != NULL; m++) {
        const struct firn_statistic q = firn_compare_quality(c, size, (int) m, part);
        numbers[3 * m] = firn_compare_statistic(c, size, (int) m, cost).mean / unit;
        numbers[3 * m + 1] = q.n > 0 ? factor * q.mean : NAN;
        numbers[3 * m + 2] = factor * q.spread;
        lines[m] = (struct firn_plot_line){ .name = c->methods[m].name, .colour = firn_html_colour((int) m),
                                            .x = &numbers[3 * m], .y = &numbers[3 * m + 1],
                                            .spread = &numbers[3 * m + 2], .n = 1, .has_marks = true,
                                            .is_dashed = firn_html_is_dashed((int) m) };
    }
    if (numbers != NULL && lines != NULL)
        firn_html_plot(s, &(struct firn_plot){ .title = title, .x_name = x_name, .y_name = unit_of(c), .log_x = true,
                                               .lines = lines, .n = c->n_methods });
    else
        s->failed = true;
    free(numbers);
    free(lines);
}

static void add_findings(struct firn_str *s, const struct firn_compare *c)
{
    struct firn_str text = { 0 };
    firn_compare_findings(c, &text);
    if (text.size > 0)
        firn_str_add(s, "<h2>What the data says</h2>\n<ul>\n");
    for (char *line = text.data, *next; line != NULL && *line != '\0'; line = next) {
        next = strchr(line, '\n');
        *next++ = '\0';
        firn_str_add(s, "<li>");
        firn_html_text(s, line);
        firn_str_add(s, "\n");
    }
    if (text.size > 0)
        firn_str_add(s, "</ul>\n<p>A difference counts when it is more than two standard errors over the seeds (Welch). "
                        "The data, the model and the settings below are what this holds for.</p>\n");
    s->failed |= text.failed;
    firn_str_free(&text);
}

static void add_failures(struct firn_str *s, const struct firn_compare *c)
{
    for (int i = 0; i < c->n_cells; i++) {
        const struct firn_cell *cell = &c->cells[i];
        if (cell->failure == NULL)
            continue;
        firn_str_add(s, "<p>failed: ");
        firn_html_text(s, FIRN_STR("%s, %lld examples, seed %lld: %.300s", c->methods[cell->method].name,
                                   (long long) cell->size, (long long) cell->seed, cell->failure));
        firn_str_add(s, "</p>\n");
    }
}

firn_status firn_compare_page(const struct firn_compare *c, const char *path, struct firn_error *err)
{
    struct firn_str s = { 0 };
    const int last = c->n_sizes - 1;
    int done = 0;
    for (int i = 0; i < c->n_cells; i++)
        done += c->cells[i].is_done;
    firn_html_head(&s, c->output);
    firn_str_addf(&s, "<p>%d methods, %d amounts of data, %d seeds; %d of %d cells done. Time is that of the "
                      "training steps, core time that of all cores together (on the cpu device), which other work on the machine "
                      "changes less; memory is what the plan allocates; bytes/task is what has to be kept for a task. "
                      "Spread: sample standard deviation over seeds.</p>\n",
                  c->n_methods, c->n_sizes, c->n_seeds, done, c->n_cells);
    add_findings(&s, c);
    for (int k = last; k >= 0; k--) {
        firn_str_add(&s, k == last ? "<details open>" : "<details>");
        firn_compare_table_html(c, k, &s);
        firn_str_add(&s, "</details>\n");
    }
    if (c->n_tries > 0) {
        struct firn_str tried = { 0 };
        firn_search_table(c, &tried);
        firn_str_add(&s, "<h2>How the settings were chosen</h2>\n<p>Where a method's settings have several values, each was "
                         "trained with a seed that is none of those above and measured on validation data. The figures above "
                         "are of the values in brackets.</p>\n<pre class=\"wrap\">");
        firn_html_text(&s, tried.data != NULL ? tried.data : "");
        firn_str_add(&s, "</pre>\n");
        firn_str_free(&tried);
    }
    add_curves(&s, c, FIRN_PART_TEST, FIRN_STR("In-domain test: %s against training examples", c->metric));
    add_curves(&s, c, FIRN_PART_OUT, FIRN_STR("Out of domain: %s against training examples", c->metric));
    add_curves(&s, c, FIRN_PART_VALIDATION, FIRN_STR("Validation: %s against training examples", c->metric));
    add_curves(&s, c, FIRN_PART_TRAIN, FIRN_STR("On the training examples themselves: %s", c->metric));
    add_cost(&s, c, last, firn_cell_trainable, 1, "Quality against trained parameters", "trained parameters");
    add_cost(&s, c, last, firn_cell_seconds, 1, "Quality against training time", "seconds");
    add_cost(&s, c, last, firn_cell_core_seconds, 1, "Quality against training time of all cores", "core seconds");
    add_cost(&s, c, last, firn_cell_memory, 0x1p20, "Quality against memory", "MiB");
    add_failures(&s, c);
    firn_str_add(&s, "<h2>Settings</h2><pre>");
    char *yaml = firn_yaml_dump(c->tree);
    firn_html_text(&s, yaml != NULL ? yaml : "");
    free(yaml);
    firn_str_add(&s, "</pre></body></html>\n");
    const firn_status status = s.failed ? firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for the page")
                                        : firn_file_write(path, s.data, s.size, err);
    firn_str_free(&s);
    return status;
}
