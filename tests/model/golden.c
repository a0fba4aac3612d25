/* SPDX-License-Identifier: Apache-2.0 */
#include "golden.h"

#include "grad/grad.h"
#include "train/inputs.h"

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef FIRN_TESTS_GOLDEN
#define FIRN_TESTS_GOLDEN "tests/golden"
#endif

#define must(g, call) must_be_ok((call), &(g)->err)
static void must_be_ok(firn_status status, const struct firn_error *err)
{
    if (status != FIRN_OK)
        fail_msg("%s: %s", firn_status_name(status), err->text);
}

const char *golden_root(void)
{
    const char *root = getenv("FIRN_GOLDEN");
    return root != NULL && root[0] != '\0' ? root : FIRN_TESTS_GOLDEN;
}

const char *golden_path(const char *first, const char *second, const char *third)
{
    static char ring[8][512];
    static int at;
    char *text = ring[at++ % 8];
    snprintf(text, sizeof ring[0], "%s/%s/%s%s%s", golden_root(), first, second, third != NULL ? "/" : "",
             third != NULL ? third : "");
    return text;
}

static const char *model_name(const json_t *json)
{
    const char *path = json_string_value(json_object_get(json, "model"));
    return strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path;
}

/* The weights of minilm are no part of the set: FIRN_MINILM names their folder. */
static const char *model_directory(const json_t *json)
{
    const char *minilm = getenv("FIRN_MINILM");
    if (strcmp(model_name(json), "minilm") == 0 && minilm != NULL)
        return minilm;
    return golden_path("models", model_name(json), NULL);
}

bool golden_exists(const char *name)
{
    json_t *json = NULL;
    if (firn_json_load(golden_path("cases", name, "case.json"), &json, NULL) != FIRN_OK)
        return false;
    const bool there = firn_path_exists(FIRN_STR("%s/model.safetensors", model_directory(json)));
    json_decref(json);
    return there;
}

static int word_index(const char *const *words, int n, const char *word)
{
    for (int i = 0; i < n; i++)
        if (word != NULL && strcmp(words[i], word) == 0)
            return i;
    return 0;
}

static void open_adapter(struct golden *g, const char *directory)
{
    const char *method = json_string_value(json_object_get(g->json, "method"));
    if (strcmp(method, "none") == 0)
        return;
    if (json_object_get(g->json, "peft_config") != NULL || json_object_get(g->json, "adapter") != NULL) {
        must(g, firn_adapter_load(&g->adapter, &g->model, g->params.task, directory, &g->err));
        return;
    }
    json_t *config = json_pack("{s:s}", "type", method);
    must(g, firn_adapter_open(&g->adapter, &g->model, g->params.task, config, "test", "", &g->err));
    json_decref(config);
}

void golden_read(struct golden *g, const char *directory)
{
    must(g, firn_adapter_read(&g->adapter, &g->model, golden_path("cases", g->name, directory), g->flat, &g->err));
}

static void read_start(struct golden *g)
{
    struct firn_safetensors state;
    const char *path = golden_path("cases", g->name, "state_init.safetensors");
    must(g, firn_adapter_init(&g->adapter, &g->model, 1, g->flat, &g->err));
    if (firn_path_exists(path)) { /* all trained tensors, the head's too */
        must(g, firn_safetensors_open(&state, path, &g->err));
        must(g, firn_params_overlay(&g->adapter.params, &state, g->flat, &g->err));
        firn_safetensors_close(&state);
    } else if (firn_path_is_dir(golden_path("cases", g->name, "adapter_init"))) {
        golden_read(g, "adapter_init");
    }
}

