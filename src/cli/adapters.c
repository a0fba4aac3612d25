/* SPDX-License-Identifier: Apache-2.0 */
/* Names of adapters on the command line. */
#include "cli/adapters.h"

#include "base/str.h"

#include <stdlib.h>
#include <string.h>

static char *last_word(const char *path)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    size_t from = n;
    while (from > 0 && path[from - 1] != '/')
        from--;
    return firn_strdup(FIRN_STR("%.*s", (int) (n - from), path + from));
}

firn_status firn_adapter_names_open(struct firn_adapter_names *a, const json_t *directories, const char *command,
                                    struct firn_error *err)
{
    const size_t n = json_array_size(directories);
    *a = (struct firn_adapter_names){ .names = calloc(n + 1, sizeof *a->names) };
    for (size_t k = 0; k < n && a->names != NULL; k++) {
        a->names[k] = last_word(json_string_value(json_array_get(directories, k)));
        a->n += a->names[k] != NULL;
        for (size_t i = 0; i < k && a->names[k] != NULL; i++)
            if (strcmp(a->names[i], a->names[k]) == 0)
                return firn_fail(err, FIRN_ERR_USAGE, .file = command, .key = "--adapter",
                                 .expected = "directories with different last words",
                                 .got = FIRN_STR("two of %s", a->names[k]));
    }
    return a->n == n && a->names != NULL ? FIRN_OK : firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for names");
}

void firn_adapter_names_free(struct firn_adapter_names *a)
{
    for (size_t k = 0; k < a->n; k++)
        free(a->names[k]);
    free(a->names);
    *a = (struct firn_adapter_names){ 0 };
}

firn_status firn_adapter_names_take(const struct firn_adapter_names *a, const char *file, const char *key,
                                    const char **line, size_t *n, size_t *number, struct firn_error *err)
{
    const char *tab = a->n > 1 && *n > 0 ? memchr(*line, '\t', *n) : NULL;
    const size_t length = tab != NULL ? (size_t) (tab - *line) : 0;
    struct firn_str names = { 0 };
    *number = 0;
    if (a->n <= 1)
        return FIRN_OK;
    for (size_t k = 0; k < a->n; k++)
        if (tab != NULL && strlen(a->names[k]) == length && memcmp(a->names[k], *line, length) == 0) {
            *number = k;
            *n -= length + 1;
            *line = tab + 1;
            return FIRN_OK;
        }
    for (size_t k = 0; k < a->n; k++)
        firn_str_addf(&names, "%s%s", k > 0 ? ", " : "an adapter's name and a tab: ", a->names[k]);
    const firn_status status =
        firn_fail(err, FIRN_ERR_FORMAT, .file = file, .key = key, .expected = names.data,
                  .got = tab != NULL ? FIRN_STR("%.*s", (int) (length < 60 ? length : 60), *line) : "no tab");
    firn_str_free(&names);
    return status;
}
