/* SPDX-License-Identifier: Apache-2.0 */
/* `firn eval`: metrics of a model, with or without its adapter, on a data file. */
#include "cli/recipe_args.h"
#include "train/measure.h"

#include <math.h>
#include <stdio.h>

struct flags {
    char *device, *adapter, *data;
    bool json;
};

#define AT(field) offsetof(struct flags, field)
static const struct firn_option flags[] = {
    FIRN_FLAG_RECIPE_DEVICE(device),
    { "adapter", .type = FIRN_OPTION_TEXT, .offset = AT(adapter), .unit = "DIR",
      .help = "the adapter; without one the untrained start is evaluated" },
    { "data", .type = FIRN_OPTION_TEXT, .offset = AT(data), .unit = "FILE",
      .help = "the examples; else the recipe's data.test, else data.validation" },
    FIRN_FLAG_JSON(json),
    { NULL },
};

static const char *data_file(const struct flags *f, const struct firn_recipe *r)
{
    return f->data != NULL ? f->data : r->data.test != NULL ? r->data.test : r->data.validation;
}

static void print_metrics(const struct firn_metrics *m, bool json)
{
    if (json) {
        json_t *o = firn_metrics_json(m);
        json_dumpf(o, stdout, JSON_INDENT(2));
        printf("\n");
        json_decref(o);
        return;
    }
    printf("examples             %llu\nloss                 %.6f\n", (unsigned long long) m->examples, m->loss);
    if (isfinite(m->perplexity))
        printf("perplexity           %.4f\n", m->perplexity);
    if (isfinite(m->token_accuracy))
        printf("token accuracy       %.4f\n", m->token_accuracy);
    if (isfinite(m->exact_match))
        printf("exact match          %.4f\n", m->exact_match);
    if (isfinite(m->accuracy))
        printf("accuracy             %.4f\nmacro F1             %.4f\n", m->accuracy, m->f1);
    if (isfinite(m->mean_error))
        printf("mean absolute error  %.6f\n", m->mean_error);
}

static firn_status evaluate(const struct flags *f, const struct firn_recipe *r, struct firn_error *err)
{
    const char *file = data_file(f, r);
    struct firn_metrics metrics;
    if (file == NULL)
        return firn_fail(err, FIRN_ERR_USAGE, .file = r->path, .key = "data.test",
                         .what = "no data to evaluate on; set it or give --data");
    const firn_status status = firn_measure(r, f->adapter, &file, 1, &firn_stderr_log, &metrics, err);
    if (status == FIRN_OK)
        print_metrics(&metrics, f->json);
    return status;
}

static firn_status run(const struct firn_args *args, struct firn_error *err)
{
    const struct flags *f = args->values;
    struct firn_recipe recipe;
    firn_status status = firn_recipe_from_args(&recipe, args, "eval", f->device, err);
    if (status)
        return status;
    status = evaluate(f, &recipe, err);
    firn_recipe_free(&recipe);
    return status;
}

const struct firn_command firn_command_eval = {
    .name = "eval",
    .words = "RECIPE [section.key=value ...]",
    .min_words = 1,
    .max_words = 1000,
    .summary = "measures a model with an adapter on a data file",
    .text = "Prints loss, and as the task has them perplexity, token accuracy and exact match (whole answers that greedy decoding would\n"
            "give), accuracy, macro F1 or mean absolute error.",
    .flags = flags,
    .values_size = sizeof(struct flags),
    .has_recipe = true,
    .run = run,
};
