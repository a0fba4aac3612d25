/* SPDX-License-Identifier: Apache-2.0 */
/* Adapter folders: PEFT's bytes for PEFT's methods, whole models for `full` and merged ones, and what is refused. */
#include "../model/golden.h"
#include "tiny.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool same_bytes(const char *a, const char *b)
{
    char *x, *y;
    size_t n, m;
    struct firn_error err;
    expect_ok(firn_file_read(a, 1 << 24, &x, &n, &err), &err);
    expect_ok(firn_file_read(b, 1 << 24, &y, &m, &err), &err);
    const bool same = n == m && memcmp(x, y, n) == 0;
    free(x);
    free(y);
    return same;
}

static bool is_unset(const json_t *v)
{
    return v == NULL || json_is_null(v) || json_is_false(v) || (json_is_array(v) && json_array_size(v) == 0) ||
           (json_is_object(v) && json_object_size(v) == 0);
}

static bool same_set(const json_t *a, const json_t *b)
{
    for (int way = 0; way < 2; way++)
        for (size_t i = 0; i < json_array_size(way ? a : b); i++) {
            bool found = false;
            for (size_t k = 0; k < json_array_size(way ? b : a); k++)
                found |= json_equal(json_array_get(way ? a : b, i), json_array_get(way ? b : a, k));
            if (!found)
                return false;
        }
    return true;
}

/* Each key of ours must be theirs; each of theirs that we leave out must be unset, or say nothing on its own. */
static void compare_configs(const char *ours, const char *theirs)
{
    json_t *a = NULL, *b = NULL, *v;
    struct firn_error err;
    const char *key;
    expect_ok(firn_json_load(ours, &a, &err), &err);
    expect_ok(firn_json_load(theirs, &b, &err), &err);
    json_object_foreach (a, key, v) {
        const json_t *w = json_object_get(b, key);
        const bool same = json_is_array(v) && json_is_array(w) ? same_set(v, w)
                          : json_is_number(v) && json_is_number(w) ? json_number_value(v) == json_number_value(w)
                                                                   : json_equal(v, w);
        if (!same && !(is_unset(v) && is_unset(w)))
            fail_msg("%s: %s differs", ours, key);
    }
    json_object_foreach (b, key, v)
        if (json_object_get(a, key) == NULL && !is_unset(v) && strcmp(key, "megatron_core") != 0 &&
            strcmp(key, "qalora_group_size") != 0)
            fail_msg("%s: %s is missing", ours, key);
    json_decref(a);
    json_decref(b);
}

static void an_adapter_is_written_as_peft_writes_it(void **state)
{
    (void) state;
    static const char *const cases[] = { "bert-lora", "bert-tokcls-lora", "llama-lora", "llama-seqcls-lora", "bert-lora-biasall" };
    int n = 0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct golden g;
        if (!golden_exists(cases[i]))
            continue;
        golden_open(&g, cases[i]);
        golden_read(&g, "adapter_final");
        const struct firn_save_params save = { .base_name = json_string_value(json_object_get(g.json, "model")) };
        expect_ok(firn_adapter_save(&g.adapter, &g.model, &g.params, g.flat, scratch_path(cases[i]), &save, &g.err),
                  &g.err);
        /* with bias "all" PEFT's file holds two surplus tensors */
        if (strcmp(cases[i], "bert-lora-biasall") != 0 &&
            !same_bytes(golden_path("cases", cases[i], "adapter_final/adapter_model.safetensors"),
                        scratch_path(FIRN_STR("%s/adapter_model.safetensors", cases[i]))))
            fail_msg("%s: adapter_model.safetensors has other bytes", cases[i]);
        compare_configs(scratch_path(FIRN_STR("%s/adapter_config.json", cases[i])),
                        golden_path("cases", cases[i], "adapter_final/adapter_config.json"));
        golden_close(&g);
        n++;
    }
    if (n == 0)
        skip();
}

static void peek_tells_task_labels_and_method(void **state)
{
    (void) state;
    static const struct { const char *name; enum firn_task task; int64_t n_labels; } cases[] = {
        { "bert-lora", FIRN_TASK_SEQ_CLS, 3 },
        { "bert-tokcls-lora", FIRN_TASK_TOKEN_CLS, 5 }, { "llama-lora", FIRN_TASK_CAUSAL_LM, 0 },
        { "llama-seqcls-lora", FIRN_TASK_SEQ_CLS, 3 } };
    for (size_t i = 0; i < 4; i++) {
        struct firn_adapter_info info;
        struct firn_error err;
        if (!golden_exists(cases[i].name))
            continue;
        expect_ok(firn_adapter_peek(&info, golden_path("cases", cases[i].name, "adapter_final"), &err), &err);
        assert_string_equal(info.method, "lora");
        assert_true(info.has_task && info.task == cases[i].task);
        assert_int_equal(info.n_labels, cases[i].n_labels);
    }
}

