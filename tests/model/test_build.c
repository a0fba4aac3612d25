/* SPDX-License-Identifier: Apache-2.0 */
/* Building graphs: which weights are asked for, where methods come in, and what goes wrong by name. */
#include "../peft/tiny.h"
#include "plan/passes.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A method that only watches. */
static struct seen {
    int linear_in, linear, embed, attention, feed_forward, kv, input;
    int64_t last_layer;
    char path[200];
} seen;

static bool watch_targets(const void *settings, const struct firn_site *s)
{
    (void) settings;
    return s->kind == FIRN_SITE_LINEAR || s->kind == FIRN_SITE_EMBEDDING;
}
static firn_val watch_in(const void *settings, struct firn_build *b, const struct firn_site *s, firn_val x)
{
    (void) settings;
    (void) b;
    assert_true(firn_is_value(s->weight) && firn_val_shape(b->g, s->weight).dim[0] == s->n_out);
    seen.linear_in++;
    return x;
}
static firn_val watch_linear(const void *settings, struct firn_build *b, const struct firn_site *s, firn_val x, firn_val y)
{
    (void) settings;
    assert_int_equal(firn_val_shape(b->g, x).dim[1], s->n_in);
    assert_int_equal(firn_val_shape(b->g, y).dim[1], s->n_out);
    seen.linear++;
    return y;
}
static firn_val watch_embed(const void *settings, struct firn_build *b, const struct firn_site *s, firn_val ids, firn_val y)
{
    (void) settings;
    (void) s;
    assert_int_equal(firn_val_shape(b->g, ids).dim[0], firn_val_shape(b->g, y).dim[0]);
    seen.embed++;
    return y;
}
static void watch_kv(const void *settings, struct firn_build *b, int64_t layer, firn_val *k, firn_val *v)
{
    (void) settings;
    (void) b;
    assert_true(firn_is_value(*k) && firn_is_value(*v));
    seen.last_layer = layer;
    seen.kv++;
}
static firn_val watch_sublayer(const void *settings, struct firn_build *b, const struct firn_sublayer *s)
{
    (void) settings;
    if (s->kind == FIRN_SUBLAYER_ATTENTION) {
        seen.attention++;
        snprintf(seen.path, sizeof seen.path, "%s", s->path);
    } else {
        seen.feed_forward++;
    }
    const firn_val y = firn_add(b->g, s->f, s->x);
    return s->norm != NULL ? firn_layer_norm_at(b, s->norm, y) : y;
}
static firn_val watch_input(const void *settings, struct firn_build *b, firn_val x)
{
    (void) settings;
    (void) b;
    seen.input++;
    return x;
}
static const struct firn_method watcher = {
    .name = "watcher", .peft_type = "WATCHER", .targets = watch_targets, .linear_input = watch_in,
    .linear = watch_linear, .embed = watch_embed, .kv = watch_kv, .sublayer = watch_sublayer, .input = watch_input };

static void a_method_sees_every_site_of_a_model(void **state)
{
    (void) state;
    struct tiny t, plain;
    int64_t n;
    static const struct { const char *name; enum firn_task task; int linear, embed, layers; const char *path; } all[] = {
        { "llama", FIRN_TASK_CAUSAL_LM, 8, 1, 1, "model.layers.0" },
        { "bert", FIRN_TASK_MASKED_LM, 14, 3, 2, "bert.encoder.layer.1.attention.output" } };
    tiny_llama("llama", false, FIRN_F32);
    tiny_bert("bert");
    for (int i = 0; i < 2; i++) {
        expect_ok(tiny_open(&t, all[i].name, all[i].task, NULL), &t.err);
        t.adapter.method = &watcher;
        memset(&seen, 0, sizeof seen);
        float *watched = tiny_logits(&t, &n);
        assert_int_equal(seen.linear, all[i].linear);
        assert_int_equal(seen.linear_in, all[i].linear);
        assert_int_equal(seen.embed, all[i].embed);
        assert_int_equal(seen.attention, all[i].layers);
        assert_int_equal(seen.feed_forward, all[i].layers);
        assert_int_equal(seen.kv, all[i].layers);
        assert_int_equal(seen.last_layer, all[i].layers - 1);
        assert_int_equal(seen.input, 1);
        assert_string_equal(seen.path, all[i].path);
        t.adapter.method = NULL;
        tiny_close(&t);
        expect_ok(tiny_open(&plain, all[i].name, all[i].task, NULL), &plain.err);
        float *alone = tiny_logits(&plain, &n);
        assert_memory_equal(watched, alone, sizeof *alone * (size_t) n);
        tiny_close(&plain);
        free(watched);
        free(alone);
    }
}

