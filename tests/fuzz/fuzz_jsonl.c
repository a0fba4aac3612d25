/* SPDX-License-Identifier: Apache-2.0 */
/* JSON lines and plain text of any bytes: read, and the labels of a column collected and found
 * again. */
#include "data/labels.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use_labels(const struct firn_table *t)
{
    struct firn_labels l;
    struct firn_error err = { 0 };
    if (firn_labels_collect(&l, t, "a", &err) != FIRN_OK) {
        if (err.text[0] == '\0')
            abort();
        return;
    }
    for (size_t i = 0; i < t->count; i++) {
        const json_t *v = firn_table_value(t, i, "a");
        int32_t index = -1;
        double number;
        firn_table_number(t, i, "a", &number, &err);
        if (!json_is_array(v) && (firn_labels_find(&l, t, i, v, &index, &err) != FIRN_OK ||
                                  index < 0 || (size_t) index >= l.count))
            abort();
    }
    firn_labels_free(&l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct firn_table t = { 0 };
    struct firn_error err = { 0 };
    const char *bytes = (const char *) data;
    if (firn_table_parse_jsonl(&t, "fuzz", bytes, size, &err) == FIRN_OK)
        use_labels(&t);
    else if (err.text[0] == '\0')
        abort(); /* every refusal has a reason */
    for (size_t i = 1; i < t.count; i++)
        if (t.rows[i].line <= t.rows[i - 1].line)
            abort();
    firn_table_free(&t);
    if (firn_table_parse_text(&t, "fuzz", bytes, size, NULL) == FIRN_OK && t.count > size)
        abort();
    firn_table_free(&t);
    return 0;
}
