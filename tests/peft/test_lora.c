/* SPDX-License-Identifier: Apache-2.0 */
/* The family of LoRA: where each variant starts, and what it trains. */
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
    tiny_llama("half", false, FIRN_BF16);
    return 0;
}

static int drop(void **state)
{
    (void) state;
    scratch_remove();
    return 0;
}

static const struct firn_param *get(const struct tiny *t, const char *name)
{
    const struct firn_param *p = firn_params_find(&t->adapter.params, name);
    if (p == NULL)
        fail_msg("%s is not trained", name);
    return p;
}

/* Largest difference of logits between an adapter's start and its base. */
static double off_at_start(const char *base, enum firn_task task, const char *method)
{
    struct tiny t, bare;
    int64_t n, m;
    double most = 0;
    expect_ok(tiny_open(&t, base, task, method), &t.err);
    expect_ok(tiny_open(&bare, base, task, NULL), &bare.err);
    float *got = tiny_logits(&t, &n), *want = tiny_logits(&bare, &m);
    assert_int_equal(n, m);
    for (int64_t i = 0; i < n; i++)
        most = fmax(most, fabs((double) got[i] - (double) want[i]));
    free(got);
    free(want);
    tiny_close(&t);
    tiny_close(&bare);
    return most;
}

#define Q "base_model.model.model.layers.0.self_attn.q_proj."

static void magnitudes_start_as_the_norms_so_that_nothing_changes(void **state)
{
    (void) state;
    static const char all[] = "{\"type\":\"lora\",\"use_dora\":true,\"r\":3,\"target_modules\":[\"q_proj\",\"lm_head\",\"embed_tokens\"]}";
    static const char drawn[] = "{\"type\":\"lora\",\"use_dora\":true,\"init_lora_weights\":false}";
    struct tiny t;
    assert_true(off_at_start("llama", FIRN_TASK_CAUSAL_LM, all) < 1e-5);
    assert_true(off_at_start("half", FIRN_TASK_CAUSAL_LM, all) < 1e-5);
    /* where B is drawn, the magnitudes are those of W + s B A */
    expect_ok(tiny_open(&t, "llama", FIRN_TASK_CAUSAL_LM, drawn), &t.err);
    const struct firn_tensor *w = firn_model_tensor(&t.model, "model.layers.0.self_attn.q_proj.weight");
    const struct firn_param *A = get(&t, Q "lora_A.weight"), *B = get(&t, Q "lora_B.weight");
    const struct firn_param *m = get(&t, Q "lora_magnitude_vector");
    for (int i = 0; i < 8; i++) {
        double sum = 0, row[8];
        firn_tensor_read_f64(w, 8 * i, 8, row);
        for (int j = 0; j < 8; j++) {
            for (int k = 0; k < 8; k++)
                row[j] += (double) t.flat[B->offset + 8 * i + k] * (double) t.flat[A->offset + 8 * k + j];
            sum += row[j] * row[j];
        }
        assert_true(fabs(sqrt(sum) - (double) t.flat[m->offset + i]) < 1e-5 * sqrt(sum));
    }
    tiny_close(&t);
}

static void a_magnitude_scales_the_weight_and_not_the_bias(void **state)
{
    (void) state;
    struct tiny t;
    int64_t n;
    expect_ok(tiny_open(&t, "bert", FIRN_TASK_SEQ_CLS,
                        "{\"type\":\"lora\",\"use_dora\":true,\"target_modules\":[\"pooler.dense\"]}"), &t.err);
    const struct firn_param *m = get(&t, "base_model.model.bert.pooler.dense.lora_magnitude_vector");
    for (int i = 0; i < 8; i++)
        t.flat[m->offset + i] = 0; /* the classifier of tanh(bias) is what is left */
    const struct firn_param *w = get(&t, "base_model.model.classifier.weight");
    double bias[8];
    firn_tensor_read_f64(firn_model_tensor(&t.model, "bert.pooler.dense.bias"), 0, 8, bias);
    float *got = tiny_logits(&t, &n);
    for (int i = 0; i < 3; i++) {
        double want = 0;
        for (int j = 0; j < 8; j++)
            want += (double) t.flat[w->offset + 8 * i + j] * tanh(bias[j]);
        assert_true(fabs(want) > 1e-3 && fabs((double) got[i] - want) < 1e-6);
    }
    free(got);
    tiny_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(magnitudes_start_as_the_norms_so_that_nothing_changes),
        cmocka_unit_test(a_magnitude_scales_the_weight_and_not_the_bias),
    };
    return cmocka_run_group_tests(tests, make, drop);
}
