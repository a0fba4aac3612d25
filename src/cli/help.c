/* SPDX-License-Identifier: Apache-2.0 */
/* --help and man pages, from the command records and the recipe tables. */
#include "cli/command.h"
#include "peft/peft.h"
#include "train/recipe.h"

#include <stdio.h>
#include <string.h>

static const char *unit_of(const struct firn_option *o)
{
    static const char *const units[] = { "TEXT", "N", "X", "", "WORD", "BYTES", "YAML", "TEXT" };
    return o->unit != NULL ? o->unit : units[o->type];
}

static void details(const struct firn_option *o, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; o->words != NULL && o->words[i] != NULL && used < size; i++)
        used += (size_t) snprintf(text + used, size - used, "%s%s", i > 0 ? ", " : "", o->words[i]);
    if (o->is_required)
        used += (size_t) snprintf(text + used, size - used, "%srequired", used > 0 ? "; " : "");
    else if (o->fallback != NULL && !(o->type == FIRN_OPTION_BOOL && o->fallback[0] == 'f'))
        used += (size_t) snprintf(text + used, size - used, "%sdefault %s", used > 0 ? "; " : "",
                                  o->fallback);
    for (int i = 0; i < 4 && o->also[i] != NULL && used < size; i++)
        used += (size_t) snprintf(text + used, size - used, "%s%s",
                                  i > 0 ? ", " : used > 0 ? "; also " : "also ", o->also[i]);
}

static void print_option(const char *before, const struct firn_option *o)
{
    char more[400], left[80];
    details(o, more, sizeof more);
    snprintf(left, sizeof left, "%s%s %s", before, o->name, unit_of(o));
    printf("  %-34s %s%s%s%s\n", left, o->help, more[0] != '\0' ? " (" : "", more,
           more[0] != '\0' ? ")" : "");
}

static void print_table(const char *before, const struct firn_option *table)
{
    for (const struct firn_option *o = table; o->name != NULL; o++)
        print_option(before, o);
}

void firn_help_program(void)
{
    printf("firn fine-tunes transformer models on any GPU, through Vulkan.\n\n"
           "usage: firn COMMAND ...\n\ncommands:\n");
    for (const struct firn_command *const *c = firn_commands; *c != NULL; c++)
        printf("  %-10s %s\n", (*c)->name, (*c)->summary);
    printf("\nfirn COMMAND --help tells more. firn --version prints the version.\n"
           "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 stopped by a signal with a checkpoint "
           "saved.\n"
           "FIRN_DEVICE sets the default device, FIRN_THREADS the threads of `cpu`, FIRN_CAPS hides "
           "capabilities.\n");
}

void firn_help_command(const struct firn_command *c)
{
    printf("usage: firn %s %s%s\n\n%s\n", c->name, c->words, c->flags != NULL ? " [flags]" : "",
           c->text);
    if (c->flags != NULL) {
        printf("\nflags:\n");
        print_table("--", c->flags);
    }
    if (c->has_recipe) {
        printf("\nrecipe keys:\n");
        print_table("", firn_recipe_top);
        printf("\ndata:\n");
        print_table("data.", firn_recipe_data_keys);
        printf("\nmethod: a type (");
        for (const struct firn_method *const *m = firn_methods; *m != NULL; m++)
            printf("%s%s", m == firn_methods ? "" : ", ", (*m)->name);
        printf(") and its settings, spelt as in PEFT's adapter_config.json\n\ntrain:\n");
        print_table("train.", firn_recipe_train_keys);
        if (c->recipe_section != NULL) {
            printf("\n%.*s:\n", (int) strlen(c->recipe_section) - 1, c->recipe_section);
            print_table(c->recipe_section, c->section_keys);
        }
    }
}

/* Text for man(7): backslashes, leading dots and hyphens are special. */
static void man_text(const char *text)
{
    bool at_start = true;
    for (; *text != '\0'; text++) {
        if (at_start && (*text == '.' || *text == '\''))
            printf("\\&");
        if (*text == '\\')
            printf("\\e");
        else if (*text == '-')
            printf("\\-");
        else
            putchar(*text);
        at_start = *text == '\n';
    }
}

static void man_table(const char *before, const struct firn_option *table)
{
    for (const struct firn_option *o = table; o->name != NULL; o++) {
        char more[400];
        details(o, more, sizeof more);
        printf(".TP\n\\fB");
        man_text(before);
        man_text(o->name);
        printf("\\fR \\fI%s\\fR\n", unit_of(o));
        man_text(o->help);
        if (more[0] != '\0') {
            printf(" (");
            man_text(more);
            printf(")");
        }
        printf("\n");
    }
}

void firn_man_page(const struct firn_command *c)
{
    if (c == NULL) {
        printf(".TH FIRN 1\n.SH NAME\nfirn \\- fine-tunes transformer models on any GPU, through "
               "Vulkan\n.SH SYNOPSIS\n.B firn\n\\fICOMMAND\\fR ...\n.SH COMMANDS\n");
        for (const struct firn_command *const *it = firn_commands; *it != NULL; it++) {
            printf(".TP\n\\fBfirn %s\\fR \\fI", (*it)->name);
            man_text((*it)->words);
            printf("\\fR\n");
            man_text((*it)->summary);
            printf("\n");
        }
        printf(".SH EXIT STATUS\n0 done, 1 failed, 2 wrong usage, 3 stopped by a signal with a "
               "checkpoint saved.\n.SH ENVIRONMENT\n"
               "FIRN_DEVICE sets the default device, FIRN_THREADS the threads of the cpu device, "
               "FIRN_CAPS hides capabilities of a Vulkan device.\n");
        return;
    }
    printf(".TH FIRN-%s 1\n.SH NAME\nfirn-%s \\- ", c->name, c->name);
    man_text(c->summary);
    printf("\n.SH SYNOPSIS\n.B firn %s\n\\fI", c->name);
    man_text(c->words);
    printf("\\fR\n.SH DESCRIPTION\n");
    man_text(c->text);
    printf("\n");
    if (c->flags != NULL) {
        printf(".SH OPTIONS\n");
        man_table("--", c->flags);
    }
    if (c->has_recipe) {
        printf(".SH RECIPE\n");
        man_table("", firn_recipe_top);
        man_table("data.", firn_recipe_data_keys);
        man_table("train.", firn_recipe_train_keys);
        if (c->recipe_section != NULL)
            man_table(c->recipe_section, c->section_keys);
    }
}
