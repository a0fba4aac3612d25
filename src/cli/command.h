/* SPDX-License-Identifier: Apache-2.0 */
/* A command of the program: one record a file. Flags, --help and the man page come from the record. */
#ifndef FIRN_CLI_COMMAND_H
#define FIRN_CLI_COMMAND_H

#include "base/option.h"
#include "firn/log.h"

struct firn_args {
    char **words;  /* what is not a flag, in order */
    int n_words;
    void *values;  /* the command's own struct, filled by its flags */
};

struct firn_command {
    const char *name;
    const char *words;    /* "RECIPE [key=value ...]" */
    int min_words, max_words;
    const char *summary;  /* half a line */
    const char *text;     /* paragraphs for --help and the man page */
    const struct firn_option *flags; /* may be NULL */
    size_t values_size;
    bool has_recipe;      /* --help lists the recipe keys too */
    const char *recipe_section; /* of this command alone, "compare."; NULL: none */
    const struct firn_option *section_keys;
    firn_status (*run)(const struct firn_args *args, struct firn_error *err);
};

extern const struct firn_command *const firn_commands[]; /* NULL at the end */

/* Parses argv[2..]; the flags' struct is made here. */
firn_status firn_args_parse(struct firn_args *args, const struct firn_command *c, int argc,
                            char **argv, bool *wants_help, struct firn_error *err);
void firn_args_free(struct firn_args *args, const struct firn_command *c);

void firn_help_program(void);
void firn_help_command(const struct firn_command *c);
/* The man page of a command (NULL: of the program) in man(7) format. */
void firn_man_page(const struct firn_command *c);

/* Log lines of warnings and errors to stderr, as the commands use it. */
extern const struct firn_log firn_stderr_log;
/* The `--device` flag that most commands have. */
#define FIRN_FLAG_DEVICE(field)                                                                   \
    { "device", .type = FIRN_OPTION_TEXT, .offset = offsetof(struct flags, field),                \
      .fallback = "auto", .unit = "DEVICE",                                                       \
      .help = "auto, cpu, cpu:exact, vulkan:N or vulkan:NAME" }
#define FIRN_FLAG_JSON(field)                                                                     \
    { "json", .type = FIRN_OPTION_BOOL, .offset = offsetof(struct flags, field),                  \
      .help = "machine-readable results" }

#endif
