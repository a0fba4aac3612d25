/* SPDX-License-Identifier: Apache-2.0 */
/* Writes a model folder of a task's class: config.json, model.safetensors, the tokenizer's files. Tensors are made one at
 * a time as they are written, so that memory stays at the largest of them. */
#include "peft/files.h"

#include <stdlib.h>
#include <string.h>

static const char *const copied[] = { "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
                                      "added_tokens.json", "vocab.txt", "vocab.json", "merges.txt", "spiece.model",
                                      "tokenizer.model", "chat_template.jinja", "generation_config.json" };
enum { MAX_COPIED = 1 << 28 };

/* A tensor of the class: from the base, or trained. */
struct source {
    const struct firn_tensor *base;
    const struct firn_param *param;
};

struct saving {
    const struct firn_arch *arch;
    const struct firn_adapter *adapter;
    float *flat;
    bool merges;
    struct firn_named_tensor *list; /* names and types in the file; no data */
    struct source *sources;
    size_t count, room;
};

static firn_status add(struct saving *s, const char *name, struct source source, enum firn_dtype dtype,
                       struct firn_shape shape, struct firn_error *err)
{
    if (s->count == s->room) {
        const size_t room = 2 * s->room + 64;
        struct firn_named_tensor *list = realloc(s->list, sizeof *list * room);
        if (list != NULL)
            s->list = list;
        struct source *sources = realloc(s->sources, sizeof *sources * room);
        if (sources != NULL)
            s->sources = sources;
        if (list == NULL || sources == NULL)
            return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a model's files");
        s->room = room;
    }
    char *copy = firn_strdup(name);
    if (copy == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a model's files");
    s->list[s->count] = (struct firn_named_tensor){ .name = copy, .tensor = { dtype, shape, NULL } };
    s->sources[s->count++] = source;
    return FIRN_OK;
}

/* Splits "a.b.weight" and asks the method whether it changes that tensor (w NULL), or changes it. */
static bool merge_into(const struct saving *s, const char *name, const struct firn_shape *shape, float *w)
{
    const struct firn_adapter *a = s->adapter;
    const char *dot = strrchr(name, '.');
    if (!s->merges || dot == NULL || a->method->merge == NULL)
        return false;
    return a->method->merge(a->settings, &a->params, s->flat, FIRN_STR("%.*s", (int) (dot - name), name), dot + 1,
                            shape, w);
}

/* to [cols, rows] = transpose of from [rows, cols] */
static void transpose(const float *from, int64_t rows, int64_t cols, float *to)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++)
            to[j * rows + i] = from[i * cols + j];
}

/* Methods see matrices as [out, in], however the files hold them. */
static firn_status merge_values(const struct saving *s, const char *name, const struct firn_shape *shape, float *values,
                                struct firn_error *err)
{
    const char *dot = strrchr(name, '.');
    if (dot == NULL || shape->rank != 2 ||
        !firn_arch_is_conv1d(s->arch, FIRN_STR("%.*s", (int) (dot - name), name))) {
        merge_into(s, name, shape, values);
        return FIRN_OK;
    }
    const struct firn_shape seen = firn_dims(shape->dim[1], shape->dim[0]);
    float *turned = malloc(sizeof *turned * (size_t) (firn_shape_count(shape) + 1));
    if (turned == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .key = name, .what = "out of memory for it");
    transpose(values, shape->dim[0], shape->dim[1], turned);
    merge_into(s, name, &seen, turned);
    transpose(turned, seen.dim[0], seen.dim[1], values);
    free(turned);
    return FIRN_OK;
}

static firn_status fill(void *user, size_t index, void *data, struct firn_error *err)
{
    const struct saving *s = user;
    const struct source *from = &s->sources[index];
    const char *name = s->list[index].name;
    struct firn_tensor to = s->list[index].tensor;
    const int64_t n = firn_shape_count(&to.shape);
    to.data = data;
    if (from->base != NULL && from->base->dtype == to.dtype && !merge_into(s, name, &to.shape, NULL)) {
        memcpy(data, from->base->data, (size_t) n * firn_dtype_size(to.dtype));
        return FIRN_OK;
    }
    float *values = malloc(sizeof *values * (size_t) (n + 1));
    if (values == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .key = name, .what = "out of memory for it");
    if (from->param != NULL)
        memcpy(values, s->flat + from->param->offset, sizeof *values * (size_t) n);
    else
        firn_tensor_read_f32(from->base, 0, n, values);
    const firn_status status = merge_values(s, name, &to.shape, values, err);
    if (status == FIRN_OK)
        firn_tensor_write_f32(&to, 0, n, values);
    free(values);
    return status;
}

