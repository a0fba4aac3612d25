/* SPDX-License-Identifier: Apache-2.0 */
#include "scratch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char root[64];

void scratch_make(void)
{
    snprintf(root, sizeof root, "/tmp/firn-test-XXXXXX");
    assert_non_null(mkdtemp(root));
}

void scratch_remove(void)
{
    struct firn_error err;
    expect_ok(firn_dir_remove(root, &err), &err);
}

int scratch_setup(void **state)
{
    (void) state;
    scratch_make();
    return 0;
}

int scratch_teardown(void **state)
{
    (void) state;
    scratch_remove();
    return 0;
}

const char *scratch_path(const char *name)
{
    static char ring[8][400];
    static int at;
    char *text = ring[at++ % 8];
    snprintf(text, sizeof ring[0], "%s%s%s", root, name[0] != '\0' ? "/" : "", name);
    return text;
}

void scratch_write(const char *name, const char *text)
{
    struct firn_error err;
    expect_ok(firn_file_write(scratch_path(name), text, strlen(text), &err), &err);
}

void scratch_link(const char *target, const char *name)
{
    assert_int_equal(symlink(target, scratch_path(name)), 0);
}

void scratch_mkdir(const char *name)
{
    struct firn_error err;
    expect_ok(firn_dir_create(scratch_path(name), &err), &err);
}

void scratch_tensors(const char *name, const struct scratch_tensor *list)
{
    struct firn_named_tensor out[64] = { 0 };
    struct firn_error err;
    size_t n = 0;
    for (; list[n].name != NULL; n++) {
        const enum firn_dtype dtype = list[n].dtype != FIRN_NONE ? list[n].dtype : FIRN_F32;
        const int64_t count = firn_shape_count(&list[n].shape);
        assert_true(n < 64);
        out[n] = (struct firn_named_tensor){ (char *) list[n].name, { dtype, list[n].shape, NULL } };
        out[n].tensor.data = calloc((size_t) count + 1, firn_dtype_size(dtype));
        for (int64_t i = 0; i < count; i++)
            firn_tensor_write_f32(&out[n].tensor, i, 1, &(float){ 0.01f * (float) ((int) n + 1 + (int) (i % 97)) });
    }
    expect_ok(firn_safetensors_save(scratch_path(name), out, n, &err), &err);
    for (size_t i = 0; i < n; i++)
        free(out[i].tensor.data);
}

void expect_ok(firn_status status, const struct firn_error *err)
{
    if (status != FIRN_OK)
        fail_msg("%s: %s", firn_status_name(status), err->text);
}

void expect_error(firn_status status, firn_status want, const struct firn_error *err, const char *word,
                  const char *other)
{
    if (status != want)
        fail_msg("got %s (%s), not %s", firn_status_name(status), status ? err->text : "", firn_status_name(want));
    if ((word != NULL && strstr(err->text, word) == NULL) || (other != NULL && strstr(err->text, other) == NULL))
        fail_msg("\"%s\" does not say \"%s\" and \"%s\"", err->text, word, other != NULL ? other : "");
}
