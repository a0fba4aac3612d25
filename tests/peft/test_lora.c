/* SPDX-License-Identifier: Apache-2.0 */
/* The family of LoRA: where each variant starts, and what it trains. */
#include "base/mt19937.h"
#include "peft/lora_start.h"
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

#define B1 "base_model.model.model.layers.0.mlp.down_proj."

/* The largest parts of the weight leave the base and come back: nothing changes, and s B A is the best of its rank. */
static void factors_out_of_the_weight_change_nothing_at_the_start(void **state)
{
    (void) state;
    static const char *const starts[] = { "pissa", "pissa_niter_3", "olora", "orthogonal" };
    for (int kind = 0; kind < 8; kind++) { /* each also with magnitudes */
        const int i = kind % 4;
        const char *method = FIRN_STR("{\"type\":\"lora\",\"r\":2,\"lora_alpha\":3,\"init_lora_weights\":\"%s\",\"use_dora\":%s,"
                                      "\"rank_pattern\":{\"down_proj\":4},\"target_modules\":\"all-linear\"}", starts[i], kind < 4 ? "false" : "true");
        struct tiny t;
        assert_true(off_at_start("llama", FIRN_TASK_CAUSAL_LM, method) < 2e-6);
        assert_true(off_at_start("half", FIRN_TASK_CAUSAL_LM, method) < 2e-6);
        expect_ok(tiny_open(&t, "llama", FIRN_TASK_CAUSAL_LM, method), &t.err);
        const struct firn_param *A = get(&t, B1 "lora_A.weight"), *B = get(&t, B1 "lora_B.weight");
        double a = 0, b = 0, product = 0;
        for (int k = 0; k < 4 * 6; k++)
            a += pow((double) t.flat[A->offset + k], 2);
        for (int k = 0; k < 8 * 4; k++)
            b += pow((double) t.flat[B->offset + k], 2);
        for (int n = 0; n < 8; n++)
            for (int k = 0; k < 6; k++) {
                double sum = 0;
                for (int m = 0; m < 4; m++)
                    sum += (double) t.flat[B->offset + n * 4 + m] * (double) t.flat[A->offset + m * 6 + k];
                product += sum * sum;
            }
        assert_true(a > 1e-6 && b > 1e-6);
        assert_true(i == 3 ? product < 1e-10 * a * b : product > 1e-6);
        if (i < 2)
            assert_true(fabs(a - b) < 1e-4 * a); /* singular values are shared evenly */
        tiny_close(&t);
    }
}

static void set_all(struct tiny *t)
{
    for (size_t i = 0; i < t->adapter.params.count; i++) {
        const struct firn_param *p = &t->adapter.params.list[i];
        for (int64_t k = 0; k < firn_shape_count(&p->shape); k++)
            t->flat[p->offset + k] += 0.02f * (float) ((k * 7 + (int64_t) i) % 11);
    }
}

