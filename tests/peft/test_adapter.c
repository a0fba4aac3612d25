/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of methods: what is understood, what is refused, and what they train. */
#include "tiny.h"

#include <stdlib.h>
#include <string.h>

static int make(void **state)
{
    (void) state;
    scratch_make();
    tiny_bert("bert");
    tiny_bert_bare("bare");
    tiny_llama("llama", false, FIRN_F32);
    tiny_gpt2("gpt2", 5);
    tiny_llama("tied", true, FIRN_F32);
    return 0;
}

static bool trains(const struct tiny *t, const char *name)
{
    return firn_params_find(&t->adapter.params, name) != NULL;
}

#define C0 "base_model.model.transformer.h.0.attn.c_attn"
#define Q0 "base_model.model.bert.encoder.layer.0.attention.self.query"

static void the_default_targets_are_those_of_the_model(void **state)
{
    (void) state;
    struct tiny t;
    expect_ok(tiny_open(&t, "bert", FIRN_TASK_SEQ_CLS, "{\"type\":\"lora\"}"), &t.err);
    assert_int_equal(t.adapter.params.count, 2 * 2 * 2 + 2);
    assert_true(trains(&t, Q0 ".lora_A.weight") && trains(&t, "base_model.model.classifier.bias"));
    assert_int_equal(firn_params_find(&t.adapter.params, Q0 ".lora_B.weight")->shape.dim[1], 8);
    tiny_close(&t);
    expect_ok(tiny_open(&t, "llama", FIRN_TASK_CAUSAL_LM, "{\"peft_type\":\"LORA\",\"r\":2}"), &t.err);
    assert_int_equal(t.adapter.params.count, 4);
    tiny_close(&t);
}

static void a_conv1d_is_held_as_in_times_out_and_said_to_be(void **state)
{
    (void) state;
    struct tiny t;
    static const struct { const char *method; bool is_conv1d; } all[] = {
        { "{\"type\":\"lora\"}", true },
        { "{\"type\":\"lora\",\"target_modules\":[\"wte\"]}", false } };
    for (int i = 0; i < 2; i++) {
        expect_ok(tiny_open(&t, "gpt2", FIRN_TASK_CAUSAL_LM, all[i].method), &t.err);
        json_t *config = firn_adapter_config(&t.adapter, &t.model, FIRN_TASK_CAUSAL_LM, "base");
        assert_int_equal(json_is_true(json_object_get(config, "fan_in_fan_out")), all[i].is_conv1d);
        json_decref(config);
        if (all[i].is_conv1d) {
            const struct firn_shape a = FIRN_DIMS(8, 6), b = FIRN_DIMS(18, 8);
            assert_true(firn_shape_eq(&firn_params_find(&t.adapter.params, C0 ".lora_A.weight")->shape, &a));
            assert_true(firn_shape_eq(&firn_params_find(&t.adapter.params, C0 ".lora_B.weight")->shape, &b));
        }
        tiny_close(&t);
    }
}

static void bitfit_trains_every_bias_and_the_head(void **state)
{
    (void) state;
    struct tiny t;
    expect_ok(tiny_open(&t, "bert", FIRN_TASK_SEQ_CLS, "{\"type\":\"bitfit\"}"), &t.err);
    assert_int_equal(t.adapter.params.count, 1 + 2 * 8 + 1 + 2);
    assert_true(trains(&t, "bert.embeddings.LayerNorm.bias") && trains(&t, "bert.pooler.dense.bias"));
    assert_true(trains(&t, "classifier.weight") && trains(&t, "classifier.bias"));
    assert_false(trains(&t, "bert.encoder.layer.0.output.LayerNorm.weight"));
    tiny_close(&t);
    expect_ok(tiny_open(&t, "gpt2", FIRN_TASK_CAUSAL_LM, "{\"type\":\"bitfit\"}"), &t.err);
    assert_int_equal(t.adapter.params.count, 2 * 6 + 1);
    tiny_close(&t);
    for (int i = 0; i < 2; i++) { /* with and without a head: no bias in the body */
        expect_error(tiny_open(&t, "llama", i == 0 ? FIRN_TASK_CAUSAL_LM : FIRN_TASK_SEQ_CLS, "{\"type\":\"bitfit\"}"),
                     FIRN_ERR_UNSUPPORTED, &t.err, "bias", "llama");
        tiny_close(&t);
    }
}

