/* SPDX-License-Identifier: Apache-2.0 */
/* Every field of PEFT's configurations (0.21.2): it is honoured, or refused by an error that names it, or it says nothing
 * about the computation. None is passed over. */
#include "tiny.h"

#include <stdlib.h>
#include <string.h>

static int make(void **state)
{
    (void) state;
    scratch_make();
    tiny_llama("llama", false, FIRN_F32);
    return 0;
}

/* KEPT: opens, and the adapter's files say the value again. TAKEN: opens (it acts where an adapter starts, or it is the
 * model's own size). SILENT: opens whatever it says; why stands beside it. REFUSED: an error that names it. */
enum how { KEPT, TAKEN, SILENT, REFUSED };
struct field { const char *key, *value; enum how how; };

#define SAME_FOR_ALL                                                                                                   \
    { "task_type", "\"CAUSAL_LM\"", SILENT }, { "auto_mapping", "{\"base_model_class\":\"x\"}", SILENT },                \
    { "peft_version", "\"0.1\"", SILENT }, { "base_model_name_or_path", "\"x\"", SILENT }, /* of the run, of the file */ \
    { "revision", "\"main\"", SILENT }, { "inference_mode", "true", SILENT }
#define OF_LORA                                                                                                        \
    { "target_modules", "[\"k_proj\"]", KEPT }, { "exclude_modules", "[\"v_proj\"]", KEPT }, { "bias", "\"all\"", KEPT }, \
    { "modules_to_save", "[\"lm_head\"]", KEPT }, { "layers_to_transform", "[0]", KEPT }, { "lora_alpha", "3", KEPT },   \
    { "lora_dropout", "0.25", KEPT }, { "layers_pattern", "\"layers\"", REFUSED }, /* alone: see below */               \
    { "fan_in_fan_out", "true", SILENT }, /* follows from the layer, as PEFT corrects it */                            \
    { "megatron_core", "\"x\"", SILENT }, { "qalora_group_size", "8", SILENT }, /* without their keys, which are refused */ \
    { "runtime_config", "{\"ephemeral_gpu_offload\":true}", SILENT }, /* where it is computed, not what */              \
    { "megatron_config", "{\"a\":1}", REFUSED }, { "loftq_config", "{\"loftq_bits\":4}", REFUSED }, /* but with its init_lora_weights */                      \
    { "eva_config", "{\"rho\":2}", REFUSED }, { "corda_config", "{\"a\":1}", REFUSED }, { "lora_ga_config", "{\"a\":1}", REFUSED }, \
    { "velora_config", "{\"a\":1}", REFUSED }, { "alora_invocation_tokens", "[1]", REFUSED }, { "use_qalora", "true", REFUSED }, \
    { "monteclora_config", "{\"a\":1}", REFUSED }, { "layer_replication", "[[0,1]]", REFUSED },                         \
    { "target_parameters", "[\"x\"]", REFUSED }, { "use_bdlora", "true", REFUSED }, { "arrow_config", "{\"a\":1}", REFUSED }, \
    { "kasa_config", "{\"a\":1}", REFUSED }, { "ensure_weight_tying", "true", REFUSED }
#define OF_SOFT                                                                                                        \
    { "num_virtual_tokens", "3", KEPT }, { "num_layers", "1", TAKEN },                                                   \
    { "num_transformer_submodules", "1", TAKEN }, { "num_attention_heads", "7", REFUSED },                             \
    { "token_dim", "9", REFUSED }, { "num_layers", "7", REFUSED }, { "num_transformer_submodules", "2", REFUSED }