void golden_open(struct golden *g, const char *name)
{
    static const char *const tasks[] = { "seq_cls", "token_cls", "masked_lm", "causal_lm", "seq2seq_lm", "embedding" };
    memset(g, 0, sizeof *g);
    snprintf(g->name, sizeof g->name, "%s", name);
    must(g, firn_json_load(golden_path("cases", name, "case.json"), &g->json, &g->err));
    must(g, firn_model_open(&g->model, model_directory(g->json), &g->err));
    must(g, firn_safetensors_open(&g->batches, golden_path("cases", name, "batches.safetensors"), &g->err));
    must(g, firn_safetensors_open(&g->expected, golden_path("cases", name, "expected.safetensors"), &g->err));
    struct firn_build_params *p = &g->params;
    p->batch = json_integer_value(json_object_get(g->json, "batch_size"));
    p->length = json_integer_value(json_object_get(g->json, "seq_len"));
    p->task = (enum firn_task) word_index(tasks, 6, json_string_value(json_object_get(g->json, "task")));
    p->problem = (enum firn_problem) word_index(firn_problem_words, 3,
                                                json_string_value(json_object_get(g->json, "problem_type")));
    p->n_labels = json_integer_value(json_object_get(g->json, "num_labels"));
    p->smoothing = (float) json_number_value(json_object_get(g->json, "label_smoothing"));
    p->has_loss = p->task != FIRN_TASK_EMBEDDING;
    p->wants_logits = p->has_loss;
    open_adapter(g, golden_path("cases", name, "adapter_init"));
    must(g, firn_model_collect(&g->model, &g->adapter, p, &g->counts, &g->err));
    g->flat = calloc((size_t) g->adapter.params.flat + 1, sizeof *g->flat);
    assert_non_null(g->flat);
    read_start(g);
}

void golden_close(struct golden *g)
{
    firn_safetensors_close(&g->batches);
    firn_safetensors_close(&g->expected);
    firn_adapter_close(&g->adapter);
    firn_model_close(&g->model);
    json_decref(g->json);
    free(g->flat);
}

/* Batch 0 as i32; zeros when the file has no such tensor. */
static void read_ids(const struct golden *g, const char *name, int64_t n, int32_t *out)
{
    const struct firn_tensor *t = firn_safetensors_find(&g->batches, name);
    float *values = calloc((size_t) n, sizeof *values);
    if (t != NULL)
        firn_tensor_read_f32(t, 0, n, values);
    for (int64_t i = 0; i < n; i++)
        out[i] = (int32_t) values[i];
    free(values);
}

static void put(struct golden_run *r, const char *name, const void *data, size_t size, struct golden *g)
{
    if (firn_store_has(r->store, name))
        must(g, firn_store_write(r->store, name, 0, data, size, &g->err));
}

/* Everything that a graph may ask for, as the trainer fills it. */
static void put_inputs(struct golden_run *r, struct golden *g)
{
    const int64_t B = g->params.batch, T = g->params.length, C = g->params.n_labels;
    const bool is_sequence = g->params.task == FIRN_TASK_SEQ_CLS;
    struct firn_inputs in;
    int32_t *ids = calloc((size_t) (B * T), sizeof *ids);
    must(g, firn_inputs_create(&in, B, T, 0, &g->err));
    read_ids(g, "input_ids", B * T, ids);
    put(r, "input_ids", ids, sizeof *ids * (size_t) (B * T), g);
    memcpy(in.input_ids, ids, sizeof *ids * (size_t) (B * T));
    firn_inputs_finish(&in, &g->model, NULL, &g->params);
    put(r, "pick", in.pick, sizeof *ids * (size_t) B, g);
    put(r, "position_ids", in.position_ids, sizeof *ids * (size_t) (B * T), g);
    read_ids(g, "token_type_ids", B * T, ids);
    put(r, "token_type_ids", ids, sizeof *ids * (size_t) (B * T), g);
    read_ids(g, "attention_mask", B * T, ids);
    put(r, "attention_mask", ids, sizeof *ids * (size_t) (B * T), g);
    float scale = 1.0f / (float) (B * (C > 0 ? C : 1));
    if (g->params.has_loss && (!is_sequence || g->params.problem == FIRN_SINGLE_LABEL)) {
        const int64_t n = is_sequence ? B : B * T;
        int64_t counted = 0;
        read_ids(g, "labels", n, ids);
        if (g->params.task == FIRN_TASK_CAUSAL_LM)
            for (int64_t i = 0; i < n; i++)
                ids[i] = i % T + 1 < T ? ids[i + 1] : -100;
        for (int64_t i = 0; i < n; i++)
            counted += ids[i] != -100;
        scale = 1.0f / (float) counted;
        put(r, "labels", ids, sizeof *ids * (size_t) n, g);
    } else if (g->params.has_loss) {
        float *targets = calloc((size_t) (B * C), sizeof *targets);
        firn_tensor_read_f32(firn_safetensors_find(&g->batches, "labels"), 0, B * C, targets);
        put(r, "targets", targets, sizeof *targets * (size_t) (B * C), g);
        free(targets);
    }
    put(r, "scale", &scale, sizeof scale, g);
    free(ids);
    firn_inputs_free(&in);
}