static void all_linear_leaves_out_the_output_and_the_head(void **state)
{
    (void) state;
    struct tiny t;
    expect_ok(tiny_open(&t, "llama", FIRN_TASK_CAUSAL_LM, "{\"type\":\"lora\",\"target_modules\":\"All-Linear\"}"), &t.err);
    assert_int_equal(t.adapter.params.count, 2 * 7);
    tiny_close(&t);
    expect_ok(tiny_open(&t, "bert", FIRN_TASK_SEQ_CLS, "{\"type\":\"lora\",\"target_modules\":\"all-linear\"}"), &t.err);
    assert_int_equal(t.adapter.params.count, 2 * (2 * 6 + 1) + 2);
    assert_true(trains(&t, "base_model.model.bert.pooler.dense.lora_A.weight"));
    tiny_close(&t);
    expect_ok(tiny_open(&t, "bert", FIRN_TASK_MASKED_LM, "{\"type\":\"lora\",\"target_modules\":\"all-linear\"}"), &t.err);
    assert_int_equal(t.adapter.params.count, 2 * (2 * 6 + 1));
    assert_false(trains(&t, "base_model.model.cls.predictions.decoder.lora_A.weight"));
    tiny_close(&t);
}

static void saved_modules_train_whole_and_are_never_wrapped(void **state)
{
    (void) state;
    struct tiny t;
    expect_ok(tiny_open(&t, "bert", FIRN_TASK_SEQ_CLS,
                        "{\"type\":\"lora\",\"target_modules\":[\"query\",\"dense\"],\"modules_to_save\":[\"pooler\"]}"),
              &t.err);
    assert_true(trains(&t, "base_model.model.bert.pooler.dense.weight"));
    assert_false(trains(&t, "base_model.model.bert.pooler.dense.lora_A.weight"));
    assert_true(trains(&t, "base_model.model.classifier.weight"));
    assert_int_equal(t.counts.head_copies, 8 * 8 + 8 + 3 * 8 + 3);
    /* starts as the base has it */
    const struct firn_param *p = firn_params_find(&t.adapter.params, "base_model.model.bert.pooler.dense.weight");
    assert_true(p->init == FIRN_INIT_BASE && t.flat[p->offset] != 0);
    tiny_close(&t);
}

/* As transformers: normal numbers and no bias; without a word that it trains, it would be lost with the run. */
static void a_pooler_that_is_not_there_is_made_where_it_trains(void **state)
{
    (void) state;
    struct tiny t;
    static const char saves[] = "{\"type\":\"lora\",\"modules_to_save\":[\"pooler\"]}";
    assert_true(tiny_open(&t, "bare", FIRN_TASK_SEQ_CLS, "{\"type\":\"lora\"}") != FIRN_OK);
    assert_non_null(strstr(t.err.text, "modules_to_save: [pooler]"));
    assert_non_null(strstr(t.err.text, "bert.pooler.dense.weight"));
    tiny_close(&t);
    static const struct { const char *method, *weight, *bias; } with[] = {
        { saves, "base_model.model.bert.pooler.dense.weight", "base_model.model.bert.pooler.dense.bias" },
        { "{\"type\":\"full\"}", "bert.pooler.dense.weight", "bert.pooler.dense.bias" },
    };
    for (int i = 0; i < 2; i++) {
        expect_ok(tiny_open(&t, "bare", FIRN_TASK_SEQ_CLS, with[i].method), &t.err);
        const struct firn_param *w = firn_params_find(&t.adapter.params, with[i].weight);
        const struct firn_param *b = firn_params_find(&t.adapter.params, with[i].bias);
        assert_true(w != NULL && b != NULL && w->init == FIRN_INIT_NORMAL && b->init == FIRN_INIT_ZERO);
        double squares = 0;
        for (int k = 0; k < 64; k++)
            squares += (double) t.flat[w->offset + k] * (double) t.flat[w->offset + k];
        assert_true(squares / 64 > 0.0002 && squares / 64 < 0.0008); /* of deviation 0.02: six standard errors */
        assert_true(t.flat[b->offset] == 0);
        tiny_close(&t);
    }
    expect_ok(tiny_open(&t, "bare", FIRN_TASK_TOKEN_CLS, "{\"type\":\"lora\"}"), &t.err);
    tiny_close(&t);
}

