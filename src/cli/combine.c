/* SPDX-License-Identifier: Apache-2.0 */
/* `firn combine`: a weighted sum of LoRA adapters as one adapter. */
#include "cli/command.h"
#include "peft/combine.h"

#include "base/file.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>

struct flags {
    json_t *adapter, *weight;
    char *out;
};

#define AT(field) offsetof(struct flags, field)
static const struct firn_option flags[] = {
    { "adapter", .type = FIRN_OPTION_TEXTS, .offset = AT(adapter), .unit = "DIR", .is_required = true,
      .help = "a LoRA adapter, of firn or PEFT; give several" },
    { "weight", .type = FIRN_OPTION_TEXTS, .offset = AT(weight), .unit = "NUMBER",
      .help = "of the adapter in the same place; none given: all 1" },
    { "out", .type = FIRN_OPTION_TEXT, .offset = AT(out), .unit = "DIR", .is_required = true,
      .help = "where the adapter goes; must be empty or missing" },
    { NULL },
};

static firn_status run(const struct firn_args *args, struct firn_error *err)
{
    const struct flags *f = args->values;
    const size_t n = json_array_size(f->adapter), n_weights = json_array_size(f->weight);
    if (!firn_dir_is_empty(f->out))
        return firn_fail(err, FIRN_ERR_USAGE, .file = f->out, .expected = "an empty or missing directory",
                         .got = "one that holds files");
    if (n_weights != 0 && n_weights != n)
        return firn_fail(err, FIRN_ERR_USAGE, .file = "combine", .key = "--weight", .expected = FIRN_STR("none, or %zu", n),
                         .got = FIRN_STR("%zu", n_weights));
    const char **directories = calloc(n + 1, sizeof *directories);
    double *weights = calloc(n + 1, sizeof *weights);
    firn_status status = directories != NULL && weights != NULL
                             ? FIRN_OK
                             : firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for adapters");
    for (size_t i = 0; i < n && status == FIRN_OK; i++) {
        const char *text = json_string_value(json_array_get(f->weight, i));
        directories[i] = json_string_value(json_array_get(f->adapter, i));
        weights[i] = 1;
        if (text != NULL && !firn_real_parse(text, &weights[i]))
            status = firn_fail(err, FIRN_ERR_USAGE, .file = "combine", .key = "--weight", .expected = "a number", .got = text);
    }
    if (status == FIRN_OK)
        status = firn_adapters_combine(directories, weights, n, f->out, err);
    if (status == FIRN_OK)
        printf("adapter: %s\n", f->out);
    free(directories);
    free(weights);
    return status;
}

const struct firn_command firn_command_combine = {
    .name = "combine",
    .words = "",
    .summary = "one adapter that is a weighted sum of LoRA adapters",
    .text = "The sum is exact: factors stand side by side, so ranks add up. The result loads wherever LoRA adapters do.",
    .flags = flags,
    .values_size = sizeof(struct flags),
    .run = run,
};
