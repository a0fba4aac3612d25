/* SPDX-License-Identifier: Apache-2.0 */
/* Writes a model folder of a task's class: config.json, model.safetensors, the tokenizer's files. Tensors are made one at
 * a time as they are written, so that memory stays at the largest of them. */
#include "peft/files.h"
#include "peft/tokens.h"
#include "peft/wrap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const copied[] = { "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
                                      "added_tokens.json", "vocab.txt", "vocab.json", "merges.txt", "spiece.model",
                                      "tokenizer.model", "chat_template.jinja", "generation_config.json" };
enum { MAX_COPIED = 1 << 28 };

/* A tensor of the class: from the base, or trained. */
struct source {
    const struct firn_tensor *base;   /* with `param`: what it replaces; NULL: nothing */
    const struct firn_param *param;
};

struct saving {
    const struct firn_arch *arch;
    const struct firn_weights *weights;
    const struct firn_adapter *adapter;
    float *flat;
    float *start;                   /* merge: the same where the update counts from its start, with its first values; else NULL */
    bool merges, undoes;
    struct firn_merge_report *report;
    struct firn_named_tensor *list; /* names and types in the file; no data */
    struct source *sources;
    size_t count, room;
    size_t *file;                   /* which of the list a file holds, while it is written */
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

static void drop(struct saving *s, const char *name)
{
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->list[i].name, name) == 0) {
            free(s->list[i].name);
            memmove(&s->list[i], &s->list[i + 1], sizeof *s->list * (s->count - i - 1));
            memmove(&s->sources[i], &s->sources[i + 1], sizeof *s->sources * (s->count - i - 1));
            s->count--;
            return;
        }
}

/* Splits "a.b.weight" and asks the method whether it changes that tensor (w NULL), or changes it. */
static bool merge_flat(const struct saving *s, const char *name, const struct firn_shape *shape, const float *flat,
                       float *w)
{
    const struct firn_adapter *a = s->adapter;
    const char *dot = strrchr(name, '.');
    if (!s->merges || dot == NULL || a->method->merge == NULL)
        return false;
    return a->method->merge(a->settings, &a->params, flat, FIRN_STR("%.*s", (int) (dot - name), name), dot + 1, shape, w);
}

/* w -= what the factors add at their start. */
static void subtract_start(const struct saving *s, const char *name, const struct firn_shape *shape, float *with, float *w)
{
    const struct firn_adapter *a = s->adapter;
    const size_t n = (size_t) firn_shape_count(shape);
    const char *dot = strrchr(name, '.');
    memcpy(with, w, sizeof *w * n);
    (a->method->add != NULL ? a->method->add : a->method->merge)(
        a->settings, &a->params, s->start, FIRN_STR("%.*s", (int) (dot - name), name), dot + 1, shape, with);
    for (size_t i = 0; i < n; i++)
        w[i] -= with[i] - w[i];
}

static bool changes(const struct saving *s, const char *name, const struct firn_shape *shape)
{
    return merge_flat(s, name, shape, s->flat, NULL);
}

/* Updates are w + u or d w, element by element: what the method makes of zeros is u, of ones d where u is zero. */
static firn_status take_out(const struct saving *s, const char *name, const struct firn_shape *shape, float *w,
                            struct firn_error *err)
{
    const size_t n = (size_t) firn_shape_count(shape);
    float *u = calloc(n + 1, sizeof *u), *d = malloc(sizeof *d * (n + 1));
    bool adds = false;
    if (u == NULL || d == NULL) {
        free(u);
        free(d);
        return firn_fail(err, FIRN_ERR_MEMORY, .key = name, .what = "out of memory for it");
    }
    merge_flat(s, name, shape, s->flat, u);
    for (size_t i = 0; i < n; i++) {
        adds |= u[i] != 0;
        d[i] = 1;
    }
    if (!adds)
        merge_flat(s, name, shape, s->flat, d);
    bool is_lost = false; /* multiplied by zero */
    for (size_t i = 0; i < n; i++) {
        is_lost |= !(d[i] < 0 || d[i] > 0);
        w[i] = (w[i] - u[i]) / d[i];
    }
    free(u);
    free(d);
    return is_lost ? firn_fail(err, FIRN_ERR_UNSUPPORTED, .key = name,
                               .what = "was multiplied by zero: the adapter cannot be taken out again")
                   : FIRN_OK;
}