static void tied_copies_train_apart(void **state)
{
    (void) state;
    struct tiny t;
    float *plain, *changed;
    int64_t n;
    static const char saves_head[] = "{\"type\":\"lora\",\"modules_to_save\":[\"lm_head\"]}";
    static const char saves_table[] = "{\"type\":\"lora\",\"modules_to_save\":[\"embed_tokens\"]}";
    expect_ok(tiny_open(&t, "tied", FIRN_TASK_CAUSAL_LM, NULL), &t.err);
    plain = tiny_logits(&t, &n);
    const int64_t base = t.counts.base;
    tiny_close(&t);
    for (int i = 0; i < 2; i++) {
        expect_ok(tiny_open(&t, "tied", FIRN_TASK_CAUSAL_LM, i == 0 ? saves_head : saves_table), &t.err);
        const struct firn_param *p = firn_params_find(&t.adapter.params, i == 0 ? "base_model.model.lm_head.weight"
                                                                   : "base_model.model.model.embed_tokens.weight");
        assert_non_null(p);
        assert_int_equal(t.counts.base, base);
        assert_int_equal(t.counts.head_copies, 80);
        changed = tiny_logits(&t, &n);
        assert_memory_equal(plain, changed, sizeof *plain * (size_t) n); /* it starts as the table */
        free(changed);
        t.flat[p->offset + 8] += 1; /* word 1, which the text holds */
        changed = tiny_logits(&t, &n);
        int differ = 0;
        for (int64_t k = 0; k < n; k++)
            differ += plain[k] != changed[k];
        /* an output row changes one logit of each token; an input row all of the first row's tokens */
        assert_int_equal(differ, i == 0 ? 10 : 50);
        free(changed);
        tiny_close(&t);
    }
    free(plain);
}

static void the_output_layer_can_be_wrapped(void **state)
{
    (void) state;
    struct tiny t;
    int64_t n;
    for (int i = 0; i < 2; i++) {
        expect_ok(tiny_open(&t, i == 0 ? "llama" : "tied", FIRN_TASK_CAUSAL_LM,
                            "{\"type\":\"lora\",\"r\":1,\"lora_alpha\":2,\"target_modules\":[\"lm_head\"]}"), &t.err);
        float *before = tiny_logits(&t, &n);
        const struct firn_param *A = firn_params_find(&t.adapter.params, "base_model.model.lm_head.lora_A.weight");
        const struct firn_param *B = firn_params_find(&t.adapter.params, "base_model.model.lm_head.lora_B.weight");
        assert_non_null(A);
        assert_non_null(B);
        t.flat[B->offset + 3] = 1;
        float *after = tiny_logits(&t, &n);
        for (int64_t k = 0; k < n; k++)
            assert_int_equal(before[k] != after[k], k % 10 == 3);
        free(before);
        free(after);
        tiny_close(&t);
    }
}

static void an_embedding_can_be_wrapped(void **state)
{
    (void) state;
    struct tiny t;
    int64_t n;
    expect_ok(tiny_open(&t, "llama", FIRN_TASK_CAUSAL_LM,
                        "{\"type\":\"lora\",\"r\":2,\"target_modules\":[\"embed_tokens\"]}"), &t.err);
    const struct firn_param *A = firn_params_find(&t.adapter.params, "base_model.model.model.embed_tokens.lora_embedding_A");
    const struct firn_shape held = firn_param_shape(A);
    assert_true(held.dim[0] == 2 && held.dim[1] == 10);
    float *before = tiny_logits(&t, &n);
    t.flat[A->offset + 9 * 2] = 1; /* word 9 opens the second row */
    float *after = tiny_logits(&t, &n);
    for (int64_t k = 0; k < n; k++)
        if (k < 50)
            assert_true(before[k] == after[k]);
    assert_true(before[50] != after[50]);
    free(before);
    free(after);
    tiny_close(&t);
}

