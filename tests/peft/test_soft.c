/* SPDX-License-Identifier: Apache-2.0 */
/* Prefixes and prompts: what they train, where they start, what their files hold, and what they refuse. */
#include "tiny.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int make(void **state)
{
    (void) state;
    scratch_make();
    tiny_bert("bert");
    tiny_llama("llama", false, FIRN_F32);
    return 0;
}

static const struct firn_param *get(const struct tiny *t, const char *name)
{
    const struct firn_param *p = firn_params_find(&t->adapter.params, name);
    if (p == NULL)
        fail_msg("%s is not trained", name);
    return p;
}

static void expect_param(const struct tiny *t, const char *name, int64_t rows, int64_t cols)
{
    const struct firn_param *p = get(t, name);
    assert_int_equal(p->shape.dim[0], rows);
    assert_int_equal(p->shape.rank > 1 ? p->shape.dim[1] : 0, cols);
}

static const float *values(const struct tiny *t, const char *name)
{
    return t->flat + get(t, name)->offset;
}

static void a_prefix_has_the_shape_of_keys_and_values_and_the_head_peft_s_name(void **state)
{
    (void) state;
    struct tiny t;
    expect_ok(tiny_open(&t, "bert", FIRN_TASK_SEQ_CLS, "{\"type\":\"prefix_tuning\",\"num_virtual_tokens\":3}"), &t.err);
    assert_int_equal(t.adapter.params.count, 3);
    assert_int_equal(t.adapter.n_prefix, 3);
    expect_param(&t, "prompt_embeddings", 3, 2 * 2 * 8);
    expect_param(&t, "base_model.classifier.weight", 3, 8);
    tiny_close(&t);
    expect_ok(tiny_open(&t, "llama", FIRN_TASK_CAUSAL_LM, "{\"type\":\"prefix_tuning\",\"num_virtual_tokens\":3}"), &t.err);
    expect_param(&t, "prompt_embeddings", 3, 2 * 4); /* of the key and value heads */
    tiny_close(&t);
}

/* The first tensor's mean and mean square over many seeds, against those of its distribution. */
static void expect_moments_of(const char *model, enum firn_task task, const char *method, const char *name, double deviation,
                              double largest)
{
    double sum = 0, squares = 0, most = 0, count = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct tiny t;
        expect_ok(tiny_open(&t, model, task, method), &t.err);
        expect_ok(firn_adapter_init(&t.adapter, &t.model, seed, t.flat, &t.err), &t.err);
        const struct firn_param *p = get(&t, name);
        for (int64_t i = 0; i < firn_shape_count(&p->shape); i++) {
            const double x = (double) t.flat[p->offset + i];
            sum += x;
            squares += x * x;
            most = fmax(most, fabs(x));
            count++;
        }
        tiny_close(&t);
    }
    /* four deviations of the estimates; a fourth moment of 3 covers both distributions */
    assert_true(fabs(sum / count) < 4 * deviation / sqrt(count));
    assert_true(fabs(squares / count / (deviation * deviation) - 1) < 4 * sqrt(2 / count));
    assert_true(most <= largest && most > 0.8 * fmin(largest, 3 * deviation));
}

static void expect_moments(const char *method, const char *name, double deviation, double largest)
{
    expect_moments_of("bert", FIRN_TASK_SEQ_CLS, method, name, deviation, largest);
}

static void prompts_of_tasks_start_as_nemo_s(void **state)
{
    (void) state;
    static const char tables[] = "{\"type\":\"multitask_prompt\",\"num_virtual_tokens\":3,\"tasks\":[{\"taskname\":\"a\"},"
                                 "{\"taskname\":\"b\"}]}";
    static const char encoder[] = "{\"type\":\"multitask_ptuning\",\"num_virtual_tokens\":3,\"tasks\":[{\"taskname\":\"a\","
                                  "\"name_ids\":[1,2]},{\"taskname\":\"b\",\"name_ids\":[3,4,5,6]}],\"encoder_hidden_size\":5}";
    const double xavier = sqrt(2.0 / (3 + 8)), in5 = 1 / sqrt(5);
    expect_moments_of("llama", FIRN_TASK_CAUSAL_LM, tables, "prompt_table.b.weight", xavier, INFINITY);
    expect_moments_of("llama", FIRN_TASK_CAUSAL_LM, encoder, "prompt_encoder.lstm_head.weight_ih_l1", in5 / sqrt(3), in5 * 1.000001);
}