/* Files hold a plain adapter of twice the rank, which needs no other base. */
static void factors_out_of_the_weight_are_saved_as_a_plain_adapter(void **state)
{
    (void) state;
    static const char *const rules[] = { "false", "true", "false,\"use_dora\":true" };
    for (int i = 0; i < 3; i++) {
        struct tiny t, plain = { 0 };
        int64_t n, m;
        const struct firn_save_params save = { 0 };
        const char *method = FIRN_STR("{\"type\":\"lora\",\"r\":2,\"lora_alpha\":3,\"init_lora_weights\":\"pissa\","
                                      "\"use_rslora\":%s,\"rank_pattern\":{\"q_proj\":3},\"alpha_pattern\":{\"v_proj\":5}}",
                                      rules[i]);
        const char *out = scratch_path(FIRN_STR("pissa%d", i));
        expect_ok(tiny_open(&t, "llama", FIRN_TASK_CAUSAL_LM, method), &t.err);
        set_all(&t);
        float *want = tiny_logits(&t, &n);
        expect_ok(firn_adapter_save(&t.adapter, &t.model, &t.params, t.flat, out, &save, &t.err), &t.err);
        expect_ok(firn_model_open(&plain.model, scratch_path("llama"), &plain.err), &plain.err);
        expect_ok(firn_adapter_load(&plain.adapter, &plain.model, FIRN_TASK_CAUSAL_LM, out, &plain.err), &plain.err);
        plain.params = t.params;
        expect_ok(firn_model_collect(&plain.model, &plain.adapter, &plain.params, NULL, &plain.err), &plain.err);
        plain.flat = calloc((size_t) plain.adapter.params.flat, sizeof *plain.flat);
        expect_ok(firn_adapter_read(&plain.adapter, &plain.model, out, plain.flat, &plain.err), &plain.err);
        assert_int_equal(get(&plain, Q "lora_A.weight")->shape.dim[0], 6);
        float *got = tiny_logits(&plain, &m);
        for (int64_t k = 0; k < n; k++)
            assert_true(fabs((double) got[k] - (double) want[k]) < 1e-5);
        /* the run itself can go on from the same files */
        float *flat = calloc((size_t) t.adapter.params.flat, sizeof *flat);
        expect_ok(firn_adapter_read(&t.adapter, &t.model, out, flat, &t.err), &t.err);
        for (size_t k = 0; k < t.adapter.params.count; k++) {
            const struct firn_param *p = &t.adapter.params.list[k];
            assert_memory_equal(flat + p->offset, t.flat + p->offset, sizeof *flat * (size_t) firn_shape_count(&p->shape));
        }
        free(flat);
        free(want);
        free(got);
        tiny_close(&t);
        tiny_close(&plain);
    }
}

/* w - q - B A, and |.|^2 of it; q is what the base of the model is then. */
static double rest_of(const struct tiny *t, const char *path, double *rest)
{
    const struct firn_tensor *w = firn_model_tensor(&t->model, FIRN_STR("%s.weight", path));
    const struct firn_param *A = get(t, FIRN_STR("base_model.model.%s.lora_A.weight", path));
    const struct firn_param *B = get(t, FIRN_STR("base_model.model.%s.lora_B.weight", path));
    const int64_t rows = w->shape.dim[0], cols = w->shape.dim[1], r = A->shape.dim[0];
    const void *codes = firn_weights_copy(&t->model.weights, FIRN_STR("%s.weight", path));
    float base[64];
    firn_tensor_read_f32(w, 0, rows * cols, base);
    if (codes == NULL) /* one turn: of the weight itself */
        expect_ok(firn_quantise_values(t->model.quantised, &w->shape, base, NULL), NULL);
    else
        firn_tensor_read_f32(&(struct firn_tensor){ t->model.quantised, w->shape, (void *) (uintptr_t) codes }, 0, rows * cols, base);
    double sum = 0;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++) {
            double x, product = 0;
            firn_tensor_read_f64(w, i * cols + j, 1, &x);
            for (int64_t k = 0; k < r; k++)
                product += (double) t->flat[B->offset + i * r + k] * (double) t->flat[A->offset + k * cols + j];
            rest[i * cols + j] = x - (double) base[i * cols + j] - product;
            sum += rest[i * cols + j] * rest[i * cols + j];
        }
    return sum;
}

/* |w - q - B A| after some turns, as PyTorch's SVD and a codec written by itself have it: w = sin(0.7 i + 1.3 j + 0.37 i j).
 * (It need not fall with every turn.) */
