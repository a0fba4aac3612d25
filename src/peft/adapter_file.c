/* SPDX-License-Identifier: Apache-2.0 */
/* The files of an adapter directory: adapter_config.json and adapter_model.safetensors, as PEFT writes them. */
#include "peft/files.h"
#include "peft/soft.h"

#include <stdlib.h>
#include <string.h>

#define CONFIG "adapter_config.json"
#define TENSORS "adapter_model.safetensors"
#define STATE "state.safetensors" /* firn's own: every trained tensor, where the files of PEFT do not hold all */
#define PEFT_VERSION "0.21.2" /* whose files these are like */

static firn_status no_memory(struct firn_error *err)
{
    return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for an adapter's files");
}

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* PEFT writes these besides: unused originals of saved modules, and second names of biases (of saved modules, and of the
 * output layer of masked language models). */
static bool is_surplus(const struct firn_adapter *a, const char *name)
{
    static const char tied[] = ".decoder.bias";
    const int cut = (int) (strlen(name) - (sizeof tied - 1));
    if (strstr(name, ".original_module.") != NULL || strstr(name, ".modules_to_save.") != NULL)
        return true;
    return ends_with(name, tied) && firn_params_find(&a->params, FIRN_STR("%.*s.bias", cut, name)) != NULL;
}

/* With embeddings among the targets PEFT saves the table itself too; it must be the base's. */
static firn_status check_table(const struct firn_model *m, const struct firn_named_tensor *t, const char *file,
                               bool *is_table, struct firn_error *err)
{
    static const char before[] = "base_model.model.", end[] = ".base_layer.weight";
    const size_t n = strlen(t->name), cut = sizeof before - 1 + sizeof end - 1;
    *is_table = strncmp(t->name, before, sizeof before - 1) == 0 && ends_with(t->name, end) && n > cut;
    if (!*is_table)
        return FIRN_OK;
    const char *path = FIRN_STR("%.*s.weight", (int) (n - cut), t->name + sizeof before - 1);
    const struct firn_tensor *base = firn_model_tensor(m, path);
    bool same = base != NULL && firn_shape_eq(&base->shape, &t->tensor.shape) && firn_dtype_is_float(t->tensor.dtype) &&
                firn_dtype_is_float(base->dtype);
    float ours[256], theirs[256];
    const int64_t count = same ? firn_shape_count(&base->shape) : 0;
    for (int64_t i = 0; i < count && same; i += 256) {
        const int64_t part = count - i < 256 ? count - i : 256;
        firn_tensor_read_f32(base, i, part, ours);
        firn_tensor_read_f32(&t->tensor, i, part, theirs);
        same = memcmp(ours, theirs, sizeof(float) * (size_t) part) == 0;
    }
    return same ? FIRN_OK
                : firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = file, .key = t->name,
                            .expected = "the base model's own table", .got = "a table with other tokens or values");
}

/* Silent loss is what adapters are feared for: a tensor that nobody asks for is an error. */
static firn_status check_surplus(const struct firn_adapter *a, const struct firn_model *m,
                                 const struct firn_safetensors *file, struct firn_error *err)
{
    for (size_t i = 0; i < file->count; i++) {
        const struct firn_named_tensor *t = &file->tensors[i];
        bool is_table;
        const bool is_computed = strcmp(t->name, FIRN_TABLE) == 0 && firn_adapter_has_network(a);
        const bool is_read = a->method->reads != NULL && a->method->reads(a->settings, t->name);
        if (firn_params_find(&a->params, t->name) != NULL || is_surplus(a, t->name) || is_computed || is_read)
            continue;
        const firn_status status = check_table(m, t, file->path, &is_table, err);
        if (status)
            return status;
        if (!is_table)
            return firn_fail(err, FIRN_ERR_FORMAT, .file = file->path, .key = t->name,
                             .what = "is no tensor of this adapter on this model");
    }
    return FIRN_OK;
}

static firn_status read_model_folder(const struct firn_adapter *a, const struct firn_model *m, const char *directory,
                                     float *flat, struct firn_error *err)
{
    struct firn_weights w;
    firn_status status = firn_weights_open(&w, directory, err);
    for (size_t i = 0; i < a->params.count && status == FIRN_OK; i++) {
        const struct firn_param *p = &a->params.list[i];
        const char *file = directory;
        const struct firn_tensor *t = firn_weights_find(&w, m->arch->prefix, p->name, &file);
        status = t != NULL ? firn_param_read(p, t, file, p->name, flat, err)
                           : firn_fail(err, FIRN_ERR_FORMAT, .file = directory, .key = p->name,
                                       .expected = FIRN_SHAPE_STR(&p->shape), .got = "no such tensor");
    }
    firn_weights_close(&w);
    return status;
}

