/* SPDX-License-Identifier: Apache-2.0 */
/* `firn init`: a model that was never trained, to train one from the ground up. */
#include "cli/command.h"
#include "peft/peft.h"

#include "base/file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct flags {
    char *out;
    int task;
    int64_t seed, n_labels;
    bool json;
};

#define AT(field) offsetof(struct flags, field)
static const struct firn_option flags[] = {
    { "out", .type = FIRN_OPTION_TEXT, .offset = AT(out), .unit = "DIR", .is_required = true,
      .help = "the new model's directory; must be empty or missing" },
    { "task", .type = FIRN_OPTION_WORD, .offset = AT(task), .fallback = "causal_lm", .words = firn_task_words,
      .help = "what the model's class is for" },
    { "labels", .type = FIRN_OPTION_INT, .offset = AT(n_labels), .fallback = "2", .min = 1, .max = 1000000,
      .help = "classes, where the task has them" },
    { "seed", .type = FIRN_OPTION_INT, .offset = AT(seed), .fallback = "42", .max = 9e15, .help = "of the values" },
    FIRN_FLAG_JSON(json),
    { NULL },
};
#undef AT

static firn_status make(const struct flags *f, struct firn_model *m, struct firn_error *err)
{
    struct firn_adapter a = { 0 };
    const enum firn_task task = (enum firn_task) f->task;
    const struct firn_build_params p = { .batch = 1, .length = 1, .task = task, .n_labels = f->n_labels,
                                         .target = task == FIRN_TASK_SEQ2SEQ_LM };
    const struct firn_save_params save = { 0 };
    json_t *full = json_pack("{s:s}", "type", "full");
    float *flat = NULL;
    firn_status status = firn_adapter_open(&a, m, task, full, "firn init", "", err);
    if (status == FIRN_OK)
        status = firn_model_collect(m, &a, &p, NULL, err);
    if (status == FIRN_OK && (flat = calloc((size_t) a.params.flat + 1, sizeof *flat)) == NULL)
        status = firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for the weights");
    if (status == FIRN_OK) {
        firn_model_initial(m, &a.params, (uint64_t) f->seed, flat);
        status = firn_adapter_save(&a, m, &p, flat, f->out, &save, err);
    }
    if (status == FIRN_OK && f->json)
        printf("{\"parameters\": %" PRId64 ", \"model\": \"%s\"}\n", firn_params_count(&a.params), f->out);
    else if (status == FIRN_OK)
        printf("%s: %" PRId64 " parameters\n", f->out, firn_params_count(&a.params));
    free(flat);
    json_decref(full);
    firn_adapter_close(&a);
    return status;
}

static firn_status run(const struct firn_args *args, struct firn_error *err)
{
    const struct flags *f = args->values;
    struct firn_model m;
    if (!firn_dir_is_empty(f->out))
        return firn_fail(err, FIRN_ERR_USAGE, .file = f->out, .key = "--out", .what = "holds something already");
    firn_status status = firn_model_open_config(&m, args->words[0], FIRN_F32, err);
    if (status)
        return status;
    status = make(f, &m, err);
    firn_model_close(&m);
    return status;
}

const struct firn_command firn_command_init = {
    .name = "init",
    .words = "MODEL",
    .min_words = 1,
    .max_words = 1,
    .summary = "makes a model with random weights from a config.json",
    .text = "MODEL is a directory with a config.json and a tokenizer, or a config.json alone. The new directory has the layout\n"
            "of Hugging Face: weights drawn as transformers draws them, the configuration, and the tokenizer's files.",
    .flags = flags,
    .values_size = sizeof(struct flags),
    .run = run,
};
