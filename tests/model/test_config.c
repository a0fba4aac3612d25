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

static int make(void **state)
{
    (void) state;
    scratch_make();
    return 0;
}

static int drop(void **state)
{
    (void) state;
    scratch_remove();
    return 0;
}

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

static void a_wrong_value_names_file_and_key(void **state)
{
    (void) state;
    static const struct { const char *text; firn_status status; const char *word, *other; } bad[] = {
        { "{}", FIRN_ERR_UNSUPPORTED, "model_type", "bert, llama" },
        { "{\"model_type\":\"mamba\"}", FIRN_ERR_UNSUPPORTED, "bert, llama", "mamba" },
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
        cmocka_unit_test_setup_teardown(defaults_follow_from_other_keys, make, drop),
        cmocka_unit_test_setup_teardown(both_spellings_of_rotary_settings_mean_the_same, make, drop),
        cmocka_unit_test_setup_teardown(a_wrong_value_names_file_and_key, make, drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
