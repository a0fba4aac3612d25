/* SPDX-License-Identifier: Apache-2.0 */
/* Offsets in the arena: a property test over random lifetimes, and how near the bound typical graphs come. */
#include "compute.h"

#include "base/rng.h"
#include "grad/grad.h"
#include "plan/passes.h"
#include "plan/plan.h"

enum { ROUNDS = 300, MAX_VALUES = 120 };

static uint64_t seed_of_run(void)
{
    const char *text = getenv("FIRN_SEED");
    return text != NULL ? strtoull(text, NULL, 10) : 1;
}

static uint32_t draw(uint64_t seed, uint32_t round, uint32_t *at, uint32_t below)
{
    return (uint32_t) (firn_uniform(seed, 7, round, (*at)++) * (float) below);
}

static size_t up(size_t n, size_t align)
{
    return (n + align - 1) / align * align;
}

static void check_apart(const struct firn_life *life, uint32_t n, size_t align, size_t size, uint32_t round)
{
    for (uint32_t i = 0; i < n; i++) {
        const struct firn_life *a = &life[i];
        if (!a->in_arena || a->first == UINT32_MAX)
            continue;
        assert_int_equal(a->offset % align, 0);
        assert_true(a->offset + a->size <= size);
        for (uint32_t k = 0; k < i; k++) {
            const struct firn_life *b = &life[k];
            if (!b->in_arena || b->first == UINT32_MAX || a->first > b->last || b->first > a->last)
                continue;
            if (a->offset < b->offset + b->size && b->offset < a->offset + a->size)
                fail_msg("seed %llu round %u: values %u and %u live together and overlap at %zu and %zu",
                         (unsigned long long) seed_of_run(), round, k, i, b->offset, a->offset);
        }
    }
}

static void values_that_live_together_never_overlap(void **state)
{
    (void) state;
    const uint64_t seed = seed_of_run();
    for (uint32_t round = 0; round < ROUNDS; round++) {
        struct firn_life life[MAX_VALUES] = { 0 };
        uint32_t at = 0;
        const uint32_t n = 1 + draw(seed, round, &at, MAX_VALUES), steps = 1 + draw(seed, round, &at, 60);
        const size_t align = (size_t) 1 << draw(seed, round, &at, 9);
        size_t total = 0;
        for (uint32_t i = 0; i < n; i++) {
            const uint32_t first = draw(seed, round, &at, steps);
            life[i] = (struct firn_life){ .in_arena = draw(seed, round, &at, 10) > 0, .first = first,
                                          .last = first + draw(seed, round, &at, steps - first),
                                          .size = draw(seed, round, &at, 5000) };
            if (draw(seed, round, &at, 20) == 0)
                life[i].first = UINT32_MAX; /* a value that no live node touches */
            total += life[i].in_arena ? up(life[i].size, align) : 0;
        }
        size_t size = 0, bound = 0;
        struct firn_error err = { 0 };
        check_ok(firn_pass_place(life, n, align, &size, &bound, &err), &err);
        check_apart(life, n, align, size, round);
        assert_true(bound <= size && size <= total);
    }
}

static void nothing_to_place_needs_nothing(void **state)
{
    (void) state;
    struct firn_life life[2] = { { .in_arena = false, .size = 100 }, { .in_arena = true, .first = UINT32_MAX } };
    size_t size = 1, bound = 1;
    struct firn_error err = { 0 };
    check_ok(firn_pass_place(life, 2, 64, &size, &bound, &err), &err);
    assert_int_equal(size, 0);
    assert_int_equal(bound, 0);
}

static void values_that_follow_each_other_share_their_bytes(void **state)
{
    (void) state;
    struct firn_life life[10] = { 0 };
    for (uint32_t i = 0; i < 10; i++)
        life[i] = (struct firn_life){ .in_arena = true, .first = i, .last = i + 1, .size = 128 };
    size_t size = 0, bound = 0;
    struct firn_error err = { 0 };
    check_ok(firn_pass_place(life, 10, 64, &size, &bound, &err), &err);
    assert_int_equal(size, 256);
    assert_int_equal(bound, 256);
}

