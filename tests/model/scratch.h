/* SPDX-License-Identifier: Apache-2.0 */
/* A directory for a test's files, and what tests of files share. Include before cmocka.h. */
#ifndef FIRN_TESTS_MODEL_SCRATCH_H
#define FIRN_TESTS_MODEL_SCRATCH_H

#include "model/safetensors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* A new directory; scratch_remove() it. Paths below live in a static ring of 8. */
void scratch_make(void);
void scratch_remove(void);
/* The same as cmocka's setup and teardown. */
int scratch_setup(void **state);
int scratch_teardown(void **state);
const char *scratch_path(const char *name);
void scratch_write(const char *name, const char *text);
void scratch_link(const char *target, const char *name);
void scratch_mkdir(const char *name);
/* Writes f32 tensors; the list ends with name NULL. Values are 0.01 times a running number. */
struct scratch_tensor { const char *name; struct firn_shape shape; enum firn_dtype dtype; };
void scratch_tensors(const char *name, const struct scratch_tensor *list);

/* Fails unless `status` is an error of that kind whose text holds both words (NULL: any). */
void expect_error(firn_status status, firn_status want, const struct firn_error *err, const char *word,
                  const char *other);
void expect_ok(firn_status status, const struct firn_error *err);

#endif
