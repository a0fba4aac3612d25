/* SPDX-License-Identifier: Apache-2.0 */
/* What the walk of `firn conform` does not show of the host's operations: threads and places that change no bit,
 * AdamW over many steps, labels that are ignored, values at the edges. */
#include "../base/check.h"

#include "base/rng.h"
#include "ops/activation.h"
#include "ops/ops.h"
#include "plan/conform.h"

#include <math.h>

struct run {
    struct firn_trial trial;
    void *scratch;
};

static struct run run_case(const struct firn_op *op, int c, struct firn_pool *pool, int place0, int place1)
{
    struct run r;
    struct firn_error err = { 0 };
    check_ok(firn_trial_create(&r.trial, op, c, FIRN_F32, 1, &err), &err);
    struct firn_call call = r.trial.call;
    const size_t size = op->cpu_scratch != NULL ? op->cpu_scratch(&call, firn_pool_threads(pool)) : 0;
    r.scratch = malloc(size + 1);
    assert_non_null(r.scratch);
    call.pool = pool;
    call.scratch = r.scratch;
    const int places[2] = { place0, place1 };
    for (int j = 0; j < 2; j++)
        if (places[j] >= 0)
            call.out[j].data = call.in[places[j]].data;
    op->cpu(&call);
    for (int j = 0; j < 2; j++)
        if (places[j] >= 0)
            memcpy(r.trial.call.out[j].data, call.in[places[j]].data,
                   (size_t) firn_count(&call.out[j]) * firn_dtype_size(call.out[j].dtype));
    return r;
}

static void run_free(struct run *r)
{
    firn_trial_free(&r->trial);
    free(r->scratch);
}

static bool same_bytes(const struct firn_tensor *a, const struct firn_tensor *b)
{
    return memcmp(a->data, b->data, (size_t) firn_count(a) * firn_dtype_size(a->dtype)) == 0;
}

static void check_same(const struct run *a, const struct run *b, int c, const char *how)
{
    const struct firn_op *op = a->trial.op;
    bool same = true;
    for (int j = 0; j < op->n_out; j++)
        same &= same_bytes(&a->trial.call.out[j], &b->trial.call.out[j]);
    for (int i = 0; i < op->n_in; i++)
        if (op->updates >> i & 1u)
            same &= same_bytes(&a->trial.call.in[i], &b->trial.call.in[i]);
    if (!same)
        fail_msg("%s, case %d, gives other bits %s", op->name, c, how);
}

static bool host_accepts(const struct firn_op *op, int c)
{
    struct firn_trial t;
    struct firn_error err = { 0 };
    check_ok(firn_trial_create(&t, op, c, FIRN_F32, 1, &err), &err);
    const bool accepted = op->cpu_accepts == NULL || op->cpu_accepts(&t.call);
    firn_trial_free(&t);
    return accepted;
}

#define EACH_CASE(op, c)                                                                          \
    for (const struct firn_op *const *it_ = firn_op_list(), *op; (op = *it_) != NULL; it_++)      \
        for (int c = 0; op->cpu != NULL && c < op->n_cases; c++)                                  \
            if (host_accepts(op, c))

static void threads_change_no_bit_of_any_operation(void **state)
{
    (void) state;
    struct firn_pool *pool = NULL;
    struct firn_error err = { 0 };
    check_ok(firn_pool_create(&pool, 3, &err), &err);
    EACH_CASE(op, c)
    {
        struct run one = run_case(op, c, NULL, -1, -1), three = run_case(op, c, pool, -1, -1);
        check_same(&one, &three, c, "with three threads");
        run_free(&one);
        run_free(&three);
    }
    firn_pool_destroy(&pool);
}

static void an_output_in_the_place_of_an_input_gets_the_same_bits(void **state)
{
    (void) state;
    int n = 0;
    EACH_CASE(op, c)
        for (int i = 0; i < op->n_in; i++) {
            struct run apart = run_case(op, c, NULL, -1, -1);
            const struct firn_call *call = &apart.trial.call;
            if ((op->inplace >> i & 1u) && firn_has(&call->in[i]) &&
                firn_count(&call->in[i]) == firn_count(&call->out[0])) {
                struct run in_place = run_case(op, c, NULL, i, -1);
                check_same(&apart, &in_place, c, FIRN_STR("in the place of input %d", i));
                run_free(&in_place);
                n++;
            }
            run_free(&apart);
        }
    assert_true(n > 50);
}