static void tables_start_normal_and_networks_uniform(void **state)
{
    (void) state;
    static const char direct[] = "{\"type\":\"prefix_tuning\",\"num_virtual_tokens\":3}";
    static const char through[] = "{\"type\":\"prefix_tuning\",\"num_virtual_tokens\":3,\"prefix_projection\":true,"
                                  "\"encoder_hidden_size\":5}";
    expect_moments(direct, "prompt_embeddings", 1, INFINITY);
    expect_moments(through, "prompt_encoder.embedding.weight", 1, INFINITY);
    const double in8 = 1 / sqrt(8), in5 = 1 / sqrt(5), of_uniform = 1 / sqrt(3);
    expect_moments(through, "prompt_encoder.transform.0.weight", in8 * of_uniform, in8 * 1.000001);
    expect_moments(through, "prompt_encoder.transform.0.bias", in8 * of_uniform, in8 * 1.000001);
    expect_moments(through, "prompt_encoder.transform.2.weight", in5 * of_uniform, in5 * 1.000001);
    static const char lstm[] = "{\"type\":\"p_tuning\",\"num_virtual_tokens\":3,\"encoder\":\"lstm\",\"encoder_hidden_size\":5}";
    expect_moments(lstm, "prompt_encoder.embedding.weight", 1, INFINITY);
    expect_moments(lstm, "prompt_encoder.lstm_head.weight_ih_l0", in5 * of_uniform, in5 * 1.000001);
    expect_moments(lstm, "prompt_encoder.lstm_head.weight_hh_l1_reverse", in5 * of_uniform, in5 * 1.000001);
    expect_moments(lstm, "prompt_encoder.lstm_head.bias_hh_l0", in5 * of_uniform, in5 * 1.000001);
    expect_moments(lstm, "prompt_encoder.mlp_head.0.weight", of_uniform / sqrt(10), 1.000001 / sqrt(10));
    struct tiny t;
    expect_ok(tiny_open(&t, "bert", FIRN_TASK_SEQ_CLS, "{\"type\":\"prefix_tuning\",\"num_virtual_tokens\":3,"
                                                       "\"init_weights\":\"zero\"}"), &t.err);
    for (int i = 0; i < 3 * 32; i++)
        assert_true(values(&t, "prompt_embeddings")[i] == 0);
    tiny_close(&t);
    expect_ok(tiny_open(&t, "bert", FIRN_TASK_SEQ_CLS, "{\"type\":\"prefix_tuning\",\"num_virtual_tokens\":3,"
                                                       "\"prefix_projection\":true,\"init_weights\":\"zero\"}"), &t.err);
    for (int i = 0; i < 32 * 8; i++)
        assert_true(values(&t, "prompt_encoder.transform.2.weight")[i] == 0);
    tiny_close(&t);
}

#define PROMPT "{\"type\":\"prompt_tuning\",\"num_virtual_tokens\":5"

static void a_prompt_has_a_row_a_token_and_starts_as_it_is_told(void **state)
{
    (void) state;
    struct tiny t;
    expect_ok(tiny_open(&t, "bert", FIRN_TASK_SEQ_CLS, PROMPT "}"), &t.err);
    expect_param(&t, "prompt_embeddings", 5, 8);
    expect_param(&t, "base_model.classifier.weight", 3, 8);
    assert_int_equal(t.adapter.n_virtual, 5);
    tiny_close(&t);
    expect_moments(PROMPT "}", "prompt_embeddings", 1, INFINITY);

    expect_ok(tiny_open(&t, "llama", FIRN_TASK_CAUSAL_LM, PROMPT ",\"prompt_tuning_init\":\"SAMPLE_VOCAB\"}"), &t.err);
    const struct firn_tensor *table = firn_weights_find(&t.model.weights, "model", "model.embed_tokens.weight", NULL);
    int met[10] = { 0 };
    for (uint64_t seed = 0; seed < 400; seed++) {
        expect_ok(firn_adapter_init(&t.adapter, &t.model, seed, t.flat, &t.err), &t.err);
        for (int i = 0; i < 5; i++) {
            float row[8];
            int id = 0;
            for (; id < 10; id++) {
                firn_tensor_read_f32(table, id * 8, 8, row);
                if (memcmp(row, values(&t, "prompt_embeddings") + i * 8, sizeof row) == 0)
                    break;
            }
            assert_true(id < 10);
            met[id]++;
        }
    }
    for (int id = 0; id < 10; id++) /* 200 each, deviation 13.4 */
        assert_in_range(met[id], 140, 260);
    tiny_close(&t);
}