/* The class's tensors are the frozen leaves of its graph and the trained ones that stand in a base tensor's place. */
static firn_status list_tensors(struct saving *s, struct firn_model *m, const struct firn_build_params *p,
                                const struct firn_save_params *save, struct firn_error *err)
{
    struct firn_build_params small = *p;
    struct firn_adapter *a = (struct firn_adapter *) s->adapter; /* its parameters are collected: nothing is added */
    struct firn_graph *g = firn_graph_create();
    struct firn_build b;
    small.batch = small.length = 1;
    small.target = p->task == FIRN_TASK_SEQ2SEQ_LM;
    small.has_loss = false;
    firn_status status = g != NULL ? firn_model_build(&b, g, m, a, &small, err)
                                   : firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a graph");
    for (uint32_t id = 1; status == FIRN_OK && id < firn_graph_n_values(g); id++) {
        const struct firn_value *v = firn_graph_value(g, (firn_val){ id });
        const bool is_leaf = v->node == FIRN_NO_NODE && v->leaf == FIRN_LEAF_WEIGHT;
        const struct firn_tensor *t =
            is_leaf ? firn_weights_find(&m->weights, m->arch->prefix, v->name, NULL) : NULL;
        if (t != NULL)
            status = add(s, v->name, (struct source){ .base = t }, t->dtype, v->shape, err);
    }
    firn_graph_destroy(&g);
    for (size_t i = 0; i < a->params.count && status == FIRN_OK; i++) {
        const struct firn_param *q = &a->params.list[i];
        if (q->base == NULL)
            continue;
        const struct firn_tensor *t = firn_weights_find(&m->weights, m->arch->prefix, q->base, NULL);
        const enum firn_dtype own = s->merges && t != NULL ? t->dtype : FIRN_F32;
        status = add(s, q->base, (struct source){ .param = q }, save->dtype != FIRN_NONE ? save->dtype : own, q->shape,
                     err);
    }
    return status;
}

static void set_labels(json_t *config, const struct firn_build_params *p, const struct firn_save_params *save)
{
    json_t *by_id = json_object(), *by_label = json_object();
    for (int64_t i = 0; i < p->n_labels; i++) {
        const char *label = save->labels != NULL ? save->labels[i] : FIRN_STR("LABEL_%lld", (long long) i);
        json_object_set_new(by_id, FIRN_STR("%lld", (long long) i), json_string(label));
        json_object_set_new(by_label, label, json_integer(i));
    }
    json_object_set_new(config, "id2label", by_id);
    json_object_set_new(config, "label2id", by_label);
    if (p->task == FIRN_TASK_SEQ_CLS)
        json_object_set_new(config, "problem_type", json_string(firn_problem_words[p->problem]));
}

/* `dtype`: of the trained tensors; the key tells loaders what to load as. FIRN_NONE: as it was. */
static firn_status save_config(struct firn_model *m, const struct firn_build_params *p, const char *directory,
                               const struct firn_save_params *save, enum firn_dtype dtype, struct firn_error *err)
{
    static const char *const names[FIRN_DTYPE_COUNT] = { [FIRN_F32] = "float32", [FIRN_F16] = "float16",
                                                         [FIRN_BF16] = "bfloat16" };
    char *from = firn_path_join(m->directory, "config.json"), *to = firn_path_join(directory, "config.json");
    json_t *config = NULL;
    firn_status status = from != NULL && to != NULL
                             ? firn_json_load(from, &config, err)
                             : firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a path");
    if (status == FIRN_OK) {
        json_object_set_new(config, "architectures", json_pack("[s]", m->arch->class_name[p->task]));
        json_object_del(config, "_name_or_path");
        if (p->task == FIRN_TASK_SEQ_CLS || p->task == FIRN_TASK_TOKEN_CLS)
            set_labels(config, p, save);
        if (names[dtype] != NULL) {
            const char *key = json_object_get(config, "torch_dtype") != NULL ? "torch_dtype" : "dtype";
            json_object_set_new(config, key, json_string(names[dtype]));
        }
        status = firn_json_save(to, config, true, err);
    }
    json_decref(config);
    free(from);
    free(to);
    return status;
}

