/* SPDX-License-Identifier: Apache-2.0 */
/* Gemma in GGUF files and models in several files: the same logits as from safetensors. */
#include "../peft/tiny.h"
#include "golden.h"

#include "model/gguf_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* llama.cpp's names, written down again. */
static const char *const names[][2] = {
    { "input_layernorm", "attn_norm" }, { "post_attention_layernorm", "post_attention_norm" },
    { "pre_feedforward_layernorm", "ffn_norm" }, { "post_feedforward_layernorm", "post_ffw_norm" },
    { "self_attn.q_proj", "attn_q" }, { "self_attn.k_proj", "attn_k" }, { "self_attn.v_proj", "attn_v" },
    { "self_attn.o_proj", "attn_output" }, { "self_attn.q_norm", "attn_q_norm" }, { "self_attn.k_norm", "attn_k_norm" },
    { "mlp.gate_proj", "ffn_gate" }, { "mlp.up_proj", "ffn_up" }, { "mlp.down_proj", "ffn_down" } };

static void name_of(const char *path, char *name, size_t size)
{
    int layer, used = 0;
    name[0] = '\0';
    if (strcmp(path, "model.embed_tokens.weight") == 0)
        snprintf(name, size, "token_embd.weight");
    else if (strcmp(path, "model.norm.weight") == 0)
        snprintf(name, size, "output_norm.weight");
    else if (sscanf(path, "model.layers.%d.%n", &layer, &used) == 1)
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
            char one[100];
            snprintf(one, sizeof one, "%s.weight", names[i][0]);
            if (strcmp(path + used, one) == 0)
                snprintf(name, size, "blk.%d.%s.weight", layer, names[i][1]);
        }
    if (name[0] == '\0')
        fail_msg("no name for %s", path);
}

static void put_keys(struct firn_gguf_writer *w, const char *arch, const struct firn_config *c)
{
    const struct { const char *key; int64_t value; } all[] = {
        { "block_count", c->n_layers }, { "context_length", c->max_positions }, { "embedding_length", c->width },
        { "feed_forward_length", c->hidden }, { "attention.head_count", c->n_heads }, { "attention.head_count_kv", c->n_kv_heads },
        { "attention.key_length", c->head_dim }, { "attention.value_length", c->head_dim } };
    firn_gguf_put_text(w, "general.architecture", arch);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        firn_gguf_put_u32(w, FIRN_STR("%s.%s", arch, all[i].key), (uint32_t) all[i].value);
    firn_gguf_put_f32(w, FIRN_STR("%s.attention.layer_norm_rms_epsilon", arch), (float) c->norm_eps);
    firn_gguf_put_f32(w, FIRN_STR("%s.rope.freq_base", arch), (float) c->rope_theta);
    if (c->attention_softcap > 0)
        firn_gguf_put_f32(w, FIRN_STR("%s.attn_logit_softcapping", arch), c->attention_softcap);
    if (c->final_softcap > 0)
        firn_gguf_put_f32(w, FIRN_STR("%s.final_logit_softcapping", arch), c->final_softcap);
    firn_gguf_put_u32(w, "tokenizer.ggml.padding_token_id", (uint32_t) c->pad_id);
}

/* Part `part` of `parts` holds every parts-th tensor; keys are in the first. */
static void write_part(const struct firn_model *m, const char *arch, int window, int part, int parts, const char *name)
{
    struct firn_error err;
    struct firn_gguf_writer *w = firn_gguf_writer_create();
    const struct firn_safetensors *f = &m->weights.files[0];
    float *kept[64] = { NULL }; /* the writer reads them when it finishes */
    assert_true(f->count < 64);
    if (part == 0)
        put_keys(w, arch, &m->config);
    if (part == 0)
        firn_gguf_put_u32(w, FIRN_STR("%s.attention.sliding_window", arch), (uint32_t) window);
    if (parts > 1) {
        firn_gguf_put_u32(w, "split.no", (uint32_t) part);
        firn_gguf_put_u32(w, "split.count", (uint32_t) parts);
        firn_gguf_put_u32(w, "split.tensors.count", (uint32_t) f->count);
    }
    for (size_t i = 0; i < f->count; i++) {
        const struct firn_tensor *t = &f->tensors[i].tensor;
        const int64_t n = firn_shape_count(&t->shape);
        char to[100];
        if ((int) (i % (size_t) parts) != part)
            continue;
        name_of(f->tensors[i].name, to, sizeof to);
        float *x = malloc(sizeof *x * (size_t) n);
        assert_non_null(x);
        firn_tensor_read_f32(t, 0, n, x);
        for (int64_t k = 0; k < n && strstr(to, "norm.weight") != NULL; k++)
            x[k] += 1;
        firn_gguf_put_tensor(w, to, &t->shape, x);
        kept[i] = x;
    }
    expect_ok(firn_gguf_writer_finish(&w, scratch_path(name), &err), &err);
    for (size_t i = 0; i < f->count; i++)
        free(kept[i]);
}

static float *logits_of(const char *directory, int64_t *n)
{
    struct tiny t;
    expect_ok(tiny_open(&t, directory, FIRN_TASK_CAUSAL_LM, NULL), &t.err);
    float *y = tiny_logits(&t, n);
    tiny_close(&t);
    return y;
}

static void compare(const char *plain, const char *gguf)
{
    int64_t n = 0, n_plain = 0;
    float *want = logits_of(plain, &n_plain), *y = logits_of(gguf, &n);
    float most = 0;
    assert_true(n == n_plain && n > 0);
    for (int64_t i = 0; i < n; i++)
        most = fmaxf(most, fabsf(want[i]));
    for (int64_t i = 0; i < n; i++) /* 1 + w is rounded once, to 2^-24 */
        if (!(fabsf(y[i] - want[i]) <= 1e-5f * most))
            fail_msg("%s: %g, not %g, at %d", gguf, (double) y[i], (double) want[i], (int) i);
    free(want);
    free(y);
}