static void a_text_is_cut_or_repeated(void **state)
{
    (void) state;
    static const char tokenizer[] =
        "{\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"u\",\"continuing_subword_prefix\":\"##\","
        "\"max_input_chars_per_word\":100,\"vocab\":{\"u\":0,\"a\":1,\"b\":2,\"c\":3,\"d\":4,\"e\":5,\"f\":6}},"
        "\"pre_tokenizer\":{\"type\":\"WhitespaceSplit\"},\"normalizer\":null,\"post_processor\":null,\"decoder\":null,"
        "\"added_tokens\":[]}";
    static const struct { const char *text; int ids[5]; } all[] = { { "f c", { 6, 3, 6, 3, 6 } },
                                                                    { "a b c d e f", { 1, 2, 3, 4, 5 } } };
    scratch_mkdir("words");
    scratch_write("words/tokenizer.json", tokenizer);
    for (int k = 0; k < 2; k++) {
        struct tiny t;
        char method[500];
        snprintf(method, sizeof method, PROMPT ",\"prompt_tuning_init\":\"TEXT\",\"prompt_tuning_init_text\":\"%s\","
                                               "\"tokenizer_name_or_path\":\"%s\"}", all[k].text, scratch_path("words"));
        expect_ok(tiny_open(&t, "llama", FIRN_TASK_CAUSAL_LM, method), &t.err);
        const struct firn_tensor *table = firn_weights_find(&t.model.weights, "model", "model.embed_tokens.weight", NULL);
        for (int i = 0; i < 5; i++) {
            float row[8];
            firn_tensor_read_f32(table, all[k].ids[i] * 8, 8, row);
            assert_memory_equal(row, values(&t, "prompt_embeddings") + i * 8, sizeof row);
        }
        tiny_close(&t);
    }
}

/* Saves with the state beside it and without, loads both, and expects the logits that training had. */
static void expect_round_trip(const char *model, enum firn_task task, const char *method)
{
    struct tiny t, again;
    int64_t n, m;
    expect_ok(tiny_open(&t, model, task, method), &t.err);
    const struct firn_save_params plain = { 0 }, with_state = { .with_state = true };
    scratch_mkdir("out");
    expect_ok(firn_adapter_save(&t.adapter, &t.model, &t.params, t.flat, scratch_path("out/plain"), &plain, &t.err), &t.err);
    expect_ok(firn_adapter_save(&t.adapter, &t.model, &t.params, t.flat, scratch_path("out/state"), &with_state, &t.err), &t.err);
    assert_false(firn_path_exists(scratch_path("out/plain/state.safetensors")));
    float *want = tiny_logits(&t, &n);

    expect_ok(tiny_open(&again, model, task, method), &again.err);
    firn_adapter_close(&again.adapter);
    expect_ok(firn_adapter_load(&again.adapter, &again.model, task, scratch_path("out/plain"), &again.err), &again.err);
    expect_ok(firn_model_collect(&again.model, &again.adapter, &again.params, &again.counts, &again.err), &again.err);
    free(again.flat);
    again.flat = calloc((size_t) again.adapter.params.flat + 1, sizeof(float));
    expect_ok(firn_adapter_read(&again.adapter, &again.model, scratch_path("out/plain"), again.flat, &again.err), &again.err);
    get(&again, "prompt_embeddings");
    float *got = tiny_logits(&again, &m);
    assert_int_equal(n, m);
    for (int64_t i = 0; i < n; i++)
        assert_true(fabsf(got[i] - want[i]) <= 1e-6f + 1e-5f * fabsf(want[i]));
    free(got);
    tiny_close(&again);

    /* training goes on from the state, to the bit */
    expect_ok(tiny_open(&again, model, task, method), &again.err);
    memset(again.flat, 0, sizeof(float) * (size_t) again.adapter.params.flat);
    expect_ok(firn_adapter_read(&again.adapter, &again.model, scratch_path("out/state"), again.flat, &again.err), &again.err);
    for (size_t i = 0; i < t.adapter.params.count; i++) {
        const struct firn_param *p = &t.adapter.params.list[i];
        assert_memory_equal(t.flat + p->offset, again.flat + p->offset, sizeof(float) * (size_t) firn_shape_count(&p->shape));
    }
    tiny_close(&again);
    free(want);
    tiny_close(&t);
}

