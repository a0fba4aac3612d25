/* SPDX-License-Identifier: Apache-2.0 */
/* FIRN_CAPS, the list of devices, and machines without a driver. */
#include "vulkan_test.h"

#include "device/vulkan/mask.h"

static const struct firn_limits big = {
    .caps = 0xff,
    .shared_bytes = 64 << 10,
    .max_lanes = 1024,
    .max_groups = { 0x7fffffff, 65535, 65535 },
    .max_binding_bytes = (uint64_t) 4 << 30,
    .bind_align = 16,
};

static bool is_unified;

static struct firn_limits masked(const char *text)
{
    struct firn_limits l = big;
    struct firn_error err = { 0 };
    is_unified = true;
    if (firn_vk_mask(text, &l, &is_unified, &err) != FIRN_OK)
        fail_msg("%s", err.text);
    return l;
}

static void none_leaves_what_every_device_has(void **state)
{
    (void) state;
    const struct firn_limits l = masked("none");
    assert_int_equal(l.caps, 0);
    assert_int_equal(l.max_lanes, 128);
    assert_int_equal(l.shared_bytes, 16 << 10);
    assert_int_equal(l.max_groups[0], 65535);
    assert_int_equal(l.max_binding_bytes, 128 << 20);
    assert_int_equal(l.bind_align, 256);
    assert_false(is_unified);
}

static void words_hide_single_capabilities(void **state)
{
    (void) state;
    assert_int_equal(masked("-coopmat,-f16").caps, 0xff & ~(FIRN_CAP_COOPMAT | FIRN_CAP_F16));
    assert_int_equal(masked("-subgroup, -shmem,-storage16,-int8dot,-bf16").caps,
                     FIRN_CAP_F16 | FIRN_CAP_COOPMAT | FIRN_CAP_SOFTWARE);
    assert_int_equal(masked("-software").caps, 0xff & ~FIRN_CAP_SOFTWARE);
    assert_true(is_unified);
    assert_int_equal(masked("none,+shmem").caps, FIRN_CAP_SHMEM);
    assert_int_equal(masked("+round16,-coopmat").caps, 0x1ff & ~FIRN_CAP_COOPMAT);
    assert_int_equal(masked("-unified").caps, 0xff);
    assert_false(is_unified);
    assert_int_equal(masked(NULL).caps, 0xff);
    assert_int_equal(masked("").caps, 0xff);
}

static void sizes_lower_limits_and_never_raise_them(void **state)
{
    (void) state;
    const struct firn_limits l = masked("maxbuf=128M,shmem=16K,lanes=128");
    assert_int_equal(l.max_binding_bytes, 128 << 20);
    assert_int_equal(l.shared_bytes, 16 << 10);
    assert_int_equal(l.max_lanes, 128);
    const struct firn_limits same = masked("maxbuf=64G,shmem=1G,lanes=4096");
    assert_int_equal(same.max_binding_bytes, big.max_binding_bytes);
    assert_int_equal(same.shared_bytes, big.shared_bytes);
    assert_int_equal(same.max_lanes, big.max_lanes);
}

static void unknown_words_are_wrong_usage_and_named(void **state)
{
    (void) state;
    static const char *const bad[] = { "-copmat", "coopmat",    "+coopmat", "nothing",   "maxbuf=",
                                       "maxbuf=x", "maxbuf=1T", "lanes=-1", "shmem=16k", "lanes=0",
                                       "none,-oops", "maxbuf=99999999999999999999G", "-" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct firn_limits l = big;
        struct firn_error err = { 0 };
        assert_int_equal(firn_vk_mask(bad[i], &l, &is_unified, &err), FIRN_ERR_USAGE);
        const char *word = strrchr(bad[i], ',');
        assert_non_null(strstr(err.text, word != NULL ? word + 1 : bad[i]));
        assert_non_null(strstr(err.text, "FIRN_CAPS"));
        assert_non_null(strstr(err.text, "-subgroup"));
    }
    struct firn_limits l = big;
    struct firn_error err = { 0 };
    firn_vk_mask("-copmat", &l, &is_unified, &err);
    assert_non_null(strstr(err.text, "did you mean -coopmat?"));
}

