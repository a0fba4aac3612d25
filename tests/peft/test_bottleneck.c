/* SPDX-License-Identifier: Apache-2.0 */
/* Bottleneck adapters: names, sizes and places for both kinds of layers, what they compute, and adapter-hub's files. */
#include "tiny.h"

#include "base/file.h"

#include <math.h>
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

static const struct firn_param *find(const struct tiny *t, const char *name)
{
    return firn_params_find(&t->adapter.params, name);
}

#define LAYER0 "bert.encoder.layer.0"

static void presets_say_where_adapters_sit(void **state)
{
    (void) state;
    struct tiny t;
    static const struct { const char *json; size_t count; bool attention; int64_t m; } cases[] = {
        { "{\"type\":\"houlsby\",\"reduction_factor\":4}", 2 * 8 + 2, true, 2 },
        { "{\"type\":\"adapter\",\"config\":\"double_seq_bn\"}", 2 * 8 + 2, true, 1 }, /* 8 / 16, at least 1 */
        { "{\"type\":\"pfeiffer\",\"reduction_factor\":3}", 2 * 4 + 2, false, 2 },
        { "{\"type\":\"adapter\"}", 2 * 4 + 2, false, 1 },
        { "{\"type\":\"parallel\"}", 2 * 4 + 2, false, 4 },
        { "{\"type\":\"scaled_par_bn\"}", 2 * 5 + 2, false, 4 },
        { "{\"type\":\"houlsby\",\"leave_out\":[0],\"reduction_factor\":{\"default\":2,\"1\":0.5}}", 8 + 2, false, 0 },
        { "{\"type\":\"pfeiffer\",\"ln_before\":true,\"ln_after\":true}", 2 * 8 + 2, false, 0 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        expect_ok(tiny_open(&t, "bert", FIRN_TASK_SEQ_CLS, cases[i].json), &t.err);
        if (t.adapter.params.count != cases[i].count)
            fail_msg("%s: %zu tensors", cases[i].json, t.adapter.params.count);
        assert_int_equal(find(&t, LAYER0 ".attention.output.adapters.default.adapter_up.bias") != NULL, cases[i].attention);
        if (cases[i].m > 0)
            assert_int_equal(find(&t, LAYER0 ".output.adapters.default.adapter_down.0.weight")->shape.dim[0], cases[i].m);
        assert_non_null(find(&t, "classifier.weight"));
        tiny_close(&t);
    }
    expect_ok(tiny_open(&t, "llama", FIRN_TASK_CAUSAL_LM, "{\"type\":\"houlsby\",\"name\":\"x\"}"), &t.err);
    assert_int_equal(t.adapter.params.count, 8);
    assert_non_null(find(&t, "model.layers.0.attention_adapters.adapters.x.adapter_down.0.weight"));
    assert_non_null(find(&t, "model.layers.0.output_adapters.adapters.x.adapter_up.weight"));
    tiny_close(&t);
}

static void a_map_of_factors_holds_for_its_layers(void **state)
{
    (void) state;
    struct tiny t;
    expect_ok(tiny_open(&t, "bert", FIRN_TASK_SEQ_CLS, "{\"type\":\"pfeiffer\",\"reduction_factor\":{\"default\":2,\"1\":0.5}}"),
              &t.err);
    assert_int_equal(find(&t, LAYER0 ".output.adapters.default.adapter_down.0.weight")->shape.dim[0], 4);
    assert_int_equal(find(&t, "bert.encoder.layer.1.output.adapters.default.adapter_down.0.weight")->shape.dim[0], 16);
    tiny_close(&t);
}

static void norms_of_the_adapter_have_no_decay(void **state)
{
    (void) state;
    struct tiny t;
    expect_ok(tiny_open(&t, "bert", FIRN_TASK_SEQ_CLS, "{\"type\":\"pfeiffer\",\"ln_before\":true,\"ln_after\":true}"), &t.err);
    firn_params_free(&t.adapter.params); /* collected again, with the usual rule */
    expect_ok(firn_model_collect(&t.model, &t.adapter, &t.params, &t.counts, &t.err), &t.err);
    assert_false(find(&t, LAYER0 ".output.adapters.default.adapter_down.0.weight")->decays);
    assert_false(find(&t, LAYER0 ".output.adapters.default.adapter_norm_after.weight")->decays);
    assert_true(find(&t, LAYER0 ".output.adapters.default.adapter_down.1.weight")->decays);
    tiny_close(&t);
}

/* An adapter whose output is zero leaves the model as it is, wherever it sits and whatever is around it. */
static void a_zero_adapter_changes_nothing(void **state)
{
    (void) state;
    static const char *const methods[] = { "houlsby", "pfeiffer", "parallel" };
    static const struct { const char *model; enum firn_task task; } models[] = { { "bert", FIRN_TASK_MASKED_LM },
                                                                                 { "llama", FIRN_TASK_CAUSAL_LM } };
    for (int k = 0; k < 2; k++) {
        struct tiny base;
        int64_t n, m;
        expect_ok(tiny_open(&base, models[k].model, models[k].task, NULL), &base.err);
        float *want = tiny_logits(&base, &n);
        for (int i = 0; i < 3; i++) {
            struct tiny t;
            expect_ok(tiny_open(&t, models[k].model, models[k].task, FIRN_STR("{\"type\":\"%s\"}", methods[i])), &t.err);
            memset(t.flat, 0, sizeof(float) * (size_t) t.adapter.params.flat);
            float *got = tiny_logits(&t, &m);
            for (int64_t v = 0; v < t.adapter.params.flat; v++)
                t.flat[v] = 9.0f * (float) (v % 7 - 2);
            float *other = tiny_logits(&t, &m);
            double moved = 0;
            assert_int_equal(n, m);
            for (int64_t j = 0; j < n; j++) {
                assert_true(fabsf(got[j] - want[j]) < 1e-6f);
                moved = fmax(moved, (double) fabsf(other[j] - want[j]));
            }
            assert_true(moved > 2e-6);
            free(other);
            free(got);
            tiny_close(&t);
        }
        free(want);
        tiny_close(&base);
    }
}

/* learned and channel start at one: as a number they are 1; 2.5 by either is the same. */
static void scales_of_all_kinds_agree(void **state)
{
    (void) state;
    static const char *const kinds[] = { "2.5", "\"learned\"", "\"channel\"" };
    float *first = NULL;
    int64_t n;
    for (int i = 0; i < 3; i++) {
        struct tiny t;
        expect_ok(tiny_open(&t, "bert", FIRN_TASK_SEQ_CLS,
                            FIRN_STR("{\"type\":\"houlsby\",\"reduction_factor\":2,\"scaling\":%s}", kinds[i])), &t.err);
        for (size_t p = 0; p < t.adapter.params.count; p++) {
            const struct firn_param *param = &t.adapter.params.list[p];
            for (int64_t j = 0; j < firn_shape_count(&param->shape); j++)
                if (strstr(param->name, ".scaling") != NULL) {
                    assert_true(t.flat[param->offset + j] == 1.0f);
                    t.flat[param->offset + j] = 2.5f;
                }
        }
        float *got = tiny_logits(&t, &n);
        for (int64_t j = 0; j < n && first != NULL; j++)
            assert_true(fabsf(got[j] - first[j]) < 1e-6f);
        if (first == NULL)
            first = got;
        else
            free(got);
        tiny_close(&t);
    }
    free(first);
}

static void truncated_values_stay_within_two_deviations(void **state)
{
    (void) state;
    struct tiny t;
    double sum = 0, squares = 0, most = 0;
    int n = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        expect_ok(tiny_open(&t, "bert", FIRN_TASK_SEQ_CLS, "{\"type\":\"houlsby\",\"reduction_factor\":1,\"init_weights\":\"houlsby\"}"),
                  &t.err);
        expect_ok(firn_adapter_init(&t.adapter, &t.model, seed, t.flat, &t.err), &t.err);
        const struct firn_param *p = find(&t, LAYER0 ".output.adapters.default.adapter_up.weight");
        for (int64_t j = 0; j < firn_shape_count(&p->shape); j++, n++) {
            const double x = (double) t.flat[p->offset + j];
            sum += x;
            squares += x * x;
            most = fmax(most, fabs(x));
        }
        tiny_close(&t);
    }
    assert_true(most <= 0.02 && most > 0.0195);
    assert_true(fabs(sum / n) < 2e-4);                        /* 2.6 deviations of a mean of 12800 */
    assert_true(fabs(sqrt(squares / n) / 0.01 - 0.8796) < 0.02); /* of a normal cut at 2 */
}