static void biases_train_by_rule(void **state)
{
    (void) state;
    struct tiny t;
    expect_ok(tiny_open(&t, "bert", FIRN_TASK_TOKEN_CLS, "{\"type\":\"lora\",\"bias\":\"lora_only\"}"), &t.err);
    assert_true(trains(&t, Q0 ".base_layer.bias"));
    assert_false(trains(&t, "base_model.model.bert.embeddings.LayerNorm.bias"));
    assert_int_equal(t.adapter.params.count, 2 * 2 * 3 + 2);
    tiny_close(&t);
    expect_ok(tiny_open(&t, "bert", FIRN_TASK_MASKED_LM, "{\"type\":\"lora\",\"bias\":\"all\"}"), &t.err);
    assert_true(trains(&t, "base_model.model.cls.predictions.bias"));
    assert_true(trains(&t, "base_model.model.bert.encoder.layer.1.attention.self.key.bias"));
    tiny_close(&t);
}

static void a_bias_of_the_second_factor_is_scaled(void **state)
{
    (void) state;
    struct tiny t;
    int64_t n;
    expect_ok(tiny_open(&t, "llama", FIRN_TASK_CAUSAL_LM,
                        "{\"type\":\"lora\",\"r\":4,\"lora_alpha\":2,\"lora_bias\":true,\"target_modules\":[\"lm_head\"]}"),
              &t.err);
    float *before = tiny_logits(&t, &n);
    t.flat[firn_params_find(&t.adapter.params, "base_model.model.lm_head.lora_B.bias")->offset + 1] = 1;
    float *after = tiny_logits(&t, &n);
    assert_true(after[1] - before[1] > 0.499f && after[1] - before[1] < 0.501f);
    assert_true(after[0] == before[0]);
    free(before);
    free(after);
    tiny_close(&t);
}

