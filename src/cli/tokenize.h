/* SPDX-License-Identifier: Apache-2.0 */
/* What `firn tokenize` does, apart from the command line. */
#ifndef FIRN_CLI_TOKENIZE_H
#define FIRN_CLI_TOKENIZE_H

#include "firn/status.h"

#include <stdio.h>

/* Reads JSON strings, one a line, and writes an object a line: ids, ids_no_special, offsets, decoded
 * and decoded_all of the tokenizer in `directory`. */
firn_status firn_cmd_tokenize(FILE *in, FILE *out, const char *directory, struct firn_error *err);

#endif
