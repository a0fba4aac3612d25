/* SPDX-License-Identifier: Apache-2.0 */
/* Reads config.json by the table of the architecture that it names. */
#include "model/model.h"

#include <stdlib.h>
#include <string.h>

#define FIRN_ARCH(name) extern const struct firn_arch firn_arch_##name;
#include "model/archs.inc"
#undef FIRN_ARCH

const struct firn_arch *const firn_archs[] = {
#define FIRN_ARCH(name) &firn_arch_##name,
#include "model/archs.inc"
#undef FIRN_ARCH
    NULL
};

const char *const firn_activation_words[] = { "gelu", "gelu_pytorch_tanh", "silu", "relu", "tanh", NULL };
const char *const firn_activation_words_also[] = { "gelu_python", "gelu_new", "swish", NULL, NULL, NULL };

static const struct firn_arch *find(const char *model_type)
{
    for (const struct firn_arch *const *a = firn_archs; *a != NULL; a++)
        if (strcmp((*a)->model_type, model_type) == 0)
            return *a;
    return NULL;
}

static firn_status unknown(const char *path, const char *type, struct firn_error *err)
{
    struct firn_str list = { 0 };
    for (const struct firn_arch *const *a = firn_archs; *a != NULL; a++)
        firn_str_addf(&list, "%s%s", list.size > 0 ? ", " : "one of ", (*a)->model_type);
    const firn_status status = firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = path, .key = "model_type",
                                         .expected = list.data, .got = type != NULL ? type : "none");
    firn_str_free(&list);
    return status;
}

/* A key that asks for other mathematics than the architecture's code has. */
static firn_status check_only(const struct firn_only *only, const json_t *root, const char *path, struct firn_error *err)
{
    for (; only != NULL && only->key != NULL; only++) {
        const json_t *v = json_object_get(root, only->key);
        if (v == NULL || json_is_null(v))
            continue;
        json_t *want = json_loads(only->value, JSON_DECODE_ANY, NULL);
        const bool same = json_equal(v, want) || (json_is_number(v) && json_is_number(want) &&
                                                  json_number_value(v) == json_number_value(want));
        json_decref(want);
        if (same)
            continue;
        char *got = firn_json_dump(v, 0, false);
        const firn_status status = firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = path, .key = only->key,
                                             .expected = only->value, .got = got);
        free(got);
        return status;
    }
    return FIRN_OK;
}

/* The first of eos_token_id, which is a number or a list of them. */
static int64_t first_eos(const json_t *eos)
{
    const json_t *first = json_is_array(eos) ? json_array_get(eos, 0) : eos;
    return json_is_integer(first) ? json_integer_value(first) : -1;
}

firn_status firn_config_load(struct firn_config *c, const struct firn_arch **arch, const char *path,
                             struct firn_error *err)
{
    json_t *root = NULL;
    memset(c, 0, sizeof *c);
    firn_status status = firn_json_load(path, &root, err);
    if (status == FIRN_OK)
        status = firn_config_read(c, arch, root, path, err);
    json_decref(root);
    return status;
}

firn_status firn_config_read(struct firn_config *c, const struct firn_arch **arch, const json_t *root, const char *path,
                             struct firn_error *err)
{
    firn_status status;
    memset(c, 0, sizeof *c);
    const char *type = json_string_value(json_object_get(root, "model_type"));
    *arch = type != NULL ? find(type) : NULL;
    if (*arch == NULL)
        return unknown(path, type, err);
    c->pad_id = c->bos_id = c->eos_id = -1;
    c->classifier_dropout = -1;
    status = firn_options_reset((*arch)->keys, c, err);
    if (status == FIRN_OK)
        status = firn_options_pick((*arch)->keys, root, path, c, err);
    c->eos_id = first_eos(c->eos);
    if (status == FIRN_OK)
        status = check_only((*arch)->only, root, path, err);
    if (status == FIRN_OK)
        status = (*arch)->finish(c, path, err);
    if (status == FIRN_ERR_USAGE) { /* a wrong value in a file is the file's fault, not the command line's */
        status = FIRN_ERR_FORMAT;
        if (err != NULL)
            err->status = status;
    }
    if (status)
        firn_config_free(c, *arch);
    return status;
}

void firn_config_free(struct firn_config *c, const struct firn_arch *arch)
{
    if (arch != NULL)
        firn_options_free(arch->keys, c);
}
