/* SPDX-License-Identifier: Apache-2.0 */
/* Dropping what nobody sees. */
#include "compute.h"

#include "plan/passes.h"

static void prune(struct firn_graph *g)
{
    struct firn_error err = { 0 };
    check_ok(firn_graph_check(g, &err), &err);
    check_ok(firn_pass_prune(g, &err), &err);
}

static void what_nobody_sees_is_dropped_with_all_that_led_to_it(void **state)
{
    struct firn_graph *g = *state;
    const firn_val x = input(g, "x", 2, 3);
    output(g, "y", firn_scale(g, x, 2.0f));
    firn_val unseen = x;
    for (int i = 0; i < 5; i++)
        unseen = firn_scale(g, unseen, 3.0f);
    assert_int_equal(count_nodes(g, NULL), 6);
    prune(g);
    assert_int_equal(count_nodes(g, NULL), 1);
    assert_false(firn_graph_node(g, 0)->dead);
}

static void what_leads_to_an_output_stays(void **state)
{
    struct firn_graph *g = *state;
    firn_val x = input(g, "x", 2, 3);
    for (int i = 0; i < 5; i++)
        x = firn_scale(g, x, 3.0f);
    output(g, "y", firn_rows(g, firn_add(g, x, x), 0, 2)); /* through an alias too */
    prune(g);
    assert_int_equal(count_nodes(g, "scale"), 5);
    assert_int_equal(count_nodes(g, "add"), 1);
}

static void a_node_that_writes_a_leaf_stays(void **state)
{
    struct firn_graph *g = *state;
    const firn_val acc = firn_graph_leaf(g, FIRN_LEAF_GRAD, "acc", FIRN_F32, firn_dims(2, 3));
    const firn_val keep = firn_graph_leaf(g, FIRN_LEAF_INPUT, "keep", FIRN_F32, firn_dims(1));
    firn_accumulate(g, acc, firn_scale(g, input(g, "x", 2, 3), 2.0f), keep);
    prune(g);
    assert_int_equal(count_nodes(g, NULL), 2);
}

static void a_graph_without_results_becomes_empty(void **state)
{
    struct firn_graph *g = *state;
    firn_rows(g, firn_scale(g, input(g, "x", 2, 3), 2.0f), 0, 1);
    prune(g);
    assert_int_equal(count_nodes(g, NULL), 0);
}

static void pruning_changes_no_result(void **state)
{
    struct firn_graph *g = *state;
    float y[6];
    const firn_val x = input(g, "x", 2, 3);
    firn_mul(g, x, firn_scale(g, x, 0.5f));
    output(g, "y", firn_add(g, firn_scale(g, x, 2.0f), x));
    output(g, "x_read", firn_scale(g, x, 1.0f));
    compute(g, "y", y, 6);
    struct firn_graph *alone = firn_graph_create();
    float x_read[6];
    output(alone, "x_read", firn_scale(alone, input(alone, "x", 2, 3), 1.0f));
    compute(alone, "x_read", x_read, 6);
    for (int i = 0; i < 6; i++)
        assert_float_equal(y[i], 3 * x_read[i], 1e-5);
    assert_int_equal(count_nodes(g, "mul"), 0);
    firn_graph_destroy(&alone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        GRAPH_TEST(what_nobody_sees_is_dropped_with_all_that_led_to_it),
        GRAPH_TEST(what_leads_to_an_output_stays),
        GRAPH_TEST(a_node_that_writes_a_leaf_stays),
        GRAPH_TEST(a_graph_without_results_becomes_empty),
        GRAPH_TEST(pruning_changes_no_result),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