/* w += update - what the update was at its start (PiSSA, OLoRA: W without its first factors is what is frozen). */
static firn_status merge_into(const struct saving *s, const char *name, const struct firn_shape *shape, float *w,
                              struct firn_error *err)
{
    const size_t n = (size_t) firn_shape_count(shape);
    if (s->undoes)
        return changes(s, name, shape) ? take_out(s, name, shape, w, err) : FIRN_OK;
    if (s->start != NULL && changes(s, name, shape)) {
        float *with = malloc(sizeof *with * (n + 1));
        if (with == NULL)
            return firn_fail(err, FIRN_ERR_MEMORY, .key = name, .what = "out of memory for it");
        subtract_start(s, name, shape, with, w);
        free(with);
    }
    merge_flat(s, name, shape, s->flat, w);
    return FIRN_OK;
}

/* The first values of factors whose update counts from them; they are kept with the weights. */
static firn_status find_start(struct saving *s, const struct firn_model *m, struct firn_error *err)
{
    const struct firn_param_set *set = &s->adapter->params;
    for (size_t i = 0; i < set->count && s->merges; i++) {
        const struct firn_param *p = &set->list[i];
        const float *first = firn_weights_copy(&m->weights, FIRN_STR("%s.initial", p->name));
        if (first == NULL)
            continue;
        if (s->start == NULL) {
            s->start = malloc(sizeof *s->start * (size_t) (set->flat + 1));
            if (s->start == NULL)
                return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for an adapter");
            memcpy(s->start, s->flat, sizeof *s->start * (size_t) set->flat);
        }
        memcpy(s->start + p->offset, first, sizeof *first * (size_t) firn_shape_count(&p->shape));
    }
    return FIRN_OK;
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
        !firn_arch_is_conv1d(s->arch, FIRN_STR("%.*s", (int) (dot - name), name)))
        return merge_into(s, name, shape, values, err);
    const struct firn_shape seen = firn_dims(shape->dim[1], shape->dim[0]);
    float *turned = malloc(sizeof *turned * (size_t) (firn_shape_count(shape) + 1));
    if (turned == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .key = name, .what = "out of memory for it");
    transpose(values, shape->dim[0], shape->dim[1], turned);
    const firn_status status = merge_into(s, name, &seen, turned, err);
    transpose(turned, seen.dim[0], seen.dim[1], values);
    free(turned);
    return status;
}

static void note_change(const struct saving *s, const char *name, const struct firn_tensor *base, int64_t n,
                        const float *values)
{
    float old[1024];
    if (s->report == NULL)
        return;
    s->report->n_changed++;
    const bool has_bytes = base != NULL && base->data != NULL; /* a model without files has none */
    for (int64_t at = 0; at < n && has_bytes; at += 1024) {
        const int64_t count = n - at < 1024 ? n - at : 1024;
        firn_tensor_read_f32(base, at, count, old);
        for (int64_t i = 0; i < count; i++) {
            const double change = fabs((double) values[at + i] - (double) old[i]);
            if (!(change <= s->report->largest)) {
                s->report->largest = change;
                firn_format(s->report->name, sizeof s->report->name, "%s", name);
            }
        }
    }
}

