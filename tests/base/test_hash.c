/* SPDX-License-Identifier: Apache-2.0 */
/* Checksums against published values, and all paths against each other. */
#include "check.h"

#include "base/hash.h"
#include "base/rng.h"

static void crc32c_gives_the_published_values(void **state)
{
    (void) state;
    uint8_t bytes[48];
    assert_int_equal(firn_crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(firn_crc32c(0, "", 0), 0);
    /* RFC 3720, B.4 */
    memset(bytes, 0, 32);
    assert_int_equal(firn_crc32c(0, bytes, 32), 0x8a9136aa);
    memset(bytes, 0xff, 32);
    assert_int_equal(firn_crc32c(0, bytes, 32), 0x62a8ab43);
    for (int i = 0; i < 32; i++)
        bytes[i] = (uint8_t) i;
    assert_int_equal(firn_crc32c(0, bytes, 32), 0x46dd794e);
}

static void crc32c_is_the_same_with_and_without_special_instructions(void **state)
{
    (void) state;
    enum { N = 9000 };
    uint8_t *bytes = malloc(N);
    assert_non_null(bytes);
    for (uint32_t i = 0; i < N; i++)
        bytes[i] = (uint8_t) (firn_uniform(3, 1, 0, i) * 256.0f);
    for (size_t at = 0; at < 9; at++)
        for (size_t n = 0; n < N - 9; n += n < 40 ? 1 : 1013)
            assert_int_equal(firn_crc32c(7, bytes + at, n), firn_crc32c_plain(7, bytes + at, n));
    assert_int_equal(firn_crc32c(0, bytes, N), firn_crc32c_plain(0, bytes, N));
    free(bytes);
}

static void crc32c_of_pieces_is_that_of_the_whole(void **state)
{
    (void) state;
    const char *text = "thin layers on frozen models, on any GPU, from C";
    const size_t n = strlen(text);
    for (size_t cut = 0; cut <= n; cut++)
        assert_int_equal(firn_crc32c(firn_crc32c(0, text, cut), text + cut, n - cut),
                         firn_crc32c(0, text, n));
}

static void a_file_has_the_crc_of_its_bytes(void **state)
{
    enum { N = (1 << 20) + 77 };
    char *bytes = malloc(N);
    struct firn_error err = { 0 };
    uint32_t crc = 1;
    uint64_t size = 1;
    assert_non_null(bytes);
    for (int i = 0; i < N; i++)
        bytes[i] = (char) (i * 7 + i / 251);
    const char *path = scratch_file(state, "crc", bytes, N);
    check_ok(firn_crc32c_file(path, &crc, &size, &err), &err);
    assert_int_equal(size, N);
    assert_int_equal(crc, firn_crc32c(0, bytes, N));
    free(bytes);
    path = scratch_file(state, "empty", "", 0);
    check_ok(firn_crc32c_file(path, &crc, &size, &err), &err);
    assert_int_equal(size, 0);
    assert_int_equal(crc, 0);
    check_fails(firn_crc32c_file(scratch_path(state, "none"), &crc, &size, &err), FIRN_ERR_IO, &err,
                "none: cannot open: No such file or directory");
    check_fails(firn_crc32c_file(*state, &crc, &size, &err), FIRN_ERR_IO, &err, "Is a directory");
}

static void fnv1a_gives_the_published_values(void **state)
{
    (void) state;
    assert_true(firn_fnv1a(FIRN_FNV_START, "", 0) == 0xcbf29ce484222325u);
    assert_true(firn_fnv1a(FIRN_FNV_START, "a", 1) == 0xaf63dc4c8601ec8cu);
    assert_true(firn_fnv1a(FIRN_FNV_START, "foobar", 6) == 0x85944171f73967e8u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc32c_gives_the_published_values),
        cmocka_unit_test(crc32c_is_the_same_with_and_without_special_instructions),
        cmocka_unit_test(crc32c_of_pieces_is_that_of_the_whole),
        cmocka_unit_test(a_file_has_the_crc_of_its_bytes),
        cmocka_unit_test(fnv1a_gives_the_published_values),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