static void a_full_model_is_written_as_transformers_writes_it(void **state)
{
    (void) state;
    struct golden g;
    struct firn_safetensors ours, theirs;
    if (!golden_exists("bert-full"))
        skip();
    golden_open(&g, "bert-full");
    golden_read(&g, "adapter_final");
    const struct firn_save_params save = { 0 };
    expect_ok(firn_adapter_save(&g.adapter, &g.model, &g.params, g.flat, scratch_path("out"), &save, &g.err), &g.err);
    assert_true(same_bytes(golden_path("cases", "bert-full", "adapter_final/model.safetensors"),
                           scratch_path("out/model.safetensors")));
    assert_true(firn_path_exists(scratch_path("out/tokenizer.json")));
    json_t *a = NULL, *b = NULL, *v;
    const char *key;
    expect_ok(firn_json_load(scratch_path("out/config.json"), &a, &g.err), &g.err);
    expect_ok(firn_json_load(golden_path("cases", "bert-full", "adapter_final/config.json"), &b, &g.err), &g.err);
    json_object_foreach (b, key, v)
        if (strcmp(key, "use_cache") != 0 && !json_equal(v, json_object_get(a, key)))
            fail_msg("config.json: %s differs", key);
    json_decref(a);
    json_decref(b);
    expect_ok(firn_safetensors_open(&ours, scratch_path("out/model.safetensors"), &g.err), &g.err);
    expect_ok(firn_safetensors_open(&theirs, golden_path("models", "bert", "model.safetensors"), &g.err), &g.err);
    assert_null(firn_safetensors_find(&ours, "cls.predictions.bias")); /* no part of the task's class */
    firn_safetensors_close(&ours);
    firn_safetensors_close(&theirs);
    golden_close(&g);
}

/* Largest difference of the logits of an adapter and of its merged model. */
static double merged_difference(struct tiny *t, const char *directory, enum firn_task task, double *largest)
{
    struct tiny merged;
    int64_t n, m;
    double most = 0;
    const struct firn_save_params save = { 0 };
    for (int64_t i = 0; i < t->adapter.params.flat; i++)
        t->flat[i] += 0.01f * (float) (i % 7);
    float *want = tiny_logits(t, &n);
    expect_ok(firn_adapter_merge(&t->adapter, &t->model, &t->params, t->flat, scratch_path(directory), &save, &t->err),
              &t->err);
    expect_ok(tiny_open(&merged, directory, task, NULL), &merged.err);
    float *got = tiny_logits(&merged, &m);
    assert_int_equal(n, m);
    *largest = 0;
    for (int64_t i = 0; i < n; i++) {
        most = fmax(most, fabs((double) got[i] - (double) want[i]));
        *largest = fmax(*largest, fabs((double) want[i]));
    }
    free(want);
    free(got);
    tiny_close(&merged);
    return most;
}