void golden_run(struct golden_run *r, struct golden *g, bool with_grads)
{
    const struct firn_param_set *set = &g->adapter.params;
    const float zero = 0;
    memset(r, 0, sizeof *r);
    r->g = firn_graph_create();
    must(g, firn_model_build(&r->build, r->g, &g->model, &g->adapter, &g->params, &g->err));
    if (with_grads) {
        firn_val *x = calloc(set->count, sizeof *x), *dx = calloc(set->count, sizeof *dx);
        const firn_val grads = firn_graph_leaf(r->g, FIRN_LEAF_GRAD, "grads", FIRN_F32, firn_dims(set->flat));
        const firn_val keep = firn_graph_leaf(r->g, FIRN_LEAF_INPUT, "keep", FIRN_F32, firn_dims(1));
        for (size_t i = 0; i < set->count; i++)
            for (uint32_t id = 1; id < firn_graph_n_values(r->g); id++) {
                const struct firn_value *v = firn_graph_value(r->g, (firn_val){ id });
                if (v->node == FIRN_NO_NODE && v->name != NULL && strcmp(v->name, set->list[i].name) == 0)
                    x[i] = (firn_val){ id };
            }
        firn_grad(r->g, r->build.loss, (firn_val){ 0 }, x, (int) set->count, dx);
        for (size_t i = 0; i < set->count; i++)
            if (firn_is_value(dx[i]))
                firn_accumulate(r->g, firn_graph_view(r->g, grads, FIRN_STR("grads.%s", set->list[i].name),
                                                      set->list[i].offset, set->list[i].shape), dx[i], keep);
        free(x);
        free(dx);
    }
    must(g, firn_graph_check(r->g, &g->err));
    must(g, firn_device_open(&r->device, "cpu:exact", &(struct firn_device_params){ .n_threads = 2 }, &g->err));
    must(g, firn_store_create(&r->store, r->device, &g->err));
    must(g, firn_plan_create(&r->plan, r->g, &r->device->limits, true, true, &g->err));
    must(g, firn_model_load(&g->model, r->g, r->store, &g->err));
    if (set->flat > 0)
        must(g, firn_store_add(r->store, FIRN_LEAF_PARAM, "params", sizeof(float) * (size_t) set->flat, g->flat,
                               &g->err));
    must(g, firn_plan_bind(r->plan, r->store, &g->err));
    put_inputs(r, g);
    put(r, "keep", &zero, sizeof zero, g);
    must(g, firn_plan_run(r->plan, true, false, &g->err));
}

float *golden_leaf(struct golden_run *r, const char *name, int64_t *count)
{
    for (uint32_t id = 1; id < firn_graph_n_values(r->g); id++) {
        const struct firn_value *v = firn_graph_value(r->g, (firn_val){ id });
        if (v->node != FIRN_NO_NODE || firn_is_value(v->base) || strcmp(v->name, name) != 0)
            continue;
        struct firn_error err = { 0 };
        *count = firn_shape_count(&v->shape);
        float *values = calloc((size_t) *count + 1, sizeof *values);
        must_be_ok(firn_store_read(r->store, name, 0, values, sizeof *values * (size_t) *count, &err), &err);
        return values;
    }
    fail_msg("the graph has no leaf %s", name);
    return NULL;
}

void golden_run_close(struct golden_run *r)
{
    firn_plan_destroy(&r->plan);
    firn_store_destroy(&r->store);
    firn_device_close(&r->device);
    firn_graph_destroy(&r->g);
}
