/* SPDX-License-Identifier: Apache-2.0 */
#include "tiny.h"

#include "peft/mixed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *in(const char *directory, const char *name)
{
    static char ring[4][200];
    static int at;
    char *text = ring[at++ % 4];
    snprintf(text, sizeof ring[0], "%s/%s", directory, name);
    return text;
}

#define L "model.layers.0."

void tiny_llama(const char *directory, bool tied, enum firn_dtype dtype)
{
    char config[500];
    snprintf(config, sizeof config,
             "{\"model_type\":\"llama\",\"hidden_size\":8,\"num_hidden_layers\":1,\"num_attention_heads\":2,"
             "\"num_key_value_heads\":1,\"intermediate_size\":6,\"vocab_size\":10,\"pad_token_id\":0,"
             "\"max_position_embeddings\":16,\"tie_word_embeddings\":%s,\"torch_dtype\":\"bfloat16\"}",
             tied ? "true" : "false");
    scratch_mkdir(directory);
    scratch_write(in(directory, "config.json"), config);
    scratch_write(in(directory, "tokenizer.json"), "{\"a\": 1}");
    const struct scratch_tensor all[] = {
        { "model.embed_tokens.weight", FIRN_DIMS(10, 8), dtype },
        { L "input_layernorm.weight", FIRN_DIMS(8), dtype },
        { L "post_attention_layernorm.weight", FIRN_DIMS(8), dtype },
        { L "self_attn.q_proj.weight", FIRN_DIMS(8, 8), dtype },
        { L "self_attn.k_proj.weight", FIRN_DIMS(4, 8), dtype },
        { L "self_attn.v_proj.weight", FIRN_DIMS(4, 8), dtype },
        { L "self_attn.o_proj.weight", FIRN_DIMS(8, 8), dtype },
        { L "mlp.gate_proj.weight", FIRN_DIMS(6, 8), dtype },
        { L "mlp.up_proj.weight", FIRN_DIMS(6, 8), dtype },
        { L "mlp.down_proj.weight", FIRN_DIMS(8, 6), dtype },
        { "model.norm.weight", FIRN_DIMS(8), dtype },
        { tied ? NULL : "lm_head.weight", FIRN_DIMS(10, 8), dtype },
        { NULL } };
    scratch_tensors(in(directory, "model.safetensors"), all);
}

static void write_bert(const char *directory, bool has_pooler)
{
    static const struct { const char *name; struct firn_shape shape; } layer[] = {
        { "attention.self.query.weight", FIRN_DIMS(8, 8) }, { "attention.self.query.bias", FIRN_DIMS(8) },
        { "attention.self.key.weight", FIRN_DIMS(8, 8) },   { "attention.self.key.bias", FIRN_DIMS(8) },
        { "attention.self.value.weight", FIRN_DIMS(8, 8) }, { "attention.self.value.bias", FIRN_DIMS(8) },
        { "attention.output.dense.weight", FIRN_DIMS(8, 8) }, { "attention.output.dense.bias", FIRN_DIMS(8) },
        { "attention.output.LayerNorm.weight", FIRN_DIMS(8) }, { "attention.output.LayerNorm.bias", FIRN_DIMS(8) },
        { "intermediate.dense.weight", FIRN_DIMS(6, 8) },   { "intermediate.dense.bias", FIRN_DIMS(6) },
        { "output.dense.weight", FIRN_DIMS(8, 6) },         { "output.dense.bias", FIRN_DIMS(8) },
        { "output.LayerNorm.weight", FIRN_DIMS(8) },        { "output.LayerNorm.bias", FIRN_DIMS(8) } };
    enum { N = sizeof layer / sizeof layer[0] };
    static char names[2 * N][100];
    struct scratch_tensor all[2 * N + 20] = { { NULL } };
    size_t n = 0;
    for (int i = 0; i < 2 * N; i++) {
        snprintf(names[i], sizeof names[i], "bert.encoder.layer.%d.%s", i / N, layer[i % N].name);
        all[n++] = (struct scratch_tensor){ names[i], layer[i % N].shape, FIRN_F32 };
    }
    const struct scratch_tensor rest[] = {
        { "bert.embeddings.word_embeddings.weight", FIRN_DIMS(10, 8), FIRN_F32 },
        { "bert.embeddings.position_embeddings.weight", FIRN_DIMS(12, 8), FIRN_F32 },
        { "bert.embeddings.token_type_embeddings.weight", FIRN_DIMS(2, 8), FIRN_F32 },
        { "bert.embeddings.LayerNorm.weight", FIRN_DIMS(8), FIRN_F32 },
        { "bert.embeddings.LayerNorm.bias", FIRN_DIMS(8), FIRN_F32 },
        { "bert.pooler.dense.weight", FIRN_DIMS(8, 8), FIRN_F32 },
        { "bert.pooler.dense.bias", FIRN_DIMS(8), FIRN_F32 },
        { "cls.predictions.transform.dense.weight", FIRN_DIMS(8, 8), FIRN_F32 },
        { "cls.predictions.transform.dense.bias", FIRN_DIMS(8), FIRN_F32 },
        { "cls.predictions.transform.LayerNorm.weight", FIRN_DIMS(8), FIRN_F32 },
        { "cls.predictions.transform.LayerNorm.bias", FIRN_DIMS(8), FIRN_F32 },
        { "cls.predictions.bias", FIRN_DIMS(10), FIRN_F32 } };
    for (size_t i = 0; i < sizeof rest / sizeof rest[0]; i++)
        if (has_pooler || strstr(rest[i].name, ".pooler.") == NULL)
            all[n++] = rest[i];
    scratch_mkdir(directory);
    scratch_write(in(directory, "config.json"),
                  "{\"model_type\":\"bert\",\"hidden_size\":8,\"num_hidden_layers\":2,\"num_attention_heads\":2,"
                  "\"intermediate_size\":6,\"vocab_size\":10,\"max_position_embeddings\":12}");
    scratch_tensors(in(directory, "model.safetensors"), all);
}

