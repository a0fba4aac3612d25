/* SPDX-License-Identifier: Apache-2.0 */
/* config.json by the tables of the architectures. */
#include "scratch.h"

#include "model/model.h"

#include <stdio.h>
#include <string.h>

#define LLAMA                                                                                                          \
    "\"model_type\":\"llama\",\"hidden_size\":12,\"num_hidden_layers\":1,\"num_attention_heads\":3,"                    \
    "\"intermediate_size\":7,\"vocab_size\":11"
#define BERT                                                                                                           \
    "\"model_type\":\"bert\",\"hidden_size\":12,\"num_hidden_layers\":1,\"num_attention_heads\":3,"                     \
    "\"intermediate_size\":7,\"vocab_size\":11"

static firn_status load(const char *text, struct firn_config *c, const struct firn_arch **arch, struct firn_error *err)
{
    memset(err, 0, sizeof *err);
    scratch_write("config.json", text);
    *arch = NULL;
    return firn_config_load(c, arch, scratch_path("config.json"), err);
}

static void defaults_follow_from_other_keys(void **state)
{
    (void) state;
    struct firn_config c;
    const struct firn_arch *arch;
    struct firn_error err;
    expect_ok(load("{" LLAMA ",\"eos_token_id\":[5,6],\"pad_token_id\":null}", &c, &arch, &err), &err);
    assert_string_equal(arch->name, "llama");
    assert_int_equal(c.n_kv_heads, 3);
    assert_int_equal(c.head_dim, 4);
    assert_int_equal(c.pad_id, -1);
    assert_int_equal(c.eos_id, 5);
    assert_false(c.tie_embeddings);
    assert_int_equal(c.activation, FIRN_SILU);
    assert_true(c.rope.kind == FIRN_ROPE_DEFAULT && c.rope.theta == 10000.0);
    firn_config_free(&c, arch);
    expect_ok(load("{" BERT ",\"hidden_dropout_prob\":0.3,\"hidden_act\":\"gelu_new\"}", &c, &arch, &err), &err);
    assert_true(c.classifier_dropout == 0.3 && c.tie_embeddings && c.norm_eps == 1e-12);
    assert_int_equal(c.activation, FIRN_GELU_TANH);
    firn_config_free(&c, arch);
}

static void both_spellings_of_rotary_settings_mean_the_same(void **state)
{
    (void) state;
    static const char *const texts[] = {
        "{" LLAMA ",\"rope_theta\":5000.0,\"rope_scaling\":{\"type\":\"linear\",\"factor\":2}}",
        "{" LLAMA ",\"rope_theta\":5000,\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":2.0}}",
        "{" LLAMA ",\"rope_parameters\":{\"rope_type\":\"linear\",\"factor\":2.0,\"rope_theta\":5000.0}}" };
    for (int i = 0; i < 3; i++) {
        struct firn_config c;
        const struct firn_arch *arch;
        struct firn_error err;
        expect_ok(load(texts[i], &c, &arch, &err), &err);
        assert_true(c.rope.kind == FIRN_ROPE_LINEAR && c.rope.factor == 2 && c.rope.theta == 5000);
        firn_config_free(&c, arch);
    }
}

#define DECODER(type)                                                                                                  \
    "\"model_type\":\"" type "\",\"hidden_size\":12,\"num_hidden_layers\":4,\"num_attention_heads\":3,"                  \
    "\"intermediate_size\":7,\"vocab_size\":11"

static void windows_follow_layer_types_or_the_rule_of_the_model(void **state)
{
    (void) state;
    static const struct { const char *text; int window; const char *slides; } all[] = {
        { "{" DECODER("mistral") "}", 4096, "1111" },
        { "{" DECODER("mistral") ",\"sliding_window\":null}", 0, "1111" },
        { "{" DECODER("mistral") ",\"sliding_window\":3}", 3, "1111" },
        { "{" DECODER("qwen2") ",\"sliding_window\":3,\"max_window_layers\":2}", 0, "0011" },
        { "{" DECODER("qwen2") ",\"sliding_window\":3,\"max_window_layers\":2,\"use_sliding_window\":true}", 3, "0011" },
        { "{" DECODER("qwen3") ",\"sliding_window\":3,\"use_sliding_window\":true}", 3, "0000" },
        { "{" DECODER("gemma2") "}", 4096, "1010" },
        { "{" DECODER("gemma2") ",\"sliding_window\":5,\"layer_types\":[\"full_attention\",\"sliding_attention\","
          "\"sliding_attention\",\"full_attention\"]}", 5, "0110" },
        { "{" DECODER("gemma3_text") ",\"sliding_window_pattern\":3}", 4096, "1101" },
        { "{" DECODER("gemma3_text") "}", 4096, "1111" } };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct firn_config c;
        const struct firn_arch *arch;
        struct firn_error err;
        expect_ok(load(all[i].text, &c, &arch, &err), &err);
        assert_int_equal(c.window, all[i].window);
        for (int k = 0; k < 4; k++)
            assert_int_equal(c.slides[k], all[i].slides[k] == '1');
        firn_config_free(&c, arch);
    }
}

