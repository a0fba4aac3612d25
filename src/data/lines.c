/* SPDX-License-Identifier: Apache-2.0 */
/* Walks over the lines of a text. */
#include "data/lines.h"

#include <string.h>

void firn_lines_start(struct firn_lines *lines, const char *data, size_t size)
{
    const size_t mark = size >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    *lines = (struct firn_lines){ 0 };
    if (size > mark) {
        lines->at = data + mark;
        lines->end = data + size;
    }
}

static bool is_blank(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (text[i] != ' ' && text[i] != '\t')
            return false;
    return true;
}

bool firn_lines_next(struct firn_lines *lines, const char **line, size_t *size)
{
    while (lines->at < lines->end) {
        const char *start = lines->at;
        const char *stop = memchr(start, '\n', (size_t) (lines->end - start));
        lines->at = stop == NULL ? lines->end : stop + 1;
        lines->number++;
        size_t n = (size_t) ((stop == NULL ? lines->end : stop) - start);
        if (n > 0 && start[n - 1] == '\r')
            n--;
        if (is_blank(start, n))
            continue;
        *line = start;
        *size = n;
        return true;
    }
    return false;
}
