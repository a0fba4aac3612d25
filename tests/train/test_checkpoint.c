/* SPDX-License-Identifier: Apache-2.0 */
/* Checkpoints: whole ones are found, broken ones are skipped and named, leftovers are ignored. */
#include "../base/check.h"

#include "train/checkpoint.h"

#include <stdio.h>
#include <unistd.h>

/* What the library warned about, joined. */
static char warned[2000];

static void on_line(void *user, enum firn_log_level level, const char *text)
{
    (void) user;
    if (level == FIRN_LOG_WARN && strlen(warned) + strlen(text) + 2 < sizeof warned) {
        strcat(warned, text);
        strcat(warned, "\n");
    }
}

static const struct firn_log watch = { .line = on_line };

static char params[5000], state_bytes[777];

static const char *folder(void **state, const char *name)
{
    for (size_t i = 0; i < sizeof params; i++)
        params[i] = (char) (i * 7 % 251);
    memset(state_bytes, 3, sizeof state_bytes);
    warned[0] = '\0';
    return scratch_path(state, name);
}

static void write_step(const char *at, int64_t step, int keep)
{
    struct firn_error err = { 0 };
    params[0] = (char) step;
    const struct firn_checkpoint_file files[] = { { "params.bin", params, sizeof params },
                                                  { "state.bin", state_bytes, sizeof state_bytes },
                                                  { "empty.bin", "", 0 } };
    check_ok(firn_checkpoint_write(at, step, files, 3, keep, &err), &err);
}

/* The newest whole one; -1: none. */
static int64_t newest(const char *at)
{
    char *path = NULL;
    int64_t step = 0;
    struct firn_error err = { 0 };
    check_ok(firn_checkpoint_find(at, &watch, &path, &step, &err), &err);
    const bool found = path != NULL;
    free(path);
    return found ? step : -1;
}

static char *file_of(const char *at, int64_t step, const char *name)
{
    static char path[600];
    snprintf(path, sizeof path, "%s/step-%06lld/%s", at, (long long) step, name);
    return path;
}

static void flip_a_bit(const char *path, long offset)
{
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    fseek(f, offset, SEEK_SET);
    const int c = fgetc(f);
    fseek(f, offset, SEEK_SET);
    fputc(c ^ 0x10, f);
    fclose(f);
}

static void what_was_written_is_found_and_read(void **state)
{
    const char *at = folder(state, "plain");
    write_step(at, 5, 0);
    write_step(at, 50, 0);
    write_step(at, 49, 0);
    char *path = NULL, *data = NULL;
    int64_t step = 0;
    size_t size = 0;
    struct firn_error err = { 0 };
    check_ok(firn_checkpoint_find(at, &watch, &path, &step, &err), &err);
    assert_int_equal(step, 50);
    check_ok(firn_checkpoint_read(path, "params.bin", &data, &size, &err), &err);
    assert_int_equal(size, sizeof params);
    params[0] = 50;
    assert_memory_equal(data, params, size);
    free(data);
    check_ok(firn_checkpoint_read(path, "empty.bin", &data, &size, &err), &err);
    assert_int_equal(size, 0);
    free(data);
    assert_string_equal(warned, "");
    check_fails(firn_checkpoint_read(path, "other.bin", &data, &size, &err), FIRN_ERR_FORMAT, &err,
                "other.bin: is not in the checkpoint's manifest");
    free(path);
}

static void a_folder_that_is_not_there_has_no_checkpoint(void **state)
{
    assert_int_equal(newest(folder(state, "missing")), -1);
    assert_string_equal(warned, "");
}

static void a_truncated_file_is_skipped_and_named(void **state)
{
    const char *at = folder(state, "truncated");
    write_step(at, 10, 0);
    write_step(at, 20, 0);
    assert_int_equal(truncate(file_of(at, 20, "params.bin"), 4999), 0);
    assert_int_equal(newest(at), 10);
    assert_non_null(strstr(warned, "step-000020 is broken and is skipped"));
    assert_non_null(strstr(warned, "params.bin: expected 5000 bytes, got 4999"));
}

static void a_flipped_bit_anywhere_is_noticed(void **state)
{
    const char *at = folder(state, "flipped");
    const long offsets[] = { 0, 1, 2500, 4999 };
    write_step(at, 10, 0);
    for (size_t i = 0; i < N_OF(offsets); i++) {
        write_step(at, 20, 0);
        warned[0] = '\0';
        flip_a_bit(file_of(at, 20, "params.bin"), offsets[i]);
        assert_int_equal(newest(at), 10);
        assert_non_null(strstr(warned, "params.bin: expected checksum "));
        struct firn_error err = { 0 };
        char *data = NULL, step_path[600];
        size_t size = 0;
        snprintf(step_path, sizeof step_path, "%s/step-000020", at);
        assert_int_equal(firn_checkpoint_read(step_path, "params.bin", &data, &size, &err), FIRN_ERR_FORMAT);
        assert_null(data);
    }
}

