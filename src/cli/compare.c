/* SPDX-License-Identifier: Apache-2.0 */
/* `firn compare`: one task, many methods. */
#include "cli/command.h"
#include "cli/stop.h"
#include "compare/compare.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct flags {
    char *device;
    bool resume, overwrite, json;
};

#define AT(field) offsetof(struct flags, field)
static const struct firn_option flags[] = {
    { "device", .type = FIRN_OPTION_TEXT, .offset = AT(device), .unit = "DEVICE",
      .help = "takes the place of the recipe's device" },
    { "resume", .type = FIRN_OPTION_BOOL, .offset = AT(resume),
      .help = "go on; cells that are done stay, so that methods, seeds and sizes can be added" },
    { "overwrite", .type = FIRN_OPTION_BOOL, .offset = AT(overwrite), .help = "start anew in an output that holds something" },
    FIRN_FLAG_JSON(json),
    { NULL },
};

static void on_cell(void *user, const struct firn_compare *c, const struct firn_cell *cell, int index)
{
    const bool json = *(const bool *) user;
    if (json)
        return;
    printf("%d/%d  %s, ", index + 1, c->n_cells + c->n_tries, c->methods[cell->method].name);
    if (cell->size > 0)
        printf("%" PRId64 " examples", cell->size);
    else
        printf("all examples");
    printf(", seed %" PRId64, cell->seed);
    if (c->methods[cell->method].n_axes > 0 && cell->choice >= 0) {
        struct firn_str text = { 0 };
        firn_choice_text(&c->methods[cell->method], cell->choice, " ", ", ", &text);
        printf(", %s%s", cell->is_try ? "trying " : "", text.data != NULL ? text.data : "");
        firn_str_free(&text);
    }
    printf(": ");
    if (cell->failure != NULL)
        printf("FAILED: %s\n", cell->failure);
    else {
        for (int part = 0; part < FIRN_PART_COUNT; part++)
            if (isfinite(cell->quality[part]))
                printf("%s %.3f, ", firn_part_words[part], cell->quality[part]);
        printf("%.1f s\n", cell->seconds);
    }
    fflush(stdout);
}

static void print_text(const struct firn_compare *c)
{
    struct firn_str text = { 0 };
    for (int k = 0; k < c->n_sizes; k++) {
        firn_str_add(&text, "\n");
        firn_compare_table(c, k, &text);
    }
    firn_str_add(&text, "\n");
    firn_search_table(c, &text);
    firn_str_add(&text, c->n_tries > 0 ? "\n" : "");
    firn_compare_findings(c, &text);
    fputs(text.data != NULL ? text.data : "", stdout);
    printf("\npage: %s/compare.html\n", c->output);
    firn_str_free(&text);
}

static firn_status run(const struct firn_args *args, struct firn_error *err)
{
    struct flags *f = args->values;
    struct firn_compare c;
    const int n = args->n_words - 1;
    char **overrides = calloc((size_t) n + 2, sizeof *overrides);
    char *device = f->device != NULL ? firn_strdup(FIRN_STR("device=%s", f->device)) : NULL;
    if (overrides == NULL || (f->device != NULL && device == NULL)) {
        free(overrides);
        free(device);
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for the overrides");
    }
    memcpy(overrides, args->words + 1, sizeof *overrides * (size_t) n);
    overrides[n] = device;
    firn_status status = firn_compare_open(&c, args->words[0], overrides, n + (device != NULL), err);
    free(overrides);
    free(device);
    if (status)
        return status;
    const struct firn_compare_params params = { .resume = f->resume, .overwrite = f->overwrite, .log = firn_stderr_log,
                                                .progress = on_cell, .user = &f->json, .stop = firn_stop_on_signals() };
    status = firn_compare_run(&c, &params, err);
    if (f->json && status != FIRN_ERR_STOPPED && status != FIRN_ERR_USAGE) {
        json_t *o = firn_compare_json(&c);
        json_dumpf(o, stdout, JSON_INDENT(2));
        printf("\n");
        json_decref(o);
    } else if (status == FIRN_OK) {
        print_text(&c);
    }
    firn_compare_close(&c);
    return status;
}

const struct firn_command firn_command_compare = {
    .name = "compare",
    .words = "RECIPE [section.key=value ...]",
    .min_words = 1,
    .max_words = 1000,
    .summary = "trains one task with many methods, seeds and amounts of data, and compares them",
    .text = "The recipe's `method` is a list, each entry with a name and, where it needs its own, a train section. A section\n"
            "compare: {seeds: [1, 2, 3], sizes: [16, 256, 2048], out_of_domain: FILE, min_steps: 60} says what is run.\n"
            "A list of values in a train section, or for the method's own keys as in search: {r: [4, 16]}, is tried with a seed\n"
            "of its own; what does best on data.validation is what the method runs with. The recipe's output then holds\n"
            "compare.html, compare.json and, for each cell, its figures and its log. A run that was stopped goes on with\n"
            "--resume; cells that are done are not run again, and values, methods, seeds and sizes can be added.",
    .flags = flags,
    .values_size = sizeof(struct flags),
    .has_recipe = true,
    .recipe_section = "compare.",
    .section_keys = firn_compare_keys,
    .run = run,
};
