/* SPDX-License-Identifier: Apache-2.0 */
/* What a walk over the records does not show of products: bits that do not depend on threads, storage shared with
 * the residual, rows outside the result untouched, and gradients for nothing but what is trained. */
#include "../graph/leaf.h"
#include "base/rng.h"
#include "grad/grad.h"
#include "ops/matmul.h"

#include <math.h>
#include <stdlib.h>

struct problem {
    struct firn_matmul_attrs attrs;
    struct firn_call call;
};

static void fill(struct firn_tensor *t, struct firn_shape shape, uint32_t stream)
{
    const int64_t n = firn_shape_count(&shape);
    *t = (struct firn_tensor){ FIRN_F32, shape, calloc((size_t) n + 1, sizeof(float)) };
    assert_non_null(t->data);
    for (int64_t i = 0; i < n; i++)
        firn_f32(t)[i] = firn_normal(11, stream, 0, (uint64_t) i);
}

enum { MAX_THREADS = 5 };

static void problem_init(struct problem *p, bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, int64_t r)
{
    struct firn_tensor *in = p->call.in;
    *p = (struct problem){ .attrs = { trans_a, trans_b, false, 0.5f } };
    fill(&in[FIRN_MATMUL_A], trans_a ? firn_dims(k, m) : firn_dims(m, k), 1);
    fill(&in[FIRN_MATMUL_B], trans_b ? firn_dims(n, k) : firn_dims(k, n), 2);
    fill(&in[FIRN_MATMUL_BIAS], firn_dims(n), 3);
    fill(&in[FIRN_MATMUL_RESIDUAL], firn_dims(m, n), 4);
    if (r > 0) {
        fill(&in[FIRN_MATMUL_U], firn_dims(m, r), 5);
        fill(&in[FIRN_MATMUL_V], firn_dims(r, n), 6);
    }
    fill(&p->call.out[0], firn_dims(m, n), 7);
    p->call.attrs = &p->attrs;
    p->call.scratch = malloc(firn_matmul_cpu_scratch(&p->call, MAX_THREADS) + 1);
    assert_non_null(p->call.scratch);
}

static void problem_finish(struct problem *p)
{
    for (int i = 0; i < 6; i++)
        free(p->call.in[i].data);
    free(p->call.out[0].data);
    free(p->call.scratch);
}

static size_t bytes(const struct firn_tensor *t)
{
    return sizeof(float) * (size_t) firn_count(t);
}

static void the_bits_do_not_depend_on_the_number_of_threads(void **state)
{
    static const struct {
        int64_t m, n, k, r;
        bool trans_a, trans_b;
    } shapes[] = { { 520, 384, 96, 8, false, true }, { 515, 67, 33, 3, false, false }, { 8, 390, 600, 0, true, false },
                   { 390, 8, 600, 0, true, false },  { 1, 301, 64, 4, false, true },   { 65, 129, 7, 0, true, true } };
    (void) state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        struct problem p;
        problem_init(&p, shapes[i].trans_a, shapes[i].trans_b, shapes[i].m, shapes[i].n, shapes[i].k, shapes[i].r);
        const size_t size = bytes(&p.call.out[0]);
        float *alone = malloc(size);
        assert_non_null(alone);
        firn_matmul_cpu(&p.call);
        memcpy(alone, p.call.out[0].data, size);
        for (int threads = 2; threads <= MAX_THREADS; threads++) {
            assert_int_equal(firn_pool_create(&p.call.pool, threads, NULL), FIRN_OK);
            memset(p.call.out[0].data, 0xff, size);
            firn_matmul_cpu(&p.call);
            assert_memory_equal(alone, p.call.out[0].data, size);
            firn_pool_destroy(&p.call.pool);
        }
        free(alone);
        problem_finish(&p);
    }
}

static void a_result_may_take_the_storage_of_its_residual(void **state)
{
    (void) state;
    for (int with_bias = 0; with_bias < 2; with_bias++) {
        struct problem p;
        problem_init(&p, false, true, 131, 70, 36, 5);
        struct firn_tensor bias = p.call.in[FIRN_MATMUL_BIAS], residual = p.call.in[FIRN_MATMUL_RESIDUAL];
        if (!with_bias)
            p.call.in[FIRN_MATMUL_BIAS] = (struct firn_tensor){ 0 };
        firn_matmul_cpu(&p.call);
        struct firn_tensor apart = p.call.out[0];
        p.call.out[0] = residual;
        firn_matmul_cpu(&p.call);
        assert_memory_equal(apart.data, residual.data, bytes(&apart));
        p.call.out[0] = apart;
        p.call.in[FIRN_MATMUL_BIAS] = bias;
        problem_finish(&p);
    }
}

