/* SPDX-License-Identifier: Apache-2.0 */
/* Folding adds into products: the shape of the rewritten graph, and its numbers against the unfolded one. */
#include "compute.h"

#include "ops/matmul.h"
#include "plan/passes.h"

#include <math.h>

enum { M = 5, K = 7, N = 11, R = 3 };

static firn_val lora(struct firn_graph *g, bool placed)
{
    const firn_val x = input(g, "x", M, K);
    const firn_val base = product(g, x, input(g, "w", K, N));
    const firn_val h = product(g, x, input(g, "a", K, R));
    const firn_val update = product(g, h, input(g, "b", R, N));
    if (placed) { /* what the host reads must exist: neither product may then disappear */
        output(g, "base", base);
        output(g, "update", update);
    }
    const firn_val y = firn_add(g, base, update);
    output(g, "y", y);
    return y;
}

static void check_same(const float *got, const float *want, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(got[i] - want[i]) <= 1e-5f * (1 + fabsf(want[i]))))
            fail_msg("element %zu: got %.9g, want %.9g", i, (double) got[i], (double) want[i]);
}

static void adding_two_products_makes_one_with_the_same_numbers(void **state)
{
    float folded[M * N], plain[M * N];
    struct firn_graph *g = *state, *apart = firn_graph_create();
    lora(g, false);
    compute(g, "y", folded, M * N);
    assert_int_equal(count_nodes(g, "add"), 0);
    assert_int_equal(count_nodes(g, "matmul"), 2); /* x a, and x w with b's columns */
    lora(apart, true);
    compute(apart, "y", plain, M * N);
    assert_int_equal(count_nodes(apart, "add"), 1);
    assert_int_equal(count_nodes(apart, "matmul"), 3);
    check_same(folded, plain, M * N);
    bool any = false;
    for (int i = 0; i < M * N; i++)
        any |= fabsf(plain[i]) > 0.1f;
    assert_true(any);
    firn_graph_destroy(&apart);
}

static void the_low_rank_product_becomes_columns_of_the_other(void **state)
{
    struct firn_graph *g = *state;
    const firn_val y = lora(g, false);
    struct firn_error err = { 0 };
    check_ok(firn_pass_prune(g, &err), &err);
    check_ok(firn_pass_fuse(g, &err), &err);
    const struct firn_node *n = firn_graph_node(g, firn_graph_value(g, y)->node);
    assert_ptr_equal(n->op, &firn_op_matmul);
    assert_int_equal(firn_val_shape(g, n->in[FIRN_MATMUL_A]).dim[1], K);
    assert_int_equal(firn_val_shape(g, n->in[FIRN_MATMUL_U]).dim[1], R);
}

static firn_val residual(struct firn_graph *g, bool swapped, bool placed)
{
    const firn_val r = input(g, "r", M, N);
    const firn_val p = product(g, input(g, "x", M, K), input(g, "w", K, N));
    if (placed)
        output(g, "p", p);
    const firn_val y = swapped ? firn_add(g, r, p) : firn_add(g, p, r);
    output(g, "y", y);
    return y;
}

static void adding_to_a_product_becomes_its_residual_on_either_side(void **state)
{
    (void) state;
    for (int swapped = 0; swapped < 2; swapped++) {
        float folded[M * N], plain[M * N];
        struct firn_graph *g = firn_graph_create(), *apart = firn_graph_create();
        residual(g, swapped, false);
        compute(g, "y", folded, M * N);
        assert_int_equal(count_nodes(g, NULL), 1);
        residual(apart, swapped, true);
        compute(apart, "y", plain, M * N);
        assert_int_equal(count_nodes(apart, NULL), 2);
        check_same(folded, plain, M * N);
        firn_graph_destroy(&g);
        firn_graph_destroy(&apart);
    }
}

static void a_product_that_others_read_is_left_alone(void **state)
{
    struct firn_graph *g = *state;
    float y[M * N];
    const firn_val p = product(g, input(g, "x", M, K), input(g, "w", K, N));
    output(g, "y", firn_add(g, p, input(g, "r", M, N)));
    output(g, "z", firn_scale(g, p, 2.0f));
    compute(g, "y", y, M * N);
    assert_int_equal(count_nodes(g, "add"), 1);
    assert_int_equal(count_nodes(g, "matmul"), 1);
}

static void a_product_added_to_itself_is_left_alone(void **state)
{
    struct firn_graph *g = *state;
    float y[M * N], p_out[M * N];
    const firn_val p = product(g, input(g, "x", M, K), input(g, "w", K, N));
    output(g, "y", firn_add(g, p, p));
    output(g, "z", firn_scale(g, p, 1.0f));
    compute(g, "y", y, M * N);
    struct firn_graph *apart = firn_graph_create();
    output(apart, "p", product(apart, input(apart, "x", M, K), input(apart, "w", K, N)));
    compute(apart, "p", p_out, M * N);
    for (int i = 0; i < M * N; i++)
        assert_float_equal(y[i], 2 * p_out[i], 1e-5);
    firn_graph_destroy(&apart);
}

static void a_chain_of_adds_folds_as_far_as_slots_go(void **state)
{
    struct firn_graph *g = *state, *apart = firn_graph_create();
    float folded[M * N], plain[M * N];
    for (int k = 0; k < 2; k++) {
        struct firn_graph *at = k == 0 ? g : apart;
        const firn_val x = input(at, "x", M, K);
        const firn_val base = product(at, x, input(at, "w", K, N));
        const firn_val low = product(at, product(at, x, input(at, "a", K, R)), input(at, "b", R, N));
        if (k == 1)
            output(at, "base", base);
        firn_val y = firn_add(at, base, low);
        if (k == 1)
            output(at, "sum", y);
        y = firn_add(at, y, input(at, "r", M, N));
        if (k == 1)
            output(at, "sum2", y);
        y = firn_add(at, y, input(at, "s", M, N));
        output(at, "y", y);
        compute(at, "y", k == 0 ? folded : plain, M * N);
    }
    check_same(folded, plain, M * N);
    assert_int_equal(count_nodes(g, "add"), 1);
    firn_graph_destroy(&apart);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        GRAPH_TEST(adding_two_products_makes_one_with_the_same_numbers),
        GRAPH_TEST(the_low_rank_product_becomes_columns_of_the_other),
        GRAPH_TEST(adding_to_a_product_becomes_its_residual_on_either_side),
        GRAPH_TEST(a_product_that_others_read_is_left_alone),
        GRAPH_TEST(a_product_added_to_itself_is_left_alone),
        GRAPH_TEST(a_chain_of_adds_folds_as_far_as_slots_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
