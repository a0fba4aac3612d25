/* SPDX-License-Identifier: Apache-2.0 */
/* Several --adapter flags: how lines of input say which one they are for. */
#ifndef FIRN_CLI_ADAPTERS_H
#define FIRN_CLI_ADAPTERS_H

#include "base/json.h"
#include "firn/status.h"

/* Each adapter's name is the last word of its directory; two of one name are an error. */
struct firn_adapter_names {
    char **names;
    size_t n;
};
firn_status firn_adapter_names_open(struct firn_adapter_names *a, const json_t *directories, const char *command,
                                    struct firn_error *err);
void firn_adapter_names_free(struct firn_adapter_names *a);
/* With several, takes "NAME<tab>" off the front of a line. *number: which adapter. */
firn_status firn_adapter_names_take(const struct firn_adapter_names *a, const char *file, const char *key,
                                    const char **line, size_t *n, size_t *number, struct firn_error *err);

#endif
