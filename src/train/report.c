/* SPDX-License-Identifier: Apache-2.0 */
/* Writes report.html: figures, curves as SVG, settings, samples, and how to load the adapter. */
#include "train/report.h"

#include "base/file.h"
#include "base/html.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

enum { MAX_LINES = 2 };

struct series {
    const char *name, *colour;
    double (*value)(const struct firn_point *p);
};

static double loss_of(const struct firn_point *p)
{
    return p->is_eval ? NAN : p->loss;
}
static double eval_loss_of(const struct firn_point *p)
{
    return p->is_eval ? p->eval_loss : NAN;
}
static double accuracy_of(const struct firn_point *p)
{
    return p->is_eval ? 100 * p->eval_accuracy : NAN;
}
static double rate_of(const struct firn_point *p)
{
    return p->is_eval ? NAN : p->learning_rate;
}
static double norm_of(const struct firn_point *p)
{
    return p->is_eval ? NAN : p->grad_norm;
}

static void add_plot(struct firn_str *s, const char *title, const struct firn_history *h, const struct series *lines,
                     int n)
{
    double *values = malloc(sizeof *values * (h->count + 1) * (size_t) (n + 1));
    struct firn_plot_line drawn[MAX_LINES];
    if (values == NULL) {
        s->failed = true;
        return;
    }
    for (size_t i = 0; i < h->count; i++)
        values[i] = (double) h->points[i].step;
    for (int k = 0; k < n; k++) {
        double *y = values + h->count * (size_t) (k + 1);
        for (size_t i = 0; i < h->count; i++)
            y[i] = lines[k].value(&h->points[i]);
        drawn[k] = (struct firn_plot_line){ .name = lines[k].name, .colour = lines[k].colour, .x = values, .y = y,
                                            .n = h->count };
    }
    firn_html_plot(s, &(struct firn_plot){ .title = title, .x_name = "step", .lines = drawn, .n = n });
    free(values);
}

static void add_row(struct firn_str *s, const char *name, const char *value)
{
    firn_str_addf(s, "<tr><th>%s<td>", name);
    firn_html_text(s, value);
    firn_str_add(s, "</tr>\n");
}

static void add_figures(struct firn_str *s, const struct firn_report_facts *f)
{
    firn_str_add(s, "<table>\n");
    add_row(s, "model", f->recipe->model);
    add_row(s, "device", f->device);
    add_row(s, "optimizer steps", FIRN_STR("%" PRId64, f->steps));
    add_row(s, "examples", FIRN_STR("%" PRId64, f->examples));
    add_row(s, "trained parameters",
            FIRN_STR("%" PRId64 " of %" PRId64 " (%.3f %%)", f->trainable, f->total,
                     100.0 * (double) f->trainable / (double) (f->total > 0 ? f->total : 1)));
    add_row(s, "time", FIRN_STR("%.1f s, %.0f tokens/s", f->seconds, f->tokens_per_second));
    add_row(s, "memory", FIRN_STR("base %.1f MiB, adapter %.2f MiB, optimizer %.2f MiB, activations "
                                  "%.1f MiB, workspace %.1f MiB",
                                  (double) f->base_bytes / 0x1p20, (double) f->adapter_bytes / 0x1p20,
                                  (double) f->optimizer_bytes / 0x1p20,
                                  (double) f->activation_bytes / 0x1p20,
                                  (double) f->workspace_bytes / 0x1p20));
    for (size_t i = f->history->count; i-- > 0;)
        if (f->history->points[i].is_eval) {
            const struct firn_point *p = &f->history->points[i];
            add_row(s, "last evaluation",
                    isfinite(p->eval_accuracy)
                        ? FIRN_STR("loss %.4f, accuracy %.2f %%", p->eval_loss, 100 * p->eval_accuracy)
                        : FIRN_STR("loss %.4f", p->eval_loss));
            break;
        }
    firn_str_add(s, "</table>\n");
}

static void add_samples(struct firn_str *s, const json_t *samples)
{
    size_t i;
    json_t *o;
    if (json_array_size(samples) == 0)
        return;
    firn_str_add(s, "<h2>Samples</h2><table><tr><th>text<th>label<th>predicted</tr>\n");
    json_array_foreach ((json_t *) samples, i, o) {
        static const char *const keys[] = { "text", "label", "predicted" };
        firn_str_add(s, "<tr>");
        for (int k = 0; k < 3; k++) {
            const char *text = json_string_value(json_object_get(o, keys[k]));
            firn_str_add(s, "<td>");
            firn_html_text(s, text != NULL ? text : "");
        }
        firn_str_add(s, "</tr>\n");
    }
    firn_str_add(s, "</table>\n");
}

firn_status firn_report_write(const char *path, const struct firn_report_facts *f,
                              struct firn_error *err)
{
    static const struct series loss[] = { { "training", "#4477aa", loss_of },
                                          { "validation", "#ee6677", eval_loss_of } };
    static const struct series accuracy[] = { { "validation", "#ee6677", accuracy_of } };
    static const struct series rate[] = { { "rate", "#228833", rate_of } };
    static const struct series norm[] = { { "norm", "#aa3377", norm_of } };
    struct firn_str s = { 0 };
    firn_html_head(&s, f->recipe->output);
    add_figures(&s, f);
    add_plot(&s, "Loss", f->history, loss, 2);
    add_plot(&s, "Accuracy, %", f->history, accuracy, 1);
    add_plot(&s, "Learning rate", f->history, rate, 1);
    add_plot(&s, "Gradient norm before clipping", f->history, norm, 1);
    add_samples(&s, f->samples);
    firn_str_add(&s, "<h2>How to load the adapter</h2><pre>");
    firn_html_text(&s, f->python != NULL ? f->python : "");
    firn_str_add(&s, "</pre><h2>Settings</h2><pre>");
    json_t *tree = firn_recipe_tree(f->recipe);
    char *yaml = firn_yaml_dump(tree);
    firn_html_text(&s, yaml != NULL ? yaml : "");
    free(yaml);
    json_decref(tree);
    firn_str_add(&s, "</pre></body></html>\n");
    const firn_status status = s.failed
                                   ? firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for the report")
                                   : firn_file_write(path, s.data, s.size, err);
    firn_str_free(&s);
    return status;
}