static void loftq_leaves_what_a_reference_leaves(void **state)
{
    (void) state;
    enum { ROWS = 24, COLS = 20, R = 3 };
    static const double want[2][3] = { { 0.94171332, 1.04888469, 1.09103568 }, { 0.03558325, 0.03553349, 0.03446885 } };
    static const double quantised[2] = { 1.21797529, 0.04674855 };
    static const enum firn_dtype types[] = { FIRN_NF4, FIRN_INT8_ROWS };
    const struct firn_shape shape = firn_dims(ROWS, COLS);
    float w[ROWS * COLS], base[ROWS * COLS], A[R * COLS], B[ROWS * R];
    struct firn_error err = { 0 };
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < COLS; j++)
            w[i * COLS + j] = (float) sin(0.7 * i + 1.3 * j + 0.37 * i * j);
    for (int kind = 0; kind < 2; kind++)
        for (int turns = 0; turns <= 3; turns++) {
            double sum = 0;
            memcpy(base, w, sizeof w);
            memset(A, 0, sizeof A);
            memset(B, 0, sizeof B);
            if (turns > 0)
                expect_ok(firn_lora_start_loftq(types[kind], turns, w, ROWS, COLS, R, "w", A, B, base, &err), &err);
            expect_ok(firn_quantise_values(types[kind], &shape, base, &err), &err);
            for (int i = 0; i < ROWS; i++)
                for (int j = 0; j < COLS; j++) {
                    double x = (double) w[i * COLS + j] - (double) base[i * COLS + j];
                    for (int k = 0; k < R; k++)
                        x -= (double) B[i * R + k] * (double) A[k * COLS + j];
                    sum += x * x;
                }
            const double right = turns > 0 ? want[kind][turns - 1] : quantised[kind];
            if (!(fabs(sqrt(sum) - right) <= 1e-4 * right))
                fail_msg("%s, %d turns: %.8f is left, not %.8f", kind == 0 ? "nf4" : "int8", turns, sqrt(sum), right);
        }
}

/* B A is the best of its rank, so what is left is at right angles to both. */
static void loftq_makes_up_for_what_quantising_loses(void **state)
{
    (void) state;
    static const enum firn_dtype types[] = { FIRN_NF4, FIRN_INT8_ROWS };
    for (int kind = 0; kind < 2; kind++) {
        for (int turns = 1; turns <= 5; turns += 4) {
            struct tiny t = { 0 };
            double rest[64];
            char text[300];
            json_t *config = NULL;
            snprintf(text, sizeof text, "{\"type\":\"lora\",\"r\":3,\"init_lora_weights\":\"loftq\",\"target_modules\":[\"q_proj\",\"lm_head\"],"
                     "\"loftq_config\":{\"loftq_bits\":%d,\"loftq_iter\":%d}}", kind == 0 ? 4 : 8, turns);
            t.params = (struct firn_build_params){ .batch = 2, .length = 5, .task = FIRN_TASK_CAUSAL_LM, .wants_logits = true };
            expect_ok(firn_model_open(&t.model, scratch_path("llama"), &t.err), &t.err);
            t.model.quantised = types[kind];
            expect_ok(firn_json_parse(text, strlen(text), "method", &config, &t.err), &t.err);
            expect_ok(firn_adapter_open(&t.adapter, &t.model, t.params.task, config, "recipe.yaml", "method.", &t.err), &t.err);
            expect_ok(firn_model_collect(&t.model, &t.adapter, &t.params, &t.counts, &t.err), &t.err);
            t.flat = calloc((size_t) t.adapter.params.flat + 1, sizeof *t.flat);
            expect_ok(firn_adapter_init(&t.adapter, &t.model, 1, t.flat, &t.err), &t.err);
            const double left = rest_of(&t, "model.layers.0.self_attn.q_proj", rest);
            const struct firn_param *A = get(&t, Q "lora_A.weight"), *B = get(&t, Q "lora_B.weight");
            double a = 0, b = 0;
            for (int k = 0; k < 3; k++)
                for (int i = 0; i < 8; i++) {
                    double by_a = 0, by_b = 0;
                    for (int j = 0; j < 8; j++) {
                        by_a += rest[8 * i + j] * (double) t.flat[A->offset + 8 * k + j];
                        by_b += rest[8 * j + i] * (double) t.flat[B->offset + 3 * j + k];
                    }
                    a = fmax(a, fabs(by_a));
                    b = fmax(b, fabs(by_b));
                }
            assert_true(left > 0 && a < 1e-6 && b < 1e-6);
            /* an output layer is not quantised: it starts as ever */
            const struct firn_param *plain = get(&t, "base_model.model.lm_head.lora_B.weight");
            assert_true(t.flat[plain->offset] == 0);
            /* the graph runs on that base */
            int64_t n;
            free(tiny_logits(&t, &n));
            json_decref(config);
            tiny_close(&t);
        }
    }
}

