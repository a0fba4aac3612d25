/* SPDX-License-Identifier: Apache-2.0 */
/* A device whose bindings are small gets a table and an output layer in slices; numbers and gradients stay what they are. */
#include "compute.h"

#include "grad/grad.h"

#include <math.h>

enum { V = 333, C = 16, M = 5, LIMIT = 8192 }; /* slices of 128 rows, the last one short */

static firn_val frozen(struct firn_graph *g, const char *name, int64_t rows)
{
    return firn_graph_leaf(g, FIRN_LEAF_WEIGHT, name, FIRN_F32, firn_dims(rows, C));
}

/* Lookup, output layer with a bias, and its loss' way back. */
static void build(struct firn_graph *g, uint64_t limit)
{
    firn_graph_set_binding_limit(g, limit);
    const firn_val ids = firn_graph_leaf(g, FIRN_LEAF_INPUT, "ids", FIRN_I32, firn_dims(M));
    const firn_val p = param(g, "p", M, C);
    const firn_val bias = firn_graph_leaf(g, FIRN_LEAF_INPUT, "bias", FIRN_F32, firn_dims(V));
    const firn_val x = firn_add(g, firn_embed(g, frozen(g, "table", V), ids), p);
    const firn_val y = firn_matmul(g, x, frozen(g, "w", V), firn_matmul_params(.trans_b = true, .bias = bias, .alpha = 0.5f));
    firn_val d;
    firn_grad(g, y, input(g, "dy", M, V), &p, 1, &d);
    output(g, "x", firn_scale(g, x, 1.0f));
    output(g, "y", y);
    output(g, "d", d);
}

static void numbers(const char *name, uint64_t limit, float *values, size_t n)
{
    struct firn_graph *g = firn_graph_create();
    build(g, limit);
    compute(g, name, values, n);
    firn_graph_destroy(&g);
}

static void slices_change_no_number(void **state)
{
    static float whole[M * V], sliced[M * V];
    static const struct {
        const char *name;
        size_t n;
    } outputs[] = { { "x", M * C }, { "y", M * V }, { "d", M * C } };
    (void) state;
    for (size_t i = 0; i < 3; i++) {
        float most = 0;
        numbers(outputs[i].name, 0, whole, outputs[i].n);
        numbers(outputs[i].name, LIMIT, sliced, outputs[i].n);
        for (size_t k = 0; k < outputs[i].n; k++) {
            if (!(fabsf(whole[k] - sliced[k]) <= 1e-5f * (1 + fabsf(whole[k]))))
                fail_msg("%s[%zu]: got %.9g, want %.9g", outputs[i].name, k, (double) sliced[k], (double) whole[k]);
            most = fmaxf(most, fabsf(whole[k]));
        }
        assert_true(most > 0.1f);
    }
}

static void no_node_takes_more_than_one_binding(void **state)
{
    struct firn_graph *g = *state;
    build(g, LIMIT);
    assert_null(firn_graph_error(g));
    assert_int_equal(count_nodes(g, "embed"), 1); /* its table is cut when steps are recorded (plan/cut.c) */
    assert_int_equal(count_nodes(g, "matmul"), 6);
    for (uint32_t i = 0; i < firn_graph_n_nodes(g); i++) {
        const struct firn_node *n = firn_graph_node(g, i);
        for (int k = 0; k < n->op->n_in && !n->op->alias; k++) {
            if (!firn_is_value(n->in[k]) || (n->op->cut_turns >> k & 1u))
                continue;
            const struct firn_shape s = firn_val_shape(g, n->in[k]);
            assert_true(firn_shape_count(&s) * 4 <= LIMIT);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices_change_no_number),
        GRAPH_TEST(no_node_takes_more_than_one_binding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
