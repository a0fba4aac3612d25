/* SPDX-License-Identifier: Apache-2.0 */
/* What an encoder-decoder's batch holds besides its ids. */
#include "train/inputs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void a_decoder_reads_its_labels_behind_the_start_token(void **state)
{
    (void) state;
    struct firn_model m = { .arch = firn_archs[0], .config = { .pad_id = 3, .decoder_start_id = 7, .vocabulary = 20 } };
    const struct firn_build_params p = { .task = FIRN_TASK_SEQ2SEQ_LM, .has_loss = true };
    static const int32_t labels[] = { 4, 5, 1, -100, 6, -100, 9, 1 };
    static const int32_t want[] = { 7, 4, 5, 1, 7, 6, 3, 9 }; /* what does not count is padding */
    struct firn_inputs in;
    struct firn_error err = { 0 };
    assert_int_equal(firn_inputs_create(&in, 2, 3, 0, &err), FIRN_OK);
    assert_int_equal(firn_inputs_add_target(&in, 4, &err), FIRN_OK);
    for (int i = 0; i < 8; i++)
        assert_int_equal(in.labels[i], -100);
    memcpy(in.labels, labels, sizeof labels);
    firn_inputs_finish(&in, &m, NULL, &p);
    assert_memory_equal(in.labels, labels, sizeof labels); /* not shifted */
    assert_memory_equal(in.decoder_input_ids, want, sizeof want);
    assert_int_equal(in.counted, 6);
    assert_int_equal(firn_inputs_check(&in, &m, &p, &err), FIRN_OK);
    in.labels[7] = 20;
    assert_int_equal(firn_inputs_check(&in, &m, &p, &err), FIRN_ERR_SHAPE);
    firn_inputs_free(&in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_decoder_reads_its_labels_behind_the_start_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