/* Layers of product, norm, attention, gate, with residuals: forward and backward of a transformer's shape. */
static void transformer(struct firn_graph *g, int layers, int64_t rows, int64_t width)
{
    firn_val x = input(g, "x", rows, width);
    firn_val params[64];
    int n = 0;
    char name[64];
    for (int l = 0; l < layers; l++) {
        firn_val w[5];
        for (int k = 0; k < 5; k++) {
            snprintf(name, sizeof name, "w%d.%d", l, k);
            w[k] = k == 4 ? weight(g, name, 4 * width, width)
                          : weight(g, name, width, k == 3 ? 4 * width : width);
        }
        snprintf(name, sizeof name, "n%d", l);
        const firn_val norm = firn_graph_leaf(g, FIRN_LEAF_WEIGHT, name, FIRN_F32, firn_dims(width));
        snprintf(name, sizeof name, "a%d", l);
        const firn_val a = param(g, name, width, 4);
        snprintf(name, sizeof name, "b%d", l);
        const firn_val b = param(g, name, 4, width);
        params[n++] = a;
        params[n++] = b;
        const firn_val h = firn_rms_norm(g, x, norm, 1e-5f, 0);
        const firn_val q = firn_add(g, product(g, h, w[0]), product(g, product(g, h, a), b));
        const firn_val y = firn_attention(g, q, product(g, h, w[1]), product(g, h, w[2]),
                                          firn_attention_params(.batch = 2, .n_heads = 2, .causal = true));
        x = firn_add(g, x, y);
        const firn_val up_v = firn_activate(g, FIRN_SILU, product(g, firn_rms_norm(g, x, norm, 1e-5f, 0), w[3]));
        x = firn_add(g, x, product(g, up_v, w[4]));
    }
    const firn_val dy = input(g, "dy", rows, width);
    firn_val d[64];
    firn_grad(g, x, dy, params, n, d);
    for (int i = 0; i < n && firn_graph_error(g) == NULL; i++) {
        snprintf(name, sizeof name, "d%d", i);
        firn_graph_place(g, firn_scale(g, d[i], 1.0f),
                         firn_graph_leaf(g, FIRN_LEAF_GRAD, name, FIRN_F32, firn_val_shape(g, params[i])));
    }
}

static void a_transformer_comes_within_a_tenth_of_the_bound(void **state)
{
    (void) state;
    struct firn_limits limits = { .bind_align = 256, .n_threads = 1 };
    for (int layers = 1; layers <= 8; layers++) {
        for (int64_t width = 14; width <= 64; width += 50) {
            struct firn_graph *g = firn_graph_create();
            transformer(g, layers, 2 * 33, width);
            struct firn_plan *plan = NULL;
            struct firn_plan_bytes bytes;
            struct firn_error err = { 0 };
            check_ok(firn_plan_create(&plan, g, &limits, true, false, &err), &err);
            firn_plan_bytes(plan, &bytes);
            if ((double) bytes.activations > 1.1 * (double) bytes.activations_live)
                fail_msg("%d layers of width %d: the arena has %llu bytes, %llu live at most", layers, (int) width,
                         (unsigned long long) bytes.activations, (unsigned long long) bytes.activations_live);
            assert_true(bytes.activations >= bytes.activations_live && bytes.activations_live > 0);
            firn_plan_destroy(&plan);
            firn_graph_destroy(&g);
        }
    }
}

static void a_chain_without_gradients_needs_two_buffers(void **state)
{
    (void) state;
    struct firn_limits limits = { .bind_align = 64, .n_threads = 1 };
    struct firn_graph *g = firn_graph_create();
    firn_val x = input(g, "x", 32, 32);
    for (int i = 0; i < 20; i++)
        x = product(g, x, input(g, "w", 32, 32));
    output(g, "y", x);
    struct firn_plan *plan = NULL;
    struct firn_plan_bytes bytes;
    struct firn_error err = { 0 };
    check_ok(firn_plan_create(&plan, g, &limits, true, true, &err), &err);
    firn_plan_bytes(plan, &bytes);
    assert_int_equal(bytes.activations, 2 * 32 * 32 * 4);
    firn_plan_destroy(&plan);
    firn_graph_destroy(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_that_live_together_never_overlap),
        cmocka_unit_test(nothing_to_place_needs_nothing),
        cmocka_unit_test(values_that_follow_each_other_share_their_bytes),
        cmocka_unit_test(a_transformer_comes_within_a_tenth_of_the_bound),
        cmocka_unit_test(a_chain_without_gradients_needs_two_buffers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