static void gemma_scales_caps_and_turns_by_layer(void **state)
{
    (void) state;
    struct firn_config c;
    const struct firn_arch *arch;
    struct firn_error err;
    expect_ok(load("{" DECODER("gemma2") ",\"final_logit_softcapping\":null,\"query_pre_attn_scalar\":16}", &c, &arch, &err),
              &err);
    assert_true(c.attention_softcap == 50 && c.final_softcap == 0 && c.norm_offset == 1);
    assert_true(c.attention_scale == 0.25 && c.embedding_scale == 3.46410161513775f && !c.has_local_rope);
    firn_config_free(&c, arch);
    static const char *const spellings[] = {
        "{" DECODER("gemma3_text") ",\"rope_theta\":5000,\"rope_local_base_freq\":70,\"rope_scaling\":{\"rope_type\":"
        "\"linear\",\"factor\":8}}",
        "{" DECODER("gemma3_text") ",\"rope_parameters\":{\"full_attention\":{\"rope_type\":\"linear\",\"factor\":8,"
        "\"rope_theta\":5000},\"sliding_attention\":{\"rope_type\":\"default\",\"rope_theta\":70}}}" };
    for (int i = 0; i < 2; i++) {
        expect_ok(load(spellings[i], &c, &arch, &err), &err);
        assert_true(c.rope.kind == FIRN_ROPE_LINEAR && c.rope.theta == 5000 && c.rope.factor == 8);
        assert_true(c.has_local_rope && c.local_rope.kind == FIRN_ROPE_DEFAULT && c.local_rope.theta == 70);
        assert_true(c.attention_softcap == 0 && c.final_softcap == 0);
        firn_config_free(&c, arch);
    }
}

static void a_wrong_value_names_file_and_key(void **state)
{
    (void) state;
    static const struct { const char *text; firn_status status; const char *word, *other; } bad[] = {
        { "{}", FIRN_ERR_UNSUPPORTED, "model_type", "one of bert, " },
        { "{\"model_type\":\"mamba\"}", FIRN_ERR_UNSUPPORTED, "one of bert, ", "mamba" },
        { "[1]", FIRN_ERR_UNSUPPORTED, "model_type", NULL },
        { "{\"model_type\":\"llama\"}", FIRN_ERR_FORMAT, "hidden_size", "missing" },
        { "{" LLAMA ",\"num_key_value_heads\":2}", FIRN_ERR_FORMAT, "num_key_value_heads", "divisor" },
        { "{" LLAMA ",\"head_dim\":5}", FIRN_ERR_FORMAT, "head_dim", "even" },
        { "{" LLAMA ",\"head_dim\":257}", FIRN_ERR_FORMAT, "head_dim", "257" },
        { "{" LLAMA ",\"hidden_act\":\"mish\"}", FIRN_ERR_FORMAT, "hidden_act", "mish" },
        { "{" LLAMA ",\"rms_norm_eps\":\"small\"}", FIRN_ERR_FORMAT, "rms_norm_eps", "number" },
        { "{" LLAMA ",\"quantization_config\":{\"quant_method\":\"gptq\"}}", FIRN_ERR_UNSUPPORTED, "quantization_config", "gptq" },
        { "{" LLAMA ",\"rope_scaling\":{\"type\":\"longrope\"}}", FIRN_ERR_UNSUPPORTED, "rope_type", "longrope" },
        { "{" LLAMA ",\"rope_scaling\":{\"type\":\"linear\"}}", FIRN_ERR_FORMAT, "rope_scaling.factor", "none" },
        { "{" LLAMA ",\"rope_scaling\":{\"type\":\"linear\",\"factor\":0}}", FIRN_ERR_FORMAT, "rope_scaling.factor", "0" },
        { "{" LLAMA ",\"rope_parameters\":{\"rope_theta\":\"x\"}}", FIRN_ERR_FORMAT, "rope_parameters.rope_theta", "x" },
        { "{" LLAMA ",\"rope_parameters\":{\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":4,\"high_freq_factor\":4}}",
          FIRN_ERR_FORMAT, "high_freq_factor", NULL },
        { "{" BERT ",\"position_embedding_type\":\"relative_key\"}", FIRN_ERR_UNSUPPORTED, "position_embedding_type", "relative_key" },
        { "{" DECODER("mistral") ",\"sliding_window\":0}", FIRN_ERR_FORMAT, "sliding_window", "got 0" },
        { "{" DECODER("gemma2") ",\"layer_types\":[\"full_attention\"]}", FIRN_ERR_FORMAT, "layer_types", "list of 4" },
        { "{" DECODER("gemma2") ",\"final_logit_softcapping\":\"x\"}", FIRN_ERR_FORMAT, "final_logit_softcapping", NULL },
        { "{" DECODER("qwen3") ",\"layer_types\":[1,2,3,4]}", FIRN_ERR_UNSUPPORTED, "layer_types[0]", NULL },
        { "{" BERT ",\"is_decoder\":true}", FIRN_ERR_UNSUPPORTED, "is_decoder", "true" },
        { "{\"model_type\":\"bert\",\"hidden_size\":-1}", FIRN_ERR_FORMAT, "hidden_size", "-1" },
        { "{\"model_type\":\"bert\",\"hidden_size\":1e300}", FIRN_ERR_FORMAT, "hidden_size", NULL },
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct firn_config c;
        const struct firn_arch *arch;
        struct firn_error err;
        const firn_status status = load(bad[i].text, &c, &arch, &err);
        expect_error(status, bad[i].status, &err, "config.json", bad[i].word);
        expect_error(status, bad[i].status, &err, bad[i].other, NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(defaults_follow_from_other_keys, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(both_spellings_of_rotary_settings_mean_the_same, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(windows_follow_layer_types_or_the_rule_of_the_model, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(gemma_scales_caps_and_turns_by_layer, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(a_wrong_value_names_file_and_key, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
