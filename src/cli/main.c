/* SPDX-License-Identifier: Apache-2.0 */
/* The program: finds the command, runs it, and turns a status into an exit code. */
#include "cli/command.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef FIRN_VERSION
#define FIRN_VERSION "unknown"
#endif

#define FIRN_COMMAND(name) extern const struct firn_command firn_command_##name;
#include "cli/commands.inc"
#undef FIRN_COMMAND

const struct firn_command *const firn_commands[] = {
#define FIRN_COMMAND(name) &firn_command_##name,
#include "cli/commands.inc"
#undef FIRN_COMMAND
    NULL
};

static const struct firn_command *find(const char *name)
{
    for (const struct firn_command *const *c = firn_commands; *c != NULL; c++)
        if (strcmp((*c)->name, name) == 0)
            return *c;
    return NULL;
}

static int exit_code(firn_status status)
{
    return status == FIRN_OK ? 0 : status == FIRN_ERR_USAGE ? 2 : status == FIRN_ERR_STOPPED ? 3 : 1;
}

static int unknown_command(const char *word)
{
    const char *names[64];
    size_t n = 0;
    for (const struct firn_command *const *c = firn_commands; *c != NULL && n < 63; c++)
        names[n++] = (*c)->name;
    names[n] = NULL;
    const char *near = firn_nearest(word, names);
    fprintf(stderr, "firn: %s: unknown command%s%s%s\n", word, near ? "; did you mean " : "",
            near ? near : "", near ? "?" : "; see firn --help");
    return 2;
}

/* Results that could not be written are a failure, also into a full disk or a closed pipe. */
static int finish(int code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    if (errno != EPIPE)
        fprintf(stderr, "firn: standard output: %s\n", strerror(errno));
    return code != 0 ? code : 1;
}

static int run(const struct firn_command *c, int argc, char **argv)
{
    struct firn_args args;
    struct firn_error err = { 0 };
    bool wants_help;
    firn_status status = firn_args_parse(&args, c, argc, argv, &wants_help, &err);
    if (status == FIRN_OK && wants_help)
        firn_help_command(c);
    else if (status == FIRN_OK)
        status = c->run(&args, &err);
    firn_args_free(&args, c);
    if (status != FIRN_OK && err.text[0] != '\0')
        fprintf(stderr, "firn: %s\n", err.text);
    return exit_code(status);
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error of fflush, not a death in mid-write */
    if (argc < 2) {
        fprintf(stderr, "usage: firn COMMAND ...; see firn --help\n");
        return 2;
    }
    const char *word = argv[1];
    if (strcmp(word, "--version") == 0) {
        printf("firn %s\n", FIRN_VERSION);
        return finish(0);
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0) {
        const struct firn_command *c = argc > 2 ? find(argv[2]) : NULL;
        if (c != NULL)
            firn_help_command(c);
        else
            firn_help_program();
        return finish(0);
    }
    if (strcmp(word, "--man") == 0) {
        firn_man_page(argc > 2 ? find(argv[2]) : NULL);
        return finish(0);
    }
    const struct firn_command *c = find(word);
    return c != NULL ? finish(run(c, argc, argv)) : unknown_command(word);
}
