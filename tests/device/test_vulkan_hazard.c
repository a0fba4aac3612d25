/* SPDX-License-Identifier: Apache-2.0 */
/* Accesses since the last barrier. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "device/vulkan/hazard.h"

static const int one, two; /* buffers */

static bool meets(struct firn_vk_access a, struct firn_vk_access b)
{
    struct firn_vk_hazards h = { 0 };
    assert_true(firn_vk_hazards_add(&h, &a, 1));
    const bool met = firn_vk_hazards_meet(&h, &b, 1);
    firn_vk_hazards_clear(&h);
    assert_false(firn_vk_hazards_meet(&h, &b, 1));
    firn_vk_hazards_free(&h);
    return met;
}

static void only_writes_to_common_bytes_of_one_buffer_meet(void **state)
{
    (void) state;
    assert_true(meets((struct firn_vk_access){ &one, 0, 8, true },
                      (struct firn_vk_access){ &one, 4, 12, false }));
    assert_true(meets((struct firn_vk_access){ &one, 4, 12, false },
                      (struct firn_vk_access){ &one, 0, 8, true }));
    assert_true(meets((struct firn_vk_access){ &one, 0, 16, true },
                      (struct firn_vk_access){ &one, 4, 8, true }));
    assert_false(meets((struct firn_vk_access){ &one, 0, 8, false },
                       (struct firn_vk_access){ &one, 0, 8, false }));
    assert_false(meets((struct firn_vk_access){ &one, 0, 8, true },
                       (struct firn_vk_access){ &one, 8, 16, true }));
    assert_false(meets((struct firn_vk_access){ &one, 0, 8, true },
                       (struct firn_vk_access){ &two, 0, 8, true }));
    assert_false(meets((struct firn_vk_access){ 0 }, (struct firn_vk_access){ 0 }));
}

static void a_long_list_ends_in_a_barrier(void **state)
{
    (void) state;
    struct firn_vk_hazards h = { 0 };
    size_t i = 0;
    for (; i < 100000; i++) {
        const struct firn_vk_access a = { &one, 8 * i, 8 * i + 8, true };
        if (firn_vk_hazards_meet(&h, &a, 1))
            break;
        assert_true(firn_vk_hazards_add(&h, &a, 1));
    }
    assert_true(i > 500 && i < 100000);
    firn_vk_hazards_free(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_writes_to_common_bytes_of_one_buffer_meet),
        cmocka_unit_test(a_long_list_ends_in_a_barrier),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