static void a_missing_file_or_manifest_is_noticed(void **state)
{
    const char *at = folder(state, "holes");
    write_step(at, 10, 0);
    write_step(at, 20, 0);
    write_step(at, 30, 0);
    unlink(file_of(at, 30, "manifest.json"));
    unlink(file_of(at, 20, "state.bin"));
    assert_int_equal(newest(at), 10);
    assert_non_null(strstr(warned, "step-000030"));
    assert_non_null(strstr(warned, "step-000020"));
}

static void a_manifest_that_is_no_json_is_noticed(void **state)
{
    const char *at = folder(state, "nojson");
    const char *const texts[] = { "", "{", "[]", "{}", "{\"files\": 3}", "null",
                                  "{\"files\": {\"../x\": {\"size\": 0, \"crc32c\": 0}}}" };
    write_step(at, 10, 0);
    for (size_t i = 0; i < N_OF(texts); i++) {
        write_step(at, 20, 0);
        struct firn_error err = { 0 };
        check_ok(firn_file_write(file_of(at, 20, "manifest.json"), texts[i], strlen(texts[i]), &err), &err);
        assert_int_equal(newest(at), 10);
    }
}

static void when_all_are_broken_there_is_none(void **state)
{
    const char *at = folder(state, "all");
    write_step(at, 1, 0);
    write_step(at, 2, 0);
    flip_a_bit(file_of(at, 1, "state.bin"), 5);
    flip_a_bit(file_of(at, 2, "state.bin"), 6);
    assert_int_equal(newest(at), -1);
}

static void leftovers_of_a_killed_write_are_ignored_and_removed(void **state)
{
    const char *at = folder(state, "killed");
    struct firn_error err = { 0 };
    char path[700];
    write_step(at, 10, 0);
    /* a whole copy under the name that a write uses until it is done */
    snprintf(path, sizeof path, "%s/partial-000020", at);
    char from[700];
    snprintf(from, sizeof from, "%s/step-000010", at);
    assert_int_equal(rename(from, path), 0);
    write_step(at, 5, 0);
    snprintf(path, sizeof path, "%s/partial-000030", at);
    check_ok(firn_dir_create(path, &err), &err);
    snprintf(path, sizeof path, "%s/step-abc", at);
    check_ok(firn_dir_create(path, &err), &err);
    snprintf(path, sizeof path, "%s/step-000099.old", at);
    check_ok(firn_dir_create(path, &err), &err);
    assert_int_equal(newest(at), 5);
    write_step(at, 6, 0);
    snprintf(path, sizeof path, "%s/partial-000030", at);
    assert_false(firn_path_exists(path));
    snprintf(path, sizeof path, "%s/step-abc", at); /* not ours */
    assert_true(firn_path_exists(path));
    assert_int_equal(newest(at), 6);
}

static void only_the_newest_are_kept(void **state)
{
    const char *at = folder(state, "keep");
    for (int64_t step = 1; step <= 12; step++)
        write_step(at, step, 3);
    char **names = NULL;
    size_t n = 0;
    struct firn_error err = { 0 };
    check_ok(firn_dir_list(at, &names, &n, &err), &err);
    assert_int_equal(n, 3);
    assert_string_equal(names[0], "step-000010");
    assert_string_equal(names[2], "step-000012");
    firn_dir_list_free(names, n);
}

static void the_newest_is_by_number_beyond_six_digits(void **state)
{
    const char *at = folder(state, "large");
    write_step(at, 999999, 2);
    write_step(at, 1000000, 2);
    write_step(at, 1000001, 2);
    assert_int_equal(newest(at), 1000001);
}

static void the_same_step_is_written_over(void **state)
{
    const char *at = folder(state, "again");
    write_step(at, 7, 0);
    state_bytes[0] = 99;
    write_step(at, 7, 0);
    char path[600], *data = NULL;
    size_t size = 0;
    struct firn_error err = { 0 };
    snprintf(path, sizeof path, "%s/step-000007", at);
    check_ok(firn_checkpoint_read(path, "state.bin", &data, &size, &err), &err);
    assert_int_equal(data[0], 99);
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_found_and_read),
        cmocka_unit_test(a_folder_that_is_not_there_has_no_checkpoint),
        cmocka_unit_test(a_truncated_file_is_skipped_and_named),
        cmocka_unit_test(a_flipped_bit_anywhere_is_noticed),
        cmocka_unit_test(a_missing_file_or_manifest_is_noticed),
        cmocka_unit_test(a_manifest_that_is_no_json_is_noticed),
        cmocka_unit_test(when_all_are_broken_there_is_none),
        cmocka_unit_test(leftovers_of_a_killed_write_are_ignored_and_removed),
        cmocka_unit_test(only_the_newest_are_kept),
        cmocka_unit_test(the_newest_is_by_number_beyond_six_digits),
        cmocka_unit_test(the_same_step_is_written_over),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