static firn_status copy_file(const char *from_directory, const char *to_directory, const char *name,
                             struct firn_error *err)
{
    char *from = firn_path_join(from_directory, name), *to = firn_path_join(to_directory, name), *data = NULL;
    size_t size;
    firn_status status = from != NULL && to != NULL
                             ? FIRN_OK
                             : firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a path");
    if (status == FIRN_OK && firn_path_exists(from)) {
        status = firn_file_read(from, MAX_COPIED, &data, &size, err);
        if (status == FIRN_OK)
            status = firn_file_write(to, data, size, err);
    }
    free(data);
    free(from);
    free(to);
    return status;
}

static bool same_directory(const char *a, const char *b)
{
    char *x = realpath(a, NULL), *y = realpath(b, NULL);
    const bool same = x != NULL && y != NULL && strcmp(x, y) == 0;
    free(x);
    free(y);
    return same;
}

firn_status firn_model_save(const struct firn_adapter *a, struct firn_model *m, const struct firn_build_params *p,
                            float *flat, bool merges, const char *directory, const struct firn_save_params *save,
                            struct firn_error *err)
{
    struct saving s = { .arch = m->arch, .adapter = a, .flat = flat, .merges = merges };
    char *path = firn_path_join(directory, "model.safetensors");
    firn_status status = path != NULL ? list_tensors(&s, m, p, save, err)
                                      : firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a path");
    if (status == FIRN_OK)
        status = firn_dir_create(directory, err);
    if (status == FIRN_OK && same_directory(m->directory, directory))
        status = firn_fail(err, FIRN_ERR_USAGE, .file = directory, .expected = "another directory than the base model's",
                           .got = "the same");
    if (status == FIRN_OK)
        status = firn_safetensors_stream(path, s.list, s.count, fill, &s, err);
    if (status == FIRN_OK)
        status = save_config(m, p, directory, save,
                             save->dtype != FIRN_NONE ? save->dtype : merges ? FIRN_NONE : FIRN_F32, err);
    for (size_t i = 0; i < sizeof copied / sizeof copied[0] && status == FIRN_OK; i++)
        status = copy_file(m->directory, directory, copied[i], err);
    for (size_t i = 0; i < s.count; i++)
        free(s.list[i].name);
    free(s.list);
    free(s.sources);
    free(path);
    return status;
}

/* On a tied model the output layer reads the embedding: an update or a copy of one must not reach the other. */
static firn_status check_ties(const struct firn_adapter *a, const struct firn_model *m, enum firn_task task,
                              struct firn_error *err)
{
    static const char *const tables[] = { ".embed_tokens.", ".word_embeddings.", ".wte.", ".shared.", ".lm_head.",
                                          ".predictions.decoder." };
    const bool has_output = task == FIRN_TASK_MASKED_LM || task == FIRN_TASK_CAUSAL_LM || task == FIRN_TASK_SEQ2SEQ_LM;
    for (size_t i = 0; i < a->params.count && has_output && m->config.tie_embeddings; i++)
        for (size_t k = 0; k < sizeof tables / sizeof tables[0]; k++)
            if (strstr(a->params.list[i].name, tables[k]) != NULL)
                return firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = m->directory, .key = a->params.list[i].name,
                                 .what = "cannot be merged: the model ties its output layer to its embedding, and the "
                                         "adapter changes only one of them");
    return FIRN_OK;
}

firn_status firn_adapter_merge(const struct firn_adapter *a, struct firn_model *m, const struct firn_build_params *p,
                               float *flat, const char *directory, const struct firn_save_params *save,
                               struct firn_error *err)
{
    if (a->method->merge == NULL && a->method->targets != NULL)
        return firn_fail(err, FIRN_ERR_UNSUPPORTED, .key = a->method->name,
                         .what = "cannot be computed into the weights of a model");
    const firn_status status = a->method->merge != NULL ? check_ties(a, m, p->task, err) : FIRN_OK;
    return status ? status : firn_model_save(a, m, p, flat, true, directory, save, err);
}
