/* SPDX-License-Identifier: Apache-2.0 */
/* CSV and TSV of any bytes: every row has every column, lines grow. */
#include "data/table.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int i = 0; i < 2; i++) {
        struct firn_table t = { 0 };
        struct firn_error err = { 0 };
        if (firn_table_parse_csv(&t, "fuzz", (const char *) data, size, ",\t"[i], &err) !=
                FIRN_OK &&
            err.text[0] == '\0')
            abort(); /* every refusal has a reason */
        for (size_t k = 0; k < t.count; k++) {
            if (json_object_size(t.rows[k].values) != json_object_size(t.rows[0].values) ||
                (k > 0 && t.rows[k].line <= t.rows[k - 1].line))
                abort();
        }
        firn_table_free(&t);
    }
    return 0;
}
