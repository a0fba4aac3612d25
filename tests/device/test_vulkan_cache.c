/* SPDX-License-Identifier: Apache-2.0 */
/* The disk cache: used when it is whole, made again when it is not, never needed. */
#include "vulkan_test.h"

#include "base/hash.h"
#include "device/vulkan/cache.h"

#include <sys/stat.h>

/* Opens a device, runs one addition, and says what it took. */
static struct firn_vulkan_stats use(void)
{
    struct firn_device *d = open_with(NULL);
    struct firn_vulkan_stats stats;
    struct firn_buffer *in = floats(d, FIRN_MEM_INPUT, 8), *out = floats(d, FIRN_MEM_OUTPUT, 8);
    const float x[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    float y[8];
    put(d, in, 0, x, 8);
    const struct firn_step step = add_step("add", part(in, 0, 8), part(in, 0, 8), part(out, 0, 8));
    run_steps(d, &step, 1);
    get(d, out, 0, y, 8);
    assert_float_equal(y[7], 16, 0);
    firn_vulkan_stats(d, &stats);
    d->ops->buffer_destroy(d, in);
    d->ops->buffer_destroy(d, out);
    close_quietly(d);
    return stats;
}

/* Calls `change` for the path of every file in the cache; returns how many there were. */
static size_t for_each_file(void (*change)(const char *path))
{
    char *folder = firn_path_join(cache_root, "firn"), **names = NULL;
    size_t n = 0;
    assert_int_equal(firn_dir_list(folder, &names, &n, NULL), FIRN_OK);
    for (size_t i = 0; i < n; i++) {
        char *path = firn_path_join(folder, names[i]);
        assert_null(strstr(path, ".tmp"));
        if (change != NULL)
            change(path);
        free(path);
    }
    firn_dir_list_free(names, n);
    free(folder);
    return n;
}

static void rewrite(const char *path, size_t keep, size_t flip)
{
    char *data;
    size_t size;
    assert_int_equal(firn_file_read(path, 1 << 24, &data, &size, NULL), FIRN_OK);
    if (flip < size)
        data[flip] ^= 0x40;
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    const size_t n = keep < size ? keep : size;
    assert_int_equal(fwrite(data, 1, n, f), n);
    fclose(f);
    free(data);
}

static void empty(const char *path)
{
    rewrite(path, 0, SIZE_MAX);
}

static void cut(const char *path)
{
    rewrite(path, 50, SIZE_MAX);
}

static void garble(const char *path)
{
    rewrite(path, SIZE_MAX, 60);
}

static void garble_header(const char *path)
{
    rewrite(path, SIZE_MAX, 20);
}

static void make_directory(const char *path)
{
    unlink(path);
    assert_int_equal(mkdir(path, 0755), 0);
}

static void remove_directory(const char *path)
{
    assert_int_equal(rmdir(path), 0);
}

static void a_second_device_compiles_nothing(void **state)
{
    (void) state;
    use();
    const size_t n = for_each_file(NULL);
    assert_true(n >= 1);
    assert_int_equal(use().shaders_compiled, 0);
    assert_int_equal(for_each_file(NULL), n);
}

static void broken_files_are_made_again(void **state)
{
    (void) state;
    void (*const changes[])(const char *) = { empty, cut, garble, garble_header };
    const int all = use().shaders_cached;
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        const size_t n = for_each_file(changes[i]);
        const struct firn_vulkan_stats again = use();
        assert_true(again.shaders_compiled + again.shaders_cached >= all);
        assert_int_equal(for_each_file(NULL), n);
        assert_int_equal(use().shaders_compiled, 0);
    }
}