static void starts_that_cannot_be_are_refused(void **state)
{
    (void) state;
    static const struct { const char *method, *word; } all[] = {
        { "{\"type\":\"lora\",\"r\":5,\"init_lora_weights\":\"pissa\"}", "at most 4" },
        { "{\"type\":\"lora\",\"r\":3,\"init_lora_weights\":\"orthogonal\"}", "even" },
        { "{\"type\":\"lora\",\"init_lora_weights\":\"pissa_niter_x\"}", "pissa_niter_K" },
        { "{\"type\":\"lora\",\"init_lora_weights\":\"loftq\"}", "expected quantization: nf4" },
        { "{\"type\":\"lora\",\"init_lora_weights\":\"loftq\",\"loftq_config\":{\"loftq_bits\":3}}", "4 or 8" },
        { "{\"type\":\"lora\",\"init_lora_weights\":\"loftq\",\"loftq_config\":{\"loftq_bit\":4}}", "unknown key" },
        { "{\"type\":\"lora\",\"loftq_config\":{\"loftq_bits\":4}}", "expected init_lora_weights: loftq" },
        { "{\"type\":\"lora\",\"init_lora_weights\":\"gaussian\",\"lora_bias\":true}", "lora_bias" },
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct tiny t;
        firn_status status = tiny_open(&t, "llama", FIRN_TASK_CAUSAL_LM, all[i].method);
        if (status == FIRN_OK || strstr(t.err.text, all[i].word) == NULL)
            fail_msg("%s: %s", all[i].method, status == FIRN_OK ? "was taken" : t.err.text);
        tiny_close(&t);
    }
}

static void the_second_factor_and_vectors_learn_faster_with_lora_plus(void **state)
{
    (void) state;
    struct tiny t;
    expect_ok(tiny_open(&t, "bert", FIRN_TASK_SEQ_CLS,
                        "{\"type\":\"lora\",\"loraplus_lr_ratio\":16,\"loraplus_lr_embedding\":0.002,"
                        "\"target_modules\":[\"query\",\"word_embeddings\"]}"), &t.err);
    const struct firn_param_set *set = &t.adapter.params;
    int64_t all = 0;
    for (size_t i = 0; i < set->count; i++) {
        const struct firn_param *p = &set->list[i];
        const bool is_table = strstr(p->name, "lora_embedding") != NULL;
        const bool is_fast = strstr(p->name, "lora_B") != NULL || strstr(p->name, "classifier.bias") != NULL;
        assert_true(p->is_peak == is_table);
        assert_true(fabs(p->rate - (is_table ? 0.002 : is_fast ? 16 : 1)) < 1e-12);
        for (int k = 0; k < set->n_groups; k++) {
            const struct firn_param_group *g = &set->groups[k];
            const bool is_in = p->offset >= g->from && p->offset < g->from + g->count;
            assert_true(!is_in || (fabs(g->rate - p->rate) < 1e-12 && g->is_peak == p->is_peak && g->decays == p->decays));
        }
    }
    for (int k = 0; k < set->n_groups; k++)
        all += set->groups[k].count;
    assert_int_equal(all, set->flat);
    tiny_close(&t);
    expect_ok(tiny_open(&t, "bert", FIRN_TASK_SEQ_CLS, "{\"type\":\"lora\"}"), &t.err);
    assert_int_equal(t.adapter.params.n_groups, 1);
    tiny_close(&t);
}