static void a_merged_model_computes_what_the_adapter_did(void **state)
{
    (void) state;
    static const struct { const char *base; enum firn_task task; const char *method; } all[] = {
        { "llama", FIRN_TASK_CAUSAL_LM,
          "{\"type\":\"lora\",\"target_modules\":[\"q_proj\",\"down_proj\",\"embed_tokens\",\"lm_head\"],"
          "\"rank_pattern\":{\"q_proj\":3},\"alpha_pattern\":{\"down_proj\":5}}" },
        { "llama", FIRN_TASK_SEQ_CLS, "{\"type\":\"lora\",\"use_rslora\":true,\"target_modules\":\"all-linear\"}" },
        { "bert", FIRN_TASK_SEQ_CLS,
          "{\"type\":\"lora\",\"bias\":\"all\",\"lora_bias\":true,\"target_modules\":\"all-linear\"}" },
        { "bert", FIRN_TASK_MASKED_LM, "{\"type\":\"lora\",\"modules_to_save\":[\"transform\"]}" },
        { "tied", FIRN_TASK_CAUSAL_LM, "{\"type\":\"lora\"}" },
        { "bert", FIRN_TASK_SEQ_CLS, "{\"type\":\"head\"}" },
        { "tied", FIRN_TASK_CAUSAL_LM, "{\"type\":\"full\"}" },
        { "tied", FIRN_TASK_CAUSAL_LM, "{\"type\":\"lora\",\"target_modules\":[\"embed_tokens\"]}" },
        { "tied", FIRN_TASK_CAUSAL_LM, "{\"type\":\"lora\",\"target_modules\":[\"lm_head\"]}" },
        { "tied", FIRN_TASK_CAUSAL_LM, "{\"type\":\"lora\",\"target_modules\":[\"embed_tokens\",\"lm_head\"]}" },
        { "tied", FIRN_TASK_CAUSAL_LM, "{\"type\":\"lora\",\"modules_to_save\":[\"embed_tokens\"]}" },
        { "tied", FIRN_TASK_CAUSAL_LM, "{\"type\":\"lora\",\"modules_to_save\":[\"lm_head\"]}" },
        { "tied", FIRN_TASK_CAUSAL_LM, "{\"type\":\"lora\",\"modules_to_save\":[\"embed_tokens\",\"lm_head\"]}" },
        { "bert", FIRN_TASK_MASKED_LM, "{\"type\":\"lora\",\"target_modules\":[\"query\",\"word_embeddings\"]}" },
        { "llama", FIRN_TASK_CAUSAL_LM, "{\"type\":\"ia3\"}" },
        { "bert", FIRN_TASK_SEQ_CLS, "{\"type\":\"adalora\",\"init_r\":3,\"target_r\":2,\"total_step\":9,\"target_modules\":\"all-linear\"}" },
        { "llama", FIRN_TASK_CAUSAL_LM, "{\"type\":\"vera\",\"r\":3,\"target_modules\":\"all-linear\"}" },
        { "llama", FIRN_TASK_CAUSAL_LM,
          "{\"type\":\"lora\",\"use_dora\":true,\"r\":3,\"target_modules\":[\"q_proj\",\"down_proj\",\"embed_tokens\",\"lm_head\"]}" },
        { "bert", FIRN_TASK_SEQ_CLS,
          "{\"type\":\"lora\",\"use_dora\":true,\"bias\":\"all\",\"target_modules\":\"all-linear\"}" },
        { "bert", FIRN_TASK_SEQ_CLS, "{\"type\":\"ia3\",\"target_modules\":\"all-linear\"}" },
        { "gpt2", FIRN_TASK_CAUSAL_LM,
          "{\"type\":\"lora\",\"r\":3,\"init_lora_weights\":false,\"target_modules\":\"all-linear\"}" },
        { "square", FIRN_TASK_SEQ_CLS, "{\"type\":\"lora\",\"init_lora_weights\":false,\"target_modules\":[\"c_fc\"]}" },
    };
    tiny_gpt2("gpt2", 5);
    tiny_gpt2("square", 6);
    tiny_llama("llama", false, FIRN_F32);
    tiny_llama("tied", true, FIRN_F32);
    tiny_bert("bert");
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct tiny t;
        double largest;
        expect_ok(tiny_open(&t, all[i].base, all[i].task, all[i].method), &t.err);
        const double off = merged_difference(&t, FIRN_STR("out%zu", i), all[i].task, &largest);
        if (!(off <= 2e-6 * (1 + largest))) /* two roundings of each weight and product */
            fail_msg("%s: merged logits differ by %g of %g", all[i].method, off, largest);
        tiny_close(&t);
    }
}

/* Largest difference between the tensors of two folders of one model. */
static double folder_difference(const char *a, const char *b)
{
    struct firn_safetensors x, y;
    struct firn_error err;
    double most = 0;
    expect_ok(firn_safetensors_open(&x, a, &err), &err);
    expect_ok(firn_safetensors_open(&y, b, &err), &err);
    for (size_t i = 0; i < x.count; i++) {
        const struct firn_tensor *t = firn_safetensors_find(&y, x.tensors[i].name);
        assert_non_null(t);
        for (int64_t k = 0; k < firn_shape_count(&t->shape); k++) {
            double p, q;
            firn_tensor_read_f64(&x.tensors[i].tensor, k, 1, &p);
            firn_tensor_read_f64(t, k, 1, &q);
            most = fmax(most, fabs(p - q));
        }
    }
    firn_safetensors_close(&x);
    firn_safetensors_close(&y);
    return most;
}