static void a_folder_reads_back_and_says_what_it_is(void **state)
{
    (void) state;
    struct tiny a, b;
    struct firn_adapter_info info;
    const struct firn_save_params save = { .base_name = "some/base" };
    const char *method = "{\"type\":\"houlsby\",\"reduction_factor\":{\"default\":2},\"name\":\"n\",\"scaling\":\"learned\","
                         "\"ln_before\":true}";
    expect_ok(tiny_open(&a, "bert", FIRN_TASK_SEQ_CLS, method), &a.err);
    expect_ok(firn_adapter_save(&a.adapter, &a.model, &a.params, a.flat, scratch_path("saved"), &save, &a.err), &a.err);
    expect_ok(firn_adapter_peek(&info, scratch_path("saved"), &a.err), &a.err);
    assert_string_equal(info.method, "adapter");
    assert_string_equal(info.base, "some/base");
    assert_true(info.has_task && info.task == FIRN_TASK_SEQ_CLS && info.n_labels == 3);
    json_t *config;
    expect_ok(firn_json_load(scratch_path("saved/adapter_config.json"), &config, &a.err), &a.err);
    char *text = json_dumps(config, 0);
    expect_ok(tiny_open(&b, "bert", FIRN_TASK_SEQ_CLS, text), &b.err);
    memset(b.flat, 0, sizeof(float) * (size_t) b.adapter.params.flat);
    expect_ok(firn_adapter_read(&b.adapter, &b.model, scratch_path("saved"), b.flat, &b.err), &b.err);
    assert_memory_equal(a.flat, b.flat, sizeof(float) * (size_t) a.adapter.params.flat);
    free(text);
    json_decref(config);
    tiny_close(&b);
    /* a head that is missing, and a pickle in the adapter's place, are named */
    remove(scratch_path("saved/model_head.safetensors"));
    expect_error(firn_adapter_read(&a.adapter, &a.model, scratch_path("saved"), a.flat, &a.err), FIRN_ERR_IO, &a.err,
                 "model_head.safetensors", NULL);
    remove(scratch_path("saved/adapter.safetensors"));
    scratch_write("saved/pytorch_adapter.bin", "x");
    expect_error(firn_adapter_read(&a.adapter, &a.model, scratch_path("saved"), a.flat, &a.err), FIRN_ERR_UNSUPPORTED, &a.err,
                 "pytorch_adapter.bin", "use_safetensors=True");
    tiny_close(&a);
}

