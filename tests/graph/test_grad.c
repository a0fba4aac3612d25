/* SPDX-License-Identifier: Apache-2.0 */
/* The backward walk: what it appends, and what it leaves out. The rules themselves are held against
 * finite differences by `firn conform`. */
#include "leaf.h"

#include "grad/grad.h"

static firn_val ones(struct firn_graph *g, firn_val like)
{
    return firn_graph_leaf(g, FIRN_LEAF_INPUT, "dy", FIRN_F32, firn_val_shape(g, like));
}

static void a_frozen_weight_gets_no_gradient_nodes(void **state)
{
    struct firn_graph *g = *state;
    const firn_val x = input(g, "x", 2, 3), w = weight(g, "w", 3, 4), a = param(g, "a", 4, 5);
    const firn_val y = product(g, product(g, x, w), a);
    const firn_val dy = ones(g, y);
    const uint32_t before = firn_graph_n_nodes(g);
    const firn_val of[] = { a, w };
    firn_val d[2];
    firn_grad(g, y, dy, of, 2, d);
    assert_null(firn_graph_error(g));
    assert_true(firn_is_value(d[0]));
    assert_false(firn_is_value(d[1]));
    /* d a only: neither d w nor what would lead to it */
    assert_int_equal(firn_graph_n_nodes(g), before + 1);
    assert_true(firn_shape_eq(&firn_graph_value(g, d[0])->shape, &firn_graph_value(g, a)->shape));
}

static void a_gradient_passes_through_a_frozen_weight(void **state)
{
    struct firn_graph *g = *state;
    const firn_val x = input(g, "x", 2, 3), a = param(g, "a", 3, 4), w = weight(g, "w", 4, 5);
    const firn_val y = product(g, product(g, x, a), w);
    const firn_val dy = ones(g, y);
    const uint32_t before = firn_graph_n_nodes(g);
    firn_val d;
    firn_grad(g, y, dy, &a, 1, &d);
    assert_true(firn_is_value(d));
    assert_int_equal(firn_graph_n_nodes(g), before + 2);
}

static void a_graph_that_wants_nothing_gets_no_backward_pass(void **state)
{
    struct firn_graph *g = *state;
    const firn_val w = weight(g, "w", 3, 4);
    const firn_val y = product(g, input(g, "x", 2, 3), w);
    const firn_val dy = ones(g, y);
    const uint32_t before = firn_graph_n_nodes(g);
    firn_val d;
    firn_grad(g, y, dy, &w, 1, &d);
    assert_false(firn_is_value(d));
    assert_int_equal(firn_graph_n_nodes(g), before);
}

static void two_uses_of_one_value_meet_in_add(void **state)
{
    struct firn_graph *g = *state;
    const firn_val a = param(g, "a", 2, 3);
    const firn_val y = firn_add(g, firn_scale(g, a, 2.0f), firn_scale(g, a, 3.0f));
    const firn_val dy = ones(g, y);
    const int adds = count_nodes(g, "add");
    firn_val d;
    firn_grad(g, y, dy, &a, 1, &d);
    assert_true(firn_is_value(d));
    assert_int_equal(count_nodes(g, "add"), adds + 1);
    assert_string_equal(firn_graph_node(g, firn_graph_value(g, d)->node)->op->name, "add");
}

static void the_same_value_twice_in_one_node_counts_twice(void **state)
{
    struct firn_graph *g = *state;
    const firn_val a = param(g, "a", 2, 3);
    const firn_val y = firn_add(g, a, a);
    const firn_val dy = ones(g, y);
    firn_val d;
    firn_grad(g, y, dy, &a, 1, &d);
    const struct firn_node *n = firn_graph_node(g, firn_graph_value(g, d)->node);
    assert_string_equal(n->op->name, "add");
    assert_int_equal(n->in[0].id, dy.id);
    assert_int_equal(n->in[1].id, dy.id);
}

static void what_the_result_does_not_depend_on_gets_no_gradient(void **state)
{
    struct firn_graph *g = *state;
    const firn_val a = param(g, "a", 2, 3), b = param(g, "b", 2, 3);
    const firn_val y = firn_scale(g, a, 2.0f);
    firn_scale(g, b, 2.0f);
    const firn_val of[] = { a, b }, dy = ones(g, y);
    firn_val d[2];
    firn_grad(g, y, dy, of, 2, d);
    assert_true(firn_is_value(d[0]));
    assert_false(firn_is_value(d[1]));
}

static void gradient_nodes_carry_the_scope_of_the_forward_node(void **state)
{
    struct firn_graph *g = *state;
    const firn_val a = param(g, "a", 3, 4);
    firn_graph_push(g, "layer.7");
    const firn_val y = product(g, input(g, "x", 2, 3), a);
    firn_graph_pop(g);
    const firn_val dy = ones(g, y);
    firn_val d;
    firn_grad(g, y, dy, &a, 1, &d);
    assert_string_equal(firn_graph_node(g, firn_graph_value(g, d)->node)->scope, "layer.7");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        GRAPH_TEST(a_frozen_weight_gets_no_gradient_nodes),
        GRAPH_TEST(a_gradient_passes_through_a_frozen_weight),
        GRAPH_TEST(a_graph_that_wants_nothing_gets_no_backward_pass),
        GRAPH_TEST(two_uses_of_one_value_meet_in_add),
        GRAPH_TEST(the_same_value_twice_in_one_node_counts_twice),
        GRAPH_TEST(what_the_result_does_not_depend_on_gets_no_gradient),
        GRAPH_TEST(gradient_nodes_carry_the_scope_of_the_forward_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