static void a_cache_that_cannot_be_written_is_no_error(void **state)
{
    (void) state;
    use();
    for_each_file(make_directory); /* holds for root too, whom permissions do not stop */
    use();
    use();
    for_each_file(remove_directory);
    setenv("XDG_CACHE_HOME", "/dev/null/nowhere", 1);
    use();
    assert_int_equal(chdir(cache_root), 0); /* drivers may make folders there */
    setenv("XDG_CACHE_HOME", "relative", 1);
    char *home = getenv("HOME") != NULL ? strdup(getenv("HOME")) : NULL;
    unsetenv("HOME");
    use();
    assert_false(firn_path_exists("relative/firn"));
    if (home != NULL)
        setenv("HOME", home, 1);
    free(home);
    setenv("XDG_CACHE_HOME", cache_root, 1);
    assert_int_equal(chdir("/"), 0);
}

/* Turns the verdict of the start-up test, the last byte of its file, into a failure; its CRC is at 32. */
static void fail_the_test(const char *path)
{
    char *data;
    size_t size;
    if (strstr(path, "/subgroup-") == NULL)
        return;
    assert_int_equal(firn_file_read(path, 1 << 20, &data, &size, NULL), FIRN_OK);
    assert_int_equal(data[size - 1], 'y');
    data[size - 1] = 'n';
    const uint32_t crc = firn_crc32c(0, data + size - 1, 1);
    memcpy(data + 32, &crc, sizeof crc);
    assert_int_equal(firn_file_write(path, data, size, NULL), FIRN_OK);
    free(data);
}

static void a_device_that_failed_its_test_is_used_without_subgroups(void **state)
{
    (void) state;
    struct firn_device_info *list;
    int n;
    struct firn_device *d = open_with(NULL);
    const uint32_t caps = d->limits.caps;
    close_quietly(d);
    if (!(caps & FIRN_CAP_SUBGROUP))
        skip();
    for_each_file(fail_the_test);
    d = open_with(NULL);
    assert_int_equal(d->limits.caps, caps & ~(FIRN_CAP_SUBGROUP | FIRN_CAP_COOPMAT));
    close_quietly(d);
    assert_int_equal(firn_vulkan_list(&list, &n, NULL), FIRN_OK);
    assert_null(strstr(list[0].caps, "subgroup"));
    free(list);
    for_each_file(empty); /* tested again */
    d = open_with(NULL);
    assert_int_equal(d->limits.caps, caps);
    close_quietly(d);
}

static void an_entry_comes_back_only_under_its_whole_key(void **state)
{
    (void) state;
    struct firn_vk_cache cache;
    struct firn_vk_key key = firn_vk_key_start("test"), other = firn_vk_key_start("test");
    size_t size;
    firn_vk_key_add(&key, "ab", 2);
    firn_vk_key_add(&key, "c", 1);
    firn_vk_key_add(&other, "a", 1);
    firn_vk_key_add(&other, "bc", 2);
    assert_true(key.a != other.a && key.b != other.b);
    firn_vk_cache_open(&cache);
    firn_vk_cache_store(&cache, "test", &key, "hello", 5);
    char *back = firn_vk_cache_load(&cache, "test", &key, &size);
    assert_int_equal(size, 5);
    assert_memory_equal(back, "hello", 5);
    free(back);
    assert_null(firn_vk_cache_load(&cache, "test", &other, &size));
    other.a = key.a; /* the file's name alone does not open it */
    assert_null(firn_vk_cache_load(&cache, "test", &other, &size));
    assert_null(firn_vk_cache_load(&cache, "kind", &key, &size));
    firn_vk_cache_store(&cache, "test", &key, "", 0);
    back = firn_vk_cache_load(&cache, "test", &key, &size);
    assert_non_null(back);
    assert_int_equal(size, 0);
    free(back);
    firn_vk_cache_close(&cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_second_device_compiles_nothing),
        cmocka_unit_test(broken_files_are_made_again),
        cmocka_unit_test(a_cache_that_cannot_be_written_is_no_error),
        cmocka_unit_test(a_device_that_failed_its_test_is_used_without_subgroups),
        cmocka_unit_test(an_entry_comes_back_only_under_its_whole_key),
    };
    return cmocka_run_group_tests(tests, make_cache_folder, remove_cache_folder);
}
