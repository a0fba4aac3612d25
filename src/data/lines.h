/* SPDX-License-Identifier: Apache-2.0 */
/* The lines of a text in memory: a byte order mark is skipped, CR before LF is dropped. */
#ifndef FIRN_DATA_LINES_H
#define FIRN_DATA_LINES_H

#include <stdbool.h>
#include <stddef.h>

struct firn_lines {
    const char *at, *end;
    size_t number; /* of the line that was read last, from 1 */
};

void firn_lines_start(struct firn_lines *lines, const char *data, size_t size);
/* The next line that holds more than blanks; false at the end. */
bool firn_lines_next(struct firn_lines *lines, const char **line, size_t *size);

#endif