static void a_merge_can_be_undone(void **state)
{
    (void) state;
    static const char *const methods[] = {
        "{\"type\":\"lora\",\"r\":3,\"target_modules\":\"all-linear\"}", "{\"type\":\"ia3\"}",
        "{\"type\":\"vera\",\"r\":3}", "{\"type\":\"adalora\",\"total_step\":9}",
        "{\"type\":\"lora\",\"use_dora\":true}" };
    const struct firn_save_params merges = { 0 }, undoes = { .undoes = true };
    tiny_llama("llama", false, FIRN_F32);
    for (int i = 0; i < 5; i++) {
        struct tiny t, merged;
        const char *there = scratch_path(FIRN_STR("there%d", i)), *back = scratch_path(FIRN_STR("back%d", i));
        expect_ok(tiny_open(&t, "llama", FIRN_TASK_CAUSAL_LM, methods[i]), &t.err);
        for (int64_t k = 0; k < t.adapter.params.flat; k++)
            t.flat[k] += 0.05f * (float) (1 + k % 7);
        expect_ok(firn_adapter_merge(&t.adapter, &t.model, &t.params, t.flat, there, &merges, &t.err), &t.err);
        expect_ok(tiny_open(&merged, FIRN_STR("there%d", i), FIRN_TASK_CAUSAL_LM, methods[i]), &merged.err);
        const firn_status status =
            firn_adapter_merge(&merged.adapter, &merged.model, &merged.params, t.flat, back, &undoes, &merged.err);
        if (i == 4) { /* a norm of the base is in it */
            expect_error(status, FIRN_ERR_UNSUPPORTED, &merged.err, "cannot be undone", NULL);
        } else {
            expect_ok(status, &merged.err);
            assert_true(folder_difference(scratch_path("llama/model.safetensors"), FIRN_STR("%s/model.safetensors", there)) >
                        1e-2);
            assert_true(folder_difference(scratch_path("llama/model.safetensors"), FIRN_STR("%s/model.safetensors", back)) <
                        2e-6);
        }
        tiny_close(&t);
        tiny_close(&merged);
    }
}

static void a_merge_keeps_the_type_of_each_tensor_and_rounds_once(void **state)
{
    (void) state;
    struct tiny t;
    struct firn_safetensors file;
    double largest;
    tiny_llama("half", false, FIRN_BF16);
    expect_ok(tiny_open(&t, "half", FIRN_TASK_CAUSAL_LM, "{\"type\":\"lora\"}"), &t.err);
    const double off = merged_difference(&t, "out", FIRN_TASK_CAUSAL_LM, &largest);
    assert_true(off > 0 && off <= 0x1p-8 * (1 + largest)); /* one rounding to 8 bits */
    expect_ok(firn_safetensors_open(&file, scratch_path("out/model.safetensors"), &t.err), &t.err);
    for (size_t i = 0; i < file.count; i++)
        assert_int_equal(file.tensors[i].tensor.dtype, FIRN_BF16);
    firn_safetensors_close(&file);
    tiny_close(&t);
}

/* Splits a model's file in two, one tensor in turn to each, with an index. */
static void shard(const char *directory)
{
    static const char *const names[2] = { "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors" };
    struct firn_safetensors file;
    struct firn_error err = { 0 };
    const char *path = scratch_path(FIRN_STR("%s/model.safetensors", directory));
    expect_ok(firn_safetensors_open(&file, path, &err), &err);
    struct firn_named_tensor *part = calloc(file.count, sizeof *part);
    json_t *map = json_object();
    for (size_t f = 0; f < 2; f++) {
        size_t n = 0;
        for (size_t i = f; i < file.count; i += 2) {
            part[n++] = file.tensors[i];
            json_object_set_new(map, file.tensors[i].name, json_string(names[f]));
        }
        expect_ok(firn_safetensors_save(scratch_path(FIRN_STR("%s/%s", directory, names[f])), part, n, &err), &err);
    }
    json_t *index = json_pack("{s:{},s:o}", "metadata", "weight_map", map);
    expect_ok(firn_json_save(scratch_path(FIRN_STR("%s/model.safetensors.index.json", directory)), index, true, &err), &err);
    json_decref(index);
    free(part);
    firn_safetensors_close(&file);
    remove(scratch_path(FIRN_STR("%s/model.safetensors", directory)));
}