static void copy_file(const char *from, const char *to)
{
    struct firn_error err = { 0 };
    char *bytes = NULL;
    size_t size = 0;
    expect_ok(firn_file_read(from, 1 << 24, &bytes, &size, &err), &err);
    expect_ok(firn_file_write(scratch_path(to), bytes, size, &err), &err);
    free(bytes);
}

static void gemma_2_computes_as_its_safetensors_do(void **state)
{
    (void) state;
    struct firn_model m;
    struct firn_error err = { 0 };
    expect_ok(firn_model_open(&m, golden_path("models", "gemma2", NULL), &err), &err);
    scratch_mkdir("gemma2");
    copy_file(golden_path("models", "gemma2", "config.json"), "gemma2/config.json");
    copy_file(golden_path("models", "gemma2", "model.safetensors"), "gemma2/model.safetensors");
    write_part(&m, "gemma2", (int) m.config.window, 0, 1, "gemma2.gguf");
    compare("gemma2", "gemma2.gguf");
    firn_model_close(&m);
}

/* Gemma 3, which has q and k norms and frequencies of its own for layers with a window; every sixth has none. */
static void make_gemma_3(const char *directory)
{
    static const struct { const char *name; struct firn_shape shape; } layer[] = {
        { "input_layernorm", FIRN_DIMS(8) }, { "post_attention_layernorm", FIRN_DIMS(8) },
        { "pre_feedforward_layernorm", FIRN_DIMS(8) }, { "post_feedforward_layernorm", FIRN_DIMS(8) },
        { "self_attn.q_proj", FIRN_DIMS(12, 8) }, { "self_attn.k_proj", FIRN_DIMS(6, 8) }, { "self_attn.v_proj", FIRN_DIMS(6, 8) },
        { "self_attn.o_proj", FIRN_DIMS(8, 12) }, { "self_attn.q_norm", FIRN_DIMS(6) }, { "self_attn.k_norm", FIRN_DIMS(6) },
        { "mlp.gate_proj", FIRN_DIMS(7, 8) }, { "mlp.up_proj", FIRN_DIMS(7, 8) }, { "mlp.down_proj", FIRN_DIMS(8, 7) } };
    enum { N = sizeof layer / sizeof layer[0], LAYERS = 4 };
    static char text[N * LAYERS][100];
    struct scratch_tensor all[N * LAYERS + 3] = { { NULL } };
    size_t n = 0;
    for (int i = 0; i < N * LAYERS; i++) {
        snprintf(text[i], sizeof text[i], "model.layers.%d.%s.weight", i / N, layer[i % N].name);
        all[n++] = (struct scratch_tensor){ text[i], layer[i % N].shape, FIRN_F32 };
    }
    all[n++] = (struct scratch_tensor){ "model.embed_tokens.weight", FIRN_DIMS(10, 8), FIRN_F32 };
    all[n++] = (struct scratch_tensor){ "model.norm.weight", FIRN_DIMS(8), FIRN_F32 };
    scratch_mkdir(directory);
    scratch_write(FIRN_STR("%s/config.json", directory),
                  "{\"model_type\":\"gemma3_text\",\"hidden_size\":8,\"num_hidden_layers\":4,\"num_attention_heads\":2,"
                  "\"num_key_value_heads\":1,\"head_dim\":6,\"intermediate_size\":7,\"vocab_size\":10,\"pad_token_id\":0,"
                  "\"query_pre_attn_scalar\":6,\"rope_theta\":2000,\"sliding_window\":3,\"max_position_embeddings\":16}");
    scratch_tensors(FIRN_STR("%s/model.safetensors", directory), all);
}

static void gemma_3_computes_as_its_safetensors_do(void **state)
{
    (void) state;
    struct firn_model m;
    struct firn_error err = { 0 };
    make_gemma_3("gemma3");
    expect_ok(firn_model_open(&m, scratch_path("gemma3"), &err), &err);
    write_part(&m, "gemma3", 3, 0, 1, "gemma3.gguf");
    compare("gemma3", "gemma3.gguf");
    /* the same in three files, named by the first, and by the directory that holds no other model */
    static const char *const parts[] = { "split/m-00001-of-00003.gguf", "split/m-00002-of-00003.gguf", "split/m-00003-of-00003.gguf" };
    scratch_mkdir("split");
    for (int i = 0; i < 3; i++)
        write_part(&m, "gemma3", 3, i, 3, parts[i]);
    compare("gemma3", parts[0]);
    compare("gemma3", "split");
    struct firn_model other;
    expect_error(firn_model_open(&other, scratch_path(parts[1]), &err), FIRN_ERR_USAGE, &err, "the first part", "part 2");
    write_part(&m, "gemma3", 3, 1, 3, parts[2]); /* the second in the third's place */
    expect_error(firn_model_open(&other, scratch_path(parts[0]), &err), FIRN_ERR_FORMAT, &err, "split.no", "part 2 of 3");
    remove(scratch_path(parts[2]));
    expect_error(firn_model_open(&other, scratch_path(parts[0]), &err), FIRN_ERR_IO, &err, "m-00003-of-00003.gguf", NULL);
    firn_model_close(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gemma_2_computes_as_its_safetensors_do),
        cmocka_unit_test(gemma_3_computes_as_its_safetensors_do),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