static void keys_are_closed_and_errors_name_key_and_value(void **state)
{
    (void) state;
    static const struct { const char *method; firn_status status; const char *word, *other; } bad[] = {
        { "{\"type\":\"lora\",\"lora_aplha\":3}", FIRN_ERR_USAGE, "method.lora_aplha", "did you mean lora_alpha" },
        { "{\"type\":\"lora\",\"new_key_of_peft\":{\"a\":[1]}}", FIRN_ERR_USAGE, "new_key_of_peft", "{\"a\": [1]}" },
        { "{\"type\":\"lora\",\"use_dora\":true,\"lora_bias\":true}", FIRN_ERR_UNSUPPORTED, "lora_bias", "use_dora" },
        { "{\"type\":\"lora\",\"target_parameters\":[\"x\"]}", FIRN_ERR_UNSUPPORTED, "target_parameters", "[\"x\"]" },
        { "{\"type\":\"lora\",\"init_lora_weights\":\"eva\"}", FIRN_ERR_UNSUPPORTED, "init_lora_weights", "eva" },
        { "{\"type\":\"lora\",\"r\":0}", FIRN_ERR_USAGE, "method.r", "1 to 65536" },
        { "{\"type\":\"lora\",\"r\":\"8\"}", FIRN_ERR_USAGE, "method.r", "number" },
        { "{\"type\":\"lora\",\"lora_dropout\":1}", FIRN_ERR_USAGE, "lora_dropout", "0 to 0.99" },
        { "{\"type\":\"lora\",\"bias\":\"some\"}", FIRN_ERR_USAGE, "bias", "lora_only" },
        { "{\"type\":\"lora\",\"modules_to_save\":\"x\"}", FIRN_ERR_USAGE, "modules_to_save", "list" },
        { "{\"type\":\"lora\",\"modules_to_save\":[3]}", FIRN_ERR_USAGE, "modules_to_save", "names" },
        { "{\"type\":\"lora\",\"target_modules\":\"(\"}", FIRN_ERR_USAGE, "target_modules", "regular expression" },
        { "{\"type\":\"lora\",\"layers_to_transform\":\"x\"}", FIRN_ERR_USAGE, "layers_to_transform", NULL },
        { "{\"type\":\"lora\",\"rank_pattern\":{\"q\":0}}", FIRN_ERR_USAGE, "rank_pattern.q", NULL },
        { "{\"type\":\"lora\",\"target_modules\":[\"q_proj\"]}", FIRN_ERR_USAGE, "target_modules", "query" },
        { "{\"type\":\"lora\",\"target_modules\":[\"LayerNorm\"]}", FIRN_ERR_SHAPE, "LayerNorm", "norm" },
        { "{\"type\":\"lora\",\"target_modules\":\"([a-z0-9.]|[a-z0-9.]+)*[0-9]\"}", FIRN_ERR_USAGE, "target_modules", "quick" },
        { "{\"type\":\"ia4\"}", FIRN_ERR_UNSUPPORTED, "method.type", "got ia4" },
        { "{\"peft_type\":\"BOFT\"}", FIRN_ERR_UNSUPPORTED, "peft_type", "BOFT" },
        { "{}", FIRN_ERR_UNSUPPORTED, "method.type", "none" },
        { "{\"type\":\"full\",\"r\":8}", FIRN_ERR_USAGE, "method.r", "unknown key" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct tiny t;
        const firn_status status = tiny_open(&t, "bert", FIRN_TASK_SEQ_CLS, bad[i].method);
        if (status != bad[i].status)
            print_message("%s\n", bad[i].method);
        expect_error(status, bad[i].status, &t.err, bad[i].word, bad[i].other);
        tiny_close(&t);
    }
}

static void what_is_unset_may_be_anything(void **state)
{
    (void) state;
    struct tiny t;
    expect_ok(tiny_open(&t, "bert", FIRN_TASK_SEQ_CLS,
                        "{\"peft_type\":\"LORA\",\"r\":null,\"future_a\":null,\"future_b\":false,\"future_c\":\"\","
                        "\"future_d\":[],\"future_e\":{},\"use_dora\":false,\"loftq_config\":{},\"fan_in_fan_out\":true,"
                        "\"megatron_core\":\"megatron.core\",\"target_modules\":null}"), &t.err);
    tiny_close(&t);
}

static void head_trains_only_the_head_and_only_of_classifiers(void **state)
{
    (void) state;
    struct tiny t;
    expect_ok(tiny_open(&t, "llama", FIRN_TASK_SEQ_CLS, "{\"type\":\"head\"}"), &t.err);
    assert_int_equal(t.adapter.params.count, 1);
    assert_true(trains(&t, "score.weight"));
    tiny_close(&t);
    expect_error(tiny_open(&t, "llama", FIRN_TASK_CAUSAL_LM, "{\"type\":\"head\"}"), FIRN_ERR_UNSUPPORTED, &t.err,
                 "head", "causal_lm");
    tiny_close(&t);
}

static void a_tied_table_is_trained_once_by_full(void **state)
{
    (void) state;
    struct tiny t;
    expect_ok(tiny_open(&t, "tied", FIRN_TASK_CAUSAL_LM, "{\"type\":\"full\"}"), &t.err);
    assert_int_equal(t.adapter.params.count, 11);
    assert_int_equal(firn_params_count(&t.adapter.params), firn_model_total(&t.counts, &t.adapter.params));
    tiny_close(&t);
}

static void a_task_that_the_model_cannot_do_is_an_error_that_lists_those_it_can(void **state)
{
    (void) state;
    struct tiny t;
    expect_error(tiny_open(&t, "llama", FIRN_TASK_MASKED_LM, NULL), FIRN_ERR_UNSUPPORTED, &t.err, "causal_lm", "masked_lm");
    tiny_close(&t);
    expect_error(tiny_open(&t, "bert", FIRN_TASK_SEQ_CLS, NULL), FIRN_ERR_SHAPE, &t.err, "classifier.weight",
                 "no such tensor");
    tiny_close(&t);
}

#define T(name) cmocka_unit_test_setup_teardown(name, make, scratch_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_default_targets_are_those_of_the_model),
        T(a_conv1d_is_held_as_in_times_out_and_said_to_be),
        T(bitfit_trains_every_bias_and_the_head),
        T(all_linear_leaves_out_the_output_and_the_head),
        T(saved_modules_train_whole_and_are_never_wrapped),
        T(a_pooler_that_is_not_there_is_made_where_it_trains),
        T(tied_copies_train_apart),
        T(the_output_layer_can_be_wrapped),
        T(an_embedding_can_be_wrapped),
        T(biases_train_by_rule),
        T(a_bias_of_the_second_factor_is_scaled),
        T(keys_are_closed_and_errors_name_key_and_value),
        T(what_is_unset_may_be_anything),
        T(head_trains_only_the_head_and_only_of_classifiers),
        T(a_tied_table_is_trained_once_by_full),
        T(a_task_that_the_model_cannot_do_is_an_error_that_lists_those_it_can),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
