/* SPDX-License-Identifier: Apache-2.0 */
/* `firn classify`: labels and probabilities for lines of text. */
#include "cli/command.h"
#include "train/evaluate.h"
#include "train/task.h"

#include "base/file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct flags {
    char *device, *adapter;
    int64_t batch_size;
    bool json;
};

#define AT(field) offsetof(struct flags, field)
static const struct firn_option flags[] = {
    FIRN_FLAG_DEVICE(device),
    { "adapter", .type = FIRN_OPTION_TEXT, .offset = AT(adapter), .unit = "DIR", .is_required = true,
      .help = "an adapter that firn trained" },
    { "batch-size", .type = FIRN_OPTION_INT, .offset = AT(batch_size), .fallback = "32", .min = 1, .max = 65536,
      .unit = "N", .help = "lines that are computed together" },
    FIRN_FLAG_JSON(json),
    { NULL },
};

struct answers {
    const struct firn_task_setup *task;
    int64_t classes;
    float *probabilities; /* [examples, classes] */
};

static void keep(void *user, const float *logits, const struct firn_inputs *in, const uint32_t *examples)
{
    const struct answers *a = user;
    for (int64_t b = 0; b < in->batch; b++) {
        const float *row = logits + b * a->classes;
        float *out = a->probabilities + (int64_t) examples[b] * a->classes, most = row[0];
        double sum = 0;
        for (int64_t c = 1; c < a->classes; c++)
            most = fmaxf(most, row[c]);
        for (int64_t c = 0; c < a->classes; c++)
            sum += exp((double) row[c] - (double) most);
        for (int64_t c = 0; c < a->classes; c++)
            out[c] = a->task->problem == FIRN_REGRESSION    ? row[c]
                     : a->task->problem == FIRN_MULTI_LABEL ? (float) (1 / (1 + exp(-(double) row[c])))
                                                            : (float) (exp((double) row[c] - (double) most) / sum);
    }
}

static void print_json(const struct answers *a, const struct firn_table *t, size_t i, const float *p, int64_t best)
{
    json_t *o = json_object(), *all = json_object();
    json_object_set(o, "text", (json_t *) firn_table_value(t, i, a->task->columns.text));
    if (a->task->problem == FIRN_REGRESSION) {
        json_object_set_new(o, "value", json_real((double) p[0]));
        json_decref(all);
    } else {
        for (int64_t c = 0; c < a->classes; c++)
            json_object_set_new(all, a->task->labels.names[c], json_real((double) p[c]));
        json_object_set_new(o, "label", json_string(a->task->labels.names[best]));
        json_object_set_new(o, "probabilities", all);
    }
    json_dumpf(o, stdout, JSON_COMPACT | JSON_REAL_PRECISION(7));
    printf("\n");
    json_decref(o);
}

static void print_all(const struct answers *a, const struct firn_table *t, bool json)
{
    for (size_t i = 0; i < t->count; i++) {
        const float *p = a->probabilities + (int64_t) i * a->classes;
        int64_t best = 0;
        for (int64_t c = 1; c < a->classes; c++)
            best = p[c] > p[best] ? c : best;
        if (json)
            print_json(a, t, i, p, best);
        else if (a->task->problem == FIRN_REGRESSION)
            printf("%.6g\n", (double) p[0]);
        else
            printf("%s\t%.4f\n", a->task->labels.names[best], (double) p[best]);
    }
}

