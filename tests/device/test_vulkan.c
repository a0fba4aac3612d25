/* SPDX-License-Identifier: Apache-2.0 */
/* The Vulkan device as a device: buffers, programs, barriers, errors; under validation. */
#include "vulkan_test.h"

enum { N = 1500 };

static void ramp(float *x, size_t n, float start)
{
    for (size_t i = 0; i < n; i++)
        x[i] = start + (float) i;
}

static void every_kind_of_memory_reads_back(const char *caps)
{
    struct firn_device *d = open_with(caps);
    for (enum firn_memory m = FIRN_MEM_DEVICE; m <= FIRN_MEM_OUTPUT; m++) {
        float x[N], y[N] = { 0 };
        struct firn_buffer *b = floats(d, m, N);
        ramp(x, N, 3);
        put(d, b, 0, x, N);
        put(d, b, 7, x, 5);
        get(d, b, 0, y, N);
        memcpy(x + 7, (float[]){ 3, 4, 5, 6, 7 }, 20);
        assert_memory_equal(x, y, sizeof x);
        d->ops->buffer_destroy(d, b);
    }
    close_quietly(d);
}

static void every_kind_of_memory_reads_back_what_was_written(void **state)
{
    (void) state;
    every_kind_of_memory_reads_back(NULL);
}

static void memory_that_cannot_be_mapped_is_written_through_staging(void **state)
{
    (void) state;
    every_kind_of_memory_reads_back("-unified");
    struct firn_device *d = open_with("-unified"); /* more than the staging buffer holds, at an odd place */
    const size_t n = 5 << 20;
    struct firn_buffer *b = floats(d, FIRN_MEM_DEVICE, n);
    float *x = malloc(2 * n * sizeof *x);
    assert_non_null(x);
    ramp(x, n, 0);
    put(d, b, 3, x, n - 3);
    get(d, b, 3, x + n, n - 3);
    assert_memory_equal(x, x + n, (n - 3) * sizeof *x);
    free(x);
    d->ops->buffer_destroy(d, b);
    close_quietly(d);
}

static void chain(const char *caps)
{
    struct firn_device *d = open_with(caps);
    float x[N], y[N];
    struct firn_buffer *in = floats(d, FIRN_MEM_INPUT, N), *out = floats(d, FIRN_MEM_OUTPUT, N);
    struct firn_buffer *mid = floats(d, FIRN_MEM_DEVICE, 2 * 2048);
    ramp(x, N, 0);
    put(d, in, 0, x, N);
    const struct firn_step steps[] = {
        add_step("double", part(in, 0, N), part(in, 0, N), part(mid, 0, N)),
        add_step("triple", part(mid, 0, N), part(in, 0, N), part(mid, 2048, N)),
        add_step("five", part(mid, 0, N), part(mid, 2048, N), part(out, 0, N)),
    };
    run_steps(d, steps, 3);
    get(d, out, 0, y, N);
    for (int i = 0; i < N; i++)
        assert_float_equal(y[i], 5.0f * (float) i, 0);
    d->ops->buffer_destroy(d, in);
    d->ops->buffer_destroy(d, mid);
    d->ops->buffer_destroy(d, out);
    close_quietly(d);
}

static void a_chain_of_dependent_steps_gives_the_last_sum(void **state)
{
    (void) state;
    chain(NULL);
    chain("none");
    chain("-unified");
}

static int barriers_of(struct firn_device *d, const struct firn_step *steps, int n)
{
    struct firn_vulkan_stats before, after;
    firn_vulkan_stats(d, &before);
    run_steps(d, steps, n);
    firn_vulkan_stats(d, &after);
    assert_int_equal(after.dispatches - before.dispatches, n);
    return after.barriers - before.barriers;
}

