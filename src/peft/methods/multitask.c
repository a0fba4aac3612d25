/* SPDX-License-Identifier: Apache-2.0 */
/* Prompt learning for many tasks in one run, as NeMo has it: virtual tokens anywhere in a task's template. Prompt tuning
 * trains a table a task; p-tuning one encoder, whose input is told apart by the embedded words of the task's name, and
 * whose output becomes the tasks' tables when training ends. Tables of earlier tasks are carried along, untouched. */
#include "peft/files.h"
#include "peft/prompt_encoder.h"
#include "peft/soft.h"

#include "firn/tokenizer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TABLES "prompt_table."
enum { MAX_TASKS = 4096 };

struct task {
    const char *name;         /* of the settings' tree */
    int64_t first, n;         /* rows in the joined table */
    int32_t *name_ids;
    int64_t n_name_ids;
};

struct multitask {
    int64_t n_virtual;
    json_t *tasks;
    char *add_to;
    struct firn_prompt_encoder encoder;
    /* made by open */
    bool encodes;             /* p-tuning */
    struct task *list;
    int64_t n_tasks, n_rows, width;
    json_t *earlier;          /* adapter_config.json of add_to */
};

#define AT(field) offsetof(struct multitask, field)
// clang-format off
static const struct firn_option keys[] = {
    { "num_virtual_tokens", .also = { "total_virtual_tokens" }, .type = FIRN_OPTION_INT, .offset = AT(n_virtual), .fallback = "0",
      .max = 65536, .unit = "tokens", .help = "virtual tokens of a task; unset: its total_virtual_tokens" },
    { "tasks",              .type = FIRN_OPTION_TREE, .offset = AT(tasks),
      .help = "a list of tasks: taskname, prompt_template, total_virtual_tokens, virtual_token_splits, ..." },
    { "add_to",             .type = FIRN_OPTION_TEXT, .offset = AT(add_to), .unit = "directory",
      .help = "an adapter of earlier tasks: its tables go into the new one as they are" },
    { "encoder",            .also = { "encoder_reparameterization_type" }, .type = FIRN_OPTION_WORD, .offset = AT(encoder.kind),
      .fallback = "LSTM", .words = firn_encoder_words, .words_also = firn_encoder_words_also,
      .help = "p-tuning's network: three linear layers, or a bidirectional LSTM and two" },
    { "encoder_hidden_size", .type = FIRN_OPTION_INT, .offset = AT(encoder.hidden), .fallback = "0", .max = 65536,
      .help = "its width; unset: half the model's" },
    { "encoder_num_layers",  .type = FIRN_OPTION_INT, .offset = AT(encoder.n_layers), .fallback = "2", .min = 1, .max = 64,
      .help = "layers of the LSTM" },
    { "encoder_dropout",     .type = FIRN_OPTION_REAL, .offset = AT(encoder.dropout), .fallback = "0", .max = 0.99,
      .help = "dropout between them" },
    { NULL }
};
// clang-format on

static const char *name_of(const json_t *task)
{
    const char *name = json_string_value(json_object_get(task, "taskname"));
    return name != NULL ? name : json_string_value(json_object_get(task, "name"));
}

static firn_status bad(const char *file, const char *key, const char *expected, const char *got, struct firn_error *err)
{
    return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = key, .expected = expected, .got = got);
}

/* Names become tensors' names and keys of files. */
static bool is_plain(const char *name)
{
    size_t n = 0;
    for (; name != NULL && name[n] != '\0'; n++)
        if ((unsigned char) name[n] <= ' ' || name[n] == '/' || name[n] == '\\')
            return false;
    return n > 0 && n < 200;
}

