/* SPDX-License-Identifier: Apache-2.0 */
/* Positions and pooled rows of a batch: what padding does to each architecture. */
#include "../base/check.h"

#include "train/inputs.h"

#include <stdlib.h>

enum { B = 3, T = 5 };

static const struct firn_arch first = { .name = "first" }, last = { .name = "last", .pools_last = true };

/* Right-padded, left-padded, and one whose last token has the id of the padding. */
static struct firn_inputs batch(int32_t pad)
{
    const int32_t ids[B * T] = { 7, 8, 9, pad, pad, pad, pad, 7, 8, 9, 7, 8, 9, 7, pad };
    const int32_t mask[B * T] = { 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1 };
    struct firn_inputs in;
    struct firn_error err = { 0 };
    check_ok(firn_inputs_create(&in, B, T, 0, &err), &err);
    memcpy(in.input_ids, ids, sizeof ids);
    memcpy(in.attention_mask, mask, sizeof mask);
    return in;
}

static void finish(struct firn_inputs *in, const struct firn_arch *arch, int64_t pad_id, int64_t first_position)
{
    const struct firn_model m = { .arch = arch, .config = { .pad_id = pad_id, .first_position = first_position } };
    const struct firn_build_params p = { .task = FIRN_TASK_SEQ_CLS };
    firn_inputs_finish(in, &m, NULL, &p);
}

static void positions_count_columns_or_what_is_no_padding(void **state)
{
    (void) state;
    const int32_t roberta[B * T] = { 2, 3, 4, 1, 1, 1, 1, 2, 3, 4, 2, 3, 4, 5, 1 };
    struct firn_inputs in = batch(1);
    finish(&in, &first, 1, 0);
    for (int i = 0; i < B * T; i++)
        assert_int_equal(in.position_ids[i], i % T);
    finish(&in, &first, 1, 2);
    for (int i = 0; i < B * T; i++)
        assert_int_equal(in.position_ids[i], roberta[i]);
    firn_inputs_free(&in);
}

static void the_pooled_row_is_the_first_or_the_last_that_is_no_padding(void **state)
{
    (void) state;
    const struct { const struct firn_arch *arch; int64_t pad_id; int32_t row[B]; } all[] = {
        { &first, 1, { 0, 5, 10 } },
        { &last, 1, { 2, 9, 13 } },  /* the rightmost id that is not the padding id, as transformers has it */
        { &last, -1, { 2, 9, 14 } }, /* no padding id: the mask tells */
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct firn_inputs in = batch(all[i].pad_id >= 0 ? 1 : 0);
        finish(&in, all[i].arch, all[i].pad_id, 0);
        assert_memory_equal(in.pick, all[i].row, sizeof all[i].row);
        firn_inputs_free(&in);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(positions_count_columns_or_what_is_no_padding),
                                        cmocka_unit_test(the_pooled_row_is_the_first_or_the_last_that_is_no_padding) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