static const struct { const char *base; struct field fields[64]; } all[] = {
    { "\"peft_type\":\"LORA\",\"r\":2",
      { SAME_FOR_ALL, OF_LORA, { "r", "3", KEPT }, { "use_rslora", "true", KEPT }, { "use_dora", "true", KEPT },
        { "init_lora_weights", "\"gaussian\"", KEPT }, { "init_lora_weights", "\"corda\"", REFUSED },
        { "init_lora_weights", "\"lora_ga\"", REFUSED }, { "init_lora_weights", "\"mica\"", REFUSED },
        { "init_lora_weights", "\"eva\"", REFUSED }, { "init_lora_weights", "\"loftq\"", REFUSED },
        { "rank_pattern", "{\"q_proj\":1}", KEPT }, { "alpha_pattern", "{\"q_proj\":1}", KEPT },
        { "trainable_token_indices", "[1,2]", KEPT }, { "lora_bias", "true", KEPT } } },
    { "\"peft_type\":\"ADALORA\",\"total_step\":9,\"init_r\":3,\"target_r\":1",
      { SAME_FOR_ALL, OF_LORA, { "r", "3", SILENT }, /* PEFT does not read it either: init_r */
        { "use_rslora", "true", REFUSED }, { "use_dora", "true", REFUSED }, { "init_lora_weights", "false", TAKEN },
        { "init_lora_weights", "\"gaussian\"", REFUSED }, { "alpha_pattern", "{\"q_proj\":1}", REFUSED },
        { "trainable_token_indices", "[1,2]", REFUSED }, { "lora_bias", "true", REFUSED }, { "target_r", "2", KEPT },
        { "init_r", "4", KEPT }, { "tinit", "1", KEPT }, { "tfinal", "2", KEPT }, { "deltaT", "2", KEPT },
        { "beta1", "0.5", KEPT }, { "beta2", "0.5", KEPT }, { "orth_reg_weight", "0.25", KEPT }, { "total_step", "11", KEPT } } },
    { "\"peft_type\":\"VERA\",\"r\":2",
      { SAME_FOR_ALL, { "r", "3", KEPT }, { "target_modules", "[\"k_proj\"]", KEPT }, { "projection_prng_key", "5", KEPT },
        { "save_projection", "false", SILENT } /* files always hold it */, { "vera_dropout", "0.25", KEPT }, { "d_initial", "0.5", KEPT },
        { "fan_in_fan_out", "true", SILENT }, { "bias", "\"vera_only\"", KEPT }, { "modules_to_save", "[\"lm_head\"]", KEPT },
        { "init_weights", "false", TAKEN }, { "layers_to_transform", "[0]", KEPT }, { "layers_pattern", "\"layers\"", REFUSED } } },
    { "\"peft_type\":\"IA3\"",
      { SAME_FOR_ALL, { "target_modules", "[\"down_proj\",\"k_proj\"]", KEPT }, { "exclude_modules", "[\"v_proj\"]", KEPT },
        { "feedforward_modules", "[\"down_proj\"]", KEPT }, { "fan_in_fan_out", "true", SILENT },
        { "modules_to_save", "[\"lm_head\"]", KEPT }, { "init_ia3_weights", "false", TAKEN } } },
    { "\"peft_type\":\"PREFIX_TUNING\",\"num_virtual_tokens\":2",
      { SAME_FOR_ALL, OF_SOFT, { "token_dim", "4", KEPT }, { "num_attention_heads", "1", TAKEN }, /* of keys and values */
        { "modules_to_save", "[\"lm_head\"]", KEPT }, { "init_weights", "\"zero\"", TAKEN },
        { "init_weights", "\"one\"", REFUSED }, { "encoder_hidden_size", "5", TAKEN }, { "prefix_projection", "true", TAKEN } } },
    { "\"peft_type\":\"PROMPT_TUNING\",\"num_virtual_tokens\":2",
      { SAME_FOR_ALL, OF_SOFT, { "token_dim", "8", KEPT }, { "num_attention_heads", "2", TAKEN }, { "modules_to_save", "[\"lm_head\"]", KEPT },
        { "prompt_tuning_init", "\"SAMPLE_VOCAB\"", TAKEN },
        { "prompt_tuning_init", "\"BEST\"", REFUSED }, { "tokenizer_name_or_path", "\"x\"", TAKEN },
        { "prompt_tuning_init_text", "\"x\"", TAKEN }, { "tokenizer_kwargs", "{\"a\":1}", REFUSED } } },
    { "\"peft_type\":\"P_TUNING\",\"num_virtual_tokens\":2",
      { SAME_FOR_ALL, OF_SOFT, { "token_dim", "8", KEPT }, { "num_attention_heads", "2", TAKEN }, { "modules_to_save", "[\"lm_head\"]", KEPT },
        { "encoder_reparameterization_type", "\"LSTM\"", KEPT }, { "encoder_reparameterization_type", "\"GRU\"", REFUSED },
        { "encoder_hidden_size", "5", KEPT }, { "encoder_num_layers", "3", KEPT }, { "encoder_dropout", "0.25", KEPT } } },
};

