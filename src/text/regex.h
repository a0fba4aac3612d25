/* SPDX-License-Identifier: Apache-2.0 */
/* The regular expressions of tokenizer files are written for Oniguruma (Ruby's syntax); they run on
 * PCRE2. This turns one into the other. */
#ifndef FIRN_TEXT_REGEX_H
#define FIRN_TEXT_REGEX_H

#include "base/str.h"
#include "firn/status.h"

/* Appends the PCRE2 pattern (for PCRE2_UTF, PCRE2_UCP and PCRE2_MULTILINE) that matches what
 * `pattern` matches in Oniguruma. Fails with FIRN_ERR_UNSUPPORTED and a `what` text (at most 100
 * bytes) for what cannot be said. */
firn_status firn_regex_translate(const char *pattern, size_t size, struct firn_str *out,
                                 char what[100]);

#endif
