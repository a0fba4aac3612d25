/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are whole or not there, directories, locks. */
#include "check.h"

#include "base/rng.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static size_t n_entries(const char *path)
{
    char **names = NULL;
    size_t n = 0;
    assert_int_equal(firn_dir_list(path, &names, &n, NULL), FIRN_OK);
    firn_dir_list_free(names, n);
    return n;
}

static void a_file_reads_back_as_written(void **state)
{
    struct firn_error err = { 0 };
    const size_t sizes[] = { 0, 1, 4095, 4096, 4097, 300000 };
    char *bytes = malloc(300000);
    assert_non_null(bytes);
    for (size_t i = 0; i < 300000; i++)
        bytes[i] = (char) (i * 31 + i / 256);
    for (size_t i = 0; i < N_OF(sizes); i++) {
        char *back = NULL;
        size_t size = 77;
        struct firn_map map;
        const char *path = scratch_file(state, "whole", bytes, sizes[i]);
        check_ok(firn_file_read(path, 300000, &back, &size, &err), &err);
        assert_int_equal(size, sizes[i]);
        assert_memory_equal(back, bytes, size);
        assert_int_equal(back[size], 0);
        free(back);
        check_ok(firn_map_open(&map, path, &err), &err);
        assert_int_equal(map.size, sizes[i]);
        assert_true((map.data == NULL) == (map.size == 0));
        if (map.size > 0)
            assert_memory_equal(map.data, bytes, map.size);
        firn_map_close(&map);
        firn_map_close(&map);
        unlink(path);
    }
    free(bytes);
}

static void what_cannot_be_read_is_an_error_that_says_why(void **state)
{
    struct firn_error err = { 0 };
    struct firn_map map;
    char *data = (char *) 1;
    size_t size;
    const char *none = scratch_path(state, "none");
    check_fails(firn_file_read(none, 9, &data, &size, &err), FIRN_ERR_IO, &err,
                "none: cannot open: No such file or directory");
    assert_null(data);
    check_fails(firn_map_open(&map, none, &err), FIRN_ERR_IO, &err, "No such file or directory");
    assert_null(map.data);
    check_fails(firn_file_read(*state, 9, &data, &size, &err), FIRN_ERR_IO, &err,
                "cannot open: Is a directory");
    check_fails(firn_map_open(&map, *state, &err), FIRN_ERR_IO, &err, "Is a directory");
    const char *fifo = scratch_path(state, "fifo");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    check_fails(firn_map_open(&map, fifo, &err), FIRN_ERR_IO, &err, "fifo: is not a regular file");
    unlink(fifo);
}

static void a_file_above_the_limit_is_not_read(void **state)
{
    struct firn_error err = { 0 };
    char *data;
    size_t size;
    const char *path = scratch_file(state, "ten", BYTES("0123456789"));
    check_ok(firn_file_read(path, 10, &data, &size, &err), &err);
    free(data);
    check_fails(firn_file_read(path, 9, &data, &size, &err), FIRN_ERR_FORMAT, &err,
                "ten: is too large: expected at most 9 bytes");
    unlink(path);
    check_fails(firn_file_read("/dev/zero", 100000, &data, &size, &err), FIRN_ERR_IO, &err,
                "/dev/zero: is a device, not a file");
}

static void a_pipe_is_read_to_its_end(void **state)
{
    struct firn_error err = { 0 };
    int ends[2];
    char path[40], *data;
    size_t size;
    (void) state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "from a pipe", 11), 11);
    close(ends[1]);
    snprintf(path, sizeof path, "/dev/fd/%d", ends[0]);
    check_ok(firn_file_read(path, 100, &data, &size, &err), &err);
    assert_string_equal(data, "from a pipe");
    free(data);
    close(ends[0]);
}

