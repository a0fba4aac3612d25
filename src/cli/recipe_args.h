/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the commands that take a recipe. */
#ifndef FIRN_CLI_RECIPE_ARGS_H
#define FIRN_CLI_RECIPE_ARGS_H

#include "cli/command.h"
#include "train/recipe.h"

/* Words: RECIPE [section.key=value ...]. device NULL: the recipe's. Free the recipe after success only. */
firn_status firn_recipe_from_args(struct firn_recipe *r, const struct firn_args *args, const char *command,
                                  const char *device, struct firn_error *err);
/* The `--device` flag of these commands. */
#define FIRN_FLAG_RECIPE_DEVICE(field)                                                            \
    { "device", .type = FIRN_OPTION_TEXT, .offset = offsetof(struct flags, field),                \
      .unit = "DEVICE", .help = "takes the place of the recipe's device" }

#endif
