/* SPDX-License-Identifier: Apache-2.0 */
/* `firn classify`: labels and probabilities for lines of text. */
#include "cli/command.h"
#include "train/evaluate.h"
#include "train/task.h"

#include "base/file.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* The column that a line fills: of a template its only one. malloc'd; NULL: the template has several. */
static char *column_of(const struct firn_recipe_data *columns)
{
    return columns->template != NULL ? firn_template_only_field(columns->template, NULL) : firn_strdup(columns->text);
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
    char *column = column_of(columns);
    json_t *text = json_stringn(line, first), *pair = tab != NULL ? json_stringn(tab + 1, n - first - 1) : NULL;
    firn_status status = FIRN_OK;
    if (text == NULL || (tab != NULL && pair == NULL))
        status = firn_fail(err, FIRN_ERR_FORMAT, .file = t->path, .key = FIRN_STR("line %zu", number), .expected = "UTF-8",
                           .got = "other bytes");
    else if (column == NULL)
        status = firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = t->path, .key = "template",
                           .expected = "one field, which a line fills", .got = columns->template);
    json_t *row = status == FIRN_OK ? json_pack("{s:O}", column, text) : NULL;
    if (row != NULL && strcmp(column, columns->text) != 0) /* what --json shows */
        json_object_set(row, columns->text, text);
    if (row != NULL && pair != NULL)
        json_object_set(row, columns->text_pair, pair);
    json_decref(text);
    json_decref(pair);
    free(column);
    return status ? status : firn_table_add(t, row, number, err);
}

struct work {
    const struct flags *f;
    struct firn_task_setup task;
    struct firn_session session;
    size_t most; /* lines that are answered together */
};

/* The next lines as a table with the adapter's text columns; *more: there may be others behind them. With a wrong line
 * those before it stay. */
static firn_status read_lines(const struct work *w, FILE *from, const char *name, size_t *number, struct firn_table *t,
                              bool *more, struct firn_error *err)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t n = 0;
    firn_status status = FIRN_OK;
    t->path = firn_strdup(name);
    while (status == FIRN_OK && t->count < w->most && (n = getline(&line, &capacity, from)) >= 0) {
        while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r'))
            n--;
        status = add_line(t, &w->task.columns, line, (size_t) n, ++*number, err);
    }
    *more = n >= 0 && status == FIRN_OK;
    free(line);
    return status;
}

static firn_status answer(struct work *w, struct firn_table *table, struct firn_error *err)
{
    struct firn_dataset data = { 0 };
    struct firn_dataset_params p;
    struct firn_metrics metrics;
    struct answers a = { .task = &w->task, .classes = firn_task_n_labels(&w->task) };
    const int64_t limit = firn_text_limit(&w->session.model, &w->session.adapter);
    firn_task_dataset_params(&w->task, &p);
    p.has_labels = false;
    p.max_length = (int64_t) p.max_length > limit ? (uint32_t) limit : p.max_length;
    firn_status status = firn_dataset_make(&data, table, &p, err);
    if (status == FIRN_OK)
        a.probabilities = calloc((size_t) (data.count * a.classes) + 1, sizeof *a.probabilities);
    if (status == FIRN_OK && a.probabilities == NULL)
        status = firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for the answers");
    if (status == FIRN_OK)
        status = firn_evaluate(&w->session, &data, &p, (uint32_t) w->f->batch_size, 8, &metrics, keep, &a, err);
    if (status == FIRN_OK)
        print_all(&a, &data.table, w->f->json);
    free(a.probabilities);
    firn_dataset_free(&data);
    return status;
}

/* Lines are answered as they come, so that a pipe flows and memory does not grow with it. */
static firn_status classify_stream(struct work *w, FILE *from, const char *name, struct firn_error *err)
{
    firn_status status = FIRN_OK;
    bool more = true;
    w->most = isatty(fileno(from)) ? 1 : (size_t) w->f->batch_size * 8;
    for (size_t number = 0; status == FIRN_OK && more;) {
        struct firn_table table = { 0 };
        const firn_status wrong = read_lines(w, from, name, &number, &table, &more, err);
        if (table.count > 0)
            status = answer(w, &table, wrong != FIRN_OK ? NULL : err);
        firn_table_free(&table);
        if (status == FIRN_OK)
            status = wrong;
        more = more && fflush(stdout) == 0;
    }
    return status;
}

static firn_status classify(const struct flags *f, const char *model, char *const *files, int n_files,
                            struct firn_error *err)
{
    struct work w = { .f = f };
    firn_status status = firn_task_open_adapter(&w.task, model, f->adapter, err);
    if (status == FIRN_OK && w.task.task != FIRN_TASK_SEQ_CLS)
        status = firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = f->adapter, .key = "task",
                           .expected = "sequence_classification", .got = firn_task_words[w.task.task]);
    const struct firn_session_params params = { .model = model, .device = f->device, .task = w.task.task,
                                                .problem = w.task.problem, .n_labels = firn_task_n_labels(&w.task),
                                                .adapter = f->adapter, .quantised = w.task.quantised,
                                                .log = firn_stderr_log };
    if (status == FIRN_OK)
        status = firn_session_open(&w.session, &params, err);
    if (status == FIRN_OK)
        status = firn_session_push(&w.session, "params", w.session.flat, err);
    if (status == FIRN_OK && n_files == 0)
        status = classify_stream(&w, stdin, "standard input", err);
    for (int i = 0; i < n_files && status == FIRN_OK; i++) {
        FILE *from = fopen(files[i], "r");
        status = from != NULL ? classify_stream(&w, from, files[i], err)
                              : firn_fail(err, FIRN_ERR_IO, .file = files[i],
                                          .what = FIRN_STR("cannot open: %s", strerror(errno)));
        if (from != NULL)
            fclose(from);
    }
    firn_session_close(&w.session);
    firn_task_close(&w.task);
    return status;
}

static firn_status run(const struct firn_args *args, struct firn_error *err)
{
    return classify(args->values, args->words[0], args->words + 1, args->n_words - 1, err);
}

const struct firn_command firn_command_classify = {
    .name = "classify",
    .words = "MODEL [FILE ...]",
    .min_words = 1,
    .max_words = 1000,
    .summary = "labels and probabilities for lines of text",
    .text = "Reads lines of text from files, else from stdin (two texts parted by a tab where the adapter was trained on pairs) and prints a label\n"
            "and its probability for each; --json prints all of them.",
    .flags = flags,
    .values_size = sizeof(struct flags),
    .run = run,
};