static void two_outputs_in_the_places_of_two_inputs_get_the_same_bits(void **state)
{
    (void) state;
    int n = 0;
    EACH_CASE(op, c)
        for (int i = 0; i < op->n_in * op->n_in; i++) {
            const int first = i / op->n_in, second = i % op->n_in;
            if (first == second || (op->inplace >> first & 1u) == 0 || (op->inplace1 >> second & 1u) == 0)
                continue;
            struct run apart = run_case(op, c, NULL, -1, -1), in_place = run_case(op, c, NULL, first, second);
            check_same(&apart, &in_place, c, FIRN_STR("in the places of inputs %d and %d", first, second));
            run_free(&in_place);
            run_free(&apart);
            n++;
        }
    assert_true(n > 10);
}

enum { N = 133, STEPS = 50 };

/* Six tensors of AdamW; rates and norm filled by the test. */
struct adamw {
    float p[N], g[N], m[N], v[N], rates[8], norm[1];
};

static void adamw_step(struct adamw *a)
{
    float *const data[] = { a->p, a->g, a->m, a->v, a->rates, a->norm };
    struct firn_call call = { .pool = NULL };
    for (int i = 0; i < 6; i++)
        call.in[i] = (struct firn_tensor){ FIRN_F32, firn_dims(i < 4 ? N : i == 4 ? 8 : 1), data[i] };
    firn_op_find("adamw")->cpu(&call);
}

static void adamw_follows_the_formula_over_fifty_steps(void **state)
{
    (void) state;
    struct adamw a = { 0 };
    double p[N], m[N] = { 0 }, v[N] = { 0 };
    const double lr = 1e-2, b1 = 0.9, b2 = 0.999, eps = 1e-8, decay = 0.1, max_norm = 1;
    for (int i = 0; i < N; i++)
        p[i] = a.p[i] = firn_normal(3, 0, 0, (uint64_t) i);
    for (int t = 1; t <= STEPS; t++) {
        double squares = 0;
        for (int i = 0; i < N; i++) {
            a.g[i] = (t % 3 == 0 ? 0.01f : 1.0f) * firn_normal(3, 1, (uint32_t) t, (uint64_t) i);
            squares += (double) a.g[i] * (double) a.g[i];
        }
        const double norm = sqrt(squares), clip = fmin(1, max_norm / (norm + 1e-6));
        const double rates[] = { lr, 1 - b1, 1 - b2, eps, decay, 1 - pow(b1, t), 1 - pow(b2, t), max_norm };
        for (int k = 0; k < 8; k++)
            a.rates[k] = (float) rates[k];
        a.norm[0] = (float) norm;
        adamw_step(&a);
        for (int i = 0; i < N; i++) {
            const double g = clip * (double) a.g[i];
            p[i] -= lr * decay * p[i];
            m[i] = b1 * m[i] + (1 - b1) * g;
            v[i] = b2 * v[i] + (1 - b2) * g * g;
            p[i] -= lr / (1 - pow(b1, t)) * m[i] / (sqrt(v[i]) / sqrt(1 - pow(b2, t)) + eps);
        }
    }
    /* A step is at most about lr, with a relative error of some u in the ratio of the moments, and rounds p. */
    for (int i = 0; i < N; i++)
        if (!(fabs((double) a.p[i] - p[i]) <= STEPS * (lr * 1e-6 + 0.25 * 0x1p-24 * fabs(p[i]))))
            fail_msg("parameter %d: %.9g, the formula gives %.9g", i, (double) a.p[i], p[i]);
}

/* From zero, m' / sqrt(v') is the sign of the gradient. Made of 0.999f, the share 0.001 of what is new would be off by
 * 1.3e-5, and each step by half of that, every time the same way. */
static void the_first_step_of_adamw_is_the_rate(void **state)
{
    (void) state;
    const float new1 = (float) (1 - 0.9), new2 = (float) (1 - 0.999);
    struct adamw a = { .rates = { 0.25f, new1, new2, 0, 0, new1, new2, 0 } };
    for (int i = 0; i < N; i++)
        a.g[i] = firn_normal(3, 1, 0, (uint64_t) i);
    adamw_step(&a);
    for (int i = 0; i < N; i++)
        assert_true(fabsf(a.p[i] - (a.g[i] < 0 ? 0.25f : -0.25f)) <= 0.25f * 0x1p-21f);
}

static void a_norm_that_is_not_finite_changes_no_parameter(void **state)
{
    (void) state;
    const float norms[] = { NAN, INFINITY };
    for (int k = 0; k < 2; k++) {
        struct adamw a = { .rates = { 0.1f, 0.1f, 0.001f, 1e-8f, 0.1f, 0.1f, 0.001f, 1 } };
        for (int i = 0; i < N; i++)
            a.p[i] = a.g[i] = a.m[i] = a.v[i] = 1.0f + (float) i;
        a.g[5] = norms[k];
        a.norm[0] = norms[k];
        const struct adamw before = a;
        adamw_step(&a);
        assert_memory_equal(&a, &before, sizeof a);
    }
}

