/* SPDX-License-Identifier: Apache-2.0 */
/* `firn merge`: an adapter computed into the weights of its base. */
#include "cli/command.h"
#include "peft/peft.h"
#include "train/task.h"

#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct flags {
    char *adapter, *out;
    bool overwrite, unmerge, json;
};

#define AT(field) offsetof(struct flags, field)
static const struct firn_option flags[] = {
    { "adapter", .type = FIRN_OPTION_TEXT, .offset = AT(adapter), .unit = "DIR", .is_required = true,
      .help = "the adapter, of firn or PEFT" },
    { "out", .type = FIRN_OPTION_TEXT, .offset = AT(out), .unit = "DIR", .is_required = true,
      .help = "where the model goes; must be empty or missing" },
    { "overwrite", .type = FIRN_OPTION_BOOL, .offset = AT(overwrite), .help = "write into a directory that holds files" },
    { "unmerge", .type = FIRN_OPTION_BOOL, .offset = AT(unmerge),
      .help = "MODEL is a merged one: takes the adapter out of it again, to rounding" },
    FIRN_FLAG_JSON(json),
    { NULL },
};

static void print(const struct flags *f, const struct firn_adapter *a, const struct firn_merge_report *r)
{
    if (f->json) {
        json_t *o = json_pack("{s:s,s:s,s:I,s:f,s:s,s:b}", "out", f->out, "method", a->method->name, "changed_tensors",
                              (json_int_t) r->n_changed, "largest_change", r->largest, "largest_change_in", r->name,
                              "unties_embeddings", r->unties);
        json_dumpf(o, stdout, JSON_COMPACT | JSON_REAL_PRECISION(7));
        printf("\n");
        json_decref(o);
        return;
    }
    printf("%s: %lld tensors changed, the largest change is %.6g", f->out, (long long) r->n_changed, r->largest);
    printf(r->name[0] != '\0' ? " (%s)\n" : "\n", r->name);
    if (r->unties)
        printf("the output layer has its own table now (tie_word_embeddings: false)\n");
}

/* Task and labels: firn.json says them; else the adapter's own files do. */
static firn_status find_task(const char *model, const char *adapter, struct firn_task_setup *task,
                             struct firn_build_params *p, struct firn_error *err)
{
    struct firn_adapter_info info;
    char *path = firn_path_join(adapter, "firn.json");
    firn_status status = firn_adapter_peek(&info, adapter, err);
    *p = (struct firn_build_params){ .batch = 1, .length = 1, .task = info.task, .n_labels = info.n_labels };
    if (status == FIRN_OK && path != NULL && firn_path_exists(path)) {
        status = firn_task_open_adapter(task, model, adapter, err);
        p->task = task->task;
        p->problem = task->problem;
        p->n_labels = firn_task_n_labels(task);
    } else if (status == FIRN_OK && !info.has_task) {
        status = firn_fail(err, FIRN_ERR_FORMAT, .file = adapter, .key = "task_type", .expected = "a task", .got = "none");
    }
    free(path);
    return status;
}

static firn_status merge(const struct flags *f, const char *model, struct firn_error *err)
{
    struct firn_task_setup task = { 0 };
    struct firn_build_params p;
    struct firn_model m = { 0 };
    struct firn_adapter a = { 0 };
    struct firn_merge_report report = { 0 };
    float *flat = NULL;
    if (!f->overwrite && !firn_dir_is_empty(f->out))
        return firn_fail(err, FIRN_ERR_USAGE, .file = f->out, .expected = "an empty or missing directory",
                         .got = "one that holds files (--overwrite writes there)");
    firn_status status = find_task(model, f->adapter, &task, &p, err);
    const struct firn_save_params save = { .labels = (const char *const *) task.labels.names, .undoes = f->unmerge, .report = &report };
    if (status == FIRN_OK)
        status = firn_model_open(&m, model, err);
    if (status == FIRN_OK)
        status = firn_adapter_load(&a, &m, p.task, f->adapter, err);
    if (status == FIRN_OK)
        status = firn_model_collect(&m, &a, &p, NULL, err);
    if (status == FIRN_OK) {
        flat = calloc((size_t) a.params.flat + 1, sizeof *flat);
        status = flat == NULL ? firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for the adapter")
                              : firn_adapter_read(&a, &m, f->adapter, flat, err);
    }
    if (status == FIRN_OK)
        status = firn_adapter_merge(&a, &m, &p, flat, f->out, &save, err);
    if (status == FIRN_OK)
        print(f, &a, &report);
    free(flat);
    firn_adapter_close(&a);
    firn_model_close(&m);
    firn_task_close(&task);
    return status;
}

static firn_status run(const struct firn_args *args, struct firn_error *err)
{
    return merge(args->values, args->words[0], err);
}

const struct firn_command firn_command_merge = {
    .name = "merge",
    .words = "MODEL",
    .min_words = 1,
    .max_words = 1,
    .summary = "a model with an adapter computed into its weights",
    .text = "Writes a model directory in the layout of its base: the same files, types and tokenizer, with the adapter's "
            "update added in float32 and rounded once. Prints the largest change of an element. The base is not changed. "
            "A method that is no change of weights (prompts, prefixes, bottleneck adapters) cannot be merged.",
    .flags = flags,
    .values_size = sizeof(struct flags),
    .run = run,
};
