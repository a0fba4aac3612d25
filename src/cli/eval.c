/* SPDX-License-Identifier: Apache-2.0 */
/* `firn eval`: metrics of a model, with or without its adapter, on a data file. */
#include "cli/recipe_args.h"
#include "infer/exact.h"
#include "train/measure.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct flags {
    char *device, *adapter, *data;
    int64_t max_new_tokens;
    bool generate, json;
};

#define AT(field) offsetof(struct flags, field)
static const struct firn_option flags[] = {
    FIRN_FLAG_RECIPE_DEVICE(device),
    { "adapter", .type = FIRN_OPTION_TEXT, .offset = AT(adapter), .unit = "DIR",
      .help = "the adapter; without one the untrained start is evaluated" },
    { "data", .type = FIRN_OPTION_TEXT, .offset = AT(data), .unit = "FILE",
      .help = "the examples; else the recipe's data.test, else data.validation" },
    { "generate", .type = FIRN_OPTION_BOOL, .offset = AT(generate),
      .help = "language models: also the share of examples whose generated text is the data's" },
    { "max-new-tokens", .type = FIRN_OPTION_INT, .offset = AT(max_new_tokens), .fallback = "64", .min = 1, .max = 16777216,
      .unit = "N", .help = "with --generate: the longest answer" },
    FIRN_FLAG_JSON(json),
    { NULL },
};

static const char *data_file(const struct flags *f, const struct firn_recipe *r)
{
    return f->data != NULL ? f->data : r->data.test != NULL ? r->data.test : r->data.validation;
}

static void print_metrics(const struct firn_metrics *m, const struct firn_exact *exact, bool json)
{
    const double share = exact->examples > 0 ? (double) exact->matches / (double) exact->examples : NAN;
    if (json) {
        json_t *o = firn_metrics_json(m);
        if (isfinite(share))
            json_object_set_new(o, "generated_match", json_real(share));
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
    if (isfinite(share))
        printf("generated match      %.4f\n", share);
}

struct asking {
    const struct flags *f;
    const struct firn_recipe *r;
    struct firn_exact exact;
};

static firn_status match(void *user, int index, struct firn_session *s, const struct firn_table *table,
                         const struct firn_task_setup *task, struct firn_error *err)
{
    struct asking *a = user;
    int32_t *ends = NULL;
    struct firn_generate_params p = { .max_new_tokens = a->f->max_new_tokens, .tokenizer = task->tokenizer };
    (void) index;
    firn_status status = firn_generate_ends(s->model.directory, task->tokenizer, &ends, &p.n_ends, err);
    const int32_t turn = task->has_chat ? firn_chat_end(&task->chat, task->tokenizer) : -1;
    int32_t *more = status == FIRN_OK ? realloc(ends, sizeof *ends * (p.n_ends + 1)) : NULL;
    if (status == FIRN_OK && more == NULL)
        status = firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for end tokens");
    if (status == FIRN_OK) {
        ends = more;
        if (turn >= 0)
            ends[p.n_ends++] = turn;
        p.ends = ends;
        status = firn_exact_match(s, table, task, &p, (uint32_t) a->r->train.eval_batch_size, &a->exact, err);
    }
    free(ends);
    return status;
}

static firn_status evaluate(const struct flags *f, const struct firn_recipe *r, struct firn_error *err)
{
    const char *file = data_file(f, r);
    struct firn_metrics metrics;
    if (file == NULL)
        return firn_fail(err, FIRN_ERR_USAGE, .file = r->path, .key = "data.test",
                         .what = "no data to evaluate on; set it or give --data");
    struct asking asking = { .f = f, .r = r };
    const struct firn_measure_more more = { match, &asking };
    const firn_status status = firn_measure_with(r, f->adapter, &file, 1, &firn_stderr_log, &metrics,
                                                 f->generate ? &more : NULL, err);
    if (status == FIRN_OK)
        print_metrics(&metrics, &asking.exact, f->json);
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
            "give), accuracy, macro F1 or mean absolute error; with --generate also generated match: the share of answers that, written\n"
            "by the model from the prompt alone, are the data's text but for white space around them.",
    .flags = flags,
    .values_size = sizeof(struct flags),
    .has_recipe = true,
    .run = run,
};
