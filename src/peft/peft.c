/* SPDX-License-Identifier: Apache-2.0 */
/* Finds a method, opens its settings, and gives its tensors their first values. */
#include "peft/peft.h"

#include "base/file.h"
#include "base/str.h"
#include "peft/keys.h"

#include <stdlib.h>
#include <string.h>

#define FIRN_METHOD(name) extern const struct firn_method firn_method_##name;
#include "peft/methods.inc"
#undef FIRN_METHOD

const struct firn_method *const firn_methods[] = {
#define FIRN_METHOD(name) &firn_method_##name,
#include "peft/methods.inc"
#undef FIRN_METHOD
    NULL
};

static bool is_in(const char *const *list, const char *word)
{
    for (; list != NULL && *list != NULL; list++)
        if (strcmp(*list, word) == 0)
            return true;
    return false;
}

const struct firn_method *firn_method_find(const char *word)
{
    for (const struct firn_method *const *m = firn_methods; word != NULL && *m != NULL; m++)
        if (strcmp((*m)->name, word) == 0 || strcmp((*m)->peft_type, word) == 0 || is_in((*m)->also, word))
            return *m;
    return NULL;
}

const struct firn_method *firn_method_of(const json_t *config)
{
    const json_t *type = json_object_get(config, "peft_type");
    const struct firn_method *method =
        firn_method_find(json_string_value(type != NULL ? type : json_object_get(config, "type")));
    for (const struct firn_method *const *m = firn_methods; method == NULL && type == NULL && *m != NULL; m++)
        if ((*m)->owns != NULL && (*m)->owns(config))
            method = *m;
    return method;
}

/* The settings, respelt where the method has other spellings. */
static firn_status read_keys(const struct firn_adapter *a, const json_t *config, const char *file, const char *section,
                             struct firn_error *err)
{
    if (a->method->spell == NULL)
        return firn_keys_read(a->method, config, file, section, a->settings, err);
    json_t *own = json_deep_copy(config);
    firn_status status = own != NULL ? a->method->spell(own, file, section, err)
                                     : firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for settings");
    if (status == FIRN_OK)
        status = firn_keys_read(a->method, own, file, section, a->settings, err);
    json_decref(own);
    return status;
}

static firn_status unknown(const char *file, const char *key, const char *word, struct firn_error *err)
{
    struct firn_str list = { 0 };
    for (const struct firn_method *const *m = firn_methods; *m != NULL; m++)
        firn_str_addf(&list, "%s%s", list.size > 0 ? ", " : "one of ", (*m)->name);
    const firn_status status = firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = file, .key = key, .expected = list.data,
                                         .got = word != NULL ? word : "none");
    firn_str_free(&list);
    return status;
}

firn_status firn_adapter_open(struct firn_adapter *a, const struct firn_model *m, enum firn_task task,
                              const json_t *config, const char *file, const char *section, struct firn_error *err)
{
    memset(a, 0, sizeof *a);
    if (!json_is_object(config))
        return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = section, .expected = "a mapping of keys to values",
                         .got = "something else");
    const json_t *type = json_object_get(config, "peft_type");
    const char *key = type != NULL ? "peft_type" : "type";
    const char *word = json_string_value(type != NULL ? type : json_object_get(config, "type"));
    const struct firn_method *method = firn_method_of(config);
    if (method == NULL)
        return unknown(file, FIRN_STR("%s%s", section, key), word, err);
    a->settings = calloc(1, method->settings_size + 1);
    if (a->settings == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for settings");
    a->method = method;
    a->file = firn_strdup(file);
    a->section = firn_strdup(section);
    if (a->file == NULL || a->section == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for settings");
    const json_t *wanted = json_object_get(config, "target_modules");
    a->wanted = json_is_null(wanted) ? NULL : json_incref((json_t *) wanted);
    const json_t *compatible = json_object_get(config, "peft_compatible");
    a->peft_compatible = json_is_true(compatible);
    if (compatible != NULL && !json_is_boolean(compatible))
        return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = FIRN_STR("%speft_compatible", section),
                         .expected = "true or false", .got = "something else");
    firn_status status = read_keys(a, config, file, section, err);
    if (status == FIRN_OK && method->open != NULL)
        status = method->open(a->settings, m, task, file, err);
    return status;
}

