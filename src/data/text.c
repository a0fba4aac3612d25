/* SPDX-License-Identifier: Apache-2.0 */
/* Plain text: a line is an example, in the column "text". */
#include "base/str.h"
#include "data/lines.h"
#include "data/table.h"
#include "text/utf8.h"

firn_status firn_table_parse_text(struct firn_table *t, const char *name, const char *data,
                                  size_t size, struct firn_error *err)
{
    struct firn_lines lines;
    const char *line;
    size_t n;
    firn_status s = firn_table_name(t, name, err);
    firn_lines_start(&lines, data, size);
    while (s == FIRN_OK && firn_lines_next(&lines, &line, &n)) {
        if (firn_utf8_valid((const uint8_t *) line, n) < n)
            s = firn_fail(err, FIRN_ERR_FORMAT, .file = name,
                          .key = FIRN_STR("line %zu", lines.number), .what = "is not UTF-8");
        else
            s = firn_table_add(t, json_pack("{s:o}", "text", json_stringn(line, n)), lines.number,
                               err);
    }
    return s;
}
