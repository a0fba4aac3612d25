/* SPDX-License-Identifier: Apache-2.0 */
/* Packed batches against padded ones: recorded batches give the same loss and the same gradients when only the tokens that
 * the mask shows are computed. */
#include "../base/check.h"
#include "train/case.h"

#include <math.h>

#ifndef FIRN_TESTS_GOLDEN
#define FIRN_TESTS_GOLDEN "tests/golden"
#endif

static float *gradients(struct firn_session *s, const struct firn_inputs *in, double *loss)
{
    struct firn_error err = { 0 };
    const struct firn_micro micro = { .inputs = in, .scale = 1.0f / (float) in->counted, .count = 1 };
    float *grads = calloc((size_t) s->adapter.params.flat + 1, sizeof *grads);
    assert_non_null(grads);
    check_ok(firn_session_micro(s, &micro, loss, NULL, &err), &err);
    check_ok(firn_session_pull(s, "grads", grads, &err), &err);
    return grads;
}

/* Cuts rows short, differently, so that there is much to leave out; labels are shifted already. */
static int64_t shorten(struct firn_inputs *in)
{
    int64_t shown = 0;
    in->counted = 0;
    for (int64_t b = 0; b < in->batch; b++)
        for (int64_t t = 0; t < in->length; t++) {
            const int64_t i = b * in->length + t, end = 3 + (b * 5) % (in->length - 3);
            if (t >= end)
                in->attention_mask[i] = 0;
            if (t + 1 >= end || in->attention_mask[i] == 0)
                in->labels[i] = -100;
            shown += in->attention_mask[i] != 0;
            in->counted += in->labels[i] >= 0;
        }
    assert_true(in->counted > 0 && shown < in->batch * in->length);
    return shown;
}

static void one(const char *name, const char *device)
{
    static const struct firn_log silent;
    struct firn_case_file c = { 0 };
    struct firn_session s = { 0 };
    struct firn_error err = { 0 };
    struct firn_inputs in = { 0 };
    char path[600];
    double loss = 0, packed_loss = 0;
    snprintf(path, sizeof path, "%s/cases/%s", FIRN_TESTS_GOLDEN, name);
    check_ok(firn_case_open(&c, path, &err), &err);
    check_ok(firn_case_session(&c, NULL, device, &silent, &s, &err), &err);
    s.params.fills_blind = false;
    check_ok(firn_case_inputs(&c, &s, 0, &in, &err), &err);
    const int64_t shown = shorten(&in), n = s.adapter.params.flat;
    for (int64_t i = 0; i < n; i++) /* no start at which gradients vanish */
        s.flat[i] = 0.1f * sinf((float) i) + 0.05f;
    check_ok(firn_session_push(&s, "params", s.flat, &err), &err);
    float *plain = gradients(&s, &in, &loss);
    in.packed = shown + 3;
    float *packed = gradients(&s, &in, &packed_loss);
    float most = 0;
    for (int64_t i = 0; i < n; i++)
        most = fmaxf(most, fabsf(plain[i]));
    assert_true(most > 0);
    if (!(fabs(loss - packed_loss) <= 2e-6 * fabs(loss)))
        fail_msg("%s on %s: loss %.9g, packed %.9g", name, device, loss, packed_loss);
    for (int64_t i = 0; i < n; i++) /* sums of the same numbers in another order */
        if (!(fabsf(plain[i] - packed[i]) <= 2e-5f * most))
            fail_msg("%s on %s: gradient %lld is %.7g, packed %.7g, largest %.7g", name, device, (long long) i, (double) plain[i],
                     (double) packed[i], (double) most);
    in.packed = shown - 1; /* a plan without room for all */
    double ignored;
    const struct firn_micro micro = { .inputs = &in, .scale = 1, .count = 1 };
    assert_int_equal(firn_session_micro(&s, &micro, &ignored, NULL, &err), FIRN_ERR_SHAPE);
    free(plain);
    free(packed);
    firn_inputs_free(&in);
    firn_session_close(&s);
    firn_case_close(&c);
}

static const char *const names[] = { "llama-lora", "gpt2-lora-embed", "gemma2-lora", "qwen2-lora", "gpt2-bitfit", "gpt2-ia3" };

static void packed_batches_give_the_same_gradients_on_the_reference(void **state)
{
    (void) state;
    for (size_t i = 0; i < N_OF(names); i++)
        one(names[i], "cpu:exact");
}

static void packed_batches_give_the_same_gradients_on_the_cpu(void **state)
{
    (void) state;
    for (size_t i = 0; i < N_OF(names); i++)
        one(names[i], "cpu");
}

static void packed_batches_give_the_same_gradients_on_vulkan(void **state)
{
    (void) state;
    struct firn_device *device = NULL;
    if (firn_device_open(&device, "vulkan:0", NULL, NULL) != FIRN_OK)
        skip(); // no driver on this machine
    firn_device_close(&device);
    for (size_t i = 0; i < N_OF(names); i++)
        one(names[i], "vulkan:0");
}

static void what_stands_in_front_of_examples_is_refused(void **state)
{
    (void) state;
    static const char *const fronts[] = { "gpt2-prefix", "llama-prefix", "qwen3-prompt" };
    static const struct firn_log silent;
    for (size_t i = 0; i < N_OF(fronts); i++) {
        struct firn_case_file c = { 0 };
        struct firn_session s = { 0 };
        struct firn_error err = { 0 };
        struct firn_inputs in = { 0 };
        char path[600];
        double loss;
        snprintf(path, sizeof path, "%s/cases/%s", FIRN_TESTS_GOLDEN, fronts[i]);
        check_ok(firn_case_open(&c, path, &err), &err);
        check_ok(firn_case_session(&c, NULL, "cpu:exact", &silent, &s, &err), &err);
        s.params.fills_blind = false;
        check_ok(firn_case_inputs(&c, &s, 0, &in, &err), &err);
        in.packed = in.batch * in.length;
        const struct firn_micro micro = { .inputs = &in, .scale = 1, .count = 1 };
        assert_int_equal(firn_session_micro(&s, &micro, &loss, NULL, &err), FIRN_ERR_UNSUPPORTED);
        assert_non_null(strstr(err.text, "data.packing: expected a method that puts nothing in front of each example"));
        firn_inputs_free(&in);
        firn_session_close(&s);
        firn_case_close(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packed_batches_give_the_same_gradients_on_the_reference),
        cmocka_unit_test(packed_batches_give_the_same_gradients_on_the_cpu),
        cmocka_unit_test(packed_batches_give_the_same_gradients_on_vulkan),
        cmocka_unit_test(what_stands_in_front_of_examples_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
