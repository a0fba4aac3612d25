/* SPDX-License-Identifier: Apache-2.0 */
/* `firn classify`: labels and probabilities for lines of text. */
#include "cli/adapters.h"
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
    char *device;
    json_t *adapter;
    int64_t batch_size;
    bool json;
};

#define AT(field) offsetof(struct flags, field)
static const struct firn_option flags[] = {
    FIRN_FLAG_DEVICE(device),
    { "adapter", .type = FIRN_OPTION_TEXTS, .offset = AT(adapter), .unit = "DIR", .is_required = true,
      .help = "an adapter that firn trained; with several, each line begins with the last word of its DIR and a tab" },
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

static void print_one(const struct answers *a, const struct firn_table *t, size_t i, bool json)
{
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

/* An adapter, and the lines of a chunk that are its. */
struct member {
    const char *directory;
    struct firn_task_setup task;
    struct firn_table table;
    struct firn_dataset data;
    struct answers answers;
};

struct work {
    const struct flags *f;
    struct firn_session session;
    struct firn_adapter_names names;
    struct member *members;
    size_t n_members;
    struct place { size_t member, row; } *order; /* of a chunk's lines */
    bool is_mixed; /* rows of one batch have different adapters: all together are number `mixed` */
    size_t mixed;
    size_t n, most; /* lines that are answered together */
};

static void clear_chunk(struct work *w)
{
    for (size_t k = 0; k < w->n_members; k++) {
        struct member *m = &w->members[k];
        firn_dataset_free(&m->data);
        firn_table_free(&m->table);
        free(m->answers.probabilities);
        m->answers.probabilities = NULL;
    }
    w->n = 0;
}

/* The next lines as tables with the adapters' text columns; *more: there may be others behind them. With a wrong line
 * those before it stay. */
static firn_status read_lines(struct work *w, FILE *from, const char *name, size_t *number, bool *more,
                              struct firn_error *err)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t n = 0;
    firn_status status = FIRN_OK;
    for (size_t k = 0; k < w->n_members; k++)
        w->members[k].table.path = firn_strdup(name);
    while (status == FIRN_OK && w->n < w->most && (n = getline(&line, &capacity, from)) >= 0) {
        while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r'))
            n--;
        const char *text = line;
        size_t size = (size_t) n, k;
        status = firn_adapter_names_take(&w->names, name, FIRN_STR("line %zu", ++*number), &text, &size, &k, err);
        struct member *m = &w->members[k];
        if (status == FIRN_OK)
            status = add_line(&m->table, &m->task.columns, text, size, *number, err);
        if (status == FIRN_OK)
            w->order[w->n++] = (struct place){ k, m->table.count - 1 };
    }
    *more = n >= 0 && status == FIRN_OK;
    free(line);
    return status;
}

/* The lines of an adapter as tokens, and room for its answers. */
static firn_status make_data(struct work *w, size_t k, struct firn_dataset_params *p, struct firn_error *err)
{
    struct member *m = &w->members[k];
    struct answers *a = &m->answers;
    const int64_t limit = firn_text_limit(&w->session.model, &w->session.adapter);
    *a = (struct answers){ .task = &m->task, .classes = firn_task_n_labels(&m->task) };
    firn_task_dataset_params(&m->task, p);
    p->has_labels = false;
    p->max_length = (int64_t) p->max_length > limit ? (uint32_t) limit : p->max_length;
    firn_status status = firn_dataset_make(&m->data, &m->table, p, err);
    if (status == FIRN_OK)
        a->probabilities = calloc((size_t) (m->data.count * a->classes) + 1, sizeof *a->probabilities);
    if (status == FIRN_OK && a->probabilities == NULL)
        status = firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for the answers");
    return status;
}

static firn_status answer_with(struct work *w, size_t k, struct firn_error *err)
{
    struct member *m = &w->members[k];
    struct firn_dataset_params p;
    struct firn_metrics metrics;
    firn_session_use(&w->session, k);
    const firn_status status = make_data(w, k, &p, err);
    return status ? status
                  : firn_evaluate(&w->session, &m->data, &p, (uint32_t) w->f->batch_size, 8, &metrics, keep, &m->answers, err);
}

/* A row of a batch of all adapters, as its own adapter's. */
static void keep_mixed(void *user, const float *logits, const struct firn_inputs *in, const uint32_t *examples)
{
    struct work *w = user;
    for (int64_t b = 0; b < in->batch; b++) {
        uint32_t at = examples[b];
        size_t k = 0;
        while (at >= w->members[k].data.count)
            at -= w->members[k++].data.count;
        const struct firn_inputs one = { .batch = 1 };
        keep(&w->members[k].answers, logits + b * w->members[k].answers.classes, &one, &at);
    }
}

/* The examples of all adapters, one after the other, in batches of all. */
static firn_status answer_mixed(struct work *w, struct firn_error *err)
{
    struct firn_dataset all = { 0 };
    struct firn_dataset_params p, widest = { 0 };
    struct firn_metrics metrics;
    firn_status status = FIRN_OK;
    firn_session_use(&w->session, w->mixed);
    for (size_t k = 0; k < w->n_members && status == FIRN_OK; k++) {
        status = w->members[k].table.count > 0 ? make_data(w, k, &p, err) : FIRN_OK;
        if (status == FIRN_OK && w->members[k].table.count + w->members[k].data.count > 0 && p.max_length > widest.max_length)
            widest = p;
        all.count += w->members[k].data.count;
    }
    all.list = calloc((size_t) all.count + 1, sizeof *all.list);
    all.lengths = calloc((size_t) all.count + 1, sizeof *all.lengths);
    if (status == FIRN_OK && (all.list == NULL || all.lengths == NULL))
        status = firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for examples");
    uint32_t n = 0;
    for (size_t k = 0; k < w->n_members && status == FIRN_OK; k++)
        for (uint32_t i = 0; i < w->members[k].data.count; i++, n++) {
            all.list[n] = w->members[k].data.list[i];
            all.list[n].adapter = (int32_t) k;
            all.lengths[n] = w->members[k].data.lengths[i];
        }
    if (status == FIRN_OK)
        status = firn_evaluate(&w->session, &all, &widest, (uint32_t) w->f->batch_size, 8, &metrics, keep_mixed, w, err);
    free(all.list);
    free(all.lengths);
    return status;
}

/* All lines together, where the adapters allow it, else each adapter's; the answers in the order of the lines. */
static firn_status answer(struct work *w, struct firn_error *err)
{
    firn_status status = FIRN_OK;
    if (w->is_mixed)
        status = answer_mixed(w, err);
    for (size_t k = 0; k < w->n_members && status == FIRN_OK && !w->is_mixed; k++)
        if (w->members[k].table.count > 0)
            status = answer_with(w, k, err);
    for (size_t i = 0; i < w->n && status == FIRN_OK; i++) {
        const struct member *m = &w->members[w->order[i].member];
        print_one(&m->answers, &m->data.table, w->order[i].row, w->f->json);
    }
    return status;
}

/* Lines are answered as they come, so that a pipe flows and memory does not grow with it. */
static firn_status classify_stream(struct work *w, FILE *from, const char *name, struct firn_error *err)
{
    firn_status status = FIRN_OK;
    bool more = true;
    w->most = isatty(fileno(from)) ? 1 : (size_t) w->f->batch_size * 8;
    free(w->order);
    w->order = calloc(w->most + 1, sizeof *w->order);
    if (w->order == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for lines");
    for (size_t number = 0; status == FIRN_OK && more;) {
        const firn_status wrong = read_lines(w, from, name, &number, &more, err);
        if (w->n > 0)
            status = answer(w, wrong != FIRN_OK ? NULL : err);
        clear_chunk(w);
        if (status == FIRN_OK)
            status = wrong;
        more = more && fflush(stdout) == 0;
    }
    return status;
}

static firn_status open_member(struct work *w, const char *model, size_t k, struct firn_error *err)
{
    struct member *m = &w->members[k];
    m->directory = json_string_value(json_array_get(w->f->adapter, k));
    firn_status status = firn_task_open_adapter(&m->task, model, m->directory, err);
    if (status == FIRN_OK && m->task.task != FIRN_TASK_SEQ_CLS)
        status = firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = m->directory, .key = "task",
                           .expected = "sequence_classification", .got = firn_task_words[m->task.task]);
    const struct firn_session_params params = { .model = model, .device = w->f->device, .task = m->task.task,
                                                .problem = m->task.problem, .n_labels = firn_task_n_labels(&m->task),
                                                .adapter = m->directory, .quantised = m->task.quantised,
                                                .log = firn_stderr_log };
    if (status == FIRN_OK)
        status = k == 0 ? firn_session_open(&w->session, &params, err) : firn_session_add(&w->session, &params, err);
    return status ? status : firn_session_push(&w->session, "params", w->session.flat, err);
}

static firn_status classify(const struct flags *f, const char *model, char *const *files, int n_files,
                            struct firn_error *err)
{
    struct work w = { .f = f, .n_members = json_array_size(f->adapter) };
    firn_status status = firn_adapter_names_open(&w.names, f->adapter, "classify", err);
    w.members = calloc(w.n_members + 1, sizeof *w.members);
    if (w.members == NULL) {
        firn_adapter_names_free(&w.names);
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for adapters");
    }
    for (size_t k = 0; k < w.n_members && status == FIRN_OK; k++)
        status = open_member(&w, model, k, err);
    if (status == FIRN_OK && w.n_members > 1)
        status = firn_session_mix(&w.session, &w.is_mixed, &w.mixed, err);
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
    if (w.session.model.directory != NULL)
        firn_session_close(&w.session);
    clear_chunk(&w);
    for (size_t k = 0; k < w.n_members; k++)
        firn_task_close(&w.members[k].task);
    firn_adapter_names_free(&w.names);
    free(w.members);
    free(w.order);
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
            "and its probability for each; --json prints all of them. Several adapters share one base in memory: give --adapter for each,\n"
            "and begin each line with the last word of an adapter's directory and a tab.",
    .flags = flags,
    .values_size = sizeof(struct flags),
    .run = run,
};