static void an_adapter_of_a_bare_model_has_no_class_prefix(void **state)
{
    (void) state;
    struct tiny t;
    static const struct scratch_tensor list[] = {
        { "encoder.layer.0.output.adapters.default.adapter_down.0.weight", FIRN_DIMS(1, 8), FIRN_F32 },
        { "encoder.layer.0.output.adapters.default.adapter_down.0.bias", FIRN_DIMS(1), FIRN_F32 },
        { "encoder.layer.0.output.adapters.default.adapter_up.weight", FIRN_DIMS(8, 1), FIRN_F32 },
        { "encoder.layer.0.output.adapters.default.adapter_up.bias", FIRN_DIMS(8), FIRN_F32 },
        { NULL, FIRN_DIMS(0), FIRN_F32 } };
    scratch_mkdir("bare");
    scratch_tensors("bare/adapter.safetensors", list);
    expect_ok(tiny_open(&t, "bert", FIRN_TASK_MASKED_LM, "{\"type\":\"pfeiffer\",\"leave_out\":[1]}"), &t.err);
    expect_ok(firn_adapter_read(&t.adapter, &t.model, scratch_path("bare"), t.flat, &t.err), &t.err);
    tiny_close(&t);
}

static void wrong_settings_are_named(void **state)
{
    (void) state;
    static const struct { const char *json, *word, *other; enum firn_status status; } cases[] = {
        { "{\"type\":\"houlsby\",\"reduction_factor\":0}", "reduction_factor", "0", FIRN_ERR_USAGE },
        { "{\"type\":\"houlsby\",\"reduction_factor\":{\"0\":2}}", "layer 1", "default", FIRN_ERR_USAGE },
        { "{\"type\":\"houlsby\",\"non_linearity\":\"mish\"}", "non_linearity", "mish", FIRN_ERR_UNSUPPORTED },
        { "{\"type\":\"houlsby\",\"use_gating\":true}", "use_gating", NULL, FIRN_ERR_UNSUPPORTED },
        { "{\"type\":\"houlsby\",\"phm_layer\":true}", "phm_layer", NULL, FIRN_ERR_UNSUPPORTED },
        { "{\"type\":\"houlsby\",\"inv_adapter\":\"nice\"}", "inv_adapter", "nice", FIRN_ERR_UNSUPPORTED },
        { "{\"type\":\"houlsby\",\"stochastic_depth\":0.1}", "stochastic_depth", NULL, FIRN_ERR_UNSUPPORTED },
        { "{\"type\":\"houlsby\",\"scaling\":\"big\"}", "scaling", "channel", FIRN_ERR_USAGE },
        { "{\"type\":\"houlsby\",\"reduction\":2}", "reduction", NULL, FIRN_ERR_USAGE },
        { "{\"type\":\"adapter\",\"config\":\"mystery\"}", "config", "mystery", FIRN_ERR_USAGE },
        { "{\"config\":{\"architecture\":\"lora\",\"r\":8},\"model_type\":\"bert\"}", "architecture", "lora", FIRN_ERR_UNSUPPORTED },
        { "{\"type\":\"houlsby\",\"original_ln_after\":false}", "original_ln", NULL, FIRN_ERR_USAGE },
        { "{\"type\":\"houlsby\",\"leave_out\":[\"a\"]}", "leave_out", NULL, FIRN_ERR_USAGE },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tiny t;
        expect_error(tiny_open(&t, "bert", FIRN_TASK_SEQ_CLS, cases[i].json), cases[i].status, &t.err, cases[i].word,
                     cases[i].other);
        tiny_close(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(presets_say_where_adapters_sit),
        cmocka_unit_test(a_map_of_factors_holds_for_its_layers),
        cmocka_unit_test(norms_of_the_adapter_have_no_decay),
        cmocka_unit_test(a_zero_adapter_changes_nothing),
        cmocka_unit_test(scales_of_all_kinds_agree),
        cmocka_unit_test(truncated_values_stay_within_two_deviations),
        cmocka_unit_test(a_folder_reads_back_and_says_what_it_is),
        cmocka_unit_test(an_adapter_of_a_bare_model_has_no_class_prefix),
        cmocka_unit_test(wrong_settings_are_named),
    };
    return cmocka_run_group_tests(tests, make, scratch_teardown);
}
