/* SPDX-License-Identifier: Apache-2.0 */
/* Every reader of files that come from elsewhere, each with a small good file. */
#ifndef FIRN_TESTS_HOSTILE_READERS_H
#define FIRN_TESTS_HOSTILE_READERS_H

#include "limits.h"

extern const struct reader readers[]; /* name NULL at the end */
const struct reader *reader_of(const char *name);
/* What is damaged. */
const char *victim(const struct reader *r);

#endif
