/* SPDX-License-Identifier: Apache-2.0 */
/* Fields of the objects in tokenizer.json, with errors that say where they are. */
#ifndef FIRN_TEXT_FIELDS_H
#define FIRN_TEXT_FIELDS_H

#include "base/json.h"
#include "firn/status.h"

#include <stdbool.h>
#include <stdint.h>

#define FIRN_STAGES_MAX 64 /* of one kind in a file, nested sequences included */

/* Where an object stands: the file, and the path in it ("pre_tokenizer.pretokenizers"). */
struct firn_place {
    const char *file, *path;
    struct firn_error *err;
};

/* Each fails when the value is there and of another kind. A missing one (or null) is `missing`, or,
 * for the ones that are called need, an error. Texts are borrowed from the object. */
firn_status firn_field_bool(const struct firn_place *at, const json_t *object, const char *key,
                            bool missing, bool *out);
firn_status firn_field_text(const struct firn_place *at, const json_t *object, const char *key,
                            const char *missing, const char **out, size_t *size);
firn_status firn_need_text(const struct firn_place *at, const json_t *object, const char *key,
                           const char **out, size_t *size);
firn_status firn_field_count(const struct firn_place *at, const json_t *object, const char *key,
                             int64_t missing, int64_t *out);
firn_status firn_need_array(const struct firn_place *at, const json_t *object, const char *key,
                            json_t **out);
/* The `type` of a stage: a text that must be there. */
firn_status firn_need_type(const struct firn_place *at, const json_t *object, const char **out);
/* Reads the stages of a Sequence, whose array is `list`, or the one stage that `object` is. *n counts them: at most
 * FIRN_STAGES_MAX. */
firn_status firn_each_stage(const struct firn_place *at, const json_t *object, const char *list, size_t *n,
                            firn_status (*read)(void *user, const char *type, const struct firn_place *at,
                                                const json_t *object),
                            void *user);
/* An id: 0 to INT32_MAX. */
firn_status firn_id_value(const struct firn_place *at, const json_t *value, const char *key,
                          int32_t *out);
/* A text that is exactly one code point. */
firn_status firn_need_code(const struct firn_place *at, const json_t *object, const char *key,
                           uint32_t *out);

const char *firn_json_kind(const json_t *value); /* "an object", "a string", ... for errors */

#endif