/* PyTorch's numbers: uniform_(-b, b) of a generator seeded with 123, b = sqrt(6 / fan_in) */
static void the_shared_matrices_of_vera_are_those_that_pytorch_draws(void **state)
{
    (void) state;
    struct firn_mt19937 mt;
    struct tiny t;
    firn_mt19937_seed(&mt, 5489);
    assert_int_equal(firn_mt19937_next(&mt), 3499211612u);
    for (int i = 1; i < 9999; i++)
        firn_mt19937_next(&mt);
    assert_int_equal(firn_mt19937_next(&mt), 4123659995u); /* the standard's 10000th */
    expect_ok(tiny_open(&t, "llama", FIRN_TASK_CAUSAL_LM,
                        "{\"type\":\"vera\",\"r\":2,\"projection_prng_key\":123,\"target_modules\":[\"q_proj\",\"down_proj\"]}"),
              &t.err);
    const float *A = firn_weights_copy(&t.model.weights, "vera_A.123.2.8");
    const float *part = firn_weights_copy(&t.model.weights, "vera_A.123.2.6");
    const float *B = firn_weights_copy(&t.model.weights, "vera_B.123.2.8");
    assert_true(A != NULL && part != NULL && B != NULL);
    static const float want_a[] = { -0x1.699eb4p-2f, 0x1.d600cep-6f, -0x1.b87118p-2f, 0x1.4e6d98p-2f, -0x1.79ce34p-1f };
    static const float want_b[] = { -0x1.5241e8p+0f, 0x1.225666p+0f, -0x1.a2465cp-2f, 0x1.1ca7b4p-1f, 0x1.398d0ep+0f };
    assert_memory_equal(A, want_a, sizeof want_a);
    assert_memory_equal(B, want_b, sizeof want_b);
    assert_memory_equal(part, A, 6 * sizeof *A);
    assert_memory_equal(part + 6, A + 8, 6 * sizeof *A);
    tiny_close(&t);
    assert_true(off_at_start("llama", FIRN_TASK_CAUSAL_LM, "{\"type\":\"vera\",\"r\":3}") == 0);
}

/* Moments of a tensor's first values over many seeds: mean, variance and fourth moment of what the method publishes. */
static void check_moments(const char *method, const char *name, double variance, bool is_uniform)
{
    enum { SEEDS = 400 };
    struct tiny t;
    double sum = 0, squares = 0, fourth = 0, n = 0;
    float *again = NULL;
    expect_ok(tiny_open(&t, "llama", FIRN_TASK_CAUSAL_LM, method), &t.err);
    const struct firn_param *p = get(&t, name);
    const int64_t count = firn_shape_count(&p->shape);
    again = calloc((size_t) t.adapter.params.flat + 1, sizeof *again);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        expect_ok(firn_adapter_init(&t.adapter, &t.model, seed, t.flat, &t.err), &t.err);
        for (int64_t k = 0; k < count; k++) {
            const double x = (double) t.flat[p->offset + k];
            sum += x;
            squares += x * x;
            fourth += x * x * x * x;
            n++;
        }
        if (seed != 7)
            continue;
        expect_ok(firn_adapter_init(&t.adapter, &t.model, seed, again, &t.err), &t.err);
        assert_memory_equal(again + p->offset, t.flat + p->offset, sizeof *again * (size_t) count);
    }
    /* six standard errors of each: kurtosis 1.8 of a uniform, 3 of a normal variable */
    const double kurtosis = is_uniform ? 1.8 : 3, mean = sum / n, found = squares / n;
    const bool is_right = fabs(mean) <= 6 * sqrt(variance / n) &&
                          fabs(found - variance) <= 6 * variance * sqrt((kurtosis - 1) / n) &&
                          fabs(fourth / n / (found * found) - kurtosis) <= 60 / sqrt(n);
    if (!is_right)
        fail_msg("%s: %s: mean %g, variance %g (not %g), kurtosis %g (not %g)", method, name, mean, found, variance,
                 fourth / n / (found * found), kurtosis);
    free(again);
    tiny_close(&t);
}