/* The value as the adapter's files would say it; json_decref() it. */
static json_t *said(const struct tiny *t, const char *key)
{
    json_t *config = firn_adapter_config(&t->adapter, &t->model, FIRN_TASK_CAUSAL_LM, "x");
    json_t *value = json_incref(json_object_get(config, key));
    json_decref(config);
    return value;
}

static void check_field(const char *base, const struct field *f)
{
    struct tiny t;
    const char *method = FIRN_STR("{%s,\"%s\":%s}", base, f->key, f->value);
    json_t *config = json_loads(method, 0, NULL), *value = json_loads(f->value, JSON_DECODE_ANY, NULL);
    assert_true(config != NULL && value != NULL); /* the later of two equal keys counts */
    char *text = json_dumps(config, 0);
    firn_status status = tiny_open(&t, "llama", FIRN_TASK_CAUSAL_LM, text);
    if (f->how == REFUSED && (status == FIRN_OK || strstr(t.err.text, f->key) == NULL))
        fail_msg("%s: %s", method, status == FIRN_OK ? "was taken" : t.err.text);
    if (f->how != REFUSED && status != FIRN_OK)
        fail_msg("%s: %s", method, t.err.text);
    if (f->how == KEPT) {
        json_t *got = said(&t, f->key);
        const bool is_same = json_equal(got, value) ||
                             (json_is_number(got) && json_number_value(got) == json_number_value(value));
        char *shown = json_dumps(got, JSON_ENCODE_ANY);
        if (!is_same && !(json_is_array(got) && strcmp(f->key, "modules_to_save") == 0))
            fail_msg("%s: files say %s", method, shown != NULL ? shown : "nothing");
        free(shown);
        json_decref(got);
    }
    free(text);
    json_decref(config);
    json_decref(value);
    tiny_close(&t);
}

static void no_field_is_passed_over(void **state)
{
    (void) state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        for (const struct field *f = all[i].fields; f->key != NULL; f++)
            check_field(all[i].base, f);
}

static void layers_are_picked_from_lists(void **state)
{
    (void) state;
    static const struct field fields[] = {
        { "layers_to_transform", "[0],\"layers_pattern\":\"layers\"", TAKEN },
        { "layers_to_transform", "0,\"target_modules\":\".*q_proj\"", REFUSED },
        { "layers_to_transform", "[0],\"target_modules\":\"all-linear\"", TAKEN },
    };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        struct tiny t;
        const char *method = FIRN_STR("{\"type\":\"lora\",\"r\":2,\"%s\":%s}", fields[i].key, fields[i].value);
        const firn_status status = tiny_open(&t, "llama", FIRN_TASK_CAUSAL_LM, method);
        if ((status != FIRN_OK) != (fields[i].how == REFUSED) || (status && strstr(t.err.text, fields[i].key) == NULL))
            fail_msg("%s: %s", method, status == FIRN_OK ? "was taken" : t.err.text);
        tiny_close(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_field_is_passed_over),
        cmocka_unit_test(layers_are_picked_from_lists),
    };
    return cmocka_run_group_tests(tests, make, scratch_teardown);
}
