/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a recorded case; every number is checked before it sizes anything. */
#include "train/case.h"

#include "base/file.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

static firn_status bad(const struct firn_case_file *c, const char *key, const char *expected, struct firn_error *err)
{
    return firn_fail(err, FIRN_ERR_FORMAT, .file = FIRN_STR("%s/case.json", c->directory), .key = key,
                     .expected = expected, .got = "something else");
}

char *firn_case_path(const struct firn_case_file *c, const char *name)
{
    return firn_path_join(c->directory, name);
}

static double number(const json_t *o, const char *key, double fallback)
{
    const json_t *v = json_object_get(o, key);
    return json_is_number(v) ? json_number_value(v) : fallback;
}

static const char *text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s != NULL ? s : "";
}

static firn_status read_task(struct firn_case_file *c, struct firn_error *err)
{
    static const char *const tasks[] = { "seq_cls", "token_cls", "masked_lm", "causal_lm", "seq2seq_lm", "embedding" };
    const char *problem = text(c->json, "problem_type");
    for (int i = 0; i < FIRN_TASK_COUNT; i++)
        if (strcmp(text(c->json, "task"), tasks[i]) == 0) {
            c->task = (enum firn_task) i;
            c->problem = strcmp(problem, "regression") == 0                     ? FIRN_REGRESSION
                         : strcmp(problem, "multi_label_classification") == 0 ? FIRN_MULTI_LABEL
                                                                               : FIRN_SINGLE_LABEL;
            return FIRN_OK;
        }
    return bad(c, "task", "seq_cls, token_cls, masked_lm, causal_lm, seq2seq_lm or embedding", err);
}

static firn_status read_schedule(struct firn_case_file *c, struct firn_error *err)
{
    const json_t *s = json_object_get(c->json, "schedule"), *o = json_object_get(c->json, "optimizer");
    const char *name = text(s, "name");
    c->schedule = (struct firn_schedule){ .peak = number(o, "lr", 0), .warmup = (int64_t) number(s, "warmup_steps", 0),
                                          .total = (int64_t) number(s, "total_steps", 0) };
    if (strcmp(name, "linear") == 0)
        c->schedule.type = FIRN_SCHEDULE_LINEAR;
    else if (strcmp(name, "cosine") == 0)
        c->schedule.type = FIRN_SCHEDULE_COSINE;
    else if (strcmp(name, "constant") == 0 || strcmp(name, "constant_with_warmup") == 0)
        c->schedule.type = c->schedule.warmup > 0 ? FIRN_SCHEDULE_CONSTANT_WARMUP : FIRN_SCHEDULE_CONSTANT;
    else if (c->steps > 0)
        return bad(c, "schedule.name", "constant, linear or cosine", err);
    const json_t *betas = json_object_get(o, "betas");
    c->beta1 = json_is_number(json_array_get(betas, 0)) ? json_number_value(json_array_get(betas, 0)) : 0.9;
    c->beta2 = json_is_number(json_array_get(betas, 1)) ? json_number_value(json_array_get(betas, 1)) : 0.999;
    c->eps = number(o, "eps", 1e-8);
    c->weight_decay = number(o, "weight_decay", 0);
    c->decays_all = strcmp(text(o, "decay_exclude"), "bias_norm") != 0;
    return FIRN_OK;
}

firn_status firn_case_open(struct firn_case_file *c, const char *directory, struct firn_error *err)
{
    memset(c, 0, sizeof *c);
    c->directory = firn_strdup(directory);
    char *path = firn_path_join(directory, "case.json"), *batches = firn_path_join(directory, "batches.safetensors");
    firn_status status = path == NULL || batches == NULL || c->directory == NULL
                             ? firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a path")
                             : firn_json_load(path, &c->json, err);
    if (status == FIRN_OK) {
        c->steps = (int64_t) number(c->json, "steps", 0);
        c->grad_accum = (int64_t) number(c->json, "grad_accum", 1);
        c->batch_size = (int64_t) number(c->json, "batch_size", 0);
        c->n_labels = (int64_t) number(c->json, "num_labels", 0);
        c->max_grad_norm = number(c->json, "max_grad_norm", 0);
        c->smoothing = number(c->json, "label_smoothing", 0);
        c->token_mean = strcmp(text(c->json, "loss_reduction"), "token_mean") == 0;
        c->generates = json_is_true(json_object_get(c->json, "generates"));
        c->model = firn_strdup(text(c->json, "model"));
        c->method = firn_strdup(text(c->json, "method"));
        if (c->steps < 0 || c->steps > 1000000 || c->grad_accum < 1 || c->grad_accum > 65536)
            status = bad(c, "steps, grad_accum", "sizes in range", err);
    }
    if (status == FIRN_OK)
        status = firn_quantisation_read(json_object_get(c->json, "base_quantization"), path, "base_quantization",
                                        &c->quantised, err);
    if (status == FIRN_OK)
        status = read_task(c, err);
    if (status == FIRN_OK)
        status = read_schedule(c, err);
    if (status == FIRN_OK)
        status = firn_safetensors_open(&c->batches, batches, err);
    free(path);
    free(batches);
    if (status)
        firn_case_close(c);
    return status;
}