static void first_values_have_the_published_moments(void **state)
{
    (void) state;
    static const char target[] = "\"target_modules\":[\"q_proj\",\"embed_tokens\"]}";
    /* U(1 / sqrt(in)) has the variance 1 / (3 in) */
    check_moments(FIRN_STR("{\"type\":\"lora\",\"r\":4,%s", target), Q "lora_A.weight", 1.0 / 24, true);
    check_moments(FIRN_STR("{\"type\":\"lora\",\"r\":4,%s", target),
                  "base_model.model.model.embed_tokens.lora_embedding_B", 1, false);
    check_moments(FIRN_STR("{\"type\":\"lora\",\"r\":4,\"init_lora_weights\":\"gaussian\",%s", target), Q "lora_A.weight",
                  1.0 / 16, false);
    check_moments(FIRN_STR("{\"type\":\"lora\",\"r\":4,\"init_lora_weights\":false,%s", target), Q "lora_B.weight", 1.0 / 12,
                  true);
    check_moments("{\"type\":\"adalora\",\"total_step\":9,\"init_r\":4,\"target_r\":2}", Q "lora_A", 0.0004, false);
    check_moments("{\"type\":\"adalora\",\"total_step\":9,\"init_r\":4,\"target_r\":2}", Q "lora_B", 0.0004, false);
    check_moments("{\"type\":\"ia3\",\"init_ia3_weights\":false}",
                  "base_model.model.model.layers.0.self_attn.k_proj.ia3_l", 1, false);
    check_moments("{\"type\":\"vera\",\"r\":4,\"init_weights\":false}", Q "vera_lambda_d", 1, false);
}

/* Where first values are numbers and not drawn: B of LoRA, E of AdaLoRA, the vectors of (IA)^3 and VeRA. */
static void first_values_that_change_nothing(void **state)
{
    (void) state;
    static const struct { const char *method, *name; float value; } all[] = {
        { "{\"type\":\"lora\"}", Q "lora_B.weight", 0 },
        { "{\"type\":\"lora\",\"init_lora_weights\":\"gaussian\"}", Q "lora_B.weight", 0 },
        { "{\"type\":\"adalora\",\"total_step\":9}", Q "lora_E", 0 },
        { "{\"type\":\"vera\",\"r\":4,\"d_initial\":0.25}", Q "vera_lambda_d", 0.25f },
        { "{\"type\":\"vera\",\"r\":4}", Q "vera_lambda_b", 0 },
        { "{\"type\":\"ia3\"}", "base_model.model.model.layers.0.mlp.down_proj.ia3_l", 1 },
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct tiny t;
        expect_ok(tiny_open(&t, "llama", FIRN_TASK_CAUSAL_LM, all[i].method), &t.err);
        const struct firn_param *p = get(&t, all[i].name);
        for (int64_t k = 0; k < firn_shape_count(&p->shape); k++)
            assert_true(t.flat[p->offset + k] == all[i].value);
        tiny_close(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(magnitudes_start_as_the_norms_so_that_nothing_changes),
        cmocka_unit_test(a_magnitude_scales_the_weight_and_not_the_bias),
        cmocka_unit_test(factors_out_of_the_weight_change_nothing_at_the_start),
        cmocka_unit_test(factors_out_of_the_weight_are_saved_as_a_plain_adapter),
        cmocka_unit_test(loftq_makes_up_for_what_quantising_loses),
        cmocka_unit_test(loftq_leaves_what_a_reference_leaves),
        cmocka_unit_test(starts_that_cannot_be_are_refused),
        cmocka_unit_test(the_second_factor_and_vectors_learn_faster_with_lora_plus),
        cmocka_unit_test(first_values_have_the_published_moments),
        cmocka_unit_test(first_values_that_change_nothing),
        cmocka_unit_test(the_shared_matrices_of_vera_are_those_that_pytorch_draws),
    };
    return cmocka_run_group_tests(tests, make, scratch_teardown);
}