static firn_status read_task(struct multitask *p, int64_t i, const char *file, struct firn_error *err)
{
    const json_t *tree = json_array_get(p->tasks, (size_t) i);
    const json_t *total = json_object_get(tree, "total_virtual_tokens"), *ids = json_object_get(tree, "name_ids");
    struct task *t = &p->list[i];
    const char *key = FIRN_STR("tasks[%lld]", (long long) i);
    t->name = name_of(tree);
    if (!is_plain(t->name))
        return bad(file, FIRN_STR("%s.taskname", key), "a name without spaces and slashes", t->name != NULL ? t->name : "none", err);
    for (int64_t k = 0; k < i; k++)
        if (strcmp(p->list[k].name, t->name) == 0)
            return bad(file, FIRN_STR("%s.taskname", key), "another name for each task", FIRN_STR("%s twice", t->name), err);
    for (size_t k = 0; k < json_array_size(json_object_get(p->earlier, "tasks")); k++)
        if (strcmp(name_of(json_array_get(json_object_get(p->earlier, "tasks"), k)), t->name) == 0)
            return bad(file, FIRN_STR("%s.taskname", key), FIRN_STR("a task that %s does not hold", p->add_to), t->name, err);
    t->n = json_is_integer(total) ? (int64_t) json_integer_value(total) : p->n_virtual;
    if (t->n < 1 || t->n > 65536)
        return bad(file, FIRN_STR("%s.total_virtual_tokens", key), "1 to 65536 (or num_virtual_tokens for all tasks)",
                   FIRN_STR("%lld", (long long) t->n), err);
    t->first = p->n_rows;
    p->n_rows += t->n;
    t->n_name_ids = (int64_t) json_array_size(ids);
    t->name_ids = calloc((size_t) t->n_name_ids + 1, sizeof *t->name_ids);
    for (int64_t k = 0; k < t->n_name_ids && t->name_ids != NULL; k++)
        t->name_ids[k] = (int32_t) json_integer_value(json_array_get(ids, (size_t) k));
    return t->name_ids != NULL ? FIRN_OK : firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for tasks");
}

static firn_status read_earlier(struct multitask *p, const char *file, struct firn_error *err)
{
    if (p->add_to == NULL)
        return FIRN_OK;
    char *path = firn_path_join(p->add_to, "adapter_config.json");
    firn_status status = path != NULL ? firn_json_load(path, &p->earlier, err)
                                      : firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a path");
    const char *type = json_string_value(json_object_get(p->earlier, "peft_type"));
    const json_t *tasks = json_object_get(p->earlier, "tasks");
    bool has_names = json_is_array(tasks);
    for (size_t k = 0; k < json_array_size(tasks); k++)
        has_names &= name_of(json_array_get(tasks, k)) != NULL;
    if (status == FIRN_OK && (type == NULL || strcmp(type, "MULTITASK") != 0 || !has_names))
        status = bad(file, "add_to", "an adapter of several tasks (MULTITASK)", type != NULL ? type : "something else", err);
    free(path);
    return status;
}

static firn_status open_tasks(void *settings, const struct firn_model *m, enum firn_task task, const char *file,
                              struct firn_error *err)
{
    struct multitask *p = settings;
    p->width = m->config.width;
    if (p->encoder.hidden == 0)
        p->encoder.hidden = (p->width + 1) / 2;
    if (task != FIRN_TASK_CAUSAL_LM)
        return firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = file, .key = "task", .expected = "causal_lm (prompts of several tasks)",
                         .got = firn_task_words[task]);
    const size_t n = json_array_size(p->tasks);
    if (n < 1 || n > MAX_TASKS)
        return bad(file, "tasks", FIRN_STR("a list of 1 to %d tasks", MAX_TASKS), n == 0 ? "none" : FIRN_STR("%zu", n), err);
    p->list = calloc(n, sizeof *p->list);
    firn_status status = p->list != NULL ? read_earlier(p, file, err)
                                         : firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for tasks");
    for (; p->n_tasks < (int64_t) n && status == FIRN_OK; p->n_tasks++)
        status = read_task(p, p->n_tasks, file, err);
    return status;
}

