/* SPDX-License-Identifier: Apache-2.0 */
/* Closed keys: what is set must be understood, what is unset may be anything. */
#include "peft/keys.h"

#include <stdlib.h>
#include <string.h>

/* Keys of every method, read by peft.c or of no meaning for the computation. */
static const char *const common[] = { "type", "peft_type", "task_type", "auto_mapping", "base_model_name_or_path",
                                      "revision", "inference_mode", "peft_version", "peft_compatible", NULL };
static const struct firn_option no_keys[] = { { NULL } };

static bool is_in(const char *const *list, const char *word)
{
    for (; list != NULL && *list != NULL; list++)
        if (strcmp(*list, word) == 0)
            return true;
    return false;
}

bool firn_is_unset(const json_t *v)
{
    return v == NULL || json_is_null(v) || json_is_false(v) || (json_is_string(v) && json_string_length(v) == 0) ||
           (json_is_array(v) && json_array_size(v) == 0) || (json_is_object(v) && json_object_size(v) == 0);
}

static firn_status refuse(const struct firn_method *method, const char *file, const char *section, const char *key,
                          const json_t *value, bool is_known, struct firn_error *err)
{
    char *text = firn_json_dump(value, 0, false);
    const char *near = is_known ? NULL : firn_option_nearest(method->keys != NULL ? method->keys : no_keys, key);
    const char *what = is_known       ? "is not supported"
                       : near != NULL ? FIRN_STR("unknown key; did you mean %s?", near)
                                      : FIRN_STR("unknown key of method %s", method->name);
    const firn_status status =
        firn_fail(err, is_known ? FIRN_ERR_UNSUPPORTED : FIRN_ERR_USAGE, .file = file,
                  .key = FIRN_STR("%s%s", section, key), .what = FIRN_STR("%s (its value is %.200s)", what, text != NULL ? text : "?"));
    free(text);
    return status;
}

firn_status firn_keys_read(const struct firn_method *method, const json_t *config, const char *file,
                           const char *section, void *settings, struct firn_error *err)
{
    const struct firn_option *keys = method->keys != NULL ? method->keys : no_keys;
    json_t *known = json_object();
    const char *key;
    json_t *value;
    firn_status status = known != NULL ? firn_options_reset(keys, settings, err)
                                       : firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for settings");
    json_object_foreach ((json_t *) config, key, value) {
        if (status)
            break;
        const struct firn_option *o = firn_option_find(keys, key);
        if (is_in(common, key) || is_in(method->ignores, key) || (o == NULL && firn_is_unset(value)) ||
            json_is_null(value))
            continue;
        if (o == NULL)
            status = refuse(method, file, section, key, value, is_in(method->refuses, key), err);
        else if (json_object_set(known, key, value) != 0)
            status = firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for settings");
    }
    if (status == FIRN_OK)
        status = firn_options_read(keys, known, file, section, NULL, settings, err);
    json_decref(known);
    return status;
}
