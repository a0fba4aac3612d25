/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of base and data share: cmocka, a scratch folder, and checks of error texts. */
#ifndef FIRN_TESTS_BASE_CHECK_H
#define FIRN_TESTS_BASE_CHECK_H

#include "firn/status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"

#define BYTES(literal) literal, sizeof(literal) - 1
#define N_OF(list) (sizeof(list) / sizeof(list)[0])

/* Group setup and teardown: *state is the path of a new folder. */
static inline int scratch_setup(void **state)
{
    char *path = strdup("/tmp/firn-test-XXXXXX");
    *state = path != NULL ? mkdtemp(path) : NULL;
    return *state == NULL;
}

static inline int scratch_teardown(void **state)
{
    const firn_status s = firn_dir_remove(*state, NULL);
    free(*state);
    return s != FIRN_OK;
}

/* A path in the scratch folder; lives until the fourth next call. */
static inline const char *scratch_path(void **state, const char *name)
{
    static char paths[4][400];
    static int at;
    char *path = paths[at++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", (const char *) *state, name);
    return path;
}

static inline const char *scratch_file(void **state, const char *name, const char *bytes, size_t n)
{
    const char *path = scratch_path(state, name);
    struct firn_error err = { 0 };
    if (firn_file_write(path, bytes, n, &err) != FIRN_OK)
        fail_msg("%s", err.text);
    return path;
}

static inline void check_ok(firn_status s, const struct firn_error *err)
{
    if (s != FIRN_OK)
        fail_msg("%s: %s", firn_status_name(s), err->text);
}

/* The call failed with `want`, and its text ends with `text`. */
static inline void check_fails(firn_status s, firn_status want, const struct firn_error *err,
                               const char *text)
{
    if (s != want)
        fail_msg("got status %s (%s), wanted %s", firn_status_name(s), s ? err->text : "",
                 firn_status_name(want));
    assert_int_equal(err->status, want);
    const size_t n = strlen(err->text), m = strlen(text);
    if (n < m || strcmp(err->text + n - m, text) != 0)
        fail_msg("the error reads '%s', wanted '... %s'", err->text, text);
}

#endif