static void barriers_stand_only_where_steps_meet(void **state)
{
    (void) state;
    struct firn_device *d = open_with(NULL);
    struct firn_buffer *a = floats(d, FIRN_MEM_DEVICE, 4 * 2048);
    struct firn_buffer *o = floats(d, FIRN_MEM_OUTPUT, 2048);
    const float zeros[4 * 2048] = { 0 };
    put(d, a, 0, zeros, 4 * 2048);
    const struct firn_bind p0 = part(a, 0, N), p1 = part(a, 2048, N), p2 = part(a, 4096, N),
                           p3 = part(a, 6144, N), to = part(o, 0, N);
    /* a program has one barrier in front, and one behind when the host sees what it wrote */
    struct firn_step apart[] = { add_step("a", p0, p0, p1), add_step("b", p0, p0, p2),
                                 add_step("c", p0, p0, to) };
    const int edges = barriers_of(d, &apart[2], 1);
    assert_int_equal(edges, 2);
    assert_int_equal(barriers_of(d, apart, 3), edges);
    struct firn_step read_after_write[] = { add_step("a", p0, p0, p1), add_step("b", p1, p0, to) };
    assert_int_equal(barriers_of(d, read_after_write, 2), edges + 1);
    struct firn_step write_after_read[] = { add_step("a", p0, p1, to), add_step("b", p2, p2, p0) };
    assert_int_equal(barriers_of(d, write_after_read, 2), edges + 1);
    struct firn_step write_after_write[] = { add_step("a", p0, p0, to), add_step("b", p1, p1, to) };
    assert_int_equal(barriers_of(d, write_after_write, 2), edges + 1);
    /* one barrier serves both readers */
    struct firn_step fan[] = { add_step("a", p0, p0, p1), add_step("b", p1, p0, p2),
                               add_step("c", p1, p0, p3), add_step("d", p0, p0, to) };
    assert_int_equal(barriers_of(d, fan, 4), edges + 1);
    d->ops->buffer_destroy(d, a);
    d->ops->buffer_destroy(d, o);
    close_quietly(d);
}

static void an_updated_input_counts_as_written(void **state)
{
    (void) state;
    struct firn_device *d = open_with(NULL);
    struct firn_buffer *a = floats(d, FIRN_MEM_DEVICE, 2048), *o = floats(d, FIRN_MEM_OUTPUT, 4096);
    const float zeros[2048] = { 0 };
    put(d, a, 0, zeros, 2048);
    const struct firn_bind p = part(a, 0, N);
    struct firn_step steps[] = { add_step("a", p, p, part(o, 0, N)),
                                 add_step("b", p, p, part(o, 2048, N)) };
    const int without = barriers_of(d, steps, 2);
    steps[0].updates = 1;
    assert_int_equal(barriers_of(d, steps, 2), without + 1);
    d->ops->buffer_destroy(d, a);
    d->ops->buffer_destroy(d, o);
    close_quietly(d);
}

static void a_kernel_with_a_second_part_runs_both_after_each_other(void **state)
{
    (void) state;
    static const struct firn_kernel first = { .name = "add twice", .shader = "add",
                                              .setup = setup_add, .then = &add_kernel };
    struct firn_device *d = open_with(NULL);
    float x[N], y[N];
    struct firn_buffer *in = floats(d, FIRN_MEM_INPUT, N), *out = floats(d, FIRN_MEM_OUTPUT, N);
    ramp(x, N, 1);
    put(d, in, 0, x, N);
    struct firn_step step = add_step("twice", part(in, 0, N), part(in, 0, N), part(out, 0, N));
    step.kernel = &first;
    struct firn_vulkan_stats before, after;
    firn_vulkan_stats(d, &before);
    run_steps(d, &step, 1);
    firn_vulkan_stats(d, &after);
    assert_int_equal(after.dispatches - before.dispatches, 2);
    assert_int_equal(after.barriers - before.barriers, 3);
    get(d, out, 0, y, N);
    for (int i = 0; i < N; i++)
        assert_float_equal(y[i], 2.0f * x[i], 0);
    d->ops->buffer_destroy(d, in);
    d->ops->buffer_destroy(d, out);
    close_quietly(d);
}

static void programs_of_one_submission_run_in_order_also_twice(void **state)
{
    (void) state;
    struct firn_device *d = open_with(NULL);
    float one[N], y[N];
    struct firn_buffer *in = floats(d, FIRN_MEM_INPUT, N), *sum = floats(d, FIRN_MEM_DEVICE, N),
                       *out = floats(d, FIRN_MEM_OUTPUT, N);
    for (int i = 0; i < N; i++)
        one[i] = 1;
    put(d, in, 0, one, N);
    put(d, sum, 0, one, N);
    struct firn_step step = add_step("grow", part(sum, 0, N), part(in, 0, N), part(sum, 0, N));
    struct firn_step copy = add_step("copy", part(sum, 0, N), part(sum, 0, N), part(out, 0, N));
    struct firn_program *grow = NULL, *last = NULL;
    assert_int_equal(d->ops->program_create(d, &step, 1, &grow, NULL), FIRN_OK);
    assert_int_equal(d->ops->program_create(d, &copy, 1, &last, NULL), FIRN_OK);
    struct firn_program *list[12];
    for (int i = 0; i < 11; i++)
        list[i] = grow;
    list[11] = last;
    for (int runs = 1; runs <= 3; runs++) {
        assert_int_equal(d->ops->run(d, list, 12, NULL), FIRN_OK);
        get(d, out, 0, y, N);
        assert_float_equal(y[N - 1], 2.0f * (1.0f + 11.0f * (float) runs), 0);
    }
    d->ops->program_destroy(d, grow);
    d->ops->program_destroy(d, last);
    d->ops->buffer_destroy(d, in);
    d->ops->buffer_destroy(d, sum);
    d->ops->buffer_destroy(d, out);
    close_quietly(d);
}

