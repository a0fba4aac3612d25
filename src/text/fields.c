/* SPDX-License-Identifier: Apache-2.0 */
/* Reads typed fields of JSON objects; see fields.h. */
#include "text/fields.h"

#include "text/utf8.h"

#include <string.h>

const char *firn_json_kind(const json_t *value)
{
    static const char *const names[] = { "an object",     "an array", "a string", "an integer",
                                         "a real number", "true",     "false",    "null" };
    return value == NULL ? "nothing" : names[json_typeof(value)];
}

static firn_status wrong(const struct firn_place *at, const char *key, const char *expected,
                         const json_t *got)
{
    return firn_fail(at->err, FIRN_ERR_FORMAT, .file = at->file,
                     .key = FIRN_STR("%s.%s", at->path, key), .expected = expected,
                     .got = firn_json_kind(got));
}

static const json_t *find(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

firn_status firn_field_bool(const struct firn_place *at, const json_t *object, const char *key,
                            bool missing, bool *out)
{
    const json_t *value = find(object, key);
    *out = value == NULL ? missing : json_is_true(value);
    return value == NULL || json_is_boolean(value) ? FIRN_OK
                                                   : wrong(at, key, "true or false", value);
}

firn_status firn_field_text(const struct firn_place *at, const json_t *object, const char *key,
                            const char *missing, const char **out, size_t *size)
{
    const json_t *value = find(object, key);
    *out = value == NULL ? missing : json_string_value(value);
    if (size != NULL)
        *size = value == NULL ? (missing == NULL ? 0 : strlen(missing)) : json_string_length(value);
    return value == NULL || json_is_string(value) ? FIRN_OK : wrong(at, key, "a string", value);
}

firn_status firn_need_text(const struct firn_place *at, const json_t *object, const char *key,
                           const char **out, size_t *size)
{
    const firn_status s = firn_field_text(at, object, key, NULL, out, size);
    return s == FIRN_OK && *out == NULL ? wrong(at, key, "a string", json_object_get(object, key))
                                        : s;
}

firn_status firn_field_count(const struct firn_place *at, const json_t *object, const char *key,
                             int64_t missing, int64_t *out)
{
    const json_t *value = find(object, key);
    *out = value == NULL ? missing : json_integer_value(value);
    if (value != NULL && (!json_is_integer(value) || *out < 0))
        return wrong(at, key, "an integer of at least 0", value);
    return FIRN_OK;
}

firn_status firn_need_array(const struct firn_place *at, const json_t *object, const char *key,
                            json_t **out)
{
    *out = json_object_get(object, key);
    return json_is_array(*out) ? FIRN_OK : wrong(at, key, "an array", *out);
}

firn_status firn_need_type(const struct firn_place *at, const json_t *object, const char **out)
{
    if (!json_is_object(object))
        return firn_fail(at->err, FIRN_ERR_FORMAT, .file = at->file, .key = at->path,
                         .expected = "an object", .got = firn_json_kind(object));
    return firn_need_text(at, object, "type", out, NULL);
}

firn_status firn_id_value(const struct firn_place *at, const json_t *value, const char *key,
                          int32_t *out)
{
    const json_int_t id = json_integer_value(value);
    if (!json_is_integer(value))
        return wrong(at, key, "an id", value);
    if (id < 0 || id > INT32_MAX)
        return firn_fail(at->err, FIRN_ERR_FORMAT, .file = at->file,
                         .key = FIRN_STR("%s.%s", at->path, key), .expected = "an id of 31 bits",
                         .got = FIRN_STR("%lld", (long long) id));
    *out = (int32_t) id;
    return FIRN_OK;
}

firn_status firn_need_code(const struct firn_place *at, const json_t *object, const char *key,
                           uint32_t *out)
{
    const char *text;
    size_t size;
    const firn_status s = firn_need_text(at, object, key, &text, &size);
    if (s != FIRN_OK)
        return s;
    if (size == 0 || firn_utf8_size((uint8_t) text[0]) != size)
        return firn_fail(at->err, FIRN_ERR_FORMAT, .file = at->file,
                         .key = FIRN_STR("%s.%s", at->path, key), .expected = "one character",
                         .got = FIRN_STR("%.40s", text));
    *out = firn_utf8_get((const uint8_t *) text);
    return FIRN_OK;
}

firn_status firn_each_stage(const struct firn_place *at, const json_t *object, const char *list, size_t *n,
                            firn_status (*read)(void *user, const char *type, const struct firn_place *at,
                                                const json_t *object),
                            void *user)
{
    const char *type;
    firn_status s = firn_need_type(at, object, &type);
    if (s != FIRN_OK)
        return s;
    if (strcmp(type, "Sequence") == 0) {
        json_t *stages;
        char path[96];
        s = firn_need_array(at, object, list, &stages);
        snprintf(path, sizeof path, "%.*s.%s", (int) strcspn(at->path, "."), at->path, list);
        for (size_t i = 0; s == FIRN_OK && i < json_array_size(stages); i++) {
            const struct firn_place inner = { at->file, path, at->err };
            s = firn_each_stage(&inner, json_array_get(stages, i), list, n, read, user);
        }
        return s;
    }
    if (*n == FIRN_STAGES_MAX)
        return firn_fail(at->err, FIRN_ERR_UNSUPPORTED, .file = at->file, .key = at->path,
                         .expected = FIRN_STR("at most %d %s", FIRN_STAGES_MAX, list));
    ++*n;
    return read(user, type, at, object);
}
