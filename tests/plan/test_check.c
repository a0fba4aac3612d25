/* SPDX-License-Identifier: Apache-2.0 */
/* A plan that is checked step by step names the first step that is wrong, and none when all are right. */
#include "../base/check.h"

#include "ops/ops.h"
#include "plan/check.h"

enum { N = 5 };

static struct firn_op faulty;

static void right(const struct firn_call *call)
{
    const float *a = firn_f32(&call->in[0]), *b = firn_f32(&call->in[1]);
    for (int64_t i = 0; i < N; i++)
        firn_f32(&call->out[0])[i] = a[i] * b[i];
}

static void last_is_off(const struct firn_call *call)
{
    right(call);
    firn_f32(&call->out[0])[N - 1] += 1e-3f;
}

/* y = sum of (x x) x and x; the second of the three steps is given. */
static firn_status run(void (*second)(const struct firn_call *call), struct firn_check *check, float *y,
                       struct firn_error *err)
{
    static const float x[N] = { 1, -2, 0.5f, 3, -0.25f };
    struct firn_device *cpu = NULL;
    struct firn_store *store = NULL;
    struct firn_plan *plan = NULL;
    struct firn_error setup = { 0 };
    struct firn_graph *g = firn_graph_create();
    const firn_val in = firn_graph_leaf(g, FIRN_LEAF_INPUT, "x", FIRN_F32, firn_dims(N));
    faulty = *firn_op_find("mul");
    faulty.cpu = second;
    firn_val two, pair[] = { firn_mul(g, in, in), in };
    firn_graph_push(g, "second");
    firn_graph_emit(g, &faulty, pair, NULL, &two);
    firn_graph_pop(g);
    firn_graph_place(g, firn_add(g, two, in), firn_graph_leaf(g, FIRN_LEAF_OUTPUT, "y", FIRN_F32, firn_dims(N)));
    check_ok(firn_cpu_open(&cpu, false, 1, &setup), &setup);
    check_ok(firn_store_create(&store, cpu, &setup), &setup);
    check_ok(firn_plan_create(&plan, g, &cpu->limits, true, false, &setup), &setup);
    check_ok(firn_plan_bind(plan, store, &setup), &setup);
    check_ok(firn_store_write(store, "x", 0, x, sizeof x, &setup), &setup);
    const firn_status status = firn_plan_check(plan, store, true, true, check, err);
    check_ok(firn_store_read(store, "y", 0, y, N * sizeof *y, &setup), &setup);
    firn_plan_destroy(&plan);
    firn_store_destroy(&store);
    firn_device_close(&cpu);
    firn_graph_destroy(&g);
    return status;
}

static void right_steps_run_as_without_a_check(void **state)
{
    (void) state;
    static const float want[N] = { 2, -10, 0.625f, 30, -0.265625f };
    struct firn_check check = { 0 };
    struct firn_error err = { 0 };
    float y[N];
    check_ok(run(right, &check, y, &err), &err);
    assert_int_equal(check.steps, 3);
    assert_true(check.worst.ratio <= 1);
    assert_memory_equal(y, want, sizeof want);
}

static void the_wrong_step_is_named_and_ends_the_run(void **state)
{
    (void) state;
    struct firn_check check = { 0 };
    struct firn_error err = { 0 };
    float y[N];
    assert_int_equal(run(last_is_off, &check, y, &err), FIRN_ERR_DEVICE);
    assert_non_null(strstr(err.text, "second mul: cpu computes output 0 wrongly"));
    assert_non_null(strstr(err.text, "at [4]"));
    assert_int_equal(check.steps, 1);
    assert_true(y[0] == 0); /* what comes after it has not run */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(right_steps_run_as_without_a_check),
        cmocka_unit_test(the_wrong_step_is_named_and_ends_the_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