static void a_missing_or_misshapen_tensor_is_named_with_both_shapes(void **state)
{
    (void) state;
    struct tiny t;
    struct firn_safetensors file;
    struct firn_named_tensor list[32];
    tiny_llama("llama", false, FIRN_F32);
    for (int round = 0; round < 3; round++) {
        struct firn_error err = { 0 };
        size_t n = 0;
        expect_ok(firn_safetensors_open(&file, scratch_path("llama/model.safetensors"), &err), &err);
        scratch_mkdir("broken");
        scratch_write("broken/tokenizer.json", "{}");
        char *config;
        size_t size;
        expect_ok(firn_file_read(scratch_path("llama/config.json"), 10000, &config, &size, &err), &err);
        scratch_write("broken/config.json", config);
        free(config);
        for (size_t i = 0; i < file.count; i++) {
            list[n] = file.tensors[i];
            if (strcmp(list[n].name, "model.layers.0.mlp.up_proj.weight") == 0) {
                if (round == 0)
                    continue;
                if (round == 1)
                    list[n].tensor.shape = firn_dims(8, 6);
                else
                    list[n].tensor.dtype = FIRN_I32;
            }
            n++;
        }
        expect_ok(firn_safetensors_save(scratch_path("broken/model.safetensors"), list, n, &err), &err);
        firn_safetensors_close(&file);
        const firn_status status = tiny_open(&t, "broken", FIRN_TASK_CAUSAL_LM, NULL);
        expect_error(status, FIRN_ERR_SHAPE, &t.err, "model.layers.0.mlp.up_proj.weight",
                     round == 0   ? "expected [6, 8], got no such tensor"
                     : round == 1 ? "expected [6, 8], got [8, 6]"
                                  : "expected f32, f16 or bf16, got i32");
        tiny_close(&t);
    }
}

static void matrices_stay_as_stored_and_vectors_become_f32(void **state)
{
    (void) state;
    static const enum firn_dtype types[] = { FIRN_F16, FIRN_BF16 };
    for (int i = 0; i < 2; i++) {
        struct tiny t;
        struct firn_build b;
        int64_t n;
        tiny_llama("half", false, types[i]);
        expect_ok(tiny_open(&t, "half", FIRN_TASK_CAUSAL_LM, NULL), &t.err);
        struct firn_graph *g = firn_graph_create();
        expect_ok(firn_model_build(&b, g, &t.model, &t.adapter, &t.params, &t.err), &t.err);
        for (uint32_t id = 1; id < firn_graph_n_values(g); id++) {
            const struct firn_value *v = firn_graph_value(g, (firn_val){ id });
            const void *data = NULL, *again = NULL;
            if (v->node != FIRN_NO_NODE || v->leaf != FIRN_LEAF_WEIGHT)
                continue;
            const bool is_matrix = v->shape.rank > 1 && strncmp(v->name, "rope.", 5) != 0;
            assert_int_equal(v->dtype, is_matrix ? types[i] : FIRN_F32);
            expect_ok(firn_model_leaf(&t.model, v, &data, &t.err), &t.err);
            expect_ok(firn_model_leaf(&t.model, v, &again, &t.err), &t.err);
            assert_ptr_equal(data, again); /* made once */
        }
        firn_graph_destroy(&g);
        float *logits = tiny_logits(&t, &n);
        for (int64_t k = 0; k < n; k++)
            assert_true(isfinite(logits[k]));
        free(logits);
        tiny_close(&t);
    }
}

static void a_graph_cannot_ask_for_parameters_that_were_not_collected(void **state)
{
    (void) state;
    struct tiny t;
    struct firn_build b;
    tiny_bert("bert");
    expect_ok(tiny_open(&t, "bert", FIRN_TASK_TOKEN_CLS, "{\"type\":\"full\"}"), &t.err);
    struct firn_build_params other = t.params;
    struct firn_graph *g = firn_graph_create();
    other.task = FIRN_TASK_MASKED_LM;
    expect_error(firn_model_build(&b, g, &t.model, &t.adapter, &other, &t.err), FIRN_ERR_SHAPE, &t.err,
                 "cls.predictions.transform.dense.weight", "not there when parameters were collected");
    firn_graph_destroy(&g);
    g = firn_graph_create();
    other = t.params;
    other.n_labels = 4;
    expect_error(firn_model_build(&b, g, &t.model, &t.adapter, &other, &t.err), FIRN_ERR_SHAPE, &t.err,
                 "classifier.weight", "expected [3, 8], got [4, 8]");
    firn_graph_destroy(&g);
    tiny_close(&t);
}

