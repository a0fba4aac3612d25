/* SPDX-License-Identifier: Apache-2.0 */
/* YAML text from a jansson value: blocks for what holds blocks, one line for a list of scalars,
 * quotes wherever a reader could take a text for something else. */
#include "base/json.h"

#include "base/str.h"

#include <string.h>

enum { MAX_DEPTH = 128 };

static bool is_one_of(const char *text, const char *const *words)
{
    for (; *words != NULL; words++)
        if (strcmp(text, *words) == 0)
            return true;
    return false;
}

/* True for a text that every YAML reader, of 1.1 too, takes for the same text without quotes. */
static bool is_plain_text(const char *text, size_t size)
{
    static const char *const typed[] = { "null", "true", "false", "yes", "no",
                                         "on",   "off",  "y",     "n",   NULL };
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
    if (size == 0 || size > 200 || strlen(text) != size || text[size - 1] == ' ')
        return false;
    const char *start = text + (strncmp(text, "./", 2) == 0    ? 2
                                : strncmp(text, "../", 3) == 0 ? 3
                                                               : 0);
    start += *start == '/';
    if (*start == '\0' || strchr(letters, *start) == NULL)
        return false;
    start += strspn(start, letters);
    if (start[strspn(start, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
                            "0123456789./ @+-=()")] != '\0')
        return false;
    char small[8] = { 0 };
    for (size_t i = 0; i < size && size < sizeof small; i++)
        small[i] = (char) (text[i] >= 'A' && text[i] <= 'Z' ? text[i] - 'A' + 'a' : text[i]);
    return size >= sizeof small || !is_one_of(small, typed);
}

/* In double quotes where needed. What YAML does not let stand (C1 controls, line separators, the
 * byte order mark, two noncharacters) is escaped; all else above ASCII stays as it is. */
static void dump_text(struct firn_str *out, const char *text, size_t size)
{
    if (is_plain_text(text, size)) {
        firn_str_add_n(out, text, size);
        return;
    }
    const unsigned char *p = (const unsigned char *) text;
    firn_str_add_n(out, "\"", 1);
    for (size_t i = 0; i < size; i++) {
        const unsigned second = i + 1 < size ? p[i + 1] : 0, third = i + 2 < size ? p[i + 2] : 0;
        const unsigned wide = (p[i] & 15u) << 12 | (second & 63) << 6 | (third & 63);
        if (p[i] == '"' || p[i] == '\\') {
            firn_str_addf(out, "\\%c", p[i]);
        } else if (p[i] == '\n') {
            firn_str_add(out, "\\n");
        } else if (p[i] == '\t') {
            firn_str_add(out, "\\t");
        } else if (p[i] < 0x20 || p[i] == 0x7f) {
            firn_str_addf(out, "\\x%02x", p[i]);
        } else if (p[i] == 0xc2 && second < 0xa0) {
            firn_str_addf(out, "\\x%02x", second);
            i++;
        } else if ((p[i] & 0xf0) == 0xe0 &&
                   (wide == 0x2028 || wide == 0x2029 || wide >= 0xfffe || wide == 0xfeff)) {
            firn_str_addf(out, "\\u%04x", wide);
            i += 2;
        } else {
            firn_str_add_n(out, text + i, 1);
        }
    }
    firn_str_add_n(out, "\"", 1);
}

static void dump_scalar(struct firn_str *out, const json_t *value)
{
    char number[FIRN_REAL_TEXT];
    switch (json_typeof(value)) {
    case JSON_STRING:
        dump_text(out, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER:
        firn_str_addf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        break;
    case JSON_REAL: {
        /* readers of YAML 1.1 take 1e-05 for a text and 1.0e-05 for a number */
        firn_real_text(number, json_real_value(value));
        const char *exponent = strchr(number, 'e');
        if (exponent != NULL && strchr(number, '.') == NULL)
            firn_str_addf(out, "%.*s.0%s", (int) (exponent - number), number, exponent);
        else
            firn_str_add(out, number);
        break;
    }
    default:
        firn_str_add(out, json_is_true(value) ? "true" : json_is_false(value) ? "false" : "null");
        break;
    }
}

static bool is_block(const json_t *value)
{
    if (json_is_object(value))
        return json_object_size(value) > 0;
    for (size_t i = 0; i < json_array_size(value); i++)
        if (json_is_object(json_array_get(value, i)) || json_is_array(json_array_get(value, i)))
            return true;
    return false;
}

/* Writes from where the cursor stands; a block starts on this line and goes on at `depth`. */
static void dump(struct firn_str *out, const json_t *value, int depth)
{
    const char *key;
    json_t *item;
    size_t i = 0;
    if (depth > MAX_DEPTH) {
        out->failed = true; /* a tree that contains itself */
    } else if (json_is_object(value) && is_block(value)) {
        json_object_foreach((json_t *) (uintptr_t) value, key, item)
        {
            if (i++ > 0)
                firn_str_addf(out, "%*s", 2 * depth, "");
            dump_text(out, key, strlen(key));
            firn_str_add_n(out, ":", 1);
            if (is_block(item))
                firn_str_addf(out, "\n%*s", 2 * depth + 2, "");
            else
                firn_str_add_n(out, " ", 1);
            dump(out, item, depth + 1);
        }
    } else if (is_block(value)) {
        json_array_foreach(value, i, item)
        {
            if (i > 0)
                firn_str_addf(out, "%*s", 2 * depth, "");
            firn_str_add_n(out, "- ", 2);
            dump(out, item, depth + 1);
        }
    } else if (json_is_array(value)) {
        firn_str_add_n(out, "[", 1);
        json_array_foreach(value, i, item)
        {
            firn_str_add(out, i > 0 ? ", " : "");
            dump_scalar(out, item);
        }
        firn_str_add(out, "]\n");
    } else if (json_is_object(value)) {
        firn_str_add(out, "{}\n");
    } else {
        dump_scalar(out, value);
        firn_str_add_n(out, "\n", 1);
    }
}

char *firn_yaml_dump(const json_t *value)
{
    struct firn_str out = { 0 };
    dump(&out, value, 0);
    if (out.failed)
        firn_str_free(&out);
    return out.data;
}
