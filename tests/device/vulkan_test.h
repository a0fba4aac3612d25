/* SPDX-License-Identifier: Apache-2.0 */
/* What the Vulkan tests share: a device with validation where it is installed, buffers of floats, and steps
 * of the shader `add` (y = a + b), in a cache folder of the test's own. */
#ifndef TESTS_DEVICE_VULKAN_TEST_H
#define TESTS_DEVICE_VULKAN_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/file.h"
#include "device/vulkan/vulkan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char cache_root[64];

static inline int make_cache_folder(void **state)
{
    (void) state;
    snprintf(cache_root, sizeof cache_root, "/tmp/firn-vulkan-XXXXXX");
    unsetenv("FIRN_CAPS");
    return mkdtemp(cache_root) == NULL || setenv("XDG_CACHE_HOME", cache_root, 1) != 0;
}

static inline int remove_cache_folder(void **state)
{
    (void) state;
    return firn_dir_remove(cache_root, NULL) != FIRN_OK;
}

static int n_lines; /* logged, also while a device closes: layers then report what was not destroyed */

static inline void print_line(void *user, enum firn_log_level level, const char *text)
{
    (void) user;
    n_lines++;
    (void) level;
    print_message("%s\n", text);
}

/* NULL (and the test is skipped) on a machine without any Vulkan device. */
static inline struct firn_device *open_with(const char *caps)
{
    struct firn_error err = { 0 };
    struct firn_device *d = NULL;
    struct firn_device_info *list;
    int n;
    assert_int_equal(firn_vulkan_list(&list, &n, &err), FIRN_OK);
    free(list);
    if (n == 0)
        skip();
    n_lines = 0;
    struct firn_device_params params = { .caps = caps, .validation = true, .log = { print_line, NULL } };
    firn_status s = firn_vulkan_open(&d, 0, NULL, &params, &err);
    if (s == FIRN_ERR_UNSUPPORTED && strstr(err.text, "validation") != NULL) {
        print_message("without validation: %s\n", err.text);
        params.validation = false;
        s = firn_vulkan_open(&d, 0, NULL, &params, &err);
    }
    if (s != FIRN_OK)
        fail_msg("%s", err.text);
    return d;
}

static inline void close_quietly(struct firn_device *d)
{
    const uint64_t messages = firn_vulkan_messages(d);
    d->ops->destroy(d);
    assert_int_equal(messages, 0);
    assert_int_equal(n_lines, 0);
}

static inline void setup_add(const struct firn_call *call, const struct firn_limits *limits,
                             struct firn_dispatch *d)
{
    (void) limits;
    const int64_t n = call->out[0].shape.dim[0];
    firn_push(d, (uint64_t) n);
    d->groups[0] = (uint32_t) ((n + 1023) / 1024);
}

static const struct firn_kernel add_kernel = { .name = "add", .shader = "add", .setup = setup_add };

static inline struct firn_buffer *floats(struct firn_device *d, enum firn_memory memory, size_t n)
{
    struct firn_buffer *b = NULL;
    struct firn_error err = { 0 };
    if (d->ops->buffer_create(d, memory, n * sizeof(float), &b, &err) != FIRN_OK)
        fail_msg("%s", err.text);
    return b;
}

static inline struct firn_bind part(struct firn_buffer *b, size_t first, size_t n)
{
    return (struct firn_bind){ b, first * sizeof(float), n * sizeof(float) };
}

static inline struct firn_step add_step(const char *label, struct firn_bind a, struct firn_bind b,
                                        struct firn_bind y)
{
    struct firn_step s = { .label = label, .n_in = 2, .n_out = 1, .kernel = &add_kernel };
    s.in[0] = a;
    s.in[1] = b;
    s.out[0] = y;
    s.call.out[0] = (struct firn_tensor){
        FIRN_F32, { 1, { (int64_t) (y.size / sizeof(float)) } }, NULL
    };
    return s;
}

static inline void run_steps(struct firn_device *d, const struct firn_step *steps, int n)
{
    struct firn_error err = { 0 };
    struct firn_program *p = NULL;
    if (d->ops->program_create(d, steps, n, &p, &err) != FIRN_OK ||
        d->ops->run(d, &p, 1, &err) != FIRN_OK)
        fail_msg("%s", err.text);
    d->ops->program_destroy(d, p);
}

static inline void put(struct firn_device *d, struct firn_buffer *b, size_t first, const float *x,
                       size_t n)
{
    assert_int_equal(d->ops->write(d, b, first * 4, x, n * 4, NULL), FIRN_OK);
}

static inline void get(struct firn_device *d, struct firn_buffer *b, size_t first, float *x, size_t n)
{
    assert_int_equal(d->ops->read(d, b, first * 4, x, n * 4, NULL), FIRN_OK);
}

#endif