static firn_status fill_values(const struct saving *s, size_t at, void *data, struct firn_error *err)
{
    const size_t index = s->file[at];
    const struct source *from = &s->sources[index];
    const char *name = s->list[index].name;
    struct firn_tensor to = s->list[index].tensor;
    const int64_t n = firn_shape_count(&to.shape);
    to.data = data;
    const bool is_changed = from->param != NULL || changes(s, name, &to.shape);
    if (!is_changed && from->base->dtype == to.dtype) {
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
    if (status == FIRN_OK && is_changed)
        note_change(s, name, from->base, n, values);
    if (status == FIRN_OK)
        firn_tensor_write_f32(&to, 0, n, values);
    free(values);
    return status;
}

/* A tensor that the base holds packed is unpacked for as long as it is written. */
static firn_status fill(void *user, size_t at, void *data, struct firn_error *err)
{
    const struct saving *s = user;
    const struct firn_tensor *base = s->sources[s->file[at]].base;
    const bool makes = base != NULL && base->data == NULL;
    firn_status status = makes ? firn_weights_fill(s->weights, base, err) : FIRN_OK;
    if (status == FIRN_OK)
        status = fill_values(s, at, data, err);
    if (makes)
        firn_weights_forget(base);
    return status;
}

static bool has_output(enum firn_task task)
{
    return task == FIRN_TASK_MASKED_LM || task == FIRN_TASK_CAUSAL_LM || task == FIRN_TASK_SEQ2SEQ_LM;
}

/* On a tied model the output layer reads the embedding: an update or a copy of one must not reach the other. */
static const char *breaks_tie(const struct firn_adapter *a, const struct firn_model *m, enum firn_task task)
{
    static const char *const tables[] = { ".embed_tokens.", ".word_embeddings.", ".wte.", ".shared.", ".lm_head.",
                                          ".predictions.decoder.", ".embed_out." };
    const bool keeps_tokens = !firn_tokens_untie(&a->params); /* of table and output layer alike */
    for (size_t i = 0; i < a->params.count && has_output(task) && m->config.tie_embeddings; i++)
        for (size_t k = 0; k < sizeof tables / sizeof tables[0]; k++)
            if (strstr(a->params.list[i].name, tables[k]) != NULL &&
                !(keeps_tokens && strstr(a->params.list[i].name, FIRN_TOKENS_PARAM) != NULL))
                return a->params.list[i].name;
    return NULL;
}

/* The output layer's tensors, which were the embedding's and another bias. */
static firn_status add_output(struct saving *s, const struct firn_build *b, const struct firn_save_params *save,
                              struct firn_error *err)
{
    const struct firn_model *m = b->model;
    const struct firn_tensor *t = firn_weights_find(&m->weights, m->arch->prefix, b->output_tied, NULL);
    struct source from = { .base = t };
    for (size_t i = 0; i < s->adapter->params.count; i++) {
        const struct firn_param *q = &s->adapter->params.list[i];
        if (q->base != NULL && strcmp(q->base, b->output_tied) == 0 && strstr(q->name, b->output) != NULL)
            from.param = q;
    }
    if (t == NULL)
        return firn_fail(err, FIRN_ERR_FORMAT, .file = m->directory, .key = b->output_tied, .what = "no such tensor");
    const enum firn_dtype dtype = from.param != NULL && save->dtype != FIRN_NONE ? save->dtype : t->dtype;
    firn_status status = add(s, FIRN_STR("%s.weight", b->output), from, dtype, t->shape, err);
    if (s->report != NULL)
        s->report->unties = true;
    const char *bias = FIRN_STR("%s.bias", b->output);
    if (status == FIRN_OK && b->output_bias != NULL && strcmp(b->output_bias, bias) != 0) {
        t = firn_weights_find(&m->weights, m->arch->prefix, b->output_bias, NULL);
        if (t != NULL)
            status = add(s, bias, (struct source){ .base = t }, t->dtype, t->shape, err);
    }
    return status;
}

/* Trained rows of a table that the file does not have by that name (T5's decoder reads the encoder's) would be lost. */
static firn_status check_rows(const struct saving *s, const struct firn_model *m, struct firn_error *err)
{
    char path[600];
    for (size_t i = 0; i < s->adapter->params.count && s->merges; i++) {
        bool is_there = !firn_wrap_path(&s->adapter->params.list[i], FIRN_TOKENS_PARAM, path, sizeof path);
        for (size_t k = 0; k < s->count && !is_there; k++)
            is_there = strcmp(s->list[k].name, FIRN_STR("%s.weight", path)) == 0;
        if (!is_there)
            return firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = m->directory, .key = path,
                             .what = "has no table of its own in the model's files: its rows cannot be merged");
    }
    return FIRN_OK;
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
    const bool unties = status == FIRN_OK && s->merges && a->method->merge != NULL && breaks_tie(a, m, p->task) != NULL;
    if (unties)
        status = add_output(s, &b, save, err);
    for (size_t i = 0; i < a->params.count && status == FIRN_OK; i++) {
        const struct firn_param *q = &a->params.list[i];
        if (q->base == NULL || (unties && strstr(q->name, b.output) != NULL && strcmp(q->base, b.output_tied) == 0))
            continue;
        drop(s, q->base); /* of a saved copy the original is read too */
        const struct firn_tensor *t = firn_weights_find(&m->weights, m->arch->prefix, q->base, NULL);
        const enum firn_dtype own = s->merges && t != NULL ? t->dtype : FIRN_F32;
        status = add(s, q->base, (struct source){ .base = t, .param = q }, save->dtype != FIRN_NONE ? save->dtype : own, q->shape,
                     err);
    }
    return status ? status : check_rows(s, m, err);
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
                               const struct firn_save_params *save, enum firn_dtype dtype, bool unties,
                               struct firn_error *err)
{
    static const char *const names[FIRN_DTYPE_COUNT] = { [FIRN_F32] = "float32", [FIRN_F16] = "float16",
                                                         [FIRN_BF16] = "bfloat16" };
    char *from = firn_path_join(m->directory, "config.json"), *to = firn_path_join(directory, "config.json");
    json_t *config = NULL;
    firn_status status = from != NULL && to != NULL
                             ? m->gguf_config == NULL ? firn_json_load(from, &config, err) : FIRN_OK
                             : firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a path");
    if (m->gguf_config != NULL)
        config = json_deep_copy(m->gguf_config);
    if (status == FIRN_OK && m->config.rope.n_factors > 0)
        status = firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = m->directory, .key = "rope_freqs.weight",
                           .what = "has no key in config.json: a model folder cannot be written from this GGUF file");
    if (status == FIRN_OK) {
        json_object_set_new(config, "architectures", json_pack("[s]", m->arch->class_name[p->task]));
        json_object_del(config, "_name_or_path");
        if (p->task == FIRN_TASK_SEQ_CLS || p->task == FIRN_TASK_TOKEN_CLS)
            set_labels(config, p, save);
        if (unties)
            json_object_set_new(config, "tie_word_embeddings", json_false());
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

/* The file of the base that holds a tensor; one that is new goes to the last. */
static size_t file_of(const struct saving *s, const struct firn_model *m, size_t i)
{
    const struct firn_tensor *t = s->sources[i].base;
    const uint8_t *at = t != NULL ? t->data : NULL;
    for (size_t f = 0; f + 1 < m->weights.n_files; f++) {
        const struct firn_safetensors *file = &m->weights.files[f];
        for (size_t k = 0; k < file->count && at != NULL; k++)
            if (file->tensors[k].tensor.data == at)
                return f;
    }
    return m->weights.n_files > 0 ? m->weights.n_files - 1 : 0;
}

static firn_status save_file(struct saving *s, const struct firn_model *m, size_t f, const char *directory,
                             json_t *map, int64_t *total, struct firn_error *err)
{
    const bool is_sharded = m->weights.n_files > 1;
    const char *slash = is_sharded ? strrchr(m->weights.files[f].path, '/') : NULL;
    const char *name = !is_sharded ? "model.safetensors" : slash != NULL ? slash + 1 : m->weights.files[f].path;
    char *path = firn_path_join(directory, name);
    struct firn_named_tensor *list = calloc(s->count + 1, sizeof *list);
    s->file = calloc(s->count + 1, sizeof *s->file);
    size_t n = 0;
    firn_status status = path != NULL && list != NULL && s->file != NULL
                             ? FIRN_OK
                             : firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a model's files");
    for (size_t i = 0; i < s->count && status == FIRN_OK; i++) {
        if (file_of(s, m, i) != f)
            continue;
        s->file[n] = i;
        list[n++] = s->list[i];
        json_object_set_new(map, s->list[i].name, json_string(name));
        *total += firn_shape_count(&s->list[i].tensor.shape) * (int64_t) firn_dtype_size(s->list[i].tensor.dtype);
    }
    if (status == FIRN_OK)
        status = firn_safetensors_stream(path, list, n, fill, s, err);
    free(list);
    free(s->file);
    s->file = NULL;
    free(path);
    return status;
}

/* As many files as the base has, with an index where they are several. */
static firn_status save_files(struct saving *s, const struct firn_model *m, const char *directory, struct firn_error *err)
{
    const size_t n = m->weights.n_files > 1 ? m->weights.n_files : 1;
    json_t *map = json_object();
    int64_t total = 0;
    firn_status status = FIRN_OK;
    for (size_t f = 0; f < n && status == FIRN_OK; f++)
        status = save_file(s, m, f, directory, map, &total, err);
    char *path = n > 1 ? firn_path_join(directory, "model.safetensors.index.json") : NULL;
    json_t *index = json_pack("{s:{s:I},s:O}", "metadata", "total_size", (json_int_t) total, "weight_map", map);
    if (status == FIRN_OK && n > 1)
        status = path != NULL && index != NULL ? firn_json_save(path, index, true, err)
                                               : firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for an index");
    json_decref(index);
    json_decref(map);
    free(path);
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
    struct firn_merge_report report = { 0 };
    struct saving s = { .arch = m->arch, .weights = &m->weights, .adapter = a, .flat = flat, .merges = merges,
                        .undoes = merges && save->undoes, .report = &report };
    firn_status status = list_tensors(&s, m, p, save, err);
    if (status == FIRN_OK)
        status = find_start(&s, m, err);
    if (status == FIRN_OK)
        status = firn_dir_create(directory, err);
    if (status == FIRN_OK && same_directory(m->directory, directory))
        status = firn_fail(err, FIRN_ERR_USAGE, .file = directory, .expected = "another directory than the base model's",
                           .got = "the same");
    if (status == FIRN_OK)
        status = save_files(&s, m, directory, err);
    if (status == FIRN_OK)
        status = save_config(m, p, directory, save,
                             save->dtype != FIRN_NONE ? save->dtype : merges ? FIRN_NONE : FIRN_F32, report.unties, err);
    for (size_t i = 0; i < sizeof copied / sizeof copied[0] && status == FIRN_OK; i++)
        status = copy_file(m->directory, directory, copied[i], err);
    for (size_t i = 0; i < s.count; i++)
        free(s.list[i].name);
    free(s.list);
    free(s.sources);
    free(s.start);
    if (save->report != NULL)
        *save->report = report;
    return status;
}

firn_status firn_adapter_merge(const struct firn_adapter *a, struct firn_model *m, const struct firn_build_params *p,
                               float *flat, const char *directory, const struct firn_save_params *save,
                               struct firn_error *err)
{
    const struct firn_method *method = a->method;
    const bool is_more = method->linear_input || method->linear || method->embed || method->kv || method->sublayer ||
                         method->input;
    if (method->merge == NULL && is_more)
        return firn_fail(err, FIRN_ERR_UNSUPPORTED, .key = method->name,
                         .what = "cannot be computed into the weights of a model");
    const bool counts_from_start = method->anchors != NULL && method->anchors(a->settings);
    for (size_t i = 0; i < a->params.count && save->undoes; i++)
        if (counts_from_start || strstr(a->params.list[i].name, "lora_magnitude_vector") != NULL ||
            strstr(a->params.list[i].name, FIRN_TOKENS_PARAM) != NULL)
            return firn_fail(err, FIRN_ERR_UNSUPPORTED, .key = a->params.list[i].name,
                             .what = "its merge depends on the base's own weights and cannot be undone without them");
    const char *name = method->merge != NULL ? breaks_tie(a, m, p->task) : NULL;
    if (name != NULL && p->task == FIRN_TASK_SEQ2SEQ_LM)
        return firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = m->directory, .key = name,
                         .what = "cannot be merged: the model ties its output layer to its embedding and scales it for "
                                 "that, and the adapter changes only one of them");
    return firn_model_save(a, m, p, flat, true, directory, save, err);
}
