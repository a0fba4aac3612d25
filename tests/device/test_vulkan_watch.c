/* SPDX-License-Identifier: Apache-2.0 */
/* Work that a watchdog would not wait for is cut, and bits stay; and the validation layers notice a barrier that is not there. */
#include "vulkan_test.h"

enum { N = 500 };
enum { ROW = 2048 * 1024, BIG = 3 * ROW + 5000 }; /* three and a bit of the rows that firn_grid_flat makes */

/* As firn_grid_flat: work groups go on along y. */
static void setup_rows(const struct firn_call *call, const struct firn_limits *limits, struct firn_dispatch *d)
{
    (void) limits;
    const int64_t n = call->out[0].shape.dim[0], groups = (n + 1023) / 1024;
    firn_push(d, (uint64_t) n);
    d->groups[0] = groups < 2048 ? (uint32_t) groups : 2048;
    d->groups[1] = (uint32_t) ((groups + 2047) / 2048);
    d->is_flat = true;
}
static const struct firn_kernel rows_kernel = { .name = "add in rows", .shader = "add", .setup = setup_rows };

/* y = x + x for n numbers, with `cost`; runs it and checks every number. Returns the dispatches. */
static int doubled(const char *caps, int64_t n, double cost)
{
    struct firn_device *d = open_with(caps);
    struct firn_buffer *in = floats(d, FIRN_MEM_DEVICE, (size_t) n), *out = floats(d, FIRN_MEM_OUTPUT, (size_t) n);
    float *x = malloc(sizeof *x * (size_t) n), *y = calloc((size_t) n, sizeof *y);
    assert_non_null(x);
    assert_non_null(y);
    for (int64_t i = 0; i < n; i++)
        x[i] = (float) (i % 9973);
    put(d, in, 0, x, (size_t) n);
    struct firn_step step = add_step("double", part(in, 0, (size_t) n), part(in, 0, (size_t) n), part(out, 0, (size_t) n));
    step.kernel = &rows_kernel;
    step.cost = cost;
    struct firn_vulkan_stats before, after;
    firn_vulkan_stats(d, &before);
    run_steps(d, &step, 1);
    firn_vulkan_stats(d, &after);
    get(d, out, 0, y, (size_t) n);
    for (int64_t i = 0; i < n; i++)
        if (y[i] != 2 * x[i])
            fail_msg("[%lld]: got %g, want %g", (long long) i, (double) y[i], 2 * (double) x[i]);
    free(x);
    free(y);
    d->ops->buffer_destroy(d, in);
    d->ops->buffer_destroy(d, out);
    close_quietly(d);
    return after.dispatches - before.dispatches;
}

static void a_row_of_work_groups_is_cut_along_x(void **state)
{
    (void) state;
    assert_int_equal(doubled("slice=1000", 100 * 1024, 1000), 1);
    assert_int_equal(doubled("slice=100", 100 * 1024, 1000), 11);
    assert_int_equal(doubled("slice=1", 100 * 1024, 1e6), 100); /* no further than work groups */
}

static void rows_of_work_groups_are_cut_between_rows(void **state)
{
    (void) state;
    assert_int_equal(doubled("slice=600", BIG, 1000), 2);
    assert_int_equal(doubled("slice=1", BIG, 1000), 4);
}

/* A chain of steps that takes far longer than this watchdog: after a run or two they are not one submission. */
static void the_first_runs_teach_a_device_how_much_to_submit(void **state)
{
    enum { STEPS = 12, N_EACH = 1 << 20 };
    (void) state;
    struct firn_device *d = open_with("watchdog=2");
    struct firn_buffer *a = floats(d, FIRN_MEM_DEVICE, (STEPS + 1) * N_EACH);
    float *x = malloc(sizeof *x * N_EACH);
    struct firn_step steps[STEPS];
    assert_non_null(x);
    for (int i = 0; i < N_EACH; i++)
        x[i] = (float) (i % 97);
    put(d, a, 0, x, N_EACH);
    for (int i = 0; i < STEPS; i++) {
        const struct firn_bind from = part(a, (size_t) i * N_EACH, N_EACH), to = part(a, (size_t) (i + 1) * N_EACH, N_EACH);
        steps[i] = add_step("double", from, from, to);
        steps[i].kernel = &rows_kernel;
        steps[i].cost = 1e6;
    }
    struct firn_vulkan_stats before, after;
    const uint64_t tuning = d->tuning;
    run_steps(d, steps, STEPS);
    assert_true(d->tuning > tuning); /* plans record again */
    struct firn_program *p = NULL;
    firn_vulkan_stats(d, &before);
    assert_int_equal(d->ops->program_create(d, steps, STEPS, &p, NULL), FIRN_OK);
    firn_vulkan_stats(d, &after); /* before it runs, and may teach once more */
    assert_int_equal(d->ops->run(d, &p, 1, NULL), FIRN_OK);
    d->ops->program_destroy(d, p);
    assert_true(after.command_buffers - before.command_buffers > 1);
    get(d, a, (size_t) STEPS * N_EACH, x, N_EACH);
    for (int i = 0; i < N_EACH; i++)
        assert_true(x[i] == 4096.0f * (float) (i % 97));
    free(x);
    d->ops->buffer_destroy(d, a);
    close_quietly(d);
}

/* The check of every other test here: could it fail? */
static void a_barrier_that_is_left_out_is_reported(void **state)
{
    (void) state;
    struct firn_device *d = NULL;
    struct firn_device_info *list;
    struct firn_error err = { 0 };
    int n;
    assert_int_equal(firn_vulkan_list(&list, &n, &err), FIRN_OK);
    free(list);
    const struct firn_device_params params = { .validation = true };
    if (n == 0 || firn_vulkan_open(&d, 0, NULL, &params, &err) != FIRN_OK)
        skip(); /* no device, or no layers */
    struct firn_buffer *in = floats(d, FIRN_MEM_DEVICE, N), *mid = floats(d, FIRN_MEM_DEVICE, N), *out = floats(d, FIRN_MEM_OUTPUT, N);
    const float zeros[N] = { 0 };
    put(d, in, 0, zeros, N);
    struct firn_step steps[] = { add_step("a", part(in, 0, N), part(in, 0, N), part(mid, 0, N)),
                                 add_step("b", part(mid, 0, N), part(in, 0, N), part(out, 0, N)) };
    run_steps(d, steps, 2);
    assert_int_equal(firn_vulkan_messages(d), 0);
    firn_vulkan_forget_barriers(d);
    run_steps(d, steps, 2);
    assert_true(firn_vulkan_messages(d) > 0);
    d->ops->buffer_destroy(d, in);
    d->ops->buffer_destroy(d, mid);
    d->ops->buffer_destroy(d, out);
    d->ops->destroy(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_of_work_groups_is_cut_along_x),
        cmocka_unit_test(rows_of_work_groups_are_cut_between_rows),
        cmocka_unit_test(the_first_runs_teach_a_device_how_much_to_submit),
        cmocka_unit_test(a_barrier_that_is_left_out_is_reported),
    };
    return cmocka_run_group_tests_name("vulkan watch", tests, make_cache_folder, remove_cache_folder);
}
