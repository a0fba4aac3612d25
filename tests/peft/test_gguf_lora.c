/* SPDX-License-Identifier: Apache-2.0 */
/* LoRA to llama.cpp's layout and back; what the layout cannot hold is refused. */
#include "../model/golden.h"
#include "tiny.h"

#include "model/gguf_model.h"
#include "peft/gguf_lora.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ADAPTER "adapter/adapter_model.safetensors"
#define CONFIG(more) "{\"peft_type\":\"LORA\",\"r\":3,\"lora_alpha\":6,\"bias\":\"none\"" more "}"
#define LAYER "base_model.model.model.layers.0."

static int make(void **state)
{
    (void) state;
    scratch_make();
    tiny_llama("base", false, FIRN_F32);
    scratch_mkdir("adapter");
    return 0;
}

static void adapter(const char *config, const struct scratch_tensor *list)
{
    scratch_write("adapter/adapter_config.json", config);
    scratch_tensors(ADAPTER, list);
}

/* tiny_llama: width 8, 2 heads of 4 */
static const struct scratch_tensor plain[] = {
    { LAYER "mlp.up_proj.lora_A.weight", FIRN_DIMS(3, 8), FIRN_F32 },
    { LAYER "mlp.up_proj.lora_B.weight", FIRN_DIMS(6, 3), FIRN_F32 },
    { LAYER "self_attn.q_proj.lora_A.weight", FIRN_DIMS(5, 8), FIRN_F32 },
    { LAYER "self_attn.q_proj.lora_B.weight", FIRN_DIMS(8, 5), FIRN_F32 },
    { "base_model.model.model.embed_tokens.lora_embedding_A", FIRN_DIMS(3, 10), FIRN_F32 },
    { "base_model.model.model.embed_tokens.lora_embedding_B", FIRN_DIMS(8, 3), FIRN_F32 },
    { NULL, FIRN_DIMS(1), FIRN_F32 } };

static void open_base(struct firn_model *m)
{
    struct firn_error err = { 0 };
    expect_ok(firn_model_open(m, scratch_path("base"), &err), &err);
}

static float value(const struct firn_gguf *g, const char *name, int64_t row, int64_t col)
{
    const struct firn_gguf_tensor *t = firn_gguf_tensor(g, name);
    assert_non_null(t);
    const struct firn_packed p = { t->data, t->type, t->shape.dim[1], 0 };
    float x;
    firn_packed_read(&p, row * t->shape.dim[1] + col, 1, &x);
    return x;
}

static float stored(const struct firn_safetensors *f, const char *name, int64_t row, int64_t col)
{
    const struct firn_tensor *t = firn_safetensors_find(f, name);
    assert_non_null(t);
    return ((const float *) t->data)[row * t->shape.dim[1] + col];
}

static void factors_stand_where_llama_cpp_reads_them(void **state)
{
    (void) state;
    struct firn_model m;
    struct firn_gguf g;
    struct firn_safetensors f;
    struct firn_error err = { 0 };
    double alpha;
    open_base(&m);
    adapter(CONFIG(",\"rank_pattern\":{\"q_proj\":5}"), plain);
    expect_ok(firn_gguf_write_lora(&m, scratch_path("adapter"), scratch_path("a.gguf"), &err), &err);
    expect_ok(firn_gguf_open(&g, scratch_path("a.gguf"), &err), &err);
    expect_ok(firn_safetensors_open(&f, scratch_path(ADAPTER), &err), &err);
    assert_true(firn_gguf_is_text(&g, "general.type", "adapter") && firn_gguf_is_text(&g, "adapter.type", "lora"));
    assert_true(firn_gguf_is_text(&g, "general.architecture", "llama"));
    assert_true(firn_gguf_number(&g, "adapter.lora.alpha", &alpha) && alpha == 6);
    for (int64_t i = 0; i < 6; i++)
        for (int64_t k = 0; k < 3; k++)
            assert_true(value(&g, "blk.0.ffn_up.weight.lora_b", i, k) == stored(&f, LAYER "mlp.up_proj.lora_B.weight", i, k));
    for (int64_t h = 0; h < 2; h++) /* rows of heads of 4: halves alternate */
        for (int64_t half = 0; half < 2; half++)
            for (int64_t i = 0; i < 2; i++)
                assert_true(value(&g, "blk.0.attn_q.weight.lora_b", 4 * h + 2 * i + half, 1) ==
                            stored(&f, LAYER "self_attn.q_proj.lora_B.weight", 4 * h + 2 * half + i, 1));
    assert_true(value(&g, "blk.0.attn_q.weight.lora_a", 4, 7) == stored(&f, LAYER "self_attn.q_proj.lora_A.weight", 4, 7));
    for (int64_t v = 0; v < 10; v++) /* a table's A has a row a word */
        assert_true(value(&g, "token_embd.weight.lora_a", v, 2) ==
                    stored(&f, "base_model.model.model.embed_tokens.lora_embedding_A", 2, v));
    assert_true(value(&g, "token_embd.weight.lora_b", 7, 1) ==
                stored(&f, "base_model.model.model.embed_tokens.lora_embedding_B", 7, 1));
    firn_gguf_close(&g);
    firn_safetensors_close(&f);
    firn_model_close(&m);
}