static void empty_steps_are_skipped_and_empty_inputs_bound(void **state)
{
    (void) state;
    struct firn_device *d = open_with(NULL);
    struct firn_buffer *b = floats(d, FIRN_MEM_OUTPUT, 0), *c = floats(d, FIRN_MEM_OUTPUT, 16);
    const float nine = 9;
    float y = 0;
    put(d, c, 0, &nine, 1);
    const struct firn_step steps[] = {
        add_step("nothing", part(b, 0, 0), part(NULL, 0, 0), part(b, 0, 0)),
        add_step("nothing", part(c, 0, 0), part(c, 0, 0), part(c, 0, 0)),
    };
    struct firn_vulkan_stats before, after;
    firn_vulkan_stats(d, &before);
    run_steps(d, steps, 2);
    run_steps(d, NULL, 0);
    firn_vulkan_stats(d, &after);
    assert_int_equal(after.dispatches, before.dispatches);
    get(d, c, 0, &y, 1);
    assert_float_equal(y, 9, 0);
    d->ops->buffer_destroy(d, b);
    d->ops->buffer_destroy(d, c);
    close_quietly(d);
}

static void setup_too_many(const struct firn_call *call, const struct firn_limits *limits,
                           struct firn_dispatch *d)
{
    setup_add(call, limits, d);
    d->groups[1] = limits->max_groups[1] + 1;
}

static void wrong_steps_are_errors_that_name_them(void **state)
{
    (void) state;
    static const struct firn_kernel too_many = { .name = "huge", .shader = "add",
                                                 .setup = setup_too_many };
    static const struct firn_kernel missing = { .name = "none", .shader = "no_such_shader",
                                                .setup = setup_add };
    struct firn_device *d = open_with("maxbuf=4096");
    struct firn_buffer *b = floats(d, FIRN_MEM_DEVICE, 4096);
    const struct firn_bind p = part(b, 0, 8), far = part(b, 1024, 8);
    struct firn_step bad[5];
    const char *const text[] = { "too many work groups", "too large to bind", "does not fit",
                                 "does not fit", "no_such_shader" };
    const firn_status status[] = { FIRN_ERR_UNSUPPORTED, FIRN_ERR_UNSUPPORTED, FIRN_ERR_SHAPE,
                                   FIRN_ERR_SHAPE, FIRN_ERR_UNSUPPORTED };
    for (int i = 0; i < 5; i++)
        bad[i] = add_step("layer.3.bad", p, p, far);
    bad[0].kernel = &too_many;
    bad[1].in[1].size = 4100;
    bad[2].in[1].offset = 4;
    bad[3].in[1].offset = 16384;
    bad[4].kernel = &missing;
    for (int i = 0; i < 5; i++) {
        struct firn_error err = { 0 };
        struct firn_program *p_bad = NULL;
        assert_int_equal(d->ops->program_create(d, &bad[i], 1, &p_bad, &err), status[i]);
        assert_null(p_bad);
        assert_non_null(strstr(err.text, "layer.3.bad"));
        assert_non_null(strstr(err.text, text[i]));
    }
    d->ops->buffer_destroy(d, b);
    close_quietly(d);
}

static void memory_that_is_not_there_is_an_error_with_sizes(void **state)
{
    (void) state;
    struct firn_device *d = open_with(NULL);
    struct firn_error err = { 0 };
    struct firn_buffer *b = NULL;
    const size_t size = (size_t) 1 << 46;
    assert_int_equal(d->ops->buffer_create(d, FIRN_MEM_DEVICE, size, &b, &err), FIRN_ERR_MEMORY);
    assert_null(b);
    assert_non_null(strstr(err.text, "70368744177664"));
    close_quietly(d);
}

