/* SPDX-License-Identifier: Apache-2.0 */
/* YAML of any bytes; what is read is written and reads back the same. */
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool has_long_key(const json_t *value)
{
    const char *key;
    json_t *item;
    size_t i;
    json_object_foreach((json_t *) (uintptr_t) value, key,
                        item) if (strlen(key) > 150 || has_long_key(item)) return true;
    json_array_foreach(value, i, item) if (has_long_key(item)) return true;
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *value = NULL, *again = NULL;
    struct firn_error err = { 0 };
    if (firn_yaml_parse((const char *) data, size, "fuzz", &value, &err) != FIRN_OK) {
        if (value != NULL || err.text[0] == '\0')
            abort(); /* every refusal has a reason */
        return 0;
    }
    char *text = firn_yaml_dump(value);
    if (text == NULL)
        abort();
    /* YAML reads no key that takes more than 1024 characters with its escapes */
    if (!has_long_key(value) &&
        (firn_yaml_parse(text, strlen(text), "again", &again, &err) != FIRN_OK ||
         !json_equal(value, again)))
        abort();
    free(text);
    json_decref(value);
    json_decref(again);
    return 0;
}
