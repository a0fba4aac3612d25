/* SPDX-License-Identifier: Apache-2.0 */
/* The set of trained tensors: places, first values, files. */
#include "scratch.h"

#include "model/params.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct firn_param_set make_set(bool decays_all)
{
    struct firn_param_set set = { .decays_all = decays_all };
    firn_params_add(&set, "a.bias", NULL, firn_dims(7), FIRN_INIT_ZERO, 0);
    firn_params_add(&set, "a.weight", NULL, firn_dims(40, 50), FIRN_INIT_NORMAL, 0.5);
    firn_params_add(&set, "input_layernorm.weight", NULL, firn_dims(3), FIRN_INIT_ONE, 0);
    firn_params_add(&set, "q_norm.weight", NULL, firn_dims(3), FIRN_INIT_ONE, 0);
    firn_params_add(&set, "b.weight", NULL, firn_dims(2, 3), FIRN_INIT_UNIFORM, 0.25);
    firn_params_finish(&set);
    return set;
}

static void those_with_decay_come_first_and_each_can_be_bound(void **state)
{
    (void) state;
    struct firn_param_set set = make_set(false);
    assert_int_equal(set.flat_decay, 2000 / 64 * 64 + 64 + 64);
    assert_int_equal(set.flat, set.flat_decay + 3 * 64);
    for (size_t i = 0; i < set.count; i++) {
        assert_int_equal(set.list[i].offset % 64, 0);
        assert_int_equal(set.list[i].decays, set.list[i].offset < set.flat_decay);
    }
    assert_true(firn_params_find(&set, "a.weight")->decays && firn_params_find(&set, "b.weight")->decays);
    assert_int_equal(firn_params_count(&set), 2000 + 7 + 3 + 3 + 6);
    firn_params_free(&set);
    set = make_set(true);
    assert_int_equal(set.flat_decay, set.flat);
    firn_params_free(&set);
}

static void first_values_depend_on_seed_and_name_only(void **state)
{
    (void) state;
    struct firn_param_set set = make_set(false), other = { 0 };
    float *x = calloc((size_t) set.flat, sizeof *x), *y = calloc((size_t) set.flat, sizeof *y);
    double sum = 0, squares = 0;
    firn_params_add(&other, "z", NULL, firn_dims(9), FIRN_INIT_NORMAL, 1);
    firn_params_add(&other, "a.weight", NULL, firn_dims(40, 50), FIRN_INIT_NORMAL, 0.5);
    firn_params_finish(&other);
    firn_params_init(&set, 3, x);
    firn_params_init(&other, 3, y);
    const float *a = x + firn_params_find(&set, "a.weight")->offset;
    assert_memory_equal(a, y + firn_params_find(&other, "a.weight")->offset, 2000 * sizeof *a);
    for (int i = 0; i < 2000; i++) {
        sum += (double) a[i];
        squares += (double) a[i] * (double) a[i];
    }
    /* mean and deviation of 2000 draws: within 4 standard errors */
    assert_true(fabs(sum / 2000) < 4 * 0.5 / sqrt(2000));
    assert_true(fabs(sqrt(squares / 2000) - 0.5) < 4 * 0.5 / sqrt(4000));
    firn_params_init(&other, 4, y);
    assert_memory_not_equal(a, y + firn_params_find(&other, "a.weight")->offset, 2000 * sizeof *a);
    const float *b = x + firn_params_find(&set, "b.weight")->offset;
    for (int i = 0; i < 6; i++)
        assert_true(fabsf(b[i]) <= 0.25f && b[i] != 0);
    assert_true(x[firn_params_find(&set, "a.bias")->offset] == 0 && x[firn_params_find(&set, "q_norm.weight")->offset] == 1);
    free(x);
    free(y);
    firn_params_free(&set);
    firn_params_free(&other);
}

static void files_hold_transposed_tensors_the_other_way_round(void **state)
{
    (void) state;
    struct firn_param_set set = { .decays_all = true };
    struct firn_named_tensor *list;
    struct firn_safetensors file;
    struct firn_error err = { 0 };
    firn_params_add(&set, "A", NULL, firn_dims(2, 3), FIRN_INIT_ZERO, 0)->is_transposed = true;
    firn_params_add(&set, "B", NULL, firn_dims(2), FIRN_INIT_ZERO, 0);
    firn_params_finish(&set);
    float x[128] = { 1, 2, 3, 4, 5, 6 }, y[128] = { 0 };
    x[64] = 7;
    scratch_make();
    expect_ok(firn_params_tensors(&set, ".m", x, &list, &err), &err);
    assert_int_equal(list[0].tensor.shape.dim[0], 3);
    assert_true(((float *) list[0].tensor.data)[1] == 4);
    expect_ok(firn_safetensors_save(scratch_path("s"), list, set.count, &err), &err);
    firn_params_tensors_free(list, set.count);
    expect_ok(firn_safetensors_open(&file, scratch_path("s"), &err), &err);
    expect_ok(firn_params_read(&set, ".m", &file, y, &err), &err);
    assert_memory_equal(x, y, sizeof x);
    expect_error(firn_params_read(&set, "", &file, y, &err), FIRN_ERR_FORMAT, &err, "A: expected [3, 2]", "no such tensor");
    expect_error(firn_params_overlay(&set, &file, y, &err), FIRN_ERR_FORMAT, &err, "A.m", NULL);
    firn_safetensors_close(&file);
    scratch_remove();
    firn_params_free(&set);
}

static void half_types_are_read_and_wrong_shapes_and_integers_refused(void **state)
{
    (void) state;
    struct firn_param_set set = { .decays_all = true };
    struct firn_safetensors file;
    struct firn_error err = { 0 };
    float flat[64];
    firn_params_add(&set, "a", NULL, firn_dims(3), FIRN_INIT_ZERO, 0);
    firn_params_finish(&set);
    scratch_make();
    static const enum firn_dtype good[] = { FIRN_F16, FIRN_BF16, FIRN_F64 };
    for (int i = 0; i < 3; i++) {
        scratch_tensors("s", (struct scratch_tensor[]){ { "a", FIRN_DIMS(3), good[i] }, { NULL } });
        expect_ok(firn_safetensors_open(&file, scratch_path("s"), &err), &err);
        expect_ok(firn_params_overlay(&set, &file, flat, &err), &err);
        assert_true(fabsf(flat[2] - 0.03f) < 1e-4f);
        firn_safetensors_close(&file);
    }
    scratch_tensors("s", (struct scratch_tensor[]){ { "a", FIRN_DIMS(4) }, { NULL } });
    expect_ok(firn_safetensors_open(&file, scratch_path("s"), &err), &err);
    expect_error(firn_params_read(&set, "", &file, flat, &err), FIRN_ERR_SHAPE, &err, "expected [3]", "got [4]");
    firn_safetensors_close(&file);
    scratch_tensors("s", (struct scratch_tensor[]){ { "a", FIRN_DIMS(3), FIRN_I32 }, { NULL } });
    expect_ok(firn_safetensors_open(&file, scratch_path("s"), &err), &err);
    expect_error(firn_params_read(&set, "", &file, flat, &err), FIRN_ERR_FORMAT, &err, "a float type", "i32");
    firn_safetensors_close(&file);
    scratch_remove();
    firn_params_free(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(those_with_decay_come_first_and_each_can_be_bound),
        cmocka_unit_test(first_values_depend_on_seed_and_name_only),
        cmocka_unit_test(files_hold_transposed_tensors_the_other_way_round),
        cmocka_unit_test(half_types_are_read_and_wrong_shapes_and_integers_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
