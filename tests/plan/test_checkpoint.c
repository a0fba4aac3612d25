/* SPDX-License-Identifier: Apache-2.0 */
/* Computing layers again: the same bits at every level, less memory, and the order of what is computed. */
#include "compute.h"

#include "grad/grad.h"
#include "plan/passes.h"
#include "plan/plan.h"

enum { M = 5, C = 7, F = 11, N_LAYERS = 9 };

/* N_LAYERS layers of two parts, x + act(norm(x) W) V with dropout between; every third layer also hands a value on to the
 * next, which must then be kept. The gradient of all W and V is one sum, placed in "g". */
static void build(struct firn_graph *g, enum firn_recompute level)
{
    firn_val w[2 * N_LAYERS], dw[2 * N_LAYERS], side = { 0 };
    const firn_val all = firn_graph_leaf(g, FIRN_LEAF_PARAM, "params", FIRN_F32, firn_dims(2 * N_LAYERS * C * F));
    const firn_val rng = firn_graph_leaf(g, FIRN_LEAF_INPUT, "rng", FIRN_I32, firn_dims(4));
    for (int i = 0; i < 2 * N_LAYERS; i++) {
        w[i] = firn_graph_view(g, all, FIRN_STR("w%d", i), (int64_t) i * C * F, i % 2 == 0 ? firn_dims(C, F) : firn_dims(F, C));
        firn_graph_want(g, w[i]);
    }
    firn_val x = input(g, "x", M, C);
    const firn_val one = firn_graph_leaf(g, FIRN_LEAF_INPUT, "one", FIRN_F32, firn_dims(1));
    const firn_val scale = firn_graph_leaf(g, FIRN_LEAF_INPUT, "scale", FIRN_F32, firn_dims(C));
    for (int l = 0; l < N_LAYERS; l++) {
        firn_graph_begin_layer(g);
        firn_val h = firn_matmul(g, firn_rms_norm(g, x, scale, 1e-5f, 0), w[2 * l], firn_matmul_params(.alpha = 0));
        if (firn_is_value(side))
            h = firn_add(g, h, side);
        h = firn_dropout(g, firn_activate(g, FIRN_GELU, h), rng, 0.3f, (uint32_t) l);
        side = l % 3 == 2 ? h : (firn_val){ 0 };
        firn_graph_next_part(g);
        x = firn_add(g, x, firn_activate(g, FIRN_TANH, firn_matmul(g, h, w[2 * l + 1], firn_matmul_params(.alpha = 0))));
        firn_graph_end_layer(g);
    }
    const firn_val y = firn_sum(g, firn_mul(g, x, x));
    firn_grad(g, y, one, w, 2 * N_LAYERS, dw);
    const firn_val grads = firn_graph_leaf(g, FIRN_LEAF_GRAD, "g", FIRN_F32, firn_dims(2 * N_LAYERS * C * F));
    for (int i = 0; i < 2 * N_LAYERS; i++)
        firn_graph_place(g, dw[i], firn_graph_view(g, grads, FIRN_STR("g%d", i), (int64_t) i * C * F, firn_val_shape(g, dw[i])));
    firn_graph_set_recompute(g, level);
}

static void every_level_gives_the_same_bits(void **state)
{
    (void) state;
    enum { ALL = 2 * N_LAYERS * C * F };
    static float grads[FIRN_RECOMPUTE_COUNT][ALL];
    for (int level = 0; level < FIRN_RECOMPUTE_COUNT; level++) {
        struct firn_graph *g = firn_graph_create();
        build(g, (enum firn_recompute) level);
        compute(g, "g", grads[level], ALL);
        assert_memory_equal(grads[level], grads[0], sizeof grads[0]);
        firn_graph_destroy(&g);
    }
    bool any = false;
    for (int i = 0; i < ALL; i++)
        any |= grads[0][i] > 0.01f || grads[0][i] < -0.01f;
    assert_true(any);
}

