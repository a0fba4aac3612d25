/* SPDX-License-Identifier: Apache-2.0 */
/* The type of frozen matrices: as in the file or as asked for, with the same results where the values are the same. */
#include "../peft/tiny.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static float *logits(const char *directory, enum firn_dtype base, int64_t *n)
{
    struct tiny t;
    expect_ok(tiny_open(&t, directory, FIRN_TASK_CAUSAL_LM, NULL), &t.err);
    t.model.base_dtype = base;
    float *y = tiny_logits(&t, n);
    tiny_close(&t);
    return y;
}

static void expect_equal(const char *a, enum firn_dtype a_base, const char *b, enum firn_dtype b_base)
{
    int64_t n = 0, m = 0;
    float *x = logits(a, a_base, &n), *y = logits(b, b_base, &m);
    assert_true(n == m && n > 0);
    for (int64_t i = 0; i < n; i++)
        if (x[i] != y[i])
            fail_msg("%s as %s, %s as %s: %g and %g at %d", a, firn_dtype_name(a_base), b, firn_dtype_name(b_base),
                     (double) x[i], (double) y[i], (int) i);
    free(x);
    free(y);
}

static void a_file_of_16_bits_computes_what_its_values_say(void **state)
{
    (void) state;
    tiny_llama("f16", false, FIRN_F16);
    tiny_llama("bf16", true, FIRN_BF16);
    expect_equal("f16", FIRN_NONE, "f16", FIRN_F32);
    expect_equal("bf16", FIRN_NONE, "bf16", FIRN_F32);
}

static void a_base_can_be_rounded_to_16_bits(void **state)
{
    (void) state;
    tiny_llama("f32", false, FIRN_F32);
    tiny_llama("f16", false, FIRN_F16);
    tiny_llama("bf16", false, FIRN_BF16);
    int64_t n = 0;
    float *whole = logits("f32", FIRN_NONE, &n), *rounded = logits("f32", FIRN_BF16, &n);
    double worst = 0;
    for (int64_t i = 0; i < n; i++)
        worst = fmax(worst, fabs((double) (whole[i] - rounded[i])));
    assert_true(worst > 1e-5 && worst < 0.5); /* rounded, but no nonsense */
    free(whole);
    free(rounded);
}

/* The graph's leaves have the type that was asked for; vectors stay f32. */
static void only_matrices_change_their_type(void **state)
{
    (void) state;
    tiny_llama("f32", true, FIRN_F32);
    struct tiny t;
    struct firn_build b;
    expect_ok(tiny_open(&t, "f32", FIRN_TASK_CAUSAL_LM, NULL), &t.err);
    t.model.base_dtype = FIRN_F16;
    struct firn_graph *g = firn_graph_create();
    expect_ok(firn_model_build(&b, g, &t.model, &t.adapter, &t.params, &t.err), &t.err);
    int n_matrices = 0, n_vectors = 0;
    for (uint32_t id = 1; id < firn_graph_n_values(g); id++) {
        const struct firn_value *v = firn_graph_value(g, (firn_val){ id });
        if (v->node != FIRN_NO_NODE || v->leaf != FIRN_LEAF_WEIGHT || strncmp(v->name, "model.", 6) != 0)
            continue;
        assert_int_equal(v->dtype, v->shape.rank > 1 ? FIRN_F16 : FIRN_F32);
        n_matrices += v->shape.rank > 1;
        n_vectors += v->shape.rank == 1;
    }
    assert_true(n_matrices == 8 && n_vectors == 3);
    firn_graph_destroy(&g);
    tiny_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_file_of_16_bits_computes_what_its_values_say, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(a_base_can_be_rounded_to_16_bits, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(only_matrices_change_their_type, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