/* The network behind a table: from the state beside it. Without one (PEFT's files) it stays as it is. */
static firn_status read_state(const struct firn_adapter *a, const char *directory, float *flat, struct firn_error *err)
{
    struct firn_safetensors file = { 0 };
    char *path = firn_path_join(directory, STATE);
    firn_status status = path != NULL ? FIRN_OK : no_memory(err);
    if (status == FIRN_OK && firn_path_exists(path)) {
        status = firn_safetensors_open(&file, path, err);
        if (status == FIRN_OK)
            status = firn_params_read(&a->params, "", &file, flat, err);
        firn_safetensors_close(&file);
    }
    free(path);
    return status;
}

static bool is_full(const struct firn_adapter *a)
{
    return strcmp(a->method->peft_type, "FULL") == 0;
}

firn_status firn_adapter_read(const struct firn_adapter *a, struct firn_model *m, const char *directory,
                              float *flat, struct firn_error *err)
{
    if (is_full(a))
        return read_model_folder(a, m, directory, flat, err);
    if (a->method->has_hub_files)
        return firn_hub_read(a, m, directory, flat, err);
    struct firn_safetensors file = { 0 };
    char *path = firn_path_join(directory, TENSORS), *pickle = firn_path_join(directory, "adapter_model.bin");
    firn_status status;
    if (path == NULL || pickle == NULL)
        status = no_memory(err);
    else if (!firn_path_exists(path) && firn_path_exists(pickle))
        status = firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = pickle,
                           .what = "is a pickle, which firn never reads; PEFT's save_pretrained(DIR) writes " TENSORS);
    else
        status = firn_safetensors_open(&file, path, err);
    const bool is_held = a->method->saves_as != NULL;
    if (status == FIRN_OK)
        status = is_held ? firn_lora_read(a, &file, flat, err) : check_surplus(a, m, &file, err);
    if (status == FIRN_OK && a->method->freeze != NULL)
        status = a->method->freeze(a, m, &file, err);
    const bool has_own = status == FIRN_OK && a->method->read != NULL;
    if (has_own)
        status = a->method->read(a, m, &file, flat, err);
    for (size_t i = 0; i < a->params.count && status == FIRN_OK && !is_held && !has_own; i++)
        if (!firn_is_behind_table(a, a->params.list[i].name))
            status = firn_params_read_one(&a->params.list[i], "", &file, flat, err);
    firn_safetensors_close(&file);
    free(path);
    free(pickle);
    return status == FIRN_OK && firn_adapter_has_network(a) ? read_state(a, directory, flat, err) : status;
}

/* PEFT's fan_in_fan_out: what is wrapped holds its weight as [in, out]. */
static bool wraps_conv1d(const struct firn_adapter *a, const struct firn_model *m)
{
    for (const char *const *name = m->arch->conv1d; name != NULL && *name != NULL; name++)
        for (size_t i = 0; i < a->params.count; i++)
            if (strstr(a->params.list[i].name, FIRN_STR(".%s.", *name)) != NULL)
                return true;
    return false;
}

json_t *firn_adapter_config(const struct firn_adapter *a, const struct firn_model *m, enum firn_task task,
                            const char *base_name)
{
    json_t *config = json_object();
    const char *class_name = m->arch->class_name[task];
    const bool is_auto = firn_task_types[task] == NULL && class_name != NULL;
    char type[64]; /* the module's name: xlm_roberta of xlm-roberta */
    firn_format(type, sizeof type, "%s", m->arch->model_type);
    for (char *dash = strchr(type, '-'); dash != NULL; dash = strchr(dash, '-'))
        *dash = '_';
    json_t *mapping = is_auto ? json_pack("{s:s,s:o}", "base_model_class", class_name, "parent_library",
                                          json_sprintf("transformers.models.%s.modeling_%s", type, type))
                              : json_null();
    json_object_set_new(config, "auto_mapping", mapping);
    json_object_set_new(config, "base_model_name_or_path", json_string(base_name != NULL ? base_name : m->directory));
    json_object_set_new(config, "inference_mode", json_true());
    json_object_set_new(config, "peft_type", json_string(a->method->peft_type));
    json_object_set_new(config, "peft_version", json_string(PEFT_VERSION));
    json_object_set_new(config, "revision", json_null());
    json_object_set_new(config, "task_type",
                        firn_task_types[task] != NULL ? json_string(firn_task_types[task]) : json_null());
    if (a->method->describe != NULL)
        a->method->describe(a->settings, &a->params, config);
    if (json_object_get(config, "fan_in_fan_out") != NULL)
        json_object_set_new(config, "fan_in_fan_out", json_boolean(wraps_conv1d(a, m)));
    return config;
}

/* What files hold: the trained tensors without a network behind a table, and the table that it makes. */
static firn_status save_tensors(const struct firn_adapter *a, struct firn_model *m, const float *flat,
                                const struct firn_named_tensor *all, const char *path, json_t *config,
                                struct firn_error *err)
{
    static char name[] = FIRN_TABLE;
    float *table = NULL;
    struct firn_shape shape;
    struct firn_tensors tensors = { 0 };
    firn_status status = firn_adapter_table(a, m, flat, &table, &shape, err);
    for (size_t i = 0; i < a->params.count && status == FIRN_OK; i++)
        if (!firn_is_behind_table(a, all[i].name))
            status = firn_tensors_add(&tensors, &all[i], err);
    if (table != NULL && status == FIRN_OK)
        status = firn_tensors_add(&tensors, &(struct firn_named_tensor){ name, { FIRN_F32, shape, table } }, err);
    if (status == FIRN_OK && a->method->store != NULL)
        status = a->method->store(a, m, &tensors, config, err);
    if (status == FIRN_OK)
        status = firn_safetensors_save(path, tensors.list, tensors.count, err);
    firn_tensors_free(&tensors);
    free(table);
    return status;
}