/* The words of a name, without special tokens. */
static firn_status read_name(struct task *t, const struct firn_tokenizer *tokenizer, struct firn_error *err)
{
    struct firn_encoding encoding = { 0 };
    const struct firn_encode_params how = { .add_special = false };
    firn_status status = firn_tokenizer_encode(tokenizer, t->name, strlen(t->name), NULL, 0, &how, &encoding, err);
    int32_t *ids = status == FIRN_OK ? realloc(t->name_ids, sizeof *ids * (encoding.n + 1)) : NULL;
    if (ids != NULL) {
        t->name_ids = ids;
        t->n_name_ids = (int64_t) encoding.n;
        memcpy(ids, encoding.ids, sizeof *ids * encoding.n);
    } else if (status == FIRN_OK) {
        status = firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for tasks");
    }
    firn_encoding_free(&encoding);
    return status;
}

static firn_status open_encoded(void *settings, const struct firn_model *m, enum firn_task task, const char *file,
                                struct firn_error *err)
{
    struct multitask *p = settings;
    struct firn_tokenizer *tokenizer = NULL;
    firn_status status = open_tasks(settings, m, task, file, err);
    p->encodes = true;
    for (int64_t i = 1; i < p->n_tasks && status == FIRN_OK; i++)
        if (p->list[i].n != p->list[0].n)
            status = bad(file, FIRN_STR("tasks[%lld].total_virtual_tokens", (long long) i),
                         FIRN_STR("%lld, as the other tasks that share the encoder", (long long) p->list[0].n),
                         FIRN_STR("%lld", (long long) p->list[i].n), err);
    for (int64_t i = 0; i < p->n_tasks && status == FIRN_OK; i++) {
        if (p->list[i].n_name_ids > 0)
            continue;
        if (tokenizer == NULL)
            status = firn_tokenizer_open(&tokenizer, m->directory, err);
        if (status == FIRN_OK)
            status = read_name(&p->list[i], tokenizer, err);
    }
    firn_tokenizer_close(&tokenizer);
    return status;
}

static void close_tasks(void *settings)
{
    struct multitask *p = settings;
    for (size_t i = 0; i < json_array_size(p->tasks) && p->list != NULL; i++)
        free(p->list[i].name_ids);
    free(p->list);
    json_decref(p->earlier);
}

static int64_t task_row(const void *settings, const char *name, int64_t *n)
{
    const struct multitask *p = settings;
    for (int64_t i = 0; i < p->n_tasks; i++)
        if (strcmp(p->list[i].name, name) == 0) {
            *n = p->list[i].n;
            return p->list[i].first;
        }
    return -1;
}

static const char *table_name(const char *task, char *text, size_t size)
{
    snprintf(text, size, TABLES "%s.weight", task);
    return text;
}

/* Xavier's normal start (Glorot & Bengio 2010), as NeMo has it. */
static firn_val direct(const struct multitask *p, struct firn_build *b)
{
    firn_val all = { 0 };
    for (int64_t i = 0; i < p->n_tasks; i++) {
        char name[300];
        const struct task *t = &p->list[i];
        const firn_val table = firn_trained(b, table_name(t->name, name, sizeof name), firn_dims(t->n, p->width),
                                            FIRN_INIT_NORMAL, sqrt(2 / (double) (t->n + p->width)));
        all = i == 0 ? table : firn_concat(b->g, all, table, 1);
    }
    return all;
}

/* What the encoder reads besides what is trained: rows of the trained table, -1 where a word of the name stands, and
 * those words. Made once, kept with the weights. */
static bool make_inputs(const struct multitask *p, struct firn_build *b)
{
    struct firn_weights *w = &b->model->weights;
    struct firn_error why;
    if (firn_weights_copy(w, "tasks.words") != NULL)
        return true;
    int32_t *rows = malloc(sizeof *rows * (size_t) p->n_rows);
    float *words = calloc((size_t) (p->n_rows * p->width), sizeof *words);
    firn_status status = rows == NULL || words == NULL ? FIRN_ERR_MEMORY : FIRN_OK;
    for (int64_t i = 0; i < p->n_tasks && status == FIRN_OK; i++) {
        const struct task *t = &p->list[i];
        const int64_t named = t->n_name_ids < t->n ? t->n_name_ids : t->n;
        for (int64_t k = 0; k < t->n; k++)
            rows[t->first + k] = k < named ? -1 : (int32_t) k;
        status = firn_soft_words(b->model, t->name_ids, named, words + t->first * p->width, &why);
        if (status)
            firn_graph_fail(b->g, "the name of task %s: %s", t->name, why.text);
    }
    if (status == FIRN_OK && firn_weights_keep(w, "tasks.rows", rows) == FIRN_OK) {
        rows = NULL;
        if (firn_weights_keep(w, "tasks.words", words) == FIRN_OK)
            words = NULL;
    }
    const bool is_made = rows == NULL && words == NULL && status == FIRN_OK;
    free(rows);
    free(words);
    if (!is_made)
        firn_graph_fail(b->g, "out of memory for tasks");
    return is_made;
}

