/* SPDX-License-Identifier: Apache-2.0 */
/* Recorded cases against PEFT: counts, names, logits, loss and every gradient of the first step. Tolerances are those of
 * golden/README.md. */
#include "../model/golden.h"

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const cases[] = {
    "bert-lora", "bert-lora-accum", "bert-lora-biasall", "bert-lora-dense", "bert-lora-multilabel", "bert-lora-regress",
    "bert-lora-smooth", "bert-rslora", "bert-head", "bert-full", "bert-full-decay", "bert-mlm-lora", "bert-tokcls-lora",
    "llama-lora", "llama-lora-clip", "llama-lora-layers", "llama-lora-leftpad", "llama-lora-patterns", "llama-rslora",
    "llama-full", "llama-seqcls-lora", "minilm-lora", "bert-ia3", "llama-ia3", "bert-dora", "llama-dora", "gpt2-dora", "llama-pissa", "bert-houlsby", "bert-pfeiffer",
    "gpt2-lora", "gpt2-lora-accum", "gpt2-lora-clip", "gpt2-lora-embed", "gpt2-lora-smooth", "gpt2-full", "gpt2-seqcls-lora", "gpt2-ia3",
    "roberta-lora", "roberta-full", "roberta-mlm-lora", "bert-bitfit", "gpt2-bitfit", "roberta-bitfit",
};
enum { N_CASES = sizeof cases / sizeof cases[0] };

static void for_each_case(void (*test)(struct golden *g))
{
    int n = 0;
    for (int i = 0; i < N_CASES; i++) {
        struct golden g;
        if (!golden_exists(cases[i])) {
            print_message("%s: skipped, its files are not here\n", cases[i]);
            continue;
        }
        golden_open(&g, cases[i]);
        test(&g);
        golden_close(&g);
        n++;
    }
    if (n == 0)
        skip();
}

static void compare_counts(struct golden *g)
{
    const json_t *list = json_object_get(g->json, "trainable");
    const int64_t trained = firn_params_count(&g->adapter.params);
    const int64_t total = firn_model_total(&g->counts, &g->adapter.params);
    const double decay = json_number_value(json_object_get(json_object_get(g->json, "optimizer"), "weight_decay"));
    size_t i;
    json_t *o;
    if (trained != json_integer_value(json_object_get(g->json, "trainable_params")) ||
        total != json_integer_value(json_object_get(g->json, "total_params")))
        fail_msg("%s: %lld of %lld parameters", g->name, (long long) trained, (long long) total);
    assert_int_equal(json_array_size(list), g->adapter.params.count);
    json_array_foreach ((json_t *) list, i, o) {
        const char *name = json_string_value(json_object_get(o, "name"));
        const struct firn_param *p = firn_params_find(&g->adapter.params, name);
        if (p == NULL)
            fail_msg("%s: %s is not trained", g->name, name);
        const json_t *shape = json_object_get(o, "shape");
        const struct firn_shape held = firn_param_shape(p);
        assert_int_equal(json_array_size(shape), held.rank);
        for (int d = 0; d < held.rank; d++)
            assert_int_equal(json_integer_value(json_array_get(shape, (size_t) d)), held.dim[d]);
        const json_t *excluded = json_object_get(json_object_get(g->json, "optimizer"), "decay_exclude");
        if (decay > 0 && strcmp(json_string_value(excluded), "bias_norm") == 0)
            assert_int_equal(json_is_true(json_object_get(o, "decay")), p->decays);
    }
}

static void counts_names_shapes_and_decay_are_those_of_peft(void **state)
{
    (void) state;
    for_each_case(compare_counts);
}

/* Largest |got - want|, with rows at padding left out (the recording holds zeros there). */
static double worst(const struct golden *g, const float *got, const char *name, double *largest)
{
    const struct firn_tensor *t = firn_safetensors_find(&g->expected, name);
    assert_non_null(t);
    const int64_t n = firn_shape_count(&t->shape), rows = g->params.batch * g->params.length;
    const bool is_masked = t->shape.rank == 3;
    float *want = calloc((size_t) n, sizeof *want), *mask = calloc((size_t) rows, sizeof *mask);
    double most = 0;
    firn_tensor_read_f32(t, 0, n, want);
    firn_tensor_read_f32(firn_safetensors_find(&g->batches, "attention_mask"), 0, rows, mask);
    *largest = 0;
    for (int64_t i = 0; i < n; i++) {
        if (is_masked && mask[i / (n / rows)] == 0.0f)
            continue;
        *largest = fmax(*largest, fabs((double) want[i]));
        most = fmax(most, fabs((double) got[i] - (double) want[i]));
        if (!isfinite(got[i]))
            most = INFINITY;
    }
    free(want);
    free(mask);
    return most;
}