static void a_file_in_pieces_appears_only_at_its_commit(void **state)
{
    struct firn_error err = { 0 };
    struct firn_writer *w = NULL;
    char piece[1000], *data;
    size_t size;
    const char *path = scratch_file(state, "pieces", BYTES("old"));
    check_ok(firn_writer_open(&w, path, &err), &err);
    for (int i = 0; i < 999; i++) {
        memset(piece, 'a' + i % 26, sizeof piece);
        check_ok(firn_writer_put(w, piece, (size_t) i, &err), &err);
    }
    check_ok(firn_file_read(path, 100, &data, &size, &err), &err);
    assert_string_equal(data, "old");
    free(data);
    check_ok(firn_writer_commit(&w, &err), &err);
    assert_null(w);
    check_ok(firn_file_read(path, 1 << 20, &data, &size, &err), &err);
    assert_int_equal(size, 998 * 999 / 2);
    for (size_t i = 0, at = 0; i < 999; at += i++)
        for (size_t k = 0; k < i; k++)
            assert_int_equal(data[at + k], 'a' + i % 26);
    free(data);
    unlink(path);
    assert_true(firn_dir_is_empty(*state));
}

static void an_abandoned_file_leaves_the_old_one_and_no_trace(void **state)
{
    struct firn_writer *w = NULL;
    char *data;
    size_t size;
    const char *path = scratch_file(state, "kept", BYTES("old"));
    assert_int_equal(firn_writer_open(&w, path, NULL), FIRN_OK);
    assert_int_equal(firn_writer_put(w, "new", 3, NULL), FIRN_OK);
    assert_int_equal(n_entries(*state), 2);
    firn_writer_abandon(&w);
    firn_writer_abandon(&w);
    firn_writer_abandon(NULL);
    assert_int_equal(n_entries(*state), 1);
    assert_int_equal(firn_file_read(path, 100, &data, &size, NULL), FIRN_OK);
    assert_string_equal(data, "old");
    free(data);
    unlink(path);
}

static void a_failed_write_is_remembered_and_leaves_the_old_file(void **state)
{
    struct firn_error err = { 0 };
    struct firn_writer *w = NULL;
    struct rlimit old, small;
    char *bytes = calloc(1, 1 << 20), *data;
    size_t size;
    const char *path = scratch_file(state, "kept", BYTES("old"));
    assert_non_null(bytes);
    getrlimit(RLIMIT_FSIZE, &old);
    small = old;
    small.rlim_cur = 4096;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    check_ok(firn_writer_open(&w, path, &err), &err);
    check_fails(firn_writer_put(w, bytes, 1 << 20, &err), FIRN_ERR_IO, &err,
                "kept: cannot write: File too large");
    check_fails(firn_writer_put(w, "x", 1, &err), FIRN_ERR_IO, &err, "File too large");
    check_fails(firn_writer_commit(&w, &err), FIRN_ERR_IO, &err,
                "kept: cannot write: File too large");
    assert_null(w);
    check_fails(firn_file_write(path, bytes, 1 << 20, &err), FIRN_ERR_IO, &err, "File too large");
    setrlimit(RLIMIT_FSIZE, &old);
    free(bytes);
    check_ok(firn_file_read(path, 100, &data, &size, &err), &err);
    assert_string_equal(data, "old");
    free(data);
    unlink(path);
    assert_true(firn_dir_is_empty(*state));
}

static void a_file_cannot_be_made_where_nothing_is(void **state)
{
    struct firn_error err = { 0 };
    check_fails(firn_file_write(scratch_path(state, "no/where"), "x", 1, &err), FIRN_ERR_IO, &err,
                "no/where: cannot create: No such file or directory");
    check_fails(firn_file_write(*state, "x", 1, &err), FIRN_ERR_IO, &err,
                "cannot create: Is a directory");
}

static void a_device_is_written_straight_and_not_replaced(void **state)
{
    struct stat info;
    struct firn_error err = { 0 };
    (void) state;
    check_ok(firn_file_write("/dev/null", "x", 1, &err), &err);
    assert_int_equal(stat("/dev/null", &info), 0);
    assert_true(S_ISCHR(info.st_mode));
}