static void accumulating_with_nothing_kept_forgets_even_nan(void **state)
{
    (void) state;
    float acc[3] = { NAN, INFINITY, 1 }, x[3] = { 1, 2, 3 }, keep = 0;
    const struct firn_call call = { .in = { { FIRN_F32, FIRN_DIMS(3), acc },
                                            { FIRN_F32, FIRN_DIMS(3), x },
                                            { FIRN_F32, FIRN_DIMS(1), &keep } } };
    void (*const run[])(const struct firn_call *) = { firn_op_find("accumulate")->cpu,
                                                      firn_op_find("accumulate")->ref };
    for (int k = 0; k < 2; k++) {
        run[k](&call);
        assert_memory_equal(acc, x, sizeof x);
        acc[0] = acc[1] = NAN;
    }
}

enum { DZ, LOSS };

static void cross_entropy(int64_t rows, int64_t cols, float *z, int32_t *labels, float smoothing, float *loss,
                          float *dz, bool exact)
{
    float scale = 0.5f;
    const struct firn_call call = {
        .in = { { FIRN_F32, firn_dims(rows, cols), z }, { FIRN_I32, firn_dims(rows), labels },
                { FIRN_F32, firn_dims(1), &scale } },
        .out = { [DZ] = { FIRN_F32, firn_dims(rows, cols), dz }, [LOSS] = { FIRN_F32, firn_dims(rows), loss } },
        .attrs = &smoothing };
    (exact ? firn_op_find("cross_entropy")->ref : firn_op_find("cross_entropy")->cpu)(&call);
}

static void labels_outside_the_vocabulary_cost_nothing_and_pull_nothing(void **state)
{
    (void) state;
    float z[4 * 5], dz[4 * 5], loss[4];
    int32_t labels[4] = { -100, 5, -1, 3 };
    for (int exact = 0; exact < 2; exact++) {
        for (int i = 0; i < 20; i++)
            z[i] = (float) i * 0.25f, dz[i] = NAN;
        cross_entropy(4, 5, z, labels, 0.1f, loss, dz, exact);
        for (int m = 0; m < 3; m++) {
            assert_true(loss[m] == 0);
            for (int c = 0; c < 5; c++)
                assert_true(dz[m * 5 + c] == 0);
        }
        assert_true(loss[3] > 0 && dz[3 * 5 + 3] < 0);
    }
}

static void cross_entropy_stays_close_over_a_large_vocabulary(void **state)
{
    (void) state;
    enum { V = 50257 };
    float *z = malloc(sizeof *z * V), *got = malloc(sizeof *z * V), *want = malloc(sizeof *z * V), loss[2];
    int32_t label = 40000;
    assert_true(z != NULL && got != NULL && want != NULL);
    for (int i = 0; i < V; i++)
        z[i] = 4 * firn_normal(5, 0, 0, (uint64_t) i);
    for (int k = 0; k < 2; k++) {
        const float smoothing = k == 0 ? 0 : 0.1f;
        cross_entropy(1, V, z, &label, smoothing, &loss[0], got, false);
        cross_entropy(1, V, z, &label, smoothing, &loss[1], want, true);
        assert_true(fabsf(loss[0] - loss[1]) <= 1e-6f * loss[1]);
        for (int i = 0; i < V; i++)
            assert_true(fabsf(got[i] - want[i]) <= 1e-6f * fabsf(want[i]) + 1e-12f);
    }
    free(z);
    free(got);
    free(want);
}

static void huge_logits_give_finite_losses(void **state)
{
    (void) state;
    float z[3] = { 3e38f, -3e38f, 1e38f }, dz[3], loss;
    int32_t label = 0;
    cross_entropy(1, 3, z, &label, 0, &loss, dz, false);
    assert_true(loss == 0 && dz[0] == 0 && dz[1] == 0 && dz[2] == 0);
}

static void activations_and_slopes_are_finite_at_the_edges(void **state)
{
    (void) state;
    const float edges[] = { 0.0f, -0.0f, 1e-45f, -1e-45f, 0.9f, -0.9f, 0.625f, 88, -88, 1e4f, -1e4f, 1e18f, -1e18f };
    for (size_t i = 0; i < N_OF(edges); i++) {
        const float x = edges[i];
        const struct firn_act_at at[] = { firn_gelu_at(x), firn_gelu_tanh_at(x), firn_silu_at(x),
                                          firn_relu_at(x), firn_tanh_at(x) };
        for (int k = 0; k < 5; k++) {
            const double y = firn_act((enum firn_activation) k, (double) x);
            const double slope = firn_act_slope((enum firn_activation) k, (double) x);
            assert_true(fabs((double) at[k].y - y) <= firn_act_bound((double) x));
            if (isfinite(slope)) /* the reference meets 0 times infinity before f32 does */
                assert_true(fabs((double) at[k].slope - slope) <= firn_act_bound(fmin(fabs((double) x), 100)));
            assert_true(isfinite(at[k].slope));
        }
    }
}