void tiny_bert(const char *directory)
{
    write_bert(directory, true);
}

void tiny_bert_bare(const char *directory)
{
    write_bert(directory, false);
}

void tiny_gpt2(const char *directory, int64_t hidden)
{
    static char names[24][100];
    const struct scratch_tensor layer[] = {
        { "ln_1.weight", FIRN_DIMS(6), FIRN_F32 },         { "ln_1.bias", FIRN_DIMS(6), FIRN_F32 },
        { "attn.c_attn.weight", FIRN_DIMS(6, 18), FIRN_F32 }, { "attn.c_attn.bias", FIRN_DIMS(18), FIRN_F32 },
        { "attn.c_proj.weight", FIRN_DIMS(6, 6), FIRN_F32 }, { "attn.c_proj.bias", FIRN_DIMS(6), FIRN_F32 },
        { "ln_2.weight", FIRN_DIMS(6), FIRN_F32 },         { "ln_2.bias", FIRN_DIMS(6), FIRN_F32 },
        { "mlp.c_fc.weight", firn_dims(6, hidden), FIRN_F32 }, { "mlp.c_fc.bias", firn_dims(hidden), FIRN_F32 },
        { "mlp.c_proj.weight", firn_dims(hidden, 6), FIRN_F32 }, { "mlp.c_proj.bias", FIRN_DIMS(6), FIRN_F32 } };
    struct scratch_tensor all[2 * 12 + 5] = { { "wte.weight", FIRN_DIMS(10, 6), FIRN_F32 },
                                              { "wpe.weight", FIRN_DIMS(12, 6), FIRN_F32 },
                                              { "ln_f.weight", FIRN_DIMS(6), FIRN_F32 },
                                              { "ln_f.bias", FIRN_DIMS(6), FIRN_F32 } };
    for (int i = 0; i < 24; i++) {
        snprintf(names[i], sizeof names[i], "h.%d.%s", i / 12, layer[i % 12].name);
        all[4 + i] = (struct scratch_tensor){ names[i], layer[i % 12].shape, FIRN_F32 };
    }
    char config[300];
    snprintf(config, sizeof config,
             "{\"model_type\":\"gpt2\",\"n_embd\":6,\"n_layer\":2,\"n_head\":3,\"n_inner\":%d,\"vocab_size\":10,"
             "\"n_positions\":12,\"n_ctx\":12,\"pad_token_id\":0}", (int) hidden);
    scratch_mkdir(directory);
    scratch_write(in(directory, "config.json"), config);
    scratch_tensors(in(directory, "model.safetensors"), all);
}

firn_status tiny_open(struct tiny *t, const char *directory, enum firn_task task, const char *method)
{
    memset(t, 0, sizeof *t);
    t->params = (struct firn_build_params){ .batch = 2, .length = 5, .task = task, .n_labels = 3, .wants_logits = true };
    expect_ok(firn_model_open(&t->model, scratch_path(directory), &t->err), &t->err);
    firn_status status = FIRN_OK;
    if (method != NULL) {
        json_t *config = NULL;
        expect_ok(firn_json_parse(method, strlen(method), "method", &config, &t->err), &t->err);
        status = firn_adapter_open(&t->adapter, &t->model, task, config, "recipe.yaml", "method.", &t->err);
        json_decref(config);
    }
    t->adapter.params.decays_all = true;
    if (status == FIRN_OK)
        status = firn_model_collect(&t->model, &t->adapter, &t->params, &t->counts, &t->err);
    t->flat = calloc((size_t) t->adapter.params.flat + 1, sizeof *t->flat);
    if (status == FIRN_OK)
        status = firn_adapter_init(&t->adapter, &t->model, 1, t->flat, &t->err);
    return status;
}

void tiny_close(struct tiny *t)
{
    firn_adapter_close(&t->adapter);
    firn_model_close(&t->model);
    free(t->flat);
    memset(t, 0, sizeof *t);
}

static void put(struct tiny *t, struct firn_store *s, const char *name, const int32_t *data, int64_t n)
{
    if (firn_store_has(s, name))
        expect_ok(firn_store_write(s, name, 0, data, sizeof *data * (size_t) n, &t->err), &t->err);
}

