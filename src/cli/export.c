/* SPDX-License-Identifier: Apache-2.0 */
/* `firn export`: adapters from PEFT's files to llama.cpp's GGUF and back. */
#include "cli/command.h"
#include "peft/gguf_lora.h"

#include "base/file.h"

#include <stdio.h>
#include <string.h>

static const char *const targets[] = { "gguf", "peft", NULL };
enum { TO_GGUF, TO_PEFT };

struct flags {
    char *adapter, *out;
    int to;
    bool overwrite;
};

#define AT(field) offsetof(struct flags, field)
static const struct firn_option flags[] = {
    { "adapter", .type = FIRN_OPTION_TEXT, .offset = AT(adapter), .unit = "PATH", .is_required = true,
      .help = "a directory with PEFT's two files, or (to peft) a GGUF adapter" },
    { "to", .type = FIRN_OPTION_WORD, .offset = AT(to), .fallback = "gguf", .words = targets, .help = "the format to write" },
    { "out", .type = FIRN_OPTION_TEXT, .offset = AT(out), .unit = "PATH", .is_required = true,
      .help = "the GGUF file, or (to peft) the directory" },
    { "overwrite", .type = FIRN_OPTION_BOOL, .offset = AT(overwrite), .help = "in place of what is there" },
    { NULL },
};

static firn_status export(const struct flags *f, const char *model, struct firn_error *err)
{
    struct firn_model m = { 0 };
    const bool is_free = f->to == TO_PEFT ? firn_dir_is_empty(f->out) : !firn_path_exists(f->out);
    const bool is_dir = firn_path_is_dir(f->adapter);
    if (!f->overwrite && !is_free)
        return firn_fail(err, FIRN_ERR_USAGE, .file = f->out, .expected = "nothing of this name",
                         .got = "something (--overwrite takes its place)");
    if (firn_path_exists(f->adapter) && is_dir != (f->to == TO_GGUF))
        return firn_fail(err, FIRN_ERR_USAGE, .file = f->adapter,
                         .expected = f->to == TO_GGUF ? "a directory with PEFT's files" : "a GGUF file",
                         .got = is_dir ? "a directory" : "a file");
    firn_status status = firn_model_open(&m, model, err);
    if (status == FIRN_OK)
        status = f->to == TO_GGUF ? firn_gguf_write_lora(&m, f->adapter, f->out, err)
                                  : firn_gguf_read_lora(&m, f->adapter, model, f->out, err);
    if (status == FIRN_OK)
        printf("%s\n", f->out);
    firn_model_close(&m);
    return status;
}

static firn_status run(const struct firn_args *args, struct firn_error *err)
{
    return export(args->values, args->words[0], err);
}

const struct firn_command firn_command_export = {
    .name = "export",
    .words = "MODEL",
    .min_words = 1,
    .max_words = 1,
    .summary = "an adapter in another format",
    .text = "Writes a LoRA adapter of MODEL as llama.cpp reads it (GGUF), or a GGUF adapter as PEFT's two files. What the format\n"
            "has no place for (DoRA, saved modules, trained biases, other methods) is an error; firn merge takes those.",
    .flags = flags,
    .values_size = sizeof(struct flags),
    .run = run,
};
