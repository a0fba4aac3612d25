/* SPDX-License-Identifier: Apache-2.0 */
/* JSON lines: an object a line; values keep their types. */
#include "base/str.h"
#include "data/lines.h"
#include "data/table.h"

firn_status firn_table_parse_jsonl(struct firn_table *t, const char *name, const char *data,
                                   size_t size, struct firn_error *err)
{
    struct firn_lines lines;
    const char *line;
    size_t n;
    firn_status s = firn_table_name(t, name, err);
    firn_lines_start(&lines, data, size);
    while (s == FIRN_OK && firn_lines_next(&lines, &line, &n)) {
        json_t *row = NULL;
        s = firn_json_parse_line(line, n, name, lines.number, &row, err);
        if (s == FIRN_OK && !json_is_object(row))
            s = firn_fail(err, FIRN_ERR_FORMAT, .file = name,
                          .key = FIRN_STR("line %zu", lines.number), .expected = "a JSON object",
                          .got = firn_value_kind(row));
        if (s == FIRN_OK)
            s = firn_table_add(t, row, lines.number, err);
        else
            json_decref(row);
    }
    return s;
}
