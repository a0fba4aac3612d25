/* SPDX-License-Identifier: Apache-2.0 */
/* The files of adapter-hub's library `adapters`: the adapter and the head apart, each with its config. */
#include "peft/files.h"

#include <stdlib.h>
#include <string.h>

#define CONFIG "adapter_config.json"
#define TENSORS "adapter.safetensors"
#define HEAD_CONFIG "head_config.json"
#define HEAD_TENSORS "model_head.safetensors"
#define VERSION "adapters.1.3.0" /* whose files these are like */

static firn_status no_memory(struct firn_error *err)
{
    return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for an adapter's files");
}

static bool is_head(const struct firn_param *p)
{
    return p->base != NULL;
}

/* A head's tensors carry their own names; the adapter's may lack the class prefix (saved from a bare model) or have one
 * that this class lacks. */
static const struct firn_param *find(const struct firn_adapter *a, const struct firn_model *m, const char *name)
{
    const char *prefix = m->arch->prefix;
    const size_t n = prefix != NULL ? strlen(prefix) : 0;
    const struct firn_param *p = firn_params_find(&a->params, name);
    if (p == NULL && n > 0)
        p = firn_params_find(&a->params, FIRN_STR("%s.%s", prefix, name));
    if (p == NULL && n > 0 && strncmp(name, prefix, n) == 0 && name[n] == '.')
        p = firn_params_find(&a->params, name + n + 1);
    return p;
}

static firn_status open_file(struct firn_safetensors *file, const char *directory, const char *name, const char *pickle,
                             struct firn_error *err)
{
    char *path = firn_path_join(directory, name), *other = firn_path_join(directory, pickle);
    firn_status status;
    if (path == NULL || other == NULL)
        status = no_memory(err);
    else if (!firn_path_exists(path) && firn_path_exists(other))
        status = firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = other,
                           .what = "is a pickle, which firn never reads; save_adapter(..., use_safetensors=True) writes "
                                   "safetensors");
    else
        status = firn_safetensors_open(file, path, err);
    free(path);
    free(other);
    return status;
}

/* Each tensor must be one of the method's: a silent loss is what adapters are feared for. */
static firn_status read_tensors(const struct firn_adapter *a, const struct firn_model *m,
                                const struct firn_safetensors *file, bool heads, float *flat, bool *seen,
                                struct firn_error *err)
{
    for (size_t i = 0; i < file->count; i++) {
        const struct firn_named_tensor *t = &file->tensors[i];
        if (strstr(t->name, ".adapter_norm_before.") != NULL) /* a second name of adapter_down.0 */
            continue;
        const struct firn_param *p = find(a, m, t->name);
        if (p == NULL || is_head(p) != heads)
            return firn_fail(err, FIRN_ERR_FORMAT, .file = file->path, .key = t->name,
                             .what = "is no tensor of this adapter on this model");
        const firn_status status = firn_param_read(p, &t->tensor, file->path, t->name, flat, err);
        if (status)
            return status;
        seen[p - a->params.list] = true;
    }
    for (size_t i = 0; i < a->params.count; i++) {
        const struct firn_param *p = &a->params.list[i];
        if (is_head(p) == heads && !seen[i])
            return firn_fail(err, FIRN_ERR_FORMAT, .file = file->path, .key = p->name,
                             .expected = FIRN_SHAPE_STR(&p->shape), .got = "no such tensor");
    }
    return FIRN_OK;
}

static size_t count_heads(const struct firn_adapter *a)
{
    size_t n = 0;
    for (size_t i = 0; i < a->params.count; i++)
        n += is_head(&a->params.list[i]);
    return n;
}

firn_status firn_hub_read(const struct firn_adapter *a, const struct firn_model *m, const char *directory, float *flat,
                          struct firn_error *err)
{
    struct firn_safetensors file = { 0 }, head = { 0 };
    bool *seen = calloc(a->params.count + 1, sizeof *seen);
    firn_status status = seen == NULL ? no_memory(err) : open_file(&file, directory, TENSORS, "pytorch_adapter.bin", err);
    if (status == FIRN_OK)
        status = read_tensors(a, m, &file, false, flat, seen, err);
    if (status == FIRN_OK && count_heads(a) > 0) {
        status = open_file(&head, directory, HEAD_TENSORS, "pytorch_model_head.bin", err);
        if (status == FIRN_OK)
            status = read_tensors(a, m, &head, true, flat, seen, err);
    }
    firn_safetensors_close(&file);
    firn_safetensors_close(&head);
    free(seen);
    return status;
}

