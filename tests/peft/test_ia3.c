/* SPDX-License-Identifier: Apache-2.0 */
/* (IA)^3: which vector goes where, and what its settings may be. */
#include "tiny.h"

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

#define LAYER "base_model.model.bert.encoder.layer.1."

static const struct firn_param *get(const struct tiny *t, const char *name)
{
    const struct firn_param *p = firn_params_find(&t->adapter.params, name);
    if (p == NULL)
        fail_msg("%s is not trained", name);
    return p;
}

static void defaults_are_those_of_the_model_and_output_dense_is_feedforward_twice(void **state)
{
    (void) state;
    struct tiny t;
    expect_ok(tiny_open(&t, "bert", FIRN_TASK_SEQ_CLS, "{\"type\":\"ia3\"}"), &t.err);
    assert_int_equal(t.adapter.params.count, 2 * 4 + 2);
    assert_int_equal(get(&t, LAYER "attention.self.key.ia3_l")->shape.dim[0], 8);
    assert_int_equal(get(&t, LAYER "attention.output.dense.ia3_l")->shape.dim[1], 8);
    const struct firn_param *l = get(&t, LAYER "output.dense.ia3_l");
    assert_int_equal(l->shape.dim[0], 1);
    assert_int_equal(l->shape.dim[1], 6); /* of the input */
    for (int i = 0; i < 6; i++)
        assert_true(t.flat[l->offset + i] == 1.0f);
    tiny_close(&t);
    expect_ok(tiny_open(&t, "llama", FIRN_TASK_CAUSAL_LM, "{\"peft_type\":\"IA3\"}"), &t.err);
    assert_int_equal(t.adapter.params.count, 3);
    assert_int_equal(get(&t, "base_model.model.model.layers.0.self_attn.k_proj.ia3_l")->shape.dim[0], 4);
    tiny_close(&t);
}

/* At one it changes nothing; elsewhere an output vector scales the bias too. */
static void vectors_of_one_change_nothing_and_others_something(void **state)
{
    (void) state;
    struct tiny t, base;
    int64_t n, m;
    expect_ok(tiny_open(&t, "llama", FIRN_TASK_CAUSAL_LM, "{\"type\":\"ia3\"}"), &t.err);
    expect_ok(tiny_open(&base, "llama", FIRN_TASK_CAUSAL_LM, NULL), &base.err);
    float *want = tiny_logits(&base, &n), *got = tiny_logits(&t, &m);
    assert_int_equal(n, m);
    assert_memory_equal(want, got, sizeof *got * (size_t) n);
    for (size_t k = 0; k < t.adapter.params.count; k++) {
        const int64_t at = t.adapter.params.list[k].offset + 1;
        t.flat[at] = 3;
        float *other = tiny_logits(&t, &m);
        assert_memory_not_equal(want, other, sizeof *got * (size_t) n);
        free(other);
        t.flat[at] = 1;
    }
    free(want);
    free(got);
    tiny_close(&t);
    tiny_close(&base);
}

static void the_end_of_a_path_without_its_dot_makes_it_feedforward(void **state)
{
    (void) state;
    struct tiny t;
    expect_ok(tiny_open(&t, "bert", FIRN_TASK_SEQ_CLS,
                        "{\"type\":\"ia3\",\"target_modules\":\".*\\\\.(dense|query)\",\"feedforward_modules\":[\"ediate.dense\"]}"),
              &t.err);
    assert_int_equal(get(&t, LAYER "intermediate.dense.ia3_l")->shape.dim[0], 1);
    assert_int_equal(get(&t, LAYER "output.dense.ia3_l")->shape.dim[0], 8);
    tiny_close(&t);
    expect_ok(tiny_open(&t, "bert", FIRN_TASK_SEQ_CLS,
                        "{\"type\":\"ia3\",\"target_modules\":[\"query\",\"dense\"],\"feedforward_modules\":[]}"), &t.err);
    assert_int_equal(get(&t, LAYER "output.dense.ia3_l")->shape.dim[0], 8);
    tiny_close(&t);
    expect_ok(tiny_open(&t, "bert", FIRN_TASK_SEQ_CLS,
                        "{\"type\":\"ia3\",\"feedforward_modules\":\".*layer\\\\.1\\\\.output\\\\.dense\"}"), &t.err);
    assert_int_equal(get(&t, LAYER "output.dense.ia3_l")->shape.dim[0], 1);
    assert_int_equal(get(&t, LAYER "attention.output.dense.ia3_l")->shape.dim[0], 8);
    tiny_close(&t);
}

static void settings_that_make_no_sense_are_refused(void **state)
{
    (void) state;
    static const struct { const char *method, *word; } all[] = {
        { "{\"type\":\"ia3\",\"target_modules\":[\"query\"],\"feedforward_modules\":[\"output.dense\"]}", "output.dense" },
        { "{\"type\":\"ia3\",\"target_modules\":[\"word_embeddings\"],\"feedforward_modules\":[]}", "embedding" },
        { "{\"type\":\"ia3\",\"feedforward_modules\":[3]}", "feedforward_modules" },
        { "{\"type\":\"ia3\",\"r\":8}", "unknown key" },
    };
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
        cmocka_unit_test(defaults_are_those_of_the_model_and_output_dense_is_feedforward_twice),
        cmocka_unit_test(vectors_of_one_change_nothing_and_others_something),
        cmocka_unit_test(the_end_of_a_path_without_its_dot_makes_it_feedforward),
        cmocka_unit_test(settings_that_make_no_sense_are_refused),
    };
    return cmocka_run_group_tests(tests, make, scratch_teardown);
}