static void a_round_trip_changes_nothing(void **state)
{
    (void) state;
    struct firn_model m;
    struct firn_safetensors f, back;
    struct firn_error err = { 0 };
    struct tiny t;
    json_t *config = NULL;
    open_base(&m);
    adapter(CONFIG(",\"rank_pattern\":{\"q_proj\":5}"), plain);
    expect_ok(firn_gguf_write_lora(&m, scratch_path("adapter"), scratch_path("a.gguf"), &err), &err);
    expect_ok(firn_gguf_read_lora(&m, scratch_path("a.gguf"), "base", scratch_path("again"), &err), &err);
    expect_ok(firn_safetensors_open(&f, scratch_path(ADAPTER), &err), &err);
    expect_ok(firn_safetensors_open(&back, scratch_path("again/adapter_model.safetensors"), &err), &err);
    assert_int_equal(f.count, back.count);
    for (size_t i = 0; i < f.count; i++) {
        assert_string_equal(f.tensors[i].name, back.tensors[i].name);
        assert_true(firn_shape_eq(&f.tensors[i].tensor.shape, &back.tensors[i].tensor.shape));
        assert_memory_equal(f.tensors[i].tensor.data, back.tensors[i].tensor.data, f.tensors[i].size_bytes);
    }
    firn_safetensors_close(&f);
    firn_safetensors_close(&back);
    firn_model_close(&m);
    /* and firn reads what it wrote: modules, ranks and scale */
    expect_ok(firn_json_load(scratch_path("again/adapter_config.json"), &config, &err), &err);
    char *text = json_dumps(config, 0);
    expect_ok(tiny_open(&t, "base", FIRN_TASK_CAUSAL_LM, text), &t.err);
    expect_ok(firn_adapter_read(&t.adapter, &t.model, scratch_path("again"), t.flat, &t.err), &t.err);
    tiny_close(&t);
    free(text);
    json_decref(config);
}

static void another_scale_goes_into_b(void **state)
{
    (void) state;
    struct firn_model m;
    struct firn_gguf g;
    struct firn_safetensors f;
    struct firn_error err = { 0 };
    open_base(&m);
    adapter(CONFIG(",\"use_rslora\":true,\"alpha_pattern\":{\"up_proj\":12}"), plain);
    expect_ok(firn_gguf_write_lora(&m, scratch_path("adapter"), scratch_path("a.gguf"), &err), &err);
    expect_ok(firn_gguf_open(&g, scratch_path("a.gguf"), &err), &err);
    expect_ok(firn_safetensors_open(&f, scratch_path(ADAPTER), &err), &err);
    /* 12 / sqrt 3 of PEFT is 6 / 3 of llama.cpp times 2 sqrt 3 */
    const double up = (double) value(&g, "blk.0.ffn_up.weight.lora_b", 3, 1) /
                      (double) stored(&f, LAYER "mlp.up_proj.lora_B.weight", 3, 1);
    assert_true(fabs(up - 2 * sqrt(3)) < 1e-6);
    const double q = (double) value(&g, "blk.0.attn_q.weight.lora_b", 0, 1) /
                     (double) stored(&f, LAYER "self_attn.q_proj.lora_B.weight", 0, 1);
    assert_true(fabs(q - sqrt(5)) < 1e-6);
    firn_gguf_close(&g);
    firn_safetensors_close(&f);
    firn_model_close(&m);
}

static void what_gguf_cannot_hold_is_refused(void **state)
{
    (void) state;
    static const struct { const char *config, *key; } bad[] = {
        { CONFIG(",\"use_dora\":true"), "use_dora" },
        { "{\"peft_type\":\"IA3\"}", "peft_type" },
        { "{\"peft_type\":\"LORA\",\"bias\":\"all\"}", "bias" },
        { CONFIG(",\"init_lora_weights\":\"pissa\""), "init_lora_weights" } };
    static const struct scratch_tensor saved[] = { { "base_model.model.score.weight", FIRN_DIMS(3, 8), FIRN_F32 },
                                                   { NULL, FIRN_DIMS(1), FIRN_F32 } };
    struct firn_model m;
    struct firn_error err = { 0 };
    open_base(&m);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        adapter(bad[i].config, plain);
        memset(&err, 0, sizeof err);
        expect_error(firn_gguf_write_lora(&m, scratch_path("adapter"), scratch_path("a.gguf"), &err), FIRN_ERR_UNSUPPORTED, &err,
                     bad[i].key, NULL);
    }
    adapter(CONFIG(""), saved);
    memset(&err, 0, sizeof err);
    expect_error(firn_gguf_write_lora(&m, scratch_path("adapter"), scratch_path("a.gguf"), &err), FIRN_ERR_UNSUPPORTED, &err,
                 "score.weight", NULL);
    struct firn_gguf_writer *w = firn_gguf_writer_create(); /* no adapter */
    firn_gguf_put_text(w, "general.architecture", "llama");
    expect_ok(firn_gguf_writer_finish(&w, scratch_path("model.gguf"), &err), &err);
    expect_error(firn_gguf_read_lora(&m, scratch_path("model.gguf"), "base", scratch_path("x"), &err), FIRN_ERR_UNSUPPORTED,
                 &err, "general.type", "adapter");
    firn_model_close(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(factors_stand_where_llama_cpp_reads_them, make, scratch_teardown),
        cmocka_unit_test_setup_teardown(a_round_trip_changes_nothing, make, scratch_teardown),
        cmocka_unit_test_setup_teardown(another_scale_goes_into_b, make, scratch_teardown),
        cmocka_unit_test_setup_teardown(what_gguf_cannot_hold_is_refused, make, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
