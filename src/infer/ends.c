/* SPDX-License-Identifier: Apache-2.0 */
/* Which tokens end a text. */
#include "infer/generate.h"

#include "base/file.h"

#include <stdlib.h>

static firn_status read_ids(const json_t *value, const char *path, int32_t *list, size_t *n, struct firn_error *err)
{
    const size_t count = json_is_array(value) ? json_array_size(value) : 1;
    for (size_t i = 0; i < count; i++) {
        const json_t *id = json_is_array(value) ? json_array_get(value, i) : value;
        if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > INT32_MAX)
            return firn_fail(err, FIRN_ERR_FORMAT, .file = path, .key = "eos_token_id",
                             .expected = "an id or a list of ids", .got = "something else");
        list[(*n)++] = (int32_t) json_integer_value(id);
    }
    return FIRN_OK;
}

/* The file's ids, when it has any. */
static firn_status read_file(const char *model, const char *name, int32_t **list, size_t *n, struct firn_error *err)
{
    char *path = firn_path_join(model, name);
    json_t *tree = NULL;
    firn_status status = path == NULL ? firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a path") : FIRN_OK;
    if (status == FIRN_OK && firn_path_exists(path))
        status = firn_json_load(path, &tree, err);
    const json_t *value = json_object_get(tree, "eos_token_id");
    if (status == FIRN_OK && value != NULL && !json_is_null(value)) {
        *list = malloc(sizeof **list * (json_array_size(value) + 1));
        status = *list == NULL ? firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for end tokens")
                               : read_ids(value, path, *list, n, err);
    }
    json_decref(tree);
    free(path);
    return status;
}

firn_status firn_generate_ends(const char *model, const struct firn_tokenizer *tokenizer, int32_t **list, size_t *n,
                               struct firn_error *err)
{
    static const char *const files[] = { "generation_config.json", "config.json" };
    *list = NULL;
    *n = 0;
    firn_status status = FIRN_OK;
    for (size_t i = 0; i < 2 && status == FIRN_OK && *list == NULL; i++)
        status = read_file(model, files[i], list, n, err);
    const int32_t id = tokenizer != NULL ? firn_tokenizer_role(tokenizer, FIRN_ROLE_EOS) : -1;
    if (status == FIRN_OK && *list == NULL && id >= 0) {
        *list = malloc(sizeof **list);
        if (*list == NULL)
            return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for end tokens");
        (*list)[(*n)++] = id;
    }
    if (status) {
        free(*list);
        *list = NULL;
        *n = 0;
    }
    return status;
}