static void compare_logits(struct golden *g, const char *expected)
{
    struct golden_run r;
    int64_t n;
    double largest;
    golden_run(&r, g, false);
    float *logits = golden_leaf(&r, "logits", &n);
    const double difference = worst(g, logits, expected, &largest);
    if (!(difference <= 1e-4 + 1e-4 * largest))
        fail_msg("%s: %s differ by %g of %g", g->name, expected, difference, largest);
    free(logits);
    golden_run_close(&r);
}

static void compare_start(struct golden *g)
{
    compare_logits(g, "init_logits");
    if (!firn_path_is_dir(golden_path("cases", g->name, "adapter_final")))
        return;
    golden_read(g, "adapter_final");
    compare_logits(g, "final_logits");
}

static void logits_are_those_of_peft_before_and_after_training(void **state)
{
    (void) state;
    for_each_case(compare_start);
}

static double norm(const float *x, const float *y, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        const double d = (double) x[i] - (y != NULL ? (double) y[i] : 0);
        sum += d * d;
    }
    return sqrt(sum);
}

static void compare_grads(struct golden *g)
{
    struct golden_run r;
    struct firn_named_tensor *list = NULL;
    int64_t n;
    double loss;
    if (json_integer_value(json_object_get(g->json, "grad_accum")) != 1)
        return; /* recorded gradients are of the whole step: the trainer's test */
    golden_run(&r, g, true);
    float *got = golden_leaf(&r, "loss", &n), *grads = golden_leaf(&r, "grads", &n);
    firn_tensor_read_f64(firn_safetensors_find(&g->expected, "loss"), 0, 1, &loss);
    if (!(fabs((double) got[0] - loss) <= 1e-4 * fabs(loss)))
        fail_msg("%s: loss %.9g, not %.9g", g->name, (double) got[0], loss);
    const double total = norm(grads, NULL, n);
    assert_int_equal(firn_params_tensors(&g->adapter.params, "", grads, &list, &g->err), FIRN_OK);
    for (size_t i = 0; i < g->adapter.params.count; i++) {
        const struct firn_tensor *want = firn_safetensors_find(&g->expected, FIRN_STR("grads.%s", list[i].name));
        if (want == NULL)
            fail_msg("%s: no gradient of %s was recorded", g->name, list[i].name);
        const int64_t count = firn_shape_count(&want->shape);
        float *values = calloc((size_t) count, sizeof *values);
        firn_tensor_read_f32(want, 0, count, values);
        const double off = norm(list[i].tensor.data, values, count);
        if (!(off <= 1e-4 * norm(values, NULL, count) + 1e-6 * total))
            fail_msg("%s: gradient of %s is off by %g of %g", g->name, list[i].name, off, norm(values, NULL, count));
        free(values);
    }
    firn_params_tensors_free(list, g->adapter.params.count);
    free(got);
    free(grads);
    golden_run_close(&r);
}

static void loss_and_gradients_of_the_first_step_are_those_of_pytorch(void **state)
{
    (void) state;
    for_each_case(compare_grads);
}

static void an_embedding_model_gives_hidden_states_pooled_and_sentence_vectors(void **state)
{
    (void) state;
    struct golden g;
    struct golden_run r;
    int64_t n;
    double largest;
    if (!golden_exists("minilm-embed")) {
        skip();
        return;
    }
    golden_open(&g, "minilm-embed");
    assert_int_equal(firn_model_total(&g.counts, &g.adapter.params),
                     json_integer_value(json_object_get(g.json, "total_params")));
    golden_run(&r, &g, false);
    float *hidden = golden_leaf(&r, "hidden", &n), *pooled = golden_leaf(&r, "pooled", &n);
    const int64_t B = g.params.batch, T = g.params.length, C = g.model.config.width;
    float *vectors = calloc((size_t) (B * C), sizeof *vectors), *mask = calloc((size_t) (B * T), sizeof *mask);
    int32_t *shown = calloc((size_t) (B * T), sizeof *shown);
    firn_tensor_read_f32(firn_safetensors_find(&g.batches, "attention_mask"), 0, B * T, mask);
    for (int64_t i = 0; i < B * T; i++)
        shown[i] = (int32_t) mask[i];
    firn_sentence_vectors(hidden, shown, B, T, C, vectors);
    assert_true(worst(&g, hidden, "last_hidden_state", &largest) <= 1e-4 + 1e-4 * largest);
    assert_true(worst(&g, pooled, "pooler_output", &largest) <= 1e-4);
    assert_true(worst(&g, vectors, "sentence_vectors", &largest) <= 1e-5);
    free(hidden);
    free(pooled);
    free(vectors);
    free(mask);
    free(shown);
    golden_run_close(&r);
    golden_close(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_names_shapes_and_decay_are_those_of_peft),
        cmocka_unit_test(logits_are_those_of_peft_before_and_after_training),
        cmocka_unit_test(loss_and_gradients_of_the_first_step_are_those_of_pytorch),
        cmocka_unit_test(an_embedding_model_gives_hidden_states_pooled_and_sentence_vectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