static void a_merge_keeps_the_files_of_its_base(void **state)
{
    (void) state;
    struct tiny t;
    json_t *base = NULL, *ours = NULL;
    double largest;
    const char *path;
    tiny_llama("shards", true, FIRN_F32);
    shard("shards");
    expect_ok(tiny_open(&t, "shards", FIRN_TASK_CAUSAL_LM, "{\"type\":\"lora\",\"target_modules\":[\"q_proj\",\"lm_head\"]}"),
              &t.err);
    const double off = merged_difference(&t, "whole", FIRN_TASK_CAUSAL_LM, &largest);
    assert_true(off <= 2e-6 * (1 + largest));
    path = scratch_path("shards/model.safetensors.index.json");
    expect_ok(firn_json_load(path, &base, &t.err), &t.err);
    path = scratch_path("whole/model.safetensors.index.json");
    expect_ok(firn_json_load(path, &ours, &t.err), &t.err);
    json_t *was = json_object_get(base, "weight_map"), *is = json_object_get(ours, "weight_map");
    assert_non_null(json_object_get(is, "lm_head.weight")); /* of its own now */
    json_object_del(is, "lm_head.weight");
    assert_true(json_equal(was, is));
    assert_true(json_integer_value(json_object_get(json_object_get(ours, "metadata"), "total_size")) > 0);
    assert_false(firn_path_exists(scratch_path("whole/model.safetensors")));
    json_decref(base);
    json_decref(ours);
    tiny_close(&t);
}

static void a_merge_tells_its_largest_change(void **state)
{
    (void) state;
    struct tiny t;
    struct firn_merge_report report;
    const struct firn_save_params save = { .report = &report };
    tiny_llama("told", false, FIRN_F32);
    expect_ok(tiny_open(&t, "told", FIRN_TASK_CAUSAL_LM, "{\"type\":\"lora\",\"target_modules\":[\"q_proj\",\"v_proj\"],\"r\":2}"),
              &t.err);
    memset(t.flat, 0, sizeof *t.flat * (size_t) t.adapter.params.flat);
    for (size_t i = 0; i < t.adapter.params.count; i++) {
        const struct firn_param *q = &t.adapter.params.list[i];
        if (strstr(q->name, "v_proj") != NULL)
            t.flat[q->offset] = 0.5f; /* A[0][0] and B[0][0]: 0.25 times alpha / r = 4 */
    }
    expect_ok(firn_adapter_merge(&t.adapter, &t.model, &t.params, t.flat, scratch_path("told_out"), &save, &t.err), &t.err);
    assert_int_equal(report.n_changed, 2);
    assert_string_equal(report.name, "model.layers.0.self_attn.v_proj.weight");
    assert_true(fabs(report.largest - 1) < 1e-6);
    assert_false(report.unties);
    tiny_close(&t);
}

static void a_merge_that_cannot_be_is_refused(void **state)
{
    (void) state;
    struct tiny t;
    const struct firn_save_params save = { 0 };
    tiny_llama("tied", true, FIRN_F32);
    expect_ok(tiny_open(&t, "tied", FIRN_TASK_CAUSAL_LM, "{\"type\":\"full\"}"), &t.err);
    expect_error(firn_adapter_save(&t.adapter, &t.model, &t.params, t.flat, scratch_path("tied"), &save, &t.err),
                 FIRN_ERR_USAGE, &t.err, "another directory", NULL);
    tiny_close(&t);
    expect_ok(tiny_open(&t, "tied", FIRN_TASK_CAUSAL_LM, "{\"type\":\"prefix_tuning\",\"num_virtual_tokens\":2}"), &t.err);
    expect_error(firn_adapter_merge(&t.adapter, &t.model, &t.params, t.flat, scratch_path("never"), &save, &t.err),
                 FIRN_ERR_UNSUPPORTED, &t.err, "prefix_tuning", NULL);
    assert_false(firn_path_exists(scratch_path("never")));
    tiny_close(&t);
}