static void a_mask_reaches_the_device_and_its_class(void **state)
{
    (void) state;
    struct firn_device *d = open_with("none");
    assert_int_equal(d->limits.caps, 0);
    assert_int_equal(d->limits.device_class, FIRN_CLASS_BASIC);
    close_quietly(d);
    setenv("FIRN_CAPS", "-subgroup,lanes=64", 1);
    d = open_with(NULL);
    assert_int_equal(d->limits.caps & FIRN_CAP_SUBGROUP, 0);
    assert_int_equal(d->limits.max_lanes, 64);
    close_quietly(d);
    setenv("FIRN_CAPS", "-nothing", 1);
    struct firn_error err = { 0 };
    struct firn_device *bad = NULL, *fast = NULL;
    assert_int_equal(firn_vulkan_open(&bad, 0, NULL, NULL, &err), FIRN_ERR_USAGE);
    assert_null(bad);
    unsetenv("FIRN_CAPS");
    const struct firn_device_params params = { .fast_matrices = true };
    assert_int_equal(firn_vulkan_open(&fast, 0, NULL, &params, &err), FIRN_OK);
    assert_true(fast->limits.caps & FIRN_CAP_ROUND16);
    close_quietly(fast);
}

static void the_list_says_what_an_open_device_says(void **state)
{
    (void) state;
    struct firn_device *d = open_with(NULL);
    struct firn_device_info *list;
    int n;
    assert_int_equal(firn_vulkan_list(&list, &n, NULL), FIRN_OK);
    assert_true(n >= 1);
    assert_string_equal(list[0].id, d->id);
    assert_string_equal(list[0].name, d->name);
    assert_string_equal(list[0].driver, d->driver);
    assert_string_equal(list[0].unusable, "");
    assert_int_equal(list[0].max_lanes, d->limits.max_lanes);
    assert_int_equal(strcmp(list[0].type, "cpu") == 0, d->is_software);
    assert_int_equal(strcmp(list[0].device_class, "software") == 0,
                     d->limits.device_class == FIRN_CLASS_SOFTWARE);
    char caps[128];
    firn_vk_caps_text(d->limits.caps, caps, sizeof caps);
    assert_string_equal(list[0].caps, caps);
    free(list);
    close_quietly(d);
}

static void a_machine_without_drivers_lists_nothing(void **state)
{
    (void) state;
    struct firn_device_info *list = NULL;
    struct firn_device *d = NULL;
    struct firn_error err = { 0 };
    int n = -1;
    setenv("VK_ICD_FILENAMES", "/nonexistent", 1);
    setenv("VK_DRIVER_FILES", "/nonexistent", 1);
    assert_int_equal(firn_vulkan_list(&list, &n, &err), FIRN_OK);
    assert_int_equal(n, 0);
    assert_null(list);
    assert_int_equal(firn_vulkan_open(&d, 0, NULL, NULL, &err), FIRN_ERR_UNSUPPORTED);
    assert_null(d);
    assert_non_null(strstr(err.text, "no Vulkan driver"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(none_leaves_what_every_device_has),
        cmocka_unit_test(words_hide_single_capabilities),
        cmocka_unit_test(sizes_lower_limits_and_never_raise_them),
        cmocka_unit_test(unknown_words_are_wrong_usage_and_named),
        cmocka_unit_test(a_mask_reaches_the_device_and_its_class),
        cmocka_unit_test(the_list_says_what_an_open_device_says),
        cmocka_unit_test(a_machine_without_drivers_lists_nothing), /* last: it hides the drivers */
    };
    return cmocka_run_group_tests(tests, make_cache_folder, remove_cache_folder);
}