static void files_hold_the_table_that_a_network_makes(void **state)
{
    (void) state;
    expect_round_trip("bert", FIRN_TASK_SEQ_CLS, "{\"type\":\"prefix_tuning\",\"num_virtual_tokens\":3}");
    expect_round_trip("llama", FIRN_TASK_CAUSAL_LM, "{\"type\":\"prefix_tuning\",\"num_virtual_tokens\":2}");
    expect_round_trip("bert", FIRN_TASK_SEQ_CLS, PROMPT "}");
    expect_round_trip("llama", FIRN_TASK_CAUSAL_LM, PROMPT "}");
    expect_round_trip("bert", FIRN_TASK_SEQ_CLS, "{\"type\":\"p_tuning\",\"num_virtual_tokens\":4,\"encoder_hidden_size\":3}");
    expect_round_trip("llama", FIRN_TASK_CAUSAL_LM, "{\"type\":\"p_tuning\",\"num_virtual_tokens\":4,"
                                                    "\"encoder_reparameterization_type\":\"LSTM\",\"encoder_num_layers\":3}");
    expect_round_trip("bert", FIRN_TASK_TOKEN_CLS, "{\"type\":\"p_tuning_v2\",\"num_virtual_tokens\":3}");
    expect_round_trip("bert", FIRN_TASK_SEQ_CLS, "{\"type\":\"prefix_tuning\",\"num_virtual_tokens\":3,"
                                                 "\"prefix_projection\":true,\"encoder_hidden_size\":5}");
    expect_round_trip("llama", FIRN_TASK_CAUSAL_LM, "{\"type\":\"prefix_tuning\",\"num_virtual_tokens\":1,"
                                                    "\"prefix_projection\":true}");
}

static void settings_that_make_no_sense_are_refused(void **state)
{
    (void) state;
    static const struct { const char *method, *word; } all[] = {
        { "{\"type\":\"prefix_tuning\"}", "num_virtual_tokens" },
        { "{\"type\":\"prefix_tuning\",\"num_virtual_tokens\":0}", "num_virtual_tokens" },
        { "{\"type\":\"prefix_tuning\",\"num_virtual_tokens\":3,\"token_dim\":9}", "token_dim: expected 8" },
        { "{\"type\":\"prefix_tuning\",\"num_virtual_tokens\":3,\"num_layers\":1}", "num_layers: expected 2" },
        { "{\"type\":\"prefix_tuning\",\"num_virtual_tokens\":3,\"target_modules\":[\"query\"]}", "unknown key" },
        { "{\"type\":\"prefix_tuning\",\"num_virtual_tokens\":12}", "12 virtual ones" },
        { "{\"type\":\"prompt_tuning\",\"num_virtual_tokens\":12}", "12 virtual ones" },
        { PROMPT ",\"prompt_tuning_init\":\"TEXT\"}", "prompt_tuning_init_text" },
        { PROMPT ",\"prompt_tuning_init\":\"WORDS\"}", "SAMPLE_VOCAB" },
        { PROMPT ",\"num_attention_heads\":3}", "num_attention_heads: expected 2" },
        { "{\"type\":\"prefix_tuning\",\"num_virtual_tokens\":3,\"peft_compatible\":1}", "peft_compatible" },
    };
    struct tiny lm;
    assert_int_not_equal(tiny_open(&lm, "llama", FIRN_TASK_CAUSAL_LM, "{\"type\":\"p_tuning_v2\",\"num_virtual_tokens\":3}"),
                         FIRN_OK);
    assert_non_null(strstr(lm.err.text, "token_classification (else prefix_tuning)"));
    tiny_close(&lm);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct tiny t;
        const firn_status status = tiny_open(&t, "bert", FIRN_TASK_SEQ_CLS, all[i].method);
        if (status == FIRN_OK || strstr(t.err.text, all[i].word) == NULL)
            fail_msg("%s: %s", all[i].method, status == FIRN_OK ? "was taken" : t.err.text);
        tiny_close(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_prefix_has_the_shape_of_keys_and_values_and_the_head_peft_s_name),
        cmocka_unit_test(tables_start_normal_and_networks_uniform),
        cmocka_unit_test(prompts_of_tasks_start_as_nemo_s),
        cmocka_unit_test(a_prompt_has_a_row_a_token_and_starts_as_it_is_told),
        cmocka_unit_test(a_text_is_cut_or_repeated),
        cmocka_unit_test(files_hold_the_table_that_a_network_makes),
        cmocka_unit_test(settings_that_make_no_sense_are_refused),
    };
    return cmocka_run_group_tests(tests, make, scratch_teardown);
}