static void a_saved_adapter_of_every_method_reads_back(void **state)
{
    (void) state;
    static const struct { enum firn_task task; const char *method; } all[] = {
        { FIRN_TASK_SEQ_CLS, "{\"type\":\"lora\",\"target_modules\":[\"word_embeddings\",\"query\"],\"bias\":\"lora_only\","
                             "\"lora_bias\":true,\"layers_to_transform\":[1],\"exclude_modules\":\"x.*\"}" },
        { FIRN_TASK_SEQ_CLS, "{\"type\":\"head\"}" },
        { FIRN_TASK_SEQ_CLS, "{\"type\":\"full\"}" },
        { FIRN_TASK_SEQ_CLS, "{\"type\":\"bitfit\"}" },
        { FIRN_TASK_MASKED_LM, "{\"type\":\"bitfit\"}" },
        { FIRN_TASK_MASKED_LM, "{\"type\":\"lora\",\"target_modules\":\"all-linear\",\"init_lora_weights\":\"gaussian\"}" },
        { FIRN_TASK_EMBEDDING, "{\"type\":\"lora\",\"init_lora_weights\":false,\"lora_alpha\":2.5}" },
        { FIRN_TASK_SEQ_CLS, "{\"type\":\"ia3\",\"init_ia3_weights\":false}" },
        { FIRN_TASK_SEQ_CLS, "{\"type\":\"adalora\",\"init_lora_weights\":false,\"total_step\":5}" },
        { FIRN_TASK_SEQ_CLS, "{\"type\":\"vera\",\"init_weights\":false,\"r\":5,\"projection_prng_key\":9,\"bias\":\"vera_only\"}" },
        { FIRN_TASK_SEQ_CLS, "{\"type\":\"lora\",\"use_dora\":true,\"target_modules\":[\"word_embeddings\",\"key\"]}" } };
    const struct firn_save_params save = { .base_name = "some/base" };
    tiny_bert("bert");
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct tiny t;
        const char *out = scratch_path(FIRN_STR("out%zu", i));
        expect_ok(tiny_open(&t, "bert", all[i].task, all[i].method), &t.err);
        const size_t n = (size_t) t.adapter.params.flat;
        expect_ok(firn_adapter_save(&t.adapter, &t.model, &t.params, t.flat, out, &save, &t.err), &t.err);
        float *read = calloc(n, sizeof *read);
        memcpy(read, t.flat, n * sizeof *read);
        for (size_t k = 0; k < t.adapter.params.count; k++)
            read[t.adapter.params.list[k].offset] = -1;
        expect_ok(firn_adapter_read(&t.adapter, &t.model, out, read, &t.err), &t.err);
        assert_memory_equal(read, t.flat, n * sizeof *read);
        free(read);
        if (strcmp(t.adapter.method->name, "full") != 0) { /* a model folder has no adapter_config.json */
            struct firn_adapter_info info;
            expect_ok(firn_adapter_peek(&info, out, &t.err), &t.err);
            assert_string_equal(info.method, t.adapter.method->saves_as != NULL ? "lora" : t.adapter.method->name);
            assert_string_equal(info.base, "some/base");
            assert_true(info.has_task && info.task == all[i].task);
        }
        tiny_close(&t);
    }
}

/* PEFT has no head-only and no BitFit: their files are a LoRA's, and compute the same when they are loaded as such. */
static void what_peft_has_no_type_for_loads_as_a_lora(void **state)
{
    (void) state;
    static const struct { const char *base; enum firn_task task; const char *method; } all[] = {
        { "bert", FIRN_TASK_SEQ_CLS, "{\"type\":\"head\"}" },
        { "bert", FIRN_TASK_SEQ_CLS, "{\"type\":\"bitfit\"}" },
        { "bert", FIRN_TASK_MASKED_LM, "{\"type\":\"bitfit\"}" },
        { "gpt2", FIRN_TASK_CAUSAL_LM, "{\"type\":\"bitfit\"}" },
        { "gpt2", FIRN_TASK_SEQ_CLS, "{\"type\":\"bitfit\"}" } };
    const struct firn_save_params save = { .base_name = "some/base" };
    tiny_bert("bert");
    tiny_gpt2("gpt2", 5);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct tiny t, loaded = { 0 };
        int64_t n;
        char *out = firn_strdup(scratch_path(FIRN_STR("as%zu", i)));
        expect_ok(tiny_open(&t, all[i].base, all[i].task, all[i].method), &t.err);
        for (size_t k = 0; k < t.adapter.params.count; k++)
            for (int64_t e = 0; e < firn_shape_count(&t.adapter.params.list[k].shape); e++)
                t.flat[t.adapter.params.list[k].offset + e] += 0.01f * (float) (e % 7);
        float *want = tiny_logits(&t, &n);
        expect_ok(firn_adapter_save(&t.adapter, &t.model, &t.params, t.flat, out, &save, &t.err), &t.err);
        loaded.params = t.params;
        expect_ok(firn_model_open(&loaded.model, scratch_path(all[i].base), &loaded.err), &loaded.err);
        expect_ok(firn_adapter_load(&loaded.adapter, &loaded.model, all[i].task, out, &loaded.err), &loaded.err);
        assert_string_equal(loaded.adapter.method->name, "lora");
        expect_ok(firn_model_collect(&loaded.model, &loaded.adapter, &loaded.params, NULL, &loaded.err), &loaded.err);
        loaded.flat = calloc((size_t) loaded.adapter.params.flat + 1, sizeof *loaded.flat);
        expect_ok(firn_adapter_read(&loaded.adapter, &loaded.model, out, loaded.flat, &loaded.err), &loaded.err);
        float *got = tiny_logits(&loaded, &n);
        for (int64_t e = 0; e < n; e++)
            assert_true(got[e] == want[e]);
        free(want);
        free(got);
        free(out);
        tiny_close(&t);
        tiny_close(&loaded);
    }
}