/* Two rows of five tokens behind what a method puts in front of them. */
static void put_inputs(struct tiny *t, const struct firn_build *b, struct firn_store *store)
{
    static const int32_t ids[10] = { 1, 2, 3, 4, 5, 9, 8, 7, 0, 0 };
    const int n = (int) b->n_virtual, keys = n + (int) b->n_prefix;
    int32_t mask[100], at[100], types[100] = { 0 }, pick[2] = { n + 4, 2 * n + 7 };
    for (int i = 0; i < 2 * (keys + 5); i++)
        mask[i] = i < 2 * (keys + 5) - 2;
    for (int i = 0; i < 2 * (n + 5); i++)
        at[i] = i % (n + 5) + (int) b->n_prefix;
    put(t, store, "input_ids", ids, 10);
    put(t, store, "attention_mask", mask, 2 * (keys + 5));
    put(t, store, "position_ids", at, 2 * (n + 5));
    put(t, store, "token_type_ids", types, 2 * (n + 5));
    put(t, store, "pick", pick, 2);
}

/* Nodes that read the leaf. */
static int count_readers(const struct firn_graph *g, const char *name)
{
    int n = 0;
    for (uint32_t i = 0; i < firn_graph_n_nodes(g); i++) {
        const struct firn_node *node = firn_graph_node(g, i);
        for (int k = 0; k < node->op->n_in; k++)
            n += firn_is_value(node->in[k]) && firn_graph_value(g, node->in[k])->node == FIRN_NO_NODE &&
                 strcmp(firn_graph_value(g, node->in[k])->name, name) == 0;
    }
    return n;
}

struct mixture {
    struct tiny *const *list;
    size_t n;
    const int32_t *of;
    const char *weight;
    int *products;
};

static float *logits(struct tiny *t, struct firn_adapter *adapter, const struct mixture *mix, int64_t *count)
{
    struct firn_graph *g = firn_graph_create();
    struct firn_build b;
    struct firn_device *device = NULL;
    struct firn_store *store = NULL;
    struct firn_plan *plan = NULL;
    struct firn_error *err = &t->err;
    float *out = NULL;
    expect_ok(firn_model_build(&b, g, &t->model, adapter, &t->params, err), err);
    expect_ok(firn_device_open(&device, "cpu:exact", &(struct firn_device_params){ .n_threads = 1 }, err), err);
    expect_ok(firn_store_create(&store, device, err), err);
    expect_ok(firn_plan_create(&plan, g, &device->limits, true, true, err), err);
    expect_ok(firn_model_load(&t->model, g, store, err), err);
    for (size_t k = 0; k < mix->n; k++) {
        const struct tiny *owner = mix->list[k];
        if (owner->adapter.params.flat > 0)
            expect_ok(firn_store_add(store, FIRN_LEAF_PARAM, firn_params_leaf(&owner->adapter),
                                     sizeof(float) * (size_t) owner->adapter.params.flat, owner->flat, err), err);
    }
    if (mix->products != NULL)
        *mix->products = count_readers(g, mix->weight);
    expect_ok(firn_plan_bind(plan, store, err), err);
    put_inputs(t, &b, store);
    if (mix->of != NULL)
        put(t, store, FIRN_MIXED_INPUT, mix->of, 2);
    expect_ok(firn_plan_run(plan, true, false, err), err);
    for (uint32_t id = 1; id < firn_graph_n_values(g); id++) {
        const struct firn_value *v = firn_graph_value(g, (firn_val){ id });
        if (v->node != FIRN_NO_NODE || firn_is_value(v->base) || strcmp(v->name, "logits") != 0)
            continue;
        *count = firn_shape_count(&v->shape);
        out = calloc((size_t) *count + 1, sizeof *out);
        expect_ok(firn_store_read(store, "logits", 0, out, sizeof *out * (size_t) *count, err), err);
    }
    firn_plan_destroy(&plan);
    firn_store_destroy(&store);
    firn_device_close(&device);
    firn_graph_destroy(&g);
    assert_non_null(out);
    return out;
}

float *tiny_logits(struct tiny *t, int64_t *count)
{
    return logits(t, &t->adapter, &(struct mixture){ .list = &t, .n = 1 }, count);
}

float *tiny_mixed_logits(struct tiny *const *list, size_t n, const int32_t *of, const char *weight, int *products,
                         int64_t *count)
{
    const struct firn_adapter *adapters[8] = { NULL };
    struct firn_adapter mixed;
    for (size_t k = 0; k < n; k++) {
        adapters[k] = &list[k]->adapter;
        snprintf(list[k]->adapter.leaf, sizeof list[k]->adapter.leaf, "params.%d", (int) (k % 8));
    }
    assert_true(firn_mixed_can(adapters, n));
    expect_ok(firn_mixed_open(&mixed, adapters, n, &list[0]->err), &list[0]->err);
    float *out = logits(list[0], &mixed, &(struct mixture){ list, n, of, weight, products }, count);
    firn_mixed_close(&mixed);
    for (size_t k = 0; k < n; k++)
        list[k]->adapter.leaf[0] = '\0';
    return out;
}