/* What PEFT's files cannot say lies beside them, in those that firn wrote; others are PEFT's. */
static bool is_peft_compatible(const char *directory)
{
    char *path = firn_path_join(directory, "firn.json");
    json_t *facts = NULL;
    const bool is_ours = path != NULL && firn_path_exists(path) && firn_json_load(path, &facts, NULL) == FIRN_OK;
    const json_t *value = json_object_get(facts, "peft_compatible");
    const bool is_it = !is_ours || !json_is_false(value);
    json_decref(facts);
    free(path);
    return is_it;
}

firn_status firn_adapter_load(struct firn_adapter *a, const struct firn_model *m, enum firn_task task,
                              const char *directory, struct firn_error *err)
{
    char *path = firn_path_join(directory, "adapter_config.json"), *model = firn_path_join(directory, "config.json");
    json_t *config = NULL;
    memset(a, 0, sizeof *a);
    firn_status status = path != NULL && model != NULL ? FIRN_OK
                                                       : firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a path");
    if (status == FIRN_OK && !firn_path_exists(path) && firn_path_exists(model)) /* what `full` leaves: a model folder */
        config = json_pack("{s:s}", "peft_type", "FULL");
    else if (status == FIRN_OK)
        status = firn_json_load(path, &config, err);
    if (status == FIRN_OK)
        status = firn_adapter_open(a, m, task, config, path, "", err);
    a->is_loaded = true;
    a->peft_compatible = is_peft_compatible(directory);
    if (status == FIRN_ERR_USAGE) { /* a wrong value in a file is the file's fault, not the command line's */
        status = FIRN_ERR_FORMAT;
        if (err != NULL)
            err->status = status;
    }
    json_decref(config);
    free(path);
    free(model);
    return status;
}

void firn_adapter_close(struct firn_adapter *a)
{
    if (a->method != NULL && a->settings != NULL) {
        if (a->method->close != NULL)
            a->method->close(a->settings);
        if (a->method->keys != NULL)
            firn_options_free(a->method->keys, a->settings);
    }
    free(a->settings);
    free(a->first_linear);
    for (int i = 0; i < FIRN_MAX_STATE; i++)
        free(a->state[i]);
    firn_params_free(&a->params);
    firn_str_free(&a->words);
    free(a->file);
    free(a->section);
    json_decref(a->wanted);
    memset(a, 0, sizeof *a);
}

firn_status firn_adapter_anchor(const struct firn_adapter *a, struct firn_model *m, const float *flat,
                                struct firn_error *err)
{
    const bool anchors = a->method != NULL && a->method->anchors != NULL && a->method->anchors(a->settings);
    for (size_t i = 0; i < a->params.count && anchors; i++) {
        const struct firn_param *p = &a->params.list[i];
        if (p->base != NULL)
            continue;
        const char *name = FIRN_STR("%s.initial", p->name);
        const int64_t n = firn_shape_count(&p->shape);
        if (a->leaf[0] != '\0' && firn_weights_copy(&m->weights, name) != NULL)
            return firn_fail(err, FIRN_ERR_UNSUPPORTED, .key = name,
                             .expected = "one adapter on this base that counts from its start (saved adapters of firn are plain)",
                             .got = "a second one");
        float *values = firn_weights_room(&m->weights, name, n);
        if (values == NULL)
            return firn_fail(err, FIRN_ERR_MEMORY, .key = name, .what = "out of memory for it");
        memcpy(values, flat + p->offset, sizeof *flat * (size_t) n);
    }
    return FIRN_OK;
}

firn_status firn_adapter_init(const struct firn_adapter *a, struct firn_model *m, uint64_t seed, float *flat,
                              struct firn_error *err)
{
    firn_params_init(&a->params, seed, flat);
    firn_status status = firn_model_fill(m, &a->params, flat, err);
    if (status == FIRN_OK && a->method != NULL && a->method->init != NULL)
        status = a->method->init(a->settings, m, &a->params, seed, flat, err);
    if (status == FIRN_OK && a->method != NULL && a->method->freeze != NULL)
        status = a->method->freeze(a, m, NULL, err);
    return status ? status : firn_adapter_anchor(a, m, flat, err);
}