firn_status firn_adapter_save(const struct firn_adapter *a, struct firn_model *m, const struct firn_build_params *p,
                              float *flat, const char *directory, const struct firn_save_params *save,
                              struct firn_error *err)
{
    if (is_full(a))
        return firn_model_save(a, m, p, flat, false, directory, save, err);
    if (a->method->saves_as != NULL)
        return firn_lora_save(a, m, p, flat, directory, save, err);
    if (a->method->has_hub_files)
        return firn_hub_save(a, m, p, flat, directory, save, err);
    char *path = firn_path_join(directory, TENSORS), *config_path = firn_path_join(directory, CONFIG);
    char *state_path = save->with_state && firn_adapter_has_network(a) ? firn_path_join(directory, STATE) : NULL;
    json_t *config = firn_adapter_config(a, m, p->task, save->base_name);
    struct firn_named_tensor *list = NULL;
    firn_status status = path != NULL && config_path != NULL && config != NULL ? FIRN_OK : no_memory(err);
    if (status == FIRN_OK)
        status = firn_dir_create(directory, err);
    if (status == FIRN_OK)
        status = firn_params_tensors(&a->params, "", flat, &list, err);
    if (status == FIRN_OK)
        status = save_tensors(a, m, flat, list, path, config, err);
    if (status == FIRN_OK && state_path != NULL)
        status = firn_safetensors_save(state_path, list, a->params.count, err);
    if (status == FIRN_OK)
        status = firn_json_save(config_path, config, true, err);
    firn_params_tensors_free(list, list != NULL ? a->params.count : 0);
    json_decref(config);
    free(state_path);
    free(path);
    free(config_path);
    return status;
}

/* Masked language models have no task_type: the class of the base tells. */
static bool task_of(const json_t *config, enum firn_task *task)
{
    const char *type = json_string_value(json_object_get(config, "task_type"));
    const json_t *mapping = json_object_get(config, "auto_mapping");
    const char *class_name = json_string_value(json_object_get(mapping, "base_model_class"));
    for (int t = 0; t < FIRN_TASK_COUNT; t++) {
        bool is_it = type != NULL && firn_task_types[t] != NULL && strcmp(type, firn_task_types[t]) == 0;
        for (const struct firn_arch *const *a = firn_archs; *a != NULL && type == NULL && class_name != NULL; a++)
            is_it |= (*a)->class_name[t] != NULL && strcmp((*a)->class_name[t], class_name) == 0;
        if (is_it) {
            *task = (enum firn_task) t;
            return true;
        }
    }
    return false;
}

/* Rows of the last weight of a head. */
static int64_t count_labels(const struct firn_safetensors *file)
{
    static const char *const ends[] = { "classifier.weight", "classifier.out_proj.weight", "score.weight" };
    for (size_t i = 0; i < file->count; i++)
        for (int k = 0; k < 3; k++)
            if (ends_with(file->tensors[i].name, ends[k]) && file->tensors[i].tensor.shape.rank == 2)
                return file->tensors[i].tensor.shape.dim[0];
    return 0;
}

firn_status firn_adapter_peek(struct firn_adapter_info *info, const char *directory, struct firn_error *err)
{
    struct firn_safetensors file = { 0 };
    json_t *config = NULL;
    char *path = firn_path_join(directory, CONFIG), *tensors = firn_path_join(directory, TENSORS);
    memset(info, 0, sizeof *info);
    firn_status status = path != NULL && tensors != NULL ? firn_json_load(path, &config, err) : no_memory(err);
    if (status == FIRN_OK && firn_path_exists(tensors))
        status = firn_safetensors_open(&file, tensors, err);
    if (status == FIRN_OK) {
        const char *type = json_string_value(json_object_get(config, "peft_type"));
        const char *base = json_string_value(json_object_get(config, "base_model_name_or_path"));
        const struct firn_method *method = firn_method_of(config);
        firn_format(info->peft_type, sizeof info->peft_type, "%s", type != NULL ? type : "");
        firn_format(info->method, sizeof info->method, "%s", method != NULL ? method->name : "");
        firn_format(info->base, sizeof info->base, "%s", base != NULL ? base : "");
        info->has_task = task_of(config, &info->task);
        info->n_labels = count_labels(&file);
        if (method != NULL && method->has_hub_files)
            status = firn_hub_peek(info, config, directory, err);
    }
    firn_safetensors_close(&file);
    json_decref(config);
    free(path);
    free(tensors);
    return status;
}
