/* SPDX-License-Identifier: Apache-2.0 */
/* Picking rows before the work instead of after it: the same numbers, less work, and nothing done twice that others need whole. */
#include "compute.h"

#include "grad/grad.h"

#include <math.h>

enum { B = 4, T = 3, H = 2, D = 5, C = H * D, F = 7 };

static firn_val linear(struct firn_graph *g, const char *name, firn_val x, int64_t n_out)
{
    const int64_t n_in = firn_val_shape(g, x).dim[1];
    const firn_val w = firn_graph_leaf(g, FIRN_LEAF_INPUT, name, FIRN_F32, firn_dims(n_out, n_in));
    return firn_matmul(g, x, w, firn_matmul_params(.trans_b = true));
}

static firn_val vector(struct firn_graph *g, const char *name)
{
    return firn_graph_leaf(g, FIRN_LEAF_INPUT, name, FIRN_F32, firn_dims(C));
}

/* A layer with norms behind its two sums, a trained tensor in front of it, and a row of each entry behind it. */
static firn_val layer(struct firn_graph *g, bool causal, bool early, firn_val *trained)
{
    const firn_val rows = firn_graph_leaf(g, FIRN_LEAF_INPUT, "rows", FIRN_I32, firn_dims(B));
    *trained = firn_graph_leaf(g, FIRN_LEAF_PARAM, "x", FIRN_F32, firn_dims(B * T, C));
    firn_graph_want(g, *trained);
    const firn_val x = firn_scale(g, *trained, 0.5f);
    firn_val y = firn_attention(g, linear(g, "q", x, C), linear(g, "k", x, C), linear(g, "v", x, C),
                                firn_attention_params(.batch = B, .n_heads = H, .causal = causal));
    y = firn_layer_norm(g, firn_add(g, x, linear(g, "o", y, C)), vector(g, "w1"), vector(g, "b1"), 1e-5f);
    const firn_val f = linear(g, "down", firn_activate(g, FIRN_GELU, linear(g, "up", y, F)), C);
    y = firn_layer_norm(g, firn_add(g, f, y), vector(g, "w2"), vector(g, "b2"), 1e-5f);
    return early ? firn_pick_rows(g, y, rows) : firn_embed(g, y, rows);
}

static void numbers(bool causal, bool early, float *y, float *dx)
{
    for (int what = 0; what < 2; what++) {
        struct firn_graph *g = firn_graph_create();
        firn_val x, d;
        const firn_val out = layer(g, causal, early, &x);
        output(g, "y", out);
        firn_grad(g, out, input(g, "dy", B, C), &x, 1, &d);
        output(g, "dx", d);
        compute(g, what == 0 ? "y" : "dx", what == 0 ? y : dx, what == 0 ? B * C : B * T * C);
        firn_graph_destroy(&g);
    }
}

static void check_same(const float *got, const float *want, size_t n)
{
    float most = 0;
    for (size_t i = 0; i < n; i++) {
        if (!(fabsf(got[i] - want[i]) <= 1e-5f * (1 + fabsf(want[i]))))
            fail_msg("element %zu: got %.9g, want %.9g", i, (double) got[i], (double) want[i]);
        most = fmaxf(most, fabsf(want[i]));
    }
    assert_true(most > 0.01f);
}

static void picking_early_gives_the_same_numbers_and_gradients(void **state)
{
    static float y[B * C], early_y[B * C], dx[B * T * C], early_dx[B * T * C];
    (void) state;
    for (int causal = 0; causal < 2; causal++) {
        numbers(causal != 0, false, y, dx);
        numbers(causal != 0, true, early_y, early_dx);
        check_same(early_y, y, B * C);
        check_same(early_dx, dx, B * T * C);
    }
}

/* Rows of the first operand of each product that is alive, summed. */
static int64_t product_rows(bool causal, bool early)
{
    struct firn_graph *g = firn_graph_create();
    float y[B * C];
    firn_val x;
    int64_t n = 0;
    output(g, "y", layer(g, causal, early, &x));
    compute(g, "y", y, B * C); /* which prunes */
    for (uint32_t i = 0; i < firn_graph_n_nodes(g); i++) {
        const struct firn_node *node = firn_graph_node(g, i);
        if (!node->dead && strcmp(node->op->name, "matmul") == 0)
            n += firn_val_shape(g, node->in[0]).dim[0];
    }
    firn_graph_destroy(&g);
    return n;
}

static void only_keys_and_values_are_computed_for_all_rows(void **state)
{
    (void) state;
    assert_int_equal(product_rows(false, false), 6 * B * T);
    assert_int_equal(product_rows(false, true), 2 * B * T + 4 * B);
    assert_int_equal(product_rows(true, true), 3 * B * T + 3 * B); /* positions of queries count */
}

static void what_others_need_whole_is_not_computed_twice(void **state)
{
    struct firn_graph *g = *state;
    const firn_val rows = firn_graph_leaf(g, FIRN_LEAF_INPUT, "rows", FIRN_I32, firn_dims(B));
    const firn_val x = input(g, "x", B * T, C), a = linear(g, "a", x, C), b = linear(g, "b", a, C);
    output(g, "whole", linear(g, "c", a, C));
    output(g, "y", firn_pick_rows(g, b, rows));
    assert_null(firn_graph_error(g));
    float y[B * C];
    compute(g, "y", y, B * C);
    assert_int_equal(count_nodes(g, "matmul"), 3);
    assert_int_equal(count_nodes(g, "embed"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(picking_early_gives_the_same_numbers_and_gradients),
        cmocka_unit_test(only_keys_and_values_are_computed_for_all_rows),
        GRAPH_TEST(what_others_need_whole_is_not_computed_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
