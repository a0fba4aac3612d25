/* SPDX-License-Identifier: Apache-2.0 */
/* Splits a command line into flags and words, by the command's table. */
#include "cli/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void to_stderr(void *user, enum firn_log_level level, const char *text)
{
    (void) user;
    if (level <= FIRN_LOG_WARN)
        fprintf(stderr, "firn: %s: %s\n", level == FIRN_LOG_ERROR ? "error" : "warning", text);
}

const struct firn_log firn_stderr_log = { .line = to_stderr };

static const struct firn_option no_flags[] = { { NULL } };

static const struct firn_option *flags_of(const struct firn_command *c)
{
    return c->flags != NULL ? c->flags : no_flags;
}

static firn_status unknown_flag(const struct firn_command *c, const char *word, const char *name,
                                struct firn_error *err)
{
    const char *near = firn_option_nearest(flags_of(c), name);
    return firn_fail(err, FIRN_ERR_USAGE, .file = c->name, .key = word,
                     .what = near != NULL ? FIRN_STR("unknown flag; did you mean --%s?", near)
                                          : "unknown flag; see --help");
}

static firn_status parse_flag(const struct firn_command *c, char **argv, int argc, int *at,
                              void *values, struct firn_error *err)
{
    char name[64];
    const char *word = argv[*at], *equal = strchr(word, '=');
    const size_t n = equal != NULL ? (size_t) (equal - word) - 2 : strlen(word) - 2;
    if (n == 0 || n >= sizeof name)
        return unknown_flag(c, word, word, err);
    memcpy(name, word + 2, n);
    name[n] = '\0';
    const struct firn_option *o = firn_option_find(flags_of(c), name);
    if (o == NULL)
        return unknown_flag(c, word, name, err);
    const char *value = equal != NULL ? equal + 1 : o->type == FIRN_OPTION_BOOL ? "true" : NULL;
    if (value == NULL) {
        if (*at + 1 >= argc)
            return firn_fail(err, FIRN_ERR_USAGE, .file = c->name, .key = word,
                             .expected = o->unit != NULL ? o->unit : "a value", .got = "nothing");
        value = argv[++*at];
    }
    return firn_option_set(o, value, c->name, "--", values, err);
}

firn_status firn_args_parse(struct firn_args *args, const struct firn_command *c, int argc,
                            char **argv, bool *wants_help, struct firn_error *err)
{
    *wants_help = false;
    *args = (struct firn_args){ .words = calloc((size_t) argc + 1, sizeof(char *)),
                                .values = calloc(1, c->values_size + 1) };
    if (args->words == NULL || args->values == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for the command line");
    firn_status status = firn_options_reset(flags_of(c), args->values, err);
    bool only_words = false;
    for (int i = 2; i < argc && status == FIRN_OK; i++) {
        if (!only_words && strcmp(argv[i], "--") == 0)
            only_words = true;
        else if (!only_words && (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0))
            *wants_help = true;
        else if (!only_words && strncmp(argv[i], "--", 2) == 0)
            status = parse_flag(c, argv, argc, &i, args->values, err);
        else if (!only_words && argv[i][0] == '-' && argv[i][1] != '\0')
            status = unknown_flag(c, argv[i], argv[i], err);
        else
            args->words[args->n_words++] = argv[i];
    }
    if (status || *wants_help)
        return status;
    for (const struct firn_option *o = flags_of(c); o->name != NULL; o++)
        if (o->is_required && (o->type == FIRN_OPTION_TEXT || o->type == FIRN_OPTION_TEXTS) &&
            *(void **) ((char *) args->values + o->offset) == NULL)
            return firn_fail(err, FIRN_ERR_USAGE, .file = c->name,
                             .key = FIRN_STR("--%s", o->name), .what = "is required");
    if (args->n_words < c->min_words || args->n_words > c->max_words)
        return firn_fail(err, FIRN_ERR_USAGE, .file = c->name,
                         .expected = c->words[0] != '\0' ? c->words : "no words",
                         .got = FIRN_STR("%d words", args->n_words));
    return FIRN_OK;
}

void firn_args_free(struct firn_args *args, const struct firn_command *c)
{
    if (args->values != NULL)
        firn_options_free(flags_of(c), args->values);
    free(args->values);
    free(args->words);
    memset(args, 0, sizeof *args);
}