/* What both configs say about the base. */
static json_t *common(const struct firn_model *m, enum firn_task task, const char *base)
{
    const char *class_name = m->arch->class_name[task];
    return json_pack("{s:I,s:s,s:s,s:s,s:s}", "hidden_size", (json_int_t) m->config.width, "model_class",
                     class_name != NULL ? class_name : "", "model_name", base, "model_type", m->arch->model_type,
                     "version", VERSION);
}

static json_t *adapter_tree(const struct firn_adapter *a, const struct firn_model *m, enum firn_task task, const char *base)
{
    json_t *config = json_object(), *tree = common(m, task, base);
    if (a->method->describe != NULL)
        a->method->describe(a->settings, &a->params, config);
    json_object_set(tree, "name", json_object_get(config, "name"));
    json_object_del(config, "name");
    json_object_set_new(tree, "config", config);
    return tree;
}

static json_t *head_tree(const struct firn_model *m, const struct firn_build_params *p, const char *base,
                         const char *const *labels)
{
    json_t *tree = common(m, p->task, base), *ids = json_object();
    for (int64_t i = 0; i < p->n_labels; i++)
        json_object_set_new(ids, labels != NULL ? labels[i] : FIRN_STR("LABEL_%lld", (long long) i), json_integer(i));
    json_object_set_new(tree, "config", json_null());
    json_object_set_new(tree, "label2id", ids);
    json_object_set_new(tree, "name", json_null());
    json_object_set_new(tree, "num_labels", json_integer(p->n_labels));
    return tree;
}

/* The tensors of one of the two files, and its config. */
static firn_status write_pair(const struct firn_adapter *a, const struct firn_named_tensor *list, bool heads,
                              const char *directory, const json_t *tree, struct firn_error *err)
{
    char *path = firn_path_join(directory, heads ? HEAD_TENSORS : TENSORS);
    char *config = firn_path_join(directory, heads ? HEAD_CONFIG : CONFIG);
    struct firn_named_tensor *some = calloc(a->params.count + 1, sizeof *some);
    size_t n = 0;
    firn_status status = path != NULL && config != NULL && some != NULL && tree != NULL ? FIRN_OK : no_memory(err);
    for (size_t i = 0; status == FIRN_OK && i < a->params.count; i++)
        if (is_head(&a->params.list[i]) == heads)
            some[n++] = list[i];
    if (status == FIRN_OK)
        status = firn_safetensors_save(path, some, n, err);
    if (status == FIRN_OK)
        status = firn_json_save(config, tree, true, err);
    free(some);
    free(path);
    free(config);
    return status;
}

firn_status firn_hub_save(const struct firn_adapter *a, const struct firn_model *m, const struct firn_build_params *p,
                          float *flat, const char *directory, const struct firn_save_params *save,
                          struct firn_error *err)
{
    const char *base = save->base_name != NULL ? save->base_name : m->directory;
    json_t *tree = adapter_tree(a, m, p->task, base), *head = head_tree(m, p, base, save->labels);
    struct firn_named_tensor *list = NULL;
    firn_status status = firn_dir_create(directory, err);
    if (status == FIRN_OK)
        status = firn_params_tensors(&a->params, "", flat, &list, err);
    if (status == FIRN_OK && count_heads(a) > 0)
        status = write_pair(a, list, true, directory, head, err);
    if (status == FIRN_OK)
        status = write_pair(a, list, false, directory, tree, err);
    firn_params_tensors_free(list, a->params.count);
    json_decref(tree);
    json_decref(head);
    return status;
}

firn_status firn_hub_peek(struct firn_adapter_info *info, const json_t *config, const char *directory,
                          struct firn_error *err)
{
    const char *class_name = json_string_value(json_object_get(config, "model_class"));
    const char *base = json_string_value(json_object_get(config, "model_name"));
    char *path = firn_path_join(directory, HEAD_CONFIG);
    json_t *head = NULL;
    firn_status status = path == NULL ? no_memory(err) : FIRN_OK;
    if (status == FIRN_OK && firn_path_exists(path))
        status = firn_json_load(path, &head, err);
    if (status == FIRN_OK) {
        firn_format(info->base, sizeof info->base, "%s", base != NULL ? base : "");
        const json_int_t n = json_integer_value(json_object_get(head, "num_labels"));
        info->n_labels = n > 0 && n < 1 << 24 ? n : 0;
        for (const struct firn_arch *const *m = firn_archs; class_name != NULL && *m != NULL; m++)
            for (int t = 0; t < FIRN_TASK_COUNT && !info->has_task; t++)
                if ((*m)->class_name[t] != NULL && strcmp((*m)->class_name[t], class_name) == 0) {
                    info->has_task = true;
                    info->task = (enum firn_task) t;
                }
    }
    json_decref(head);
    free(path);
    return status;
}