static void small_buffers_share_blocks_and_give_them_back(void **state)
{
    (void) state;
    struct firn_device *d = open_with(NULL);
    struct firn_vulkan_stats before, full, after;
    firn_vulkan_stats(d, &before);
    struct firn_buffer *b[1000];
    for (int i = 0; i < 1000; i++)
        b[i] = floats(d, FIRN_MEM_DEVICE, 100 + (size_t) i);
    firn_vulkan_stats(d, &full);
    assert_true(full.allocations <= before.allocations + 2);
    const float x = 5;
    float y = 0;
    put(d, b[999], 1098, &x, 1);
    get(d, b[999], 1098, &y, 1);
    assert_float_equal(y, 5, 0);
    for (int i = 0; i < 1000; i++)
        d->ops->buffer_destroy(d, b[i]);
    firn_vulkan_stats(d, &after);
    assert_int_equal(after.allocations, before.allocations);
    assert_int_equal(after.memory_bytes, before.memory_bytes);
    close_quietly(d);
}

/* Imports 2500 floats from `first` on and adds two parts of them. */
static int import_and_add(const char *caps, float *data, size_t first)
{
    struct firn_device *d = open_with(caps);
    struct firn_buffer *in = NULL, *out = floats(d, FIRN_MEM_OUTPUT, 1000);
    struct firn_error err = { 0 };
    struct firn_vulkan_stats stats;
    float y[1000];
    if (d->ops->buffer_import(d, data + first, 2500 * sizeof *data, &in, &err) != FIRN_OK)
        fail_msg("%s", err.text);
    const struct firn_step step =
        add_step("in place", part(in, 0, 1000), part(in, 1024, 1000), part(out, 0, 1000));
    run_steps(d, &step, 1);
    get(d, out, 0, y, 1000);
    for (size_t i = 0; i < 1000; i++)
        assert_float_equal(y[i], data[first + i] + data[first + 1024 + i], 0);
    firn_vulkan_stats(d, &stats);
    d->ops->buffer_destroy(d, in);
    d->ops->buffer_destroy(d, out);
    close_quietly(d);
    return stats.imports;
}

static void imported_bytes_are_read_in_place_or_copied(void **state)
{
    (void) state;
    enum { FLOATS = 3 * 1024 };
    /* not from the heap: a machine without a device skips inside the first call and never comes back */
    static _Alignas(4096) float data[FLOATS];
    ramp(data, FLOATS, 0);
    /* 256 bytes into the first page; the end is inside the last */
    print_message("%d in place\n", import_and_add(NULL, data, 64));
    assert_int_equal(import_and_add(NULL, data, 63), 0);
    assert_int_equal(import_and_add("-unified", data, 64), 0);
}

static void devices_are_found_by_number_and_by_part_of_their_name(void **state)
{
    (void) state;
    struct firn_device *d = open_with(NULL), *again = NULL;
    struct firn_error err = { 0 };
    char part_of_name[8];
    snprintf(part_of_name, sizeof part_of_name, "%.7s", d->name);
    assert_string_equal(d->id, "vulkan:0");
    assert_int_equal(firn_vulkan_open(&again, -1, part_of_name, NULL, &err), FIRN_OK);
    assert_string_equal(again->name, d->name); /* two devices may be open at once */
    again->ops->destroy(again);
    assert_int_equal(firn_vulkan_open(&again, 99, NULL, NULL, &err), FIRN_ERR_USAGE);
    assert_non_null(strstr(err.text, "vulkan:99"));
    assert_non_null(strstr(err.text, d->name));
    assert_int_equal(firn_vulkan_open(&again, -1, "Voodoo 2", NULL, &err), FIRN_ERR_USAGE);
    assert_null(again);
    close_quietly(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_memory_reads_back_what_was_written),
        cmocka_unit_test(memory_that_cannot_be_mapped_is_written_through_staging),
        cmocka_unit_test(a_chain_of_dependent_steps_gives_the_last_sum),
        cmocka_unit_test(barriers_stand_only_where_steps_meet),
        cmocka_unit_test(an_updated_input_counts_as_written),
        cmocka_unit_test(a_kernel_with_a_second_part_runs_both_after_each_other),
        cmocka_unit_test(programs_of_one_submission_run_in_order_also_twice),
        cmocka_unit_test(empty_steps_are_skipped_and_empty_inputs_bound),
        cmocka_unit_test(wrong_steps_are_errors_that_name_them),
        cmocka_unit_test(memory_that_is_not_there_is_an_error_with_sizes),
        cmocka_unit_test(small_buffers_share_blocks_and_give_them_back),
        cmocka_unit_test(imported_bytes_are_read_in_place_or_copied),
        cmocka_unit_test(devices_are_found_by_number_and_by_part_of_their_name),
    };
    return cmocka_run_group_tests(tests, make_cache_folder, remove_cache_folder);
}
