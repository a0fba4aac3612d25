/* SPDX-License-Identifier: Apache-2.0 */
/* Building graphs: shapes, scopes, leaves and views, and the first error. */
#include "leaf.h"

static void a_bad_shape_names_both_sides(void **state)
{
    struct firn_graph *g = *state;
    const firn_val y = firn_scale(g, product(g, input(g, "a", 2, 3), input(g, "b", 4, 5)), 2.0f);
    assert_false(firn_is_value(y));
    assert_string_equal(firn_graph_error(g), "matmul: inner sizes differ: 3 and 4");
}

static void adding_two_shapes_names_both(void **state)
{
    struct firn_graph *g = *state;
    assert_false(firn_is_value(firn_add(g, input(g, "a", 2, 3), input(g, "b", 3, 2))));
    assert_string_equal(firn_graph_error(g), "add: shapes differ: [2, 3] and [3, 2]");
}

static void the_first_error_is_kept(void **state)
{
    struct firn_graph *g = *state;
    firn_add(g, input(g, "a", 2, 3), input(g, "b", 3, 2));
    const uint32_t nodes = firn_graph_n_nodes(g);
    product(g, input(g, "c", 2, 3), input(g, "d", 4, 5));
    firn_graph_fail(g, "something later");
    assert_string_equal(firn_graph_error(g), "add: shapes differ: [2, 3] and [3, 2]");
    struct firn_error err = { 0 };
    check_fails(firn_graph_check(g, &err), FIRN_ERR_SHAPE, &err, "add: shapes differ: [2, 3] and [3, 2]");
    /* after an error, leaves and nodes are empty values and nothing is emitted */
    assert_false(firn_is_value(input(g, "e", 1, 1)));
    assert_false(firn_is_value(firn_scale(g, (firn_val){ 1 }, 1.0f)));
    assert_int_equal(firn_graph_n_nodes(g), nodes);
}

static void an_error_names_the_scope_that_emitted_it(void **state)
{
    struct firn_graph *g = *state;
    firn_graph_push(g, "layer.3");
    firn_graph_push(g, "attention");
    firn_add(g, input(g, "a", 1, 2), input(g, "b", 1, 3));
    assert_string_equal(firn_graph_error(g), "layer.3.attention: add: shapes differ: [1, 2] and [1, 3]");
}

static void scopes_nest_and_end(void **state)
{
    struct firn_graph *g = *state;
    const firn_val a = input(g, "a", 1, 2);
    firn_graph_push(g, "layer.0");
    firn_scale(g, a, 1.0f);
    firn_graph_push(g, "mlp");
    firn_scale(g, a, 2.0f);
    firn_graph_pop(g);
    firn_scale(g, a, 3.0f);
    firn_graph_pop(g);
    firn_scale(g, a, 4.0f);
    const char *const want[] = { "layer.0", "layer.0.mlp", "layer.0", "" };
    for (uint32_t i = 0; i < 4; i++)
        assert_string_equal(firn_graph_node(g, i)->scope, want[i]);
}

static void a_leaf_with_the_same_words_is_the_same_leaf(void **state)
{
    struct firn_graph *g = *state;
    const firn_val a = input(g, "a", 2, 3);
    assert_int_equal(a.id, input(g, "a", 2, 3).id);
    assert_int_not_equal(a.id, input(g, "b", 2, 3).id);
    assert_false(firn_is_value(input(g, "a", 3, 2)));
    assert_string_equal(firn_graph_error(g), "leaf a exists as f32 [2, 3], not f32 [3, 2]");
}

static void a_missing_input_is_named_by_its_number(void **state)
{
    struct firn_graph *g = *state;
    assert_false(firn_is_value(firn_add(g, input(g, "a", 2, 3), (firn_val){ 0 })));
    assert_string_equal(firn_graph_error(g), "add: input 1 is missing");
}