static void an_empty_sum_gives_what_is_added_to_it(void **state)
{
    (void) state;
    struct problem p;
    problem_init(&p, false, false, 5, 9, 0, 0);
    firn_matmul_cpu(&p.call);
    for (int i = 0; i < 5 * 9; i++)
        assert_true(firn_f32(&p.call.out[0])[i] ==
                    firn_f32(&p.call.in[FIRN_MATMUL_RESIDUAL])[i] + firn_f32(&p.call.in[FIRN_MATMUL_BIAS])[i % 9]);
    struct firn_tensor bias = p.call.in[FIRN_MATMUL_BIAS], residual = p.call.in[FIRN_MATMUL_RESIDUAL];
    p.call.in[FIRN_MATMUL_BIAS] = p.call.in[FIRN_MATMUL_RESIDUAL] = (struct firn_tensor){ 0 };
    memset(p.call.out[0].data, 0xff, bytes(&p.call.out[0]));
    firn_matmul_cpu(&p.call);
    for (int i = 0; i < 5 * 9; i++)
        assert_true(firn_f32(&p.call.out[0])[i] == 0.0f);
    p.call.in[FIRN_MATMUL_BIAS] = bias;
    p.call.in[FIRN_MATMUL_RESIDUAL] = residual;
    problem_finish(&p);
}

static void a_not_finite_product_is_not_hidden_by_old_memory(void **state)
{
    (void) state;
    struct problem p;
    problem_init(&p, false, true, 3, 70, 4, 0);
    struct firn_tensor bias = p.call.in[FIRN_MATMUL_BIAS], residual = p.call.in[FIRN_MATMUL_RESIDUAL];
    p.call.in[FIRN_MATMUL_BIAS] = p.call.in[FIRN_MATMUL_RESIDUAL] = (struct firn_tensor){ 0 };
    for (int i = 0; i < 3 * 70; i++)
        firn_f32(&p.call.out[0])[i] = NAN; /* what a reused arena may hold */
    firn_matmul_cpu(&p.call);
    for (int i = 0; i < 3 * 70; i++)
        assert_true(isfinite(firn_f32(&p.call.out[0])[i]));
    firn_f32(&p.call.in[FIRN_MATMUL_A])[5] = INFINITY;
    firn_matmul_cpu(&p.call);
    assert_false(isfinite(firn_f32(&p.call.out[0])[70]));
    p.call.in[FIRN_MATMUL_BIAS] = bias;
    p.call.in[FIRN_MATMUL_RESIDUAL] = residual;
    problem_finish(&p);
}

static void a_frozen_operand_costs_no_product_in_the_backward_pass(void **state)
{
    struct firn_graph *g = *state;
    const firn_val x = input(g, "x", 4, 6), w = weight(g, "w", 5, 6), a = param(g, "a", 2, 6), b = param(g, "b", 5, 2);
    const firn_val h = firn_matmul(g, x, a, firn_matmul_params(.trans_b = true));
    const firn_val y = firn_matmul(g, x, w, firn_matmul_params(.trans_b = true, .u = h, .v = b, .trans_v = true));
    const firn_val of[] = { a, b };
    firn_val d[2];
    assert_int_equal(count_nodes(g, "matmul"), 2);
    firn_grad(g, y, input(g, "dy", 4, 5), of, 2, d);
    assert_null(firn_graph_error(g));
    assert_int_equal(count_nodes(g, "matmul"), 2 + 3); /* dh, da, db: none for x, none for w */
    for (int i = 0; i < 2; i++) {
        const struct firn_shape want = firn_val_shape(g, of[i]), got = firn_val_shape(g, d[i]);
        assert_true(firn_is_value(d[i]) && firn_shape_eq(&want, &got));
    }
}

static void sizes_that_do_not_fit_are_named(void **state)
{
    struct firn_graph *g = *state;
    const firn_val y = firn_matmul(g, input(g, "a", 2, 3), input(g, "b", 4, 5), firn_matmul_params(.alpha = 1));
    assert_false(firn_is_value(y));
    assert_non_null(strstr(firn_graph_error(g), "inner sizes differ: 3 and 4"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bits_do_not_depend_on_the_number_of_threads),
        cmocka_unit_test(a_result_may_take_the_storage_of_its_residual),
        cmocka_unit_test(an_empty_sum_gives_what_is_added_to_it),
        cmocka_unit_test(a_not_finite_product_is_not_hidden_by_old_memory),
        GRAPH_TEST(a_frozen_operand_costs_no_product_in_the_backward_pass),
        GRAPH_TEST(sizes_that_do_not_fit_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
