/* SPDX-License-Identifier: Apache-2.0 */
/* Every reader over its file cut short at every byte, and with every byte replaced by others: an error or what can be
 * read, within the limits. */
#include "readers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_DAMAGED = 1500 }; /* bytes from the start: what is behind them are values of tensors */

static void every_reader_survives_damage(void **state)
{
    (void) state;
    size_t n_cases = 0, n_errors = 0;
    for (const struct reader *r = readers; r->name != NULL; r++) {
        size_t size;
        char what[80];
        r->make();
        const char *name = victim(r);
        uint8_t *good = hostile_bytes(name, &size), *bytes = malloc(size + 1);
        assert_non_null(bytes);
        limited(r, size, "the first time"); // what is made once
        if (strcmp(r->name, "chat template") != 0)
            assert_int_equal(limited(r, size, "unharmed"), FIRN_OK);
        for (size_t n = 0; n < size && n < MOST_DAMAGED; n++) {
            snprintf(what, sizeof what, "cut to %zu of %zu bytes", n, size);
            hostile_write(name, good, n);
            n_errors += limited(r, size, what) != FIRN_OK;
            n_cases++;
        }
        for (size_t i = 0; i < size && i < MOST_DAMAGED; i++)
            for (int k = 0; k < 2; k++) {
                const uint8_t other[] = { good[i] ^ 0xFF, i % 3 == 0 ? '9' : i % 3 == 1 ? '[' : good[i] ^ 1 };
                snprintf(what, sizeof what, "byte %zu is 0x%02X", i, (unsigned) other[k]);
                memcpy(bytes, good, size);
                bytes[i] = other[k];
                hostile_write(name, bytes, size);
                n_errors += limited(r, size, what) != FIRN_OK;
                n_cases++;
            }
        hostile_write(name, good, size);
        free(good);
        free(bytes);
        print_message("%s: %zu bytes, worst so far %.1f ms\n", r->name, size, worst_ms);
    }
    print_message("%zu damaged files, %zu refused; worst %.1f ms, %.2f of the memory allowed%s\n", n_cases, n_errors, worst_ms,
                  worst_ratio, hostile_counts_memory ? "" : " (not counted)");
    assert_true(n_errors > n_cases / 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_reader_survives_damage) };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