void firn_case_close(struct firn_case_file *c)
{
    firn_safetensors_close(&c->batches);
    json_decref(c->json);
    json_decref(c->peft_config);
    free(c->directory);
    free(c->model);
    free(c->method);
    memset(c, 0, sizeof *c);
}

/* Entry `index` of a [entries, ...] tensor, as int32. */
static void copy_ints(const struct firn_tensor *t, int64_t index, int64_t n, int32_t *out)
{
    for (int64_t i = 0; i < n; i++) {
        double x;
        firn_tensor_read_f64(t, index * n + i, 1, &x);
        out[i] = (int32_t) x;
    }
}

static firn_status find(const struct firn_case_file *c, const char *name, int64_t entries, int64_t per_entry,
                        const struct firn_tensor **out, struct firn_error *err)
{
    *out = firn_safetensors_find(&c->batches, name);
    if (*out == NULL)
        return FIRN_OK;
    const struct firn_shape *shape = &(*out)->shape;
    if (shape->rank < 1 || shape->dim[0] < entries || firn_shape_count(shape) != shape->dim[0] * per_entry)
        return firn_fail(err, FIRN_ERR_SHAPE, .file = c->batches.path, .key = name,
                         .expected = FIRN_STR("%lld entries of %lld", (long long) entries, (long long) per_entry),
                         .got = FIRN_SHAPE_STR(shape));
    return FIRN_OK;
}

/* Ids from the vocabulary's size on are virtual tokens of the row's task. */
static firn_status place_virtual(const struct firn_case_file *c, const struct firn_session *s, int64_t index,
                                 struct firn_inputs *in, struct firn_error *err)
{
    const struct firn_method *method = s->adapter.method;
    const struct firn_tensor *ids;
    firn_status status = find(c, "task_ids", index + 1, in->batch, &ids, err);
    for (int64_t b = 0; b < in->batch && ids != NULL && status == FIRN_OK; b++) {
        int32_t task;
        int64_t n = 0;
        copy_ints(ids, index * in->batch + b, 1, &task);
        const json_t *tree = json_array_get(json_object_get(c->json, "tasks"), task < 0 ? SIZE_MAX : (size_t) task);
        const char *name = text(tree, "name");
        const int64_t first = method != NULL && method->task_row != NULL ? method->task_row(s->adapter.settings, name, &n) : -1;
        if (first < 0)
            return firn_fail(err, FIRN_ERR_FORMAT, .file = c->batches.path, .key = "task_ids", .expected = "a task of the case",
                             .got = FIRN_STR("%d", task));
        for (int64_t i = b * in->length; i < (b + 1) * in->length; i++) {
            const int64_t k = in->input_ids[i] - s->model.config.vocabulary;
            if (k < 0 || k >= n)
                continue;
            in->virtual_ids[i] = (int32_t) (first + k);
            in->input_ids[i] = -1;
        }
    }
    return status;
}

firn_status firn_case_inputs(const struct firn_case_file *c, const struct firn_session *s, int64_t index,
                             struct firn_inputs *in, struct firn_error *err)
{
    const struct firn_tensor *ids = firn_safetensors_find(&c->batches, "input_ids"), *mask, *types, *labels;
    memset(in, 0, sizeof *in);
    if (ids == NULL || ids->shape.rank != 3 || index >= ids->shape.dim[0])
        return firn_fail(err, FIRN_ERR_SHAPE, .file = c->batches.path, .key = "input_ids",
                         .expected = "[steps, batch, length]", .got = ids ? FIRN_SHAPE_STR(&ids->shape) : "none");
    const int64_t batch = ids->shape.dim[1], length = ids->shape.dim[2], n = batch * length;
    const bool has_targets = c->problem != FIRN_SINGLE_LABEL;
    const int64_t classes = has_targets ? c->n_labels : 0;
    const struct firn_tensor *all_labels = firn_safetensors_find(&c->batches, "labels");
    const bool is_pair = c->task == FIRN_TASK_SEQ2SEQ_LM;
    if (is_pair && (all_labels == NULL || all_labels->shape.rank != 3 || all_labels->shape.dim[2] < 1))
        return firn_fail(err, FIRN_ERR_SHAPE, .file = c->batches.path, .key = "labels",
                         .expected = "[steps, batch, target length]",
                         .got = all_labels ? FIRN_SHAPE_STR(&all_labels->shape) : "none");
    const int64_t target = is_pair ? all_labels->shape.dim[2] : 0;
    const int64_t n_labels = has_targets                    ? batch * classes
                             : is_pair                      ? batch * target
                             : c->task == FIRN_TASK_SEQ_CLS ? batch
                                                            : n;
    firn_status status = find(c, "attention_mask", index + 1, n, &mask, err);
    if (status == FIRN_OK)
        status = find(c, "token_type_ids", index + 1, n, &types, err);
    if (status == FIRN_OK)
        status = find(c, "labels", index + 1, n_labels, &labels, err);
    if (status == FIRN_OK)
        status = firn_inputs_create(in, batch, length, classes, err);
    if (status == FIRN_OK && is_pair)
        status = firn_inputs_add_target(in, target, err);
    if (status)
        return status;
    copy_ints(ids, index, n, in->input_ids);
    for (int64_t i = 0; i < n; i++)
        in->attention_mask[i] = 1;
    if (mask != NULL)
        copy_ints(mask, index, n, in->attention_mask);
    if (types != NULL)
        copy_ints(types, index, n, in->token_type_ids);
    if (labels != NULL && has_targets)
        firn_tensor_read_f32(labels, index * n_labels, n_labels, in->targets);
    else if (labels != NULL)
        copy_ints(labels, index, n_labels, in->labels);
    status = place_virtual(c, s, index, in, err);
    if (status) {
        firn_inputs_free(in);
        return status;
    }
    const struct firn_build_params p = { .task = c->task, .problem = c->problem };
    firn_inputs_finish(in, &s->model, &s->adapter, &p);
    return FIRN_OK;
}