static void settings_read_back_from_a_saved_config(void **state)
{
    (void) state;
    struct tiny t;
    struct firn_adapter again;
    const struct firn_save_params save = { .base_name = "some/base" };
    tiny_bert("bert");
    expect_ok(tiny_open(&t, "bert", FIRN_TASK_MASKED_LM,
                        "{\"type\":\"lora\",\"target_modules\":\"all-linear\",\"rank_pattern\":{\"query\":3,\"y\":2},"
                        "\"lora_alpha\":2.5,\"exclude_modules\":[\"key\"]}"), &t.err);
    expect_ok(firn_adapter_save(&t.adapter, &t.model, &t.params, t.flat, scratch_path("out"), &save, &t.err), &t.err);
    expect_ok(firn_adapter_load(&again, &t.model, FIRN_TASK_MASKED_LM, scratch_path("out"), &t.err), &t.err);
    again.params.decays_all = true;
    expect_ok(firn_model_collect(&t.model, &again, &t.params, NULL, &t.err), &t.err);
    assert_int_equal(again.params.count, t.adapter.params.count);
    assert_int_equal(again.params.flat, t.adapter.params.flat);
    json_t *a = firn_adapter_config(&again, &t.model, FIRN_TASK_MASKED_LM, "some/base");
    json_t *b = firn_adapter_config(&t.adapter, &t.model, FIRN_TASK_MASKED_LM, "some/base");
    assert_true(json_equal(a, b));
    assert_true(json_is_array(json_object_get(a, "target_modules")));
    json_decref(a);
    json_decref(b);
    firn_adapter_close(&again);
    tiny_close(&t);
}

/* Saves a LoRA adapter, then replaces its tensors by `list`. */
static firn_status read_with(const struct scratch_tensor *list, struct firn_error *err)
{
    struct tiny t;
    tiny_llama("llama", false, FIRN_F32);
    expect_ok(tiny_open(&t, "llama", FIRN_TASK_CAUSAL_LM, "{\"type\":\"lora\",\"r\":2,\"target_modules\":[\"q_proj\"]}"),
              &t.err);
    scratch_mkdir("adapter");
    scratch_tensors("adapter/adapter_model.safetensors", list);
    const firn_status status = firn_adapter_read(&t.adapter, &t.model, scratch_path("adapter"), t.flat, err);
    tiny_close(&t);
    return status;
}