/* [rows of all tasks, C] */
static firn_val table(const void *settings, struct firn_build *b)
{
    const struct multitask *p = settings;
    if (!p->encodes)
        return direct(p, b);
    const int64_t n = p->list[0].n;
    if (!make_inputs(p, b))
        return (firn_val){ 0 };
    const firn_val own = firn_trained(b, "prompt_encoder.embedding.weight", firn_dims(n, p->width), FIRN_INIT_NORMAL, 1);
    const firn_val rows = firn_graph_leaf(b->g, FIRN_LEAF_WEIGHT, "tasks.rows", FIRN_I32, firn_dims(p->n_rows));
    const firn_val words = firn_graph_leaf(b->g, FIRN_LEAF_WEIGHT, "tasks.words", FIRN_F32, firn_dims(p->n_rows, p->width));
    const firn_val x = firn_add(b->g, firn_embed(b->g, own, rows), words);
    return firn_prompt_encode(&p->encoder, b, x, p->n_tasks, p->width);
}

/* A table that starts from words: the task's init_text, cut or repeated to its virtual tokens. */
static firn_status init(const void *settings, const struct firn_model *m, const struct firn_param_set *params,
                        uint64_t seed, float *flat, struct firn_error *err)
{
    const struct multitask *p = settings;
    struct firn_tokenizer *tokenizer = NULL;
    firn_status status = FIRN_OK;
    (void) seed;
    for (int64_t i = 0; i < p->n_tasks && status == FIRN_OK; i++) {
        char name[300];
        const struct task *t = &p->list[i];
        const char *text = json_string_value(json_object_get(json_array_get(p->tasks, (size_t) i), "init_text"));
        const struct firn_param *at = firn_params_find(params, table_name(t->name, name, sizeof name));
        struct task words = { .name = text };
        if (text == NULL || at == NULL)
            continue;
        if (tokenizer == NULL)
            status = firn_tokenizer_open(&tokenizer, m->directory, err);
        if (status == FIRN_OK)
            status = read_name(&words, tokenizer, err);
        if (status == FIRN_OK && words.n_name_ids == 0)
            status = firn_fail(err, FIRN_ERR_USAGE, .key = FIRN_STR("tasks[%lld].init_text", (long long) i),
                               .expected = "a text with tokens", .got = "none");
        for (int64_t k = 0; k < t->n && status == FIRN_OK; k++)
            status = firn_soft_words(m, &words.name_ids[k % words.n_name_ids], 1, flat + at->offset + k * p->width, err);
        free(words.name_ids);
    }
    firn_tokenizer_close(&tokenizer);
    return status;
}

/* Ids of virtual tokens are none of the vocabulary: they read as zero, and as rows of the table here. */
static firn_val input(const void *settings, struct firn_build *b, firn_val x)
{
    const firn_val ids = firn_input(b, "virtual_ids", firn_dims(b->p->batch * b->p->length));
    return firn_add(b->g, x, firn_embed(b->g, table(settings, b), ids));
}