static size_t count_live(const struct firn_graph *g)
{
    size_t n = 0;
    for (uint32_t i = 0; i < firn_graph_n_nodes(g); i++)
        n += !firn_graph_node(g, i)->dead;
    return n;
}

static void more_is_computed_and_less_is_kept(void **state)
{
    (void) state;
    const struct firn_limits limits = { .device_class = FIRN_CLASS_HOST, .max_lanes = 1, .max_binding_bytes = SIZE_MAX,
                                        .max_alloc_bytes = SIZE_MAX, .bind_align = 64, .n_threads = 1 };
    uint64_t bytes[FIRN_RECOMPUTE_COUNT];
    size_t nodes[FIRN_RECOMPUTE_COUNT];
    for (int level = 0; level < FIRN_RECOMPUTE_COUNT; level++) {
        struct firn_graph *g = firn_graph_create();
        struct firn_plan *plan = NULL;
        struct firn_plan_bytes b;
        struct firn_error err = { 0 };
        build(g, (enum firn_recompute) level);
        check_ok(firn_plan_create(&plan, g, &limits, true, true, &err), &err);
        firn_plan_bytes(plan, &b);
        bytes[level] = b.activations;
        nodes[level] = count_live(g);
        firn_plan_destroy(&plan);
        firn_graph_destroy(&g);
    }
    assert_true(bytes[FIRN_RECOMPUTE_LAYER] < bytes[FIRN_RECOMPUTE_NONE]);
    assert_true(bytes[FIRN_RECOMPUTE_NESTED] < bytes[FIRN_RECOMPUTE_LAYER]);
    assert_true(nodes[FIRN_RECOMPUTE_LAYER] > nodes[FIRN_RECOMPUTE_NONE]);
    assert_true(nodes[FIRN_RECOMPUTE_NESTED] > nodes[FIRN_RECOMPUTE_LAYER]);
}

static void everything_is_computed_before_it_is_read(void **state)
{
    (void) state;
    for (int level = 0; level < FIRN_RECOMPUTE_COUNT; level++) {
        struct firn_graph *g = firn_graph_create();
        struct firn_error err = { 0 };
        build(g, (enum firn_recompute) level);
        check_ok(firn_pass_prune(g, &err), &err);
        check_ok(firn_pass_fuse(g, &err), &err);
        check_ok(firn_pass_checkpoint(g, (enum firn_recompute) level, &err), &err);
        for (uint32_t i = 0; i < firn_graph_n_nodes(g); i++) {
            const struct firn_node *n = firn_graph_node(g, i);
            for (int k = 0; k < firn_node_n_reads(n) && !n->dead; k++) {
                const struct firn_value *v = firn_is_value(n->in[k]) ? firn_graph_value(g, n->in[k]) : NULL;
                if (v != NULL && v->node != FIRN_NO_NODE && (v->node >= i || firn_graph_node(g, v->node)->dead))
                    fail_msg("level %d: node %u reads what node %u makes", level, i, v->node);
            }
            for (int j = 0; j < n->op->n_out; j++)
                assert_int_equal(firn_graph_value(g, n->out[j])->node, i);
        }
        firn_graph_destroy(&g);
    }
}

static void without_a_backward_pass_nothing_changes(void **state)
{
    (void) state;
    struct firn_graph *g = firn_graph_create();
    struct firn_error err = { 0 };
    firn_graph_begin_layer(g);
    const firn_val y = firn_scale(g, input(g, "x", M, C), 2);
    firn_graph_end_layer(g);
    output(g, "y", y);
    check_ok(firn_pass_checkpoint(g, FIRN_RECOMPUTE_NESTED, &err), &err);
    assert_int_equal(firn_graph_n_nodes(g), 1);
    firn_graph_destroy(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_level_gives_the_same_bits),
        cmocka_unit_test(more_is_computed_and_less_is_kept),
        cmocka_unit_test(everything_is_computed_before_it_is_read),
        cmocka_unit_test(without_a_backward_pass_nothing_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