static void floats_where_ids_belong_are_refused(void **state)
{
    struct firn_graph *g = *state;
    const firn_val ids = firn_graph_leaf(g, FIRN_LEAF_INPUT, "ids", FIRN_F32, firn_dims(4));
    assert_false(firn_is_value(firn_embed(g, weight(g, "table", 9, 2), ids)));
    assert_string_equal(firn_graph_error(g), "embed: input 1 is f32");
}

static void a_view_of_a_view_finds_its_storage(void **state)
{
    struct firn_graph *g = *state;
    const firn_val flat = firn_graph_leaf(g, FIRN_LEAF_PARAM, "flat", FIRN_F32, firn_dims(100));
    const firn_val part = firn_graph_view(g, flat, "part", 10, firn_dims(8, 5));
    const firn_val rows = firn_rows(g, part, 2, 3);
    int64_t offset = 0;
    assert_int_equal(firn_graph_root(g, rows, &offset).id, flat.id);
    assert_int_equal(offset, 10 + 2 * 5);
    assert_null(firn_graph_error(g));
}

static void only_what_depends_on_a_wanted_leaf_is_wanted(void **state)
{
    struct firn_graph *g = *state;
    const firn_val x = input(g, "x", 2, 3), w = weight(g, "w", 3, 4), a = param(g, "a", 3, 4);
    assert_false(firn_wants(g, product(g, x, w)));
    const firn_val y = product(g, x, a);
    assert_true(firn_wants(g, y));
    assert_true(firn_wants(g, firn_scale(g, y, 2.0f)));
    assert_false(firn_wants(g, (firn_val){ 0 }));
}

static void a_value_is_placed_once_and_only_where_it_fits(void **state)
{
    struct firn_graph *g = *state;
    const firn_val y = firn_scale(g, input(g, "x", 2, 3), 2.0f);
    output(g, "y", y);
    assert_null(firn_graph_error(g));
    output(g, "again", y);
    assert_string_equal(firn_graph_error(g), "scale cannot be placed in again");
}

static void a_leaf_of_another_size_takes_no_value(void **state)
{
    struct firn_graph *g = *state;
    const firn_val y = firn_scale(g, input(g, "x", 2, 3), 2.0f);
    firn_graph_place(g, y, firn_graph_leaf(g, FIRN_LEAF_OUTPUT, "small", FIRN_F32, firn_dims(5)));
    assert_string_equal(firn_graph_error(g), "scale cannot be placed in small");
}

static void nodes_stay_where_they_are_while_others_are_added(void **state)
{
    struct firn_graph *g = *state;
    firn_val x = firn_scale(g, input(g, "x", 1, 1), 2.0f);
    const struct firn_node *first = firn_graph_node(g, 0);
    for (int i = 0; i < 3000; i++)
        x = firn_scale(g, x, 2.0f);
    assert_ptr_equal(first, firn_graph_node(g, 0));
    assert_int_equal(firn_graph_n_nodes(g), 3001);
    assert_int_equal(firn_graph_value(g, x)->node, 3000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        GRAPH_TEST(a_bad_shape_names_both_sides),
        GRAPH_TEST(adding_two_shapes_names_both),
        GRAPH_TEST(the_first_error_is_kept),
        GRAPH_TEST(an_error_names_the_scope_that_emitted_it),
        GRAPH_TEST(scopes_nest_and_end),
        GRAPH_TEST(a_leaf_with_the_same_words_is_the_same_leaf),
        GRAPH_TEST(a_missing_input_is_named_by_its_number),
        GRAPH_TEST(floats_where_ids_belong_are_refused),
        GRAPH_TEST(a_view_of_a_view_finds_its_storage),
        GRAPH_TEST(only_what_depends_on_a_wanted_leaf_is_wanted),
        GRAPH_TEST(a_value_is_placed_once_and_only_where_it_fits),
        GRAPH_TEST(a_leaf_of_another_size_takes_no_value),
        GRAPH_TEST(nodes_stay_where_they_are_while_others_are_added),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