static void a_writer_that_is_killed_leaves_the_old_file_or_the_new_one(void **state)
{
    enum { SIZE = 1 << 18 };
    char path[300], *data;
    size_t size;
    snprintf(path, sizeof path, "%s", scratch_file(state, "killed", BYTES("")));
    for (int round = 0; round < 20; round++) {
        const pid_t child = fork();
        if (child == 0) {
            char *bytes = malloc(SIZE);
            for (int i = 0; bytes != NULL; i++) {
                memset(bytes, 'a' + i % 26, SIZE);
                firn_file_write(path, bytes, SIZE, NULL);
            }
            _exit(1);
        }
        usleep((unsigned) (firn_uniform(5, 1, 0, (uint64_t) round) * 20000.0f));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        assert_int_equal(firn_file_read(path, SIZE, &data, &size, NULL), FIRN_OK);
        assert_true(size == 0 || size == SIZE);
        for (size_t i = 1; i < size; i++)
            assert_int_equal(data[i], data[0]);
        free(data);
    }
    assert_int_equal(firn_dir_remove(*state, NULL), FIRN_OK);
    assert_int_equal(firn_dir_create(*state, NULL), FIRN_OK);
}

static void paths_join_with_one_slash(void **state)
{
    static const char *const cases[][3] = { { "a", "b", "a/b" },   { "a/", "b", "a/b" },
                                            { "a//", "b", "a/b" }, { "/", "b", "/b" },
                                            { "", "b", "b" },      { "a", "", "a/" } };
    (void) state;
    for (size_t i = 0; i < N_OF(cases); i++) {
        char *path = firn_path_join(cases[i][0], cases[i][1]);
        assert_string_equal(path, cases[i][2]);
        free(path);
    }
}

static void a_directory_is_made_with_its_parents(void **state)
{
    struct firn_error err = { 0 };
    char path[300], slashes[310];
    snprintf(path, sizeof path, "%s", scratch_path(state, "a/b/c"));
    snprintf(slashes, sizeof slashes, "%s//", path);
    assert_false(firn_path_exists(path));
    check_ok(firn_dir_create(slashes, &err), &err);
    check_ok(firn_dir_create(path, &err), &err);
    assert_true(firn_path_is_dir(path));
    check_ok(firn_dir_sync(path, &err), &err);
    scratch_file(state, "a/file", "", 0);
    check_fails(firn_dir_create(scratch_path(state, "a/file/b"), &err), FIRN_ERR_IO, &err,
                "a/file/b: cannot create the directory: Not a directory");
    check_fails(firn_dir_create("", &err), FIRN_ERR_IO, &err, "No such file or directory");
    assert_true(firn_path_exists(scratch_path(state, "a/file")));
    assert_false(firn_path_is_dir(scratch_path(state, "a/file")));
    check_ok(firn_dir_remove(scratch_path(state, "a"), &err), &err);
}

static void a_directory_goes_with_all_it_holds_but_not_with_what_links_point_to(void **state)
{
    struct firn_error err = { 0 };
    const char *outside = scratch_file(state, "outside", BYTES("stays"));
    char link[300];
    check_ok(firn_dir_create(scratch_path(state, "gone/deep/er"), &err), &err);
    check_ok(firn_dir_create(scratch_path(state, "stays"), &err), &err);
    scratch_file(state, "stays/file", "", 0);
    scratch_file(state, "gone/deep/file", "", 0);
    snprintf(link, sizeof link, "%s", scratch_path(state, "gone/link"));
    assert_int_equal(symlink(scratch_path(state, "stays"), link), 0);
    assert_int_equal(symlink(outside, scratch_path(state, "gone/deep/link")), 0);
    check_ok(firn_dir_remove(scratch_path(state, "gone"), &err), &err);
    assert_false(firn_path_exists(scratch_path(state, "gone")));
    assert_true(firn_path_exists(scratch_path(state, "outside")));
    assert_true(firn_path_exists(scratch_path(state, "stays/file")));
    check_ok(firn_dir_remove(scratch_path(state, "gone"), &err), &err);
    check_fails(firn_dir_remove(scratch_path(state, "outside"), &err), FIRN_ERR_IO, &err,
                "outside: cannot remove: Not a directory");
    check_ok(firn_dir_remove(scratch_path(state, "stays"), &err), &err);
    unlink(scratch_path(state, "outside"));
}

