/* SPDX-License-Identifier: Apache-2.0 */
/* The conformance walk must fail where something is wrong: copies of `mul` with a fault each. The linker
 * puts the list below in the place of firn_op_list(), so that the walk sees the copy only. */
#include "../base/check.h"

#include "grad/grad.h"
#include "ops/ops.h"
#include "plan/conform.h"

#include <math.h>

static struct firn_op faulty;
static const struct firn_op *const only[] = { &faulty, NULL };

const struct firn_op *const *__wrap_firn_op_list(void);
const struct firn_op *const *__wrap_firn_op_list(void)
{
    return only;
}

static struct firn_conform_result last_failure;
static char last_reason[200];

static void on_result(void *user, const struct firn_conform_result *r)
{
    (void) user;
    if (r->verdict == FIRN_FAILED) {
        last_failure = *r;
        snprintf(last_reason, sizeof last_reason, "%s", r->reason);
    }
}

static struct firn_conform_counts walk(bool gradients)
{
    struct firn_conform_counts counts = { 0 };
    struct firn_error err = { 0 };
    const struct firn_conform_params params = { .seed = 1, .result = on_result };
    last_failure = (struct firn_conform_result){ 0 };
    last_reason[0] = '\0';
    if (gradients) {
        check_ok(firn_conform_gradients(&params, &counts, &err), &err);
        return counts;
    }
    struct firn_device *cpu = NULL;
    check_ok(firn_cpu_open(&cpu, false, 1, &err), &err);
    check_ok(firn_conform_kernels(cpu, &params, &counts, &err), &err);
    firn_device_close(&cpu);
    return counts;
}

static int make(void **state)
{
    (void) state;
    faulty = *firn_op_find("mul");
    return 0;
}

static void right(const struct firn_call *call)
{
    const float *a = firn_f32(&call->in[0]), *b = firn_f32(&call->in[1]);
    float *y = firn_f32(&call->out[0]);
    for (int64_t i = 0; i < firn_count(&call->out[0]); i++)
        y[i] = a[i] * b[i];
}

static void the_right_operation_passes(void **state)
{
    (void) state;
    faulty.cpu = right;
    struct firn_conform_counts c = walk(false);
    assert_true(c.passed > 0);
    assert_int_equal(c.failed, 0);
    c = walk(true);
    assert_true(c.passed > 0);
    assert_int_equal(c.failed, 0);
}

static void off_by_a_thousand_ulp(const struct firn_call *call)
{
    right(call);
    const int64_t n = firn_count(&call->out[0]);
    float *y = firn_f32(&call->out[0]), most = 0;
    int64_t at = 0;
    for (int64_t i = 0; i < n; i++)
        if (fabsf(y[i]) > most) {
            most = fabsf(y[i]);
            at = i;
        }
    if (n > 0) /* the largest element: there an ulp is largest too */
        y[at] += 1000 * (nextafterf(most, INFINITY) - most);
}

static void one_element_off_by_a_thousand_ulp_fails(void **state)
{
    (void) state;
    faulty.cpu = off_by_a_thousand_ulp;
    const struct firn_conform_counts c = walk(false);
    assert_true(c.failed > 0);
    assert_string_equal(last_failure.op, "mul");
    assert_string_equal(last_failure.most.what, "output 0");
    assert_true(fabs(last_failure.most.got - last_failure.most.want) > last_failure.most.allowed &&
                last_failure.most.ratio > 1);
}

static void not_a_number(const struct firn_call *call)
{
    right(call);
    if (firn_count(&call->out[0]) > 0)
        firn_f32(&call->out[0])[0] = NAN;
}

static void a_nan_fails(void **state)
{
    (void) state;
    faulty.cpu = not_a_number;
    assert_true(walk(false).failed > 0);
    assert_int_equal(last_failure.most.index, 0);
}

static void leaves_the_last_out(const struct firn_call *call)
{
    float *y = firn_f32(&call->out[0]);
    const int64_t n = firn_count(&call->out[0]);
    const float was = n > 0 ? y[n - 1] : 0;
    right(call);
    if (n > 0)
        y[n - 1] = was;
}

static void an_element_that_is_never_written_fails(void **state)
{
    (void) state;
    faulty.cpu = leaves_the_last_out;
    assert_true(walk(false).failed > 0);
}

static void past_the_end(const struct firn_call *call)
{
    right(call);
    firn_f32(&call->out[0])[firn_count(&call->out[0])] = 0;
}

static void a_write_past_the_output_fails(void **state)
{
    (void) state;
    faulty.cpu = past_the_end;
    const struct firn_conform_counts c = walk(false);
    assert_true(c.failed > 0);
    assert_int_equal(c.passed, 0);
    assert_string_equal(last_reason, "memory beside a tensor was written");
}

static void into_the_input(const struct firn_call *call)
{
    right(call);
    if (firn_count(&call->in[1]) > 0)
        firn_f32(&call->in[1])[0] += 1;
}

static void a_write_into_an_input_fails(void **state)
{
    (void) state;
    faulty.cpu = into_the_input;
    assert_true(walk(false).failed > 0);
    assert_string_equal(last_reason, "input 1 was written");
}

/* d a = dy b is right; this rule forgets a thousandth of it. */
static void wrong_grad(struct firn_graph *g, const struct firn_node *n, const firn_val *dy, firn_val *dx)
{
    if (firn_wants(g, n->in[0]))
        dx[0] = firn_scale(g, firn_mul(g, dy[0], n->in[1]), 0.999f);
    if (firn_wants(g, n->in[1]))
        dx[1] = firn_mul(g, dy[0], n->in[0]);
}

static void a_backward_rule_off_by_a_thousandth_fails(void **state)
{
    (void) state;
    faulty.grad = wrong_grad;
    const struct firn_conform_counts c = walk(true);
    assert_true(c.failed > 0);
    assert_string_equal(last_failure.most.what, "d input 0");
}

static bool never(struct firn_infer *s)
{
    return firn_infer_fail(s, "no shape pleases");
}

static void a_case_that_the_shape_rule_refuses_fails(void **state)
{
    (void) state;
    faulty.shape = never;
    const struct firn_conform_counts c = walk(false);
    assert_true(c.failed > 0);
    assert_int_equal(c.passed, 0);
    assert_non_null(strstr(last_reason, "no shape pleases"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_right_operation_passes, make),
        cmocka_unit_test_setup(one_element_off_by_a_thousand_ulp_fails, make),
        cmocka_unit_test_setup(a_nan_fails, make),
        cmocka_unit_test_setup(an_element_that_is_never_written_fails, make),
        cmocka_unit_test_setup(a_write_past_the_output_fails, make),
        cmocka_unit_test_setup(a_write_into_an_input_fails, make),
        cmocka_unit_test_setup(a_backward_rule_off_by_a_thousandth_fails, make),
        cmocka_unit_test_setup(a_case_that_the_shape_rule_refuses_fails, make),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