static void tensors_that_are_missing_misshapen_or_strange_are_named(void **state)
{
    (void) state;
#define Q "base_model.model.model.layers.0.self_attn.q_proj."
    struct firn_error err = { 0 };
    expect_ok(read_with((struct scratch_tensor[]){ { Q "lora_A.weight", FIRN_DIMS(2, 8), FIRN_BF16 },
                                                   { Q "lora_B.weight", FIRN_DIMS(8, 2), FIRN_F16 }, { NULL } }, &err), &err);
    expect_error(read_with((struct scratch_tensor[]){ { Q "lora_A.weight", FIRN_DIMS(2, 8) }, { NULL } }, &err),
                 FIRN_ERR_FORMAT, &err, Q "lora_B.weight", "no such tensor");
    expect_error(read_with((struct scratch_tensor[]){ { Q "lora_A.weight", FIRN_DIMS(3, 8) },
                                                      { Q "lora_B.weight", FIRN_DIMS(8, 3) }, { NULL } }, &err),
                 FIRN_ERR_SHAPE, &err, "expected [2, 8]", "got [3, 8]");
    expect_error(read_with((struct scratch_tensor[]){ { Q "lora_A.weight", FIRN_DIMS(2, 8) },
                                                      { Q "lora_B.weight", FIRN_DIMS(8, 2) },
                                                      { Q "lora_magnitude_vector", FIRN_DIMS(8) }, { NULL } }, &err),
                 FIRN_ERR_FORMAT, &err, "lora_magnitude_vector", "no tensor of this adapter");
    expect_ok(read_with((struct scratch_tensor[]){ { Q "lora_A.weight", FIRN_DIMS(2, 8) },
                                                   { Q "lora_B.weight", FIRN_DIMS(8, 2) },
                                                   { "base_model.model.score.original_module.weight", FIRN_DIMS(8) },
                                                   { NULL } }, &err), &err);
    /* the table that PEFT saves beside an embedding's update: taken when it is the base's own, else not */
    expect_ok(read_with((struct scratch_tensor[]){ { "base_model.model.model.embed_tokens.base_layer.weight", FIRN_DIMS(10, 8) },
                                                   { Q "lora_A.weight", FIRN_DIMS(2, 8) },
                                                   { Q "lora_B.weight", FIRN_DIMS(8, 2) }, { NULL } }, &err), &err);
    expect_error(read_with((struct scratch_tensor[]){ { Q "lora_A.weight", FIRN_DIMS(2, 8) },
                                                      { "base_model.model.model.embed_tokens.base_layer.weight", FIRN_DIMS(10, 8) },
                                                      { Q "lora_B.weight", FIRN_DIMS(8, 2) }, { NULL } }, &err),
                 FIRN_ERR_UNSUPPORTED, &err, "base_layer.weight", "own table");
}

static void an_adapter_that_is_a_pickle_or_nothing_is_an_error(void **state)
{
    (void) state;
    struct tiny t;
    tiny_bert("bert");
    expect_ok(tiny_open(&t, "bert", FIRN_TASK_SEQ_CLS, "{\"type\":\"lora\"}"), &t.err);
    scratch_mkdir("empty");
    expect_error(firn_adapter_read(&t.adapter, &t.model, scratch_path("empty"), t.flat, &t.err), FIRN_ERR_IO, &t.err,
                 "adapter_model.safetensors", NULL);
    scratch_write("empty/adapter_model.bin", "x");
    expect_error(firn_adapter_read(&t.adapter, &t.model, scratch_path("empty"), t.flat, &t.err), FIRN_ERR_UNSUPPORTED,
                 &t.err, "pickle", "save_pretrained");
    tiny_close(&t);
    struct firn_adapter a;
    struct firn_error err = { 0 };
    struct firn_model m;
    expect_ok(firn_model_open(&m, scratch_path("bert"), &err), &err);
    expect_error(firn_adapter_load(&a, &m, FIRN_TASK_SEQ_CLS, scratch_path("empty"), &err), FIRN_ERR_IO, &err,
                 "adapter_config.json", NULL);
    firn_adapter_close(&a);
    scratch_write("empty/adapter_config.json", "{\"peft_type\":\"LORA\",\"r\":-1}");
    expect_error(firn_adapter_load(&a, &m, FIRN_TASK_SEQ_CLS, scratch_path("empty"), &err), FIRN_ERR_FORMAT, &err,
                 "adapter_config.json: r", NULL);
    firn_adapter_close(&a);
    firn_model_close(&m);
}

#define T(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(an_adapter_is_written_as_peft_writes_it),
        T(peek_tells_task_labels_and_method),
        T(a_full_model_is_written_as_transformers_writes_it),
        T(a_merged_model_computes_what_the_adapter_did),
        T(a_merge_can_be_undone),
        T(a_merge_keeps_the_type_of_each_tensor_and_rounds_once),
        T(a_merge_keeps_the_files_of_its_base),
        T(a_merge_tells_its_largest_change),
        T(a_merge_that_cannot_be_is_refused),
        T(a_saved_adapter_of_every_method_reads_back),
        T(what_peft_has_no_type_for_loads_as_a_lora),
        T(settings_read_back_from_a_saved_config),
        T(tensors_that_are_missing_misshapen_or_strange_are_named),
        T(an_adapter_that_is_a_pickle_or_nothing_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
