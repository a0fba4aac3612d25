/* SPDX-License-Identifier: Apache-2.0 */
/* AdaLoRA's budget: how many triplets stay when, which ones, and what files hold of them. */
#include "tiny.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int make(void **state)
{
    (void) state;
    scratch_make();
    tiny_llama("llama", false, FIRN_F32);
    return 0;
}

#define METHOD "{\"type\":\"adalora\",\"init_r\":4,\"target_r\":1,\"tinit\":2,\"tfinal\":3,\"deltaT\":2,\"total_step\":11," \
               "\"target_modules\":[\"q_proj\",\"v_proj\",\"down_proj\"]}"
#define LAYER "base_model.model.model.layers.0."

static bool is_value(const struct firn_param *p)
{
    const size_t n = strlen(p->name);
    return n > 7 && strcmp(p->name + n - 7, ".lora_E") == 0;
}

static int count_values(const struct tiny *t, float *flat)
{
    int n = 0;
    for (size_t i = 0; i < t->adapter.params.count; i++) {
        const struct firn_param *p = &t->adapter.params.list[i];
        for (int64_t k = 0; is_value(p) && k < p->shape.dim[0]; k++)
            n += flat[p->offset + k] != 0;
    }
    return n;
}

/* Triplet k of every module gets gradients that grow with k and the module: the last one counts most. */
static void set_run(const struct tiny *t, float *flat, float *grads)
{
    for (size_t i = 0; i < t->adapter.params.count; i++) {
        const struct firn_param *p = &t->adapter.params.list[i];
        const int64_t n = firn_shape_count(&p->shape);
        for (int64_t k = 0; k < n; k++) {
            flat[p->offset + k] = 1;
            grads[p->offset + k] = is_value(p) ? 1 + (float) k + 4 * (float) i : 0.01f;
        }
    }
}

static void the_budget_falls_by_the_cube_and_the_most_important_triplets_stay(void **state)
{
    (void) state;
    static const int want[] = { 12, 12, 12, 12, 5, 12, 3, 12, 3, 3, 3 }; /* of 12 down to 3: 9 (1 - t)^3 + 3 */
    struct tiny t;
    expect_ok(tiny_open(&t, "llama", FIRN_TASK_CAUSAL_LM, METHOD), &t.err);
    const size_t n = (size_t) t.adapter.params.flat;
    float *grads = calloc(n, sizeof *grads);
    for (int step = 0; step < 11; step++) {
        set_run(&t, t.flat, grads); /* what was dropped trains again, until the last allocation */
        expect_ok(t.adapter.method->after_step(&t.adapter, step, t.flat, grads, &t.err), &t.err);
        if (count_values(&t, t.flat) != want[step])
            fail_msg("step %d: %d triplets, not %d", step, count_values(&t, t.flat), want[step]);
    }
    const struct firn_param *last = NULL;
    for (size_t i = 0; i < t.adapter.params.count; i++)
        if (is_value(&t.adapter.params.list[i]))
            last = &t.adapter.params.list[i];
    for (int k = 1; k < 4; k++)
        assert_true(t.flat[last->offset + k] == 1);
    assert_true(t.flat[last->offset] == 0);
    free(grads);
    tiny_close(&t);
}

/* Files hold what stayed; a module of which nothing stayed has tensors without elements; both ways of reading agree. */
static void files_hold_what_stayed(void **state)
{
    (void) state;
    struct tiny t, other = { 0 };
    const struct firn_save_params save = { 0 };
    const char *out = scratch_path("shrunk");
    int64_t n, m;
    expect_ok(tiny_open(&t, "llama", FIRN_TASK_CAUSAL_LM, METHOD), &t.err);
    float *grads = calloc((size_t) t.adapter.params.flat, sizeof *grads);
    float *same = calloc((size_t) t.adapter.params.flat, sizeof *same);
    for (int step = 0; step < 9; step++) {
        set_run(&t, t.flat, grads);
        expect_ok(t.adapter.method->after_step(&t.adapter, step, t.flat, grads, &t.err), &t.err);
    }
    for (size_t i = 0; i < t.adapter.params.count; i++)
        for (int64_t k = 0; k < firn_shape_count(&t.adapter.params.list[i].shape); k++)
            t.flat[t.adapter.params.list[i].offset + k] *= 0.1f * (float) (1 + (k + (int64_t) i) % 5);
    float *want = tiny_logits(&t, &n);
    expect_ok(firn_adapter_save(&t.adapter, &t.model, &t.params, t.flat, out, &save, &t.err), &t.err);
    expect_ok(firn_adapter_read(&t.adapter, &t.model, out, same, &t.err), &t.err);
    assert_int_equal(count_values(&t, same), 3);

    expect_ok(firn_model_open(&other.model, scratch_path("llama"), &other.err), &other.err);
    expect_ok(firn_adapter_load(&other.adapter, &other.model, FIRN_TASK_CAUSAL_LM, out, &other.err), &other.err);
    other.params = t.params;
    expect_ok(firn_model_collect(&other.model, &other.adapter, &other.params, NULL, &other.err), &other.err);
    other.flat = calloc((size_t) other.adapter.params.flat + 1, sizeof *other.flat);
    expect_ok(firn_adapter_read(&other.adapter, &other.model, out, other.flat, &other.err), &other.err);
    assert_int_equal(other.adapter.params.count, 3); /* one module of three is left */
    assert_int_equal(firn_params_find(&other.adapter.params, LAYER "mlp.down_proj.lora_A")->shape.dim[0], 3);
    float *got = tiny_logits(&other, &m);
    for (int64_t i = 0; i < n; i++)
        assert_true(fabs((double) got[i] - (double) want[i]) < 1e-6);
    free(want);
    free(got);
    free(same);
    free(grads);
    tiny_close(&t);
    tiny_close(&other);
}

static void schedules_that_cannot_be_are_refused(void **state)
{
    (void) state;
    static const struct { const char *method, *word; } all[] = {
        { "{\"type\":\"adalora\"}", "total_step" },
        { "{\"type\":\"adalora\",\"total_step\":10,\"tinit\":5,\"tfinal\":5}", "tinit" },
        { "{\"type\":\"adalora\",\"total_step\":10,\"init_r\":2,\"target_r\":3}", "target_r" },
        { "{\"type\":\"adalora\",\"total_step\":10,\"use_dora\":true}", "use_dora" },
        { "{\"type\":\"adalora\",\"total_step\":10,\"target_modules\":[\"embed_tokens\"]}", "embedding" },
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct tiny t;
        const firn_status status = tiny_open(&t, "llama", FIRN_TASK_CAUSAL_LM, all[i].method);
        if (status == FIRN_OK || strstr(t.err.text, all[i].word) == NULL)
            fail_msg("%s: %s", all[i].method, status == FIRN_OK ? "was taken" : t.err.text);
        tiny_close(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_budget_falls_by_the_cube_and_the_most_important_triplets_stay),
        cmocka_unit_test(files_hold_what_stayed),
        cmocka_unit_test(schedules_that_cannot_be_are_refused),
    };
    return cmocka_run_group_tests(tests, make, scratch_teardown);
}