static void gelu_is_as_exact_as_a_rounded_normal_integral(void **state)
{
    (void) state;
    for (float x = -12; x < 12; x += 1.7e-4f) {
        const struct firn_act_at at = firn_gelu_at(x);
        const double y = firn_act(FIRN_GELU, (double) x), slope = firn_act_slope(FIRN_GELU, (double) x);
        assert_true(fabs((double) at.y - y) <= 2 * 0x1p-24 * fabs((double) x));
        assert_true(fabs((double) at.slope - slope) <= 4 * 0x1p-24);
    }
}

static void a_far_mean_does_not_spoil_layer_norm(void **state)
{
    (void) state;
    enum { C = 384 };
    float x[C], w[C], b[C], got[C], want[C], eps = 1e-12f;
    for (int i = 0; i < C; i++) {
        x[i] = 1000 + firn_normal(9, 0, 0, (uint64_t) i);
        w[i] = 1;
        b[i] = 0;
    }
    struct firn_call call = { .in = { { FIRN_F32, FIRN_DIMS(1, C), x }, { FIRN_F32, FIRN_DIMS(C), w },
                                      { FIRN_F32, FIRN_DIMS(C), b } },
                              .out = { { FIRN_F32, FIRN_DIMS(1, C), got } },
                              .attrs = &eps };
    firn_op_find("layer_norm")->cpu(&call);
    call.out[0].data = want;
    firn_op_find("layer_norm")->ref(&call);
    for (int i = 0; i < C; i++) /* the mean is rounded to 2^-15 at 1000, and its sum once per part */
        assert_true(fabsf(got[i] - want[i]) <= 4 * 0x1p-15f);
}

static void the_row_of_padding_is_read_but_gets_no_gradient(void **state)
{
    (void) state;
    static float table[4] = { 1, 2, 3, 4 }, dy[3] = { 10, 20, 30 }, y[3], dw[4];
    static int32_t ids[3] = { 2, 1, 2 };
    static const struct { int64_t rows, padding, first; } attrs = { 4, 2, 0 };
    static const struct { int64_t padding, first; uint32_t inverse; bool keeps; } how = { 2, 0, 0, false };
    const struct firn_tensor of_ids = { FIRN_I32, FIRN_DIMS(3), ids };
    const struct firn_call read = { .in = { { FIRN_F32, FIRN_DIMS(4, 1), table }, of_ids },
                                    .out = { { FIRN_F32, FIRN_DIMS(3, 1), y } }, .attrs = &how };
    const struct firn_call back = { .in = { { FIRN_F32, FIRN_DIMS(3, 1), dy }, of_ids },
                                    .out = { { FIRN_F32, FIRN_DIMS(4, 1), dw } }, .attrs = &attrs };
    for (int fast = 0; fast < 2; fast++) {
        const struct firn_op *embed = firn_op_find("embed"), *embed_dw = firn_op_find("embed_dw");
        (fast ? embed->cpu : embed->ref)(&read);
        (fast ? embed_dw->cpu : embed_dw->ref)(&back);
        assert_true(y[0] == 3 && y[1] == 2 && y[2] == 3);
        assert_true(dw[0] == 0 && dw[1] == 20 && dw[2] == 0 && dw[3] == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_change_no_bit_of_any_operation),
        cmocka_unit_test(an_output_in_the_place_of_an_input_gets_the_same_bits),
        cmocka_unit_test(two_outputs_in_the_places_of_two_inputs_get_the_same_bits),
        cmocka_unit_test(adamw_follows_the_formula_over_fifty_steps),
        cmocka_unit_test(the_first_step_of_adamw_is_the_rate),
        cmocka_unit_test(a_norm_that_is_not_finite_changes_no_parameter),
        cmocka_unit_test(accumulating_with_nothing_kept_forgets_even_nan),
        cmocka_unit_test(labels_outside_the_vocabulary_cost_nothing_and_pull_nothing),
        cmocka_unit_test(cross_entropy_stays_close_over_a_large_vocabulary),
        cmocka_unit_test(huge_logits_give_finite_losses),
        cmocka_unit_test(activations_and_slopes_are_finite_at_the_edges),
        cmocka_unit_test(gelu_is_as_exact_as_a_rounded_normal_integral),
        cmocka_unit_test(a_far_mean_does_not_spoil_layer_norm),
        cmocka_unit_test(the_row_of_padding_is_read_but_gets_no_gradient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