/* The case's model folder: the last component of `model`, looked up in `models`. */
static char *model_path(const struct firn_case_file *c, const char *models)
{
    const char *slash = strrchr(c->model, '/'), *name = slash != NULL ? slash + 1 : c->model;
    if (models != NULL)
        return firn_path_join(models, name);
    return firn_path_join(c->directory, FIRN_STR("../../models/%s", name));
}

/* With padding on the left the last pad predicts the first token, and its loss was recorded. */
static bool pads_left(const struct firn_case_file *c)
{
    const struct firn_tensor *mask = firn_safetensors_find(&c->batches, "attention_mask");
    const int64_t length = mask != NULL && mask->shape.rank == 3 ? mask->shape.dim[2] : 0;
    const int64_t rows = length > 0 && c->task == FIRN_TASK_CAUSAL_LM ? firn_shape_count(&mask->shape) / length : 0;
    for (int64_t i = 0; i < rows; i++) {
        double first;
        firn_tensor_read_f64(mask, i * length, 1, &first);
        if (first == 0)
            return true;
    }
    return false;
}

/* The settings of a method that PEFT does not have. */
static json_t *method_of(const struct firn_case_file *c)
{
    json_t *method = json_pack("{s:s}", "type", c->method);
    const json_t *tasks = json_object_get(c->json, "tasks"), *encoder = json_object_get(c->json, "encoder");
    static const char *const words[][2] = { { "type", "encoder" }, { "hidden", "encoder_hidden_size" },
                                            { "layers", "encoder_num_layers" } };
    if (tasks == NULL)
        return method;
    json_object_set(method, "tasks", (json_t *) tasks);
    json_object_set(method, "num_virtual_tokens", json_object_get(c->json, "num_virtual_tokens"));
    for (int i = 0; i < 3; i++)
        if (json_object_get(encoder, words[i][0]) != NULL)
            json_object_set(method, words[i][1], json_object_get(encoder, words[i][0]));
    return method;
}

/* adapter_init holds the settings too; cases without PEFT's files name their method only. */
firn_status firn_case_session(const struct firn_case_file *c, const char *models, const char *device, const struct firn_log *log,
                              struct firn_session *s, struct firn_error *err)
{
    char *model = model_path(c, models), *config = firn_case_path(c, "adapter_init/adapter_config.json");
    json_t *method = NULL;
    firn_status status = FIRN_OK;
    if (model == NULL || config == NULL)
        status = firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a case");
    if (status == FIRN_OK && firn_path_exists(config))
        status = firn_json_load(config, &method, err);
    else if (status == FIRN_OK && strcmp(c->method, "none") != 0)
        method = method_of(c);
    if (method != NULL)
        json_object_set_new(method, "peft_compatible", json_true());
    const struct firn_session_params params = {
        .model = model, .device = device, .task = c->task, .problem = c->problem, .n_labels = c->n_labels,
        .smoothing = (float) c->smoothing, .accumulates = c->grad_accum > 1, .fills_blind = pads_left(c), .decays_all = c->decays_all,
        .method = method, .method_file = config, .method_section = "", .quantised = c->quantised, .log = *log };
    if (status == FIRN_OK)
        status = firn_session_open(s, &params, err);
    json_decref(method);
    free(model);
    free(config);
    return status;
}
