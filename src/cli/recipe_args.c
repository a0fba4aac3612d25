/* SPDX-License-Identifier: Apache-2.0 */
/* The recipe of a command: its file, the overrides behind it, and the flag that names another device. */
#include "cli/recipe_args.h"

firn_status firn_recipe_from_args(struct firn_recipe *r, const struct firn_args *args, const char *command,
                                  const char *device, struct firn_error *err)
{
    firn_status status = firn_recipe_load(r, args->words[0], args->words + 1, args->n_words - 1, err);
    if (status || device == NULL)
        return status;
    status = firn_option_set(firn_option_find(firn_recipe_top, "device"), device, command, "--", r, err);
    if (status)
        firn_recipe_free(r);
    return status;
}