static void a_listing_is_sorted(void **state)
{
    static const char *const names[] = { "b", "a10", ".hidden", "a2" };
    static const char *const sorted[] = { ".hidden", "a10", "a2", "b" };
    struct firn_error err = { 0 };
    char **list, path[300];
    size_t n;
    assert_true(firn_dir_is_empty(scratch_path(state, "list")));
    check_ok(firn_dir_create(scratch_path(state, "list"), &err), &err);
    assert_true(firn_dir_is_empty(scratch_path(state, "list")));
    for (size_t i = 0; i < N_OF(names); i++) {
        snprintf(path, sizeof path, "list/%s", names[i]);
        scratch_file(state, path, "", 0);
    }
    assert_false(firn_dir_is_empty(scratch_path(state, "list")));
    assert_false(firn_dir_is_empty(scratch_path(state, "list/b")));
    check_ok(firn_dir_list(scratch_path(state, "list"), &list, &n, &err), &err);
    assert_int_equal(n, N_OF(sorted));
    for (size_t i = 0; i < n; i++)
        assert_string_equal(list[i], sorted[i]);
    firn_dir_list_free(list, n);
    check_ok(firn_dir_remove(scratch_path(state, "list"), &err), &err);
    check_fails(firn_dir_list(scratch_path(state, "list"), &list, &n, &err), FIRN_ERR_IO, &err,
                "list: cannot list: No such file or directory");
    assert_true(firn_disk_free(*state) > 0);
    assert_int_equal(firn_disk_free(scratch_path(state, "list")), 0);
}

static void a_lock_is_held_by_one_and_falls_with_its_process(void **state)
{
    struct firn_error err = { 0 };
    int fd = -1, other = -1, ready[2];
    char path[300], byte;
    snprintf(path, sizeof path, "%s", scratch_path(state, "lock"));
    check_ok(firn_lock_take(&fd, path, &err), &err);
    check_fails(firn_lock_take(&other, path, &err), FIRN_ERR_BUSY, &err,
                "lock: another process holds the lock");
    assert_int_equal(other, -1);
    firn_lock_release(&fd);
    firn_lock_release(&fd);
    assert_int_equal(pipe(ready), 0);
    const pid_t child = fork();
    if (child == 0) {
        firn_status s = firn_lock_take(&fd, path, NULL);
        if (write(ready[1], s == FIRN_OK ? "y" : "n", 1) == 1)
            pause();
        _exit(1);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    check_fails(firn_lock_take(&other, path, &err), FIRN_ERR_BUSY, &err, "holds the lock");
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    check_ok(firn_lock_take(&other, path, &err), &err);
    firn_lock_release(&other);
    close(ready[0]);
    close(ready[1]);
    check_fails(firn_lock_take(&fd, scratch_path(state, "no/lock"), &err), FIRN_ERR_IO, &err,
                "no/lock: cannot open the lock: No such file or directory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_reads_back_as_written),
        cmocka_unit_test(what_cannot_be_read_is_an_error_that_says_why),
        cmocka_unit_test(a_file_above_the_limit_is_not_read),
        cmocka_unit_test(a_pipe_is_read_to_its_end),
        cmocka_unit_test(a_file_in_pieces_appears_only_at_its_commit),
        cmocka_unit_test(an_abandoned_file_leaves_the_old_one_and_no_trace),
        cmocka_unit_test(a_failed_write_is_remembered_and_leaves_the_old_file),
        cmocka_unit_test(a_file_cannot_be_made_where_nothing_is),
        cmocka_unit_test(a_device_is_written_straight_and_not_replaced),
        cmocka_unit_test(a_writer_that_is_killed_leaves_the_old_file_or_the_new_one),
        cmocka_unit_test(paths_join_with_one_slash),
        cmocka_unit_test(a_directory_is_made_with_its_parents),
        cmocka_unit_test(a_directory_goes_with_all_it_holds_but_not_with_what_links_point_to),
        cmocka_unit_test(a_listing_is_sorted),
        cmocka_unit_test(a_lock_is_held_by_one_and_falls_with_its_process),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