static void describe(const void *settings, const struct firn_param_set *params, json_t *config)
{
    const struct multitask *p = settings;
    json_t *tasks = json_array();
    (void) params;
    for (size_t i = 0; i < json_array_size(json_object_get(p->earlier, "tasks")); i++)
        json_array_append(tasks, json_array_get(json_object_get(p->earlier, "tasks"), i));
    for (int64_t i = 0; i < p->n_tasks; i++) {
        json_t *task = json_deep_copy(json_array_get(p->tasks, (size_t) i));
        json_object_del(task, "name");
        json_object_set_new(task, "taskname", json_string(p->list[i].name));
        json_object_set_new(task, "total_virtual_tokens", json_integer(p->list[i].n));
        json_array_append_new(tasks, task);
    }
    json_object_set_new(config, "tasks", tasks);
    json_object_set_new(config, "encoder", json_string(firn_encoder_words[p->encoder.kind]));
    json_object_set_new(config, "encoder_dropout", json_real(p->encoder.dropout));
    json_object_set_new(config, "encoder_hidden_size", json_integer(p->encoder.hidden));
    json_object_set_new(config, "encoder_num_layers", json_integer(p->encoder.n_layers));
}

/* The encoder's output, task by task. */
static firn_status store_tables(const struct multitask *p, struct firn_tensors *tensors, struct firn_error *err)
{
    const struct firn_named_tensor *at = firn_tensors_find(tensors, FIRN_TABLE);
    if (at == NULL)
        return FIRN_OK;
    const struct firn_tensor all = at->tensor;
    tensors->list[at - tensors->list] = tensors->list[--tensors->count];
    for (int64_t i = 0; i < p->n_tasks; i++) {
        char name[300];
        const struct task *t = &p->list[i];
        float *to = firn_tensors_put(tensors, table_name(t->name, name, sizeof name), firn_dims(t->n, p->width));
        if (to == NULL)
            return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for an adapter's files");
        memcpy(to, (const float *) all.data + t->first * p->width, sizeof *to * (size_t) (t->n * p->width));
    }
    return FIRN_OK;
}

static firn_status store(const struct firn_adapter *a, struct firn_model *m, struct firn_tensors *tensors, json_t *config,
                         struct firn_error *err)
{
    const struct multitask *p = a->settings;
    struct firn_safetensors file = { 0 };
    const json_t *tasks = json_object_get(p->earlier, "tasks");
    char *path = p->add_to != NULL ? firn_path_join(p->add_to, "adapter_model.safetensors") : NULL;
    (void) m;
    (void) config;
    firn_status status = store_tables(p, tensors, err);
    if (status == FIRN_OK && path != NULL)
        status = firn_safetensors_open(&file, path, err);
    for (size_t i = 0; i < json_array_size(tasks) && status == FIRN_OK; i++) {
        char name[300];
        const struct firn_tensor *t =
            firn_safetensors_find(&file, table_name(name_of(json_array_get(tasks, i)), name, sizeof name));
        if (t == NULL || t->shape.rank != 2 || t->shape.dim[1] != p->width || !firn_dtype_is_float(t->dtype)) {
            status = firn_fail(err, FIRN_ERR_FORMAT, .file = path, .key = name,
                               .expected = FIRN_STR("[virtual tokens, %lld]", (long long) p->width),
                               .got = t != NULL ? FIRN_SHAPE_STR(&t->shape) : "no such tensor");
            continue;
        }
        float *to = firn_tensors_put(tensors, name, t->shape);
        if (to == NULL)
            status = firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for an adapter's files");
        else
            firn_tensor_read_f32(t, 0, firn_shape_count(&t->shape), to);
    }
    firn_safetensors_close(&file);
    free(path);
    return status;
}

static bool reads(const void *settings, const char *name)
{
    (void) settings;
    return strncmp(name, TABLES, sizeof TABLES - 1) == 0 || strncmp(name, "prompt_encoder.", 15) == 0;
}

#define RECORD(word, opens)                                                                                            \
    {                                                                                                                  \
        .name = word, .peft_type = "MULTITASK", .keys = keys, .settings_size = sizeof(struct multitask), .open = opens, \
        .close = close_tasks, .input = input, .table = table, .keeps_network = true, .task_row = task_row,             \
        .init = init, .store = store, .reads = reads, .describe = describe,                                             \
    }
/* Files of both are read as tables, by the first. */
const struct firn_method firn_method_multitask = RECORD("multitask_prompt", open_tasks);
const struct firn_method firn_method_multitask_p = RECORD("multitask_ptuning", open_encoded);
