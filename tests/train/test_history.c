/* SPDX-License-Identifier: Apache-2.0 */
/* What a run measured: points to JSON and back, and the log file. */
#include "../base/check.h"

#include "train/history.h"

#include <math.h>

static const struct firn_point points[] = {
    { .step = 10, .epoch = 0.5, .loss = 0.1 + 0.2, .grad_norm = 1e-30, .learning_rate = 4.9999999999999996e-05,
      .eval_loss = NAN, .eval_accuracy = NAN },
    { .step = 20, .epoch = 1, .loss = NAN, .grad_norm = NAN, .learning_rate = NAN, .eval_loss = 0.6931471805599453,
      .eval_accuracy = 0.75, .is_eval = true },
    { .step = 20, .epoch = 1, .loss = NAN, .grad_norm = NAN, .learning_rate = NAN, .eval_loss = 2.5,
      .eval_accuracy = NAN, .is_eval = true },
    { .step = 1234567890123, .epoch = 1e6, .loss = 7, .grad_norm = INFINITY, .learning_rate = 0,
      .eval_loss = NAN, .eval_accuracy = NAN },
};

static void same_number(double got, double want, const char *what)
{
    if (!(got == want || (isnan(got) && !isfinite(want)))) /* JSON has no infinity: it comes back as NaN */
        fail_msg("%s: got %.17g, want %.17g", what, got, want);
}

static void same_point(const struct firn_point *got, const struct firn_point *want)
{
    assert_int_equal(got->step, want->step);
    assert_int_equal(got->is_eval, want->is_eval);
    same_number(got->epoch, want->epoch, "epoch");
    same_number(got->loss, want->loss, "loss");
    same_number(got->grad_norm, want->grad_norm, "grad_norm");
    same_number(got->learning_rate, want->learning_rate, "learning_rate");
    same_number(got->eval_loss, want->eval_loss, "eval_loss");
    same_number(got->eval_accuracy, want->eval_accuracy, "eval_accuracy");
}

static void points_come_back_from_json_bit_for_bit(void **state)
{
    (void) state;
    struct firn_history back = { 0 };
    struct firn_error err = { 0 };
    json_t *list = json_array();
    for (size_t i = 0; i < N_OF(points); i++)
        json_array_append_new(list, firn_point_json(&points[i]));
    char *text = json_dumps(list, JSON_COMPACT); /* through text, as in a checkpoint */
    json_t *parsed = json_loads(text, 0, NULL);
    assert_non_null(parsed);
    check_ok(firn_history_from_json(&back, parsed, &err), &err);
    assert_int_equal(back.count, N_OF(points));
    for (size_t i = 0; i < back.count; i++)
        same_point(&back.points[i], &points[i]);
    firn_history_free(&back);
    json_decref(parsed);
    json_decref(list);
    free(text);
}

static void the_log_has_one_object_a_line(void **state)
{
    struct firn_history h = { 0 };
    struct firn_error err = { 0 };
    for (int round = 0; round < 100; round++) /* beyond the first allocation */
        for (size_t i = 0; i < N_OF(points); i++)
            check_ok(firn_history_add(&h, &points[i], &err), &err);
    const char *path = scratch_path(state, "log.jsonl");
    check_ok(firn_history_save(&h, path, &err), &err);
    char *data = NULL;
    size_t size = 0, lines = 0;
    check_ok(firn_file_read(path, 1 << 20, &data, &size, &err), &err);
    for (char *line = data, *end; (end = strchr(line, '\n')) != NULL; line = end + 1, lines++) {
        *end = '\0';
        json_t *o = json_loads(line, 0, NULL);
        if (!json_is_object(o))
            fail_msg("line %zu: %s", lines + 1, line);
        assert_int_equal(json_integer_value(json_object_get(o, "step")), points[lines % N_OF(points)].step);
        json_decref(o);
    }
    assert_int_equal(lines, 100 * N_OF(points));
    assert_null(strstr(data, "nan"));
    assert_null(strstr(data, "inf"));
    free(data);
    firn_history_free(&h);
}

static void a_run_without_points_leaves_an_empty_log(void **state)
{
    struct firn_history h = { 0 };
    struct firn_error err = { 0 };
    const char *path = scratch_path(state, "empty.jsonl");
    check_ok(firn_history_save(&h, path, &err), &err);
    char *data = NULL;
    size_t size = 1;
    check_ok(firn_file_read(path, 1 << 20, &data, &size, &err), &err);
    assert_int_equal(size, 0);
    free(data);
}

static void an_evaluation_says_nothing_about_training(void **state)
{
    (void) state;
    json_t *o = firn_point_json(&points[1]);
    assert_null(json_object_get(o, "loss"));
    assert_null(json_object_get(o, "learning_rate"));
    assert_non_null(json_object_get(o, "eval_loss"));
    json_decref(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(points_come_back_from_json_bit_for_bit),
        cmocka_unit_test(the_log_has_one_object_a_line),
        cmocka_unit_test(a_run_without_points_leaves_an_empty_log),
        cmocka_unit_test(an_evaluation_says_nothing_about_training),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