/* One line as a row; with a second column it is two texts, parted by a tab. */
static firn_status add_line(struct firn_table *t, const struct firn_recipe_data *columns, const char *line, size_t n,
                            size_t number, struct firn_error *err)
{
    const char *tab = columns->text_pair != NULL ? memchr(line, '\t', n) : NULL;
    const size_t first = tab != NULL ? (size_t) (tab - line) : n;
    if (columns->text_pair != NULL && tab == NULL)
        return firn_fail(err, FIRN_ERR_FORMAT, .file = t->path, .key = FIRN_STR("line %zu", number),
                         .expected = "two texts parted by a tab (the adapter was trained on pairs)", .got = "one text");
    json_t *text = json_stringn(line, first), *pair = tab != NULL ? json_stringn(tab + 1, n - first - 1) : NULL;
    if (text == NULL || (tab != NULL && pair == NULL)) {
        json_decref(text);
        json_decref(pair);
        return firn_fail(err, FIRN_ERR_FORMAT, .file = t->path, .key = FIRN_STR("line %zu", number), .expected = "UTF-8",
                         .got = "other bytes");
    }
    json_t *row = json_pack("{s:o}", columns->text, text);
    if (pair != NULL)
        json_object_set_new(row, columns->text_pair, pair);
    return firn_table_add(t, row, number, err);
}

/* Standard input as a table with the adapter's text columns. */
static firn_status read_lines(struct firn_table *t, const struct firn_recipe_data *columns, struct firn_error *err)
{
    char *line = NULL;
    size_t capacity = 0, number = 0;
    ssize_t n;
    firn_status status = FIRN_OK;
    t->path = firn_strdup("standard input");
    while (status == FIRN_OK && (n = getline(&line, &capacity, stdin)) >= 0) {
        while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r'))
            n--;
        status = add_line(t, columns, line, (size_t) n, ++number, err);
    }
    free(line);
    return status;
}

static firn_status classify(const struct flags *f, const char *model, struct firn_error *err)
{
    struct firn_task_setup task = { 0 };
    struct firn_session session = { 0 };
    struct firn_table table = { 0 };
    struct firn_dataset data = { 0 };
    struct firn_dataset_params p;
    struct firn_metrics metrics;
    firn_status status = firn_task_open_adapter(&task, model, f->adapter, err);
    if (status == FIRN_OK && task.task != FIRN_TASK_SEQ_CLS)
        status = firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = f->adapter, .key = "task",
                           .expected = "sequence_classification", .got = firn_task_words[task.task]);
    struct answers a = { .task = &task, .classes = firn_task_n_labels(&task) };
    const struct firn_session_params params = { .model = model, .device = f->device, .task = task.task,
                                                .problem = task.problem, .n_labels = a.classes, .adapter = f->adapter,
                                                .quantised = task.quantised,
                                                .log = firn_stderr_log };
    if (status == FIRN_OK)
        status = firn_session_open(&session, &params, err);
    if (status == FIRN_OK)
        status = firn_session_push(&session, "params", session.flat, err);
    if (status == FIRN_OK)
        status = read_lines(&table, &task.columns, err);
    if (status == FIRN_OK) {
        firn_task_dataset_params(&task, &p);
        p.has_labels = false;
        if ((int64_t) p.max_length > firn_text_limit(&session.model, &session.adapter))
            p.max_length = (uint32_t) firn_text_limit(&session.model, &session.adapter);
        status = firn_dataset_make(&data, &table, &p, err);
    }
    if (status == FIRN_OK)
        a.probabilities = calloc((size_t) (data.count * a.classes) + 1, sizeof *a.probabilities);
    if (status == FIRN_OK && a.probabilities == NULL)
        status = firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for the answers");
    if (status == FIRN_OK)
        status = firn_evaluate(&session, &data, &p, (uint32_t) f->batch_size, 8, &metrics, keep, &a, err);
    if (status == FIRN_OK)
        print_all(&a, &data.table, f->json);
    free(a.probabilities);
    firn_session_close(&session);
    firn_dataset_free(&data);
    firn_table_free(&table);
    firn_task_close(&task);
    return status;
}

static firn_status run(const struct firn_args *args, struct firn_error *err)
{
    return classify(args->values, args->words[0], err);
}

const struct firn_command firn_command_classify = {
    .name = "classify",
    .words = "MODEL",
    .min_words = 1,
    .max_words = 1,
    .summary = "labels and probabilities for lines of text",
    .text = "Reads lines of text from stdin (two texts parted by a tab where the adapter was trained on pairs) and prints a label\n"
            "and its probability for each; --json prints all of them.",
    .flags = flags,
    .values_size = sizeof(struct flags),
    .run = run,
};
