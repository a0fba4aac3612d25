/* SPDX-License-Identifier: Apache-2.0 */
/* `firn replay`: a recorded training case, again. */
#include "cli/command.h"
#include "train/replay.h"

#include <stdio.h>

struct flags {
    char *models, *device, *dump, *adapter_out;
};

#define AT(field) offsetof(struct flags, field)
static const struct firn_option flags[] = {
    FIRN_FLAG_DEVICE(device),
    { "models", .type = FIRN_OPTION_TEXT, .offset = AT(models), .unit = "DIR",
      .help = "the folder that holds the models' folders; else CASE_DIR/../../models" },
    { "dump", .type = FIRN_OPTION_TEXT, .offset = AT(dump), .unit = "FILE",
      .help = "write everything that was computed, as safetensors" },
    { "adapter-out", .type = FIRN_OPTION_TEXT, .offset = AT(adapter_out), .unit = "DIR",
      .help = "write the trained adapter" },
    { NULL },
};

static void line(void *user, const char *text)
{
    (void) user;
    printf("%s\n", text);
}

static firn_status run(const struct firn_args *args, struct firn_error *err)
{
    const struct flags *f = args->values;
    const struct firn_replay_params params = { .case_dir = args->words[0], .models = f->models, .device = f->device,
                                               .dump = f->dump, .adapter_out = f->adapter_out,
                                               .log = firn_stderr_log, .line = line };
    return firn_replay(&params, err);
}

const struct firn_command firn_command_replay = {
    .name = "replay",
    .words = "CASE_DIR",
    .min_words = 1,
    .max_words = 1,
    .summary = "repeats a recorded training case and compares",
    .text = "Starts from the case's initial adapter, runs its batches with its optimizer through the same graph, plan\n"
            "and trainer as `firn train`, and prints a line per tensor with its largest difference from what was\n"
            "recorded. Exit code 0: all are within tolerance. Without expected.safetensors it only dumps.",
    .flags = flags,
    .values_size = sizeof(struct flags),
    .run = run,
};
