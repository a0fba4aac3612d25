/* SPDX-License-Identifier: Apache-2.0 */
/* JSON of any bytes; what is read is written and reads back the same. */
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *value = NULL, *again = NULL;
    struct firn_error err = { 0 };
    if (firn_json_parse_any((const char *) data, size, "fuzz", &value, &err) != FIRN_OK) {
        if (value != NULL || err.text[0] == '\0')
            abort(); /* every refusal has a reason */
        return 0;
    }
    char *text = firn_json_dump(value, size % 3, size % 2 == 0);
    if (text == NULL || firn_json_parse_any(text, strlen(text), "again", &again, &err) != FIRN_OK ||
        !json_equal(value, again))
        abort();
    free(text);
    json_decref(value);
    json_decref(again);
    return 0;
}