static void sizes_that_cannot_be_are_refused_before_building(void **state)
{
    (void) state;
    struct tiny t;
    struct firn_build b;
    tiny_bert("bert");
    expect_ok(tiny_open(&t, "bert", FIRN_TASK_MASKED_LM, NULL), &t.err);
    static const int64_t lengths[] = { 0, -1, 13 };
    for (int i = 0; i < 3; i++) {
        struct firn_graph *g = firn_graph_create();
        t.params.length = lengths[i];
        expect_error(firn_model_build(&b, g, &t.model, &t.adapter, &t.params, &t.err), FIRN_ERR_SHAPE, &t.err,
                     "max_position_embeddings", "1 to 12 tokens");
        firn_graph_destroy(&g);
    }
    tiny_close(&t);
    struct tiny c;
    expect_ok(tiny_open(&c, "bert", FIRN_TASK_SEQ_CLS, "{\"type\":\"head\"}"), &c.err);
    struct firn_graph *g = firn_graph_create();
    c.params.n_labels = 0;
    expect_error(firn_model_build(&b, g, &c.model, &c.adapter, &c.params, &c.err), FIRN_ERR_USAGE, &c.err, "labels", "0");
    firn_graph_destroy(&g);
    tiny_close(&c);
}

static void picked_logits_are_rows_of_all_logits(void **state)
{
    (void) state;
    static const char *const methods[] = { NULL, "{\"type\":\"lora\",\"target_modules\":[\"lm_head\"]}" };
    tiny_llama("llama", false, FIRN_F32);
    for (int i = 0; i < 2; i++) {
        struct tiny t;
        int64_t n, m;
        expect_ok(tiny_open(&t, "llama", FIRN_TASK_CAUSAL_LM, methods[i]), &t.err);
        float *all = tiny_logits(&t, &n);
        t.params.picked_logits = true;
        float *picked = tiny_logits(&t, &m);
        assert_int_equal(n, 100);
        assert_int_equal(m, 20);
        for (int k = 0; k < 10; k++) { /* rows 4 and 7 */
            assert_true(fabsf(picked[k] - all[40 + k]) <= 1e-6f);
            assert_true(fabsf(picked[10 + k] - all[70 + k]) <= 1e-6f);
        }
        free(all);
        free(picked);
        tiny_close(&t);
    }
}

/* Nodes that read the random numbers; where picked rows alone are computed, nobody sees the others. */
static int n_dropouts(struct tiny *t)
{
    struct firn_build b;
    int n = 0;
    struct firn_graph *g = firn_graph_create();
    expect_ok(firn_model_build(&b, g, &t->model, &t->adapter, &t->params, &t->err), &t->err);
    expect_ok(firn_pass_prune(g, &t->err), &t->err);
    for (uint32_t i = 0; i < firn_graph_n_nodes(g); i++) {
        const struct firn_node *node = firn_graph_node(g, i);
        for (int k = 0; k < node->op->n_in && !node->dead; k++)
            n += firn_is_value(node->in[k]) && strcmp(firn_val_name(g, node->in[k]), "rng") == 0;
    }
    assert_int_equal(n, (int) b.n_dropouts);
    firn_graph_destroy(&g);
    return n;
}

static void dropouts_are_there_when_training_only(void **state)
{
    (void) state;
    struct tiny t;
    tiny_bert("bert");
    expect_ok(tiny_open(&t, "bert", FIRN_TASK_SEQ_CLS, "{\"type\":\"lora\",\"lora_dropout\":0.1}"), &t.err);
    assert_int_equal(n_dropouts(&t), 0);
    t.params.training = true;
    /* embeddings; a layer: probabilities, two outputs, two updates; classifier */
    assert_int_equal(n_dropouts(&t), 1 + 2 * 5 + 1);
    tiny_close(&t);
}

static void a_sentence_vector_is_the_mean_of_what_is_not_padding(void **state)
{
    (void) state;
    static const float hidden[2 * 3 * 2] = { 3, 0, 3, 8, 100, 100, 1, 2, 3, 4, 5, 6 };
    static const int32_t mask[6] = { 1, 1, 0, 0, 0, 0 };
    float out[4];
    firn_sentence_vectors(hidden, mask, 2, 3, 2, out);
    assert_true(fabsf(out[0] - 0.6f) < 1e-7f && fabsf(out[1] - 0.8f) < 1e-7f);
    assert_true(out[2] == 0 && out[3] == 0); /* nothing to average: zeros, not NaN */
}

#define T(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_method_sees_every_site_of_a_model),
        T(a_missing_or_misshapen_tensor_is_named_with_both_shapes),
        T(matrices_stay_as_stored_and_vectors_become_f32),
        T(a_graph_cannot_ask_for_parameters_that_were_not_collected),
        T(sizes_that_cannot_be_are_refused_before_building),
        T(picked_logits_are_rows_of_all_logits),
        T(dropouts_are_there_when_training_only),
        T(a_sentence_vector_is_the_mean_of_what_is_not_padding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
