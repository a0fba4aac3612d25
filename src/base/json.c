/* SPDX-License-Identifier: Apache-2.0 */
/* JSON through jansson, with what it leaves open: a small nesting limit, whole numbers beyond 64
 * bits (Hugging Face writes some; they become reals), and short numbers on output. */
#include "base/json.h"

#include "base/file.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 64, MAX_FILE_BYTES = 1 << 28 };

/* Bytes of a tree, about what jansson takes for each part, beside the text itself; and how much of them a file of no
 * size may ask for. A file of small values in large numbers would take fifty times its size. */
enum { OBJECT_BYTES = 240, ARRAY_BYTES = 160, PAIR_BYTES = 96, TEXT_BYTES = 64, NUMBER_BYTES = 32, ITEM_BYTES = 16 };
enum { TREE_BYTES = 8 << 20 };

static firn_status no_memory(const char *name, struct firn_error *err)
{
    return firn_fail(err, FIRN_ERR_MEMORY, .file = name, .what = "no memory to read it");
}

static bool is_long_integer(const char *text, size_t n)
{
    /* 9223372036854775807 has 19 digits; jansson refuses what does not fit */
    char number[24];
    int64_t value;
    if (n < 19)
        return false;
    if (n >= sizeof number)
        return true;
    memcpy(number, text, n);
    number[n] = '\0';
    return !firn_int_parse(number, &value);
}

/* Walks over the tokens before jansson does: checks the depth and the size of the tree, and copies the
 * text into `copy` with ".0" behind every whole number that is too long (`copy` stays empty when there is none). */
static firn_status prepare(const char *text, size_t size, size_t file_size, const char *name, size_t line,
                           struct firn_str *copy, struct firn_error *err)
{
    size_t depth = 0, copied = 0, tree = 0;
    for (size_t i = 0; i < size; i++) {
        const char c = text[i];
        if (tree > file_size + TREE_BYTES)
            return firn_fail(err, FIRN_ERR_FORMAT, .file = name, .key = FIRN_STR("line %zu", line),
                             .expected = FIRN_STR("values that take at most %zu bytes of memory", file_size + TREE_BYTES),
                             .got = "more and smaller ones");
        if (c == '\n') {
            line++;
        } else if (c == '"') {
            const size_t start = i;
            for (i++; i < size && text[i] != '"' && text[i] != '\n'; i++)
                i += text[i] == '\\';
            line += i < size && text[i] == '\n';
            tree += TEXT_BYTES + (i - start);
        } else if (c == ':' || c == ',') {
            tree += c == ':' ? PAIR_BYTES : ITEM_BYTES;
        } else if (c == '[' || c == '{') {
            tree += c == '{' ? OBJECT_BYTES : ARRAY_BYTES;
            if (++depth > MAX_DEPTH)
                return firn_fail(err, FIRN_ERR_FORMAT, .file = name,
                                 .key = FIRN_STR("line %zu", line),
                                 .what = FIRN_STR("nested deeper than %d", MAX_DEPTH));
        } else if ((c == ']' || c == '}') && depth > 0) {
            depth--;
        } else if (c == '-' || (c >= '0' && c <= '9')) {
            const size_t start = i;
            tree += NUMBER_BYTES;
            while (i + 1 < size && text[i + 1] >= '0' && text[i + 1] <= '9')
                i++;
            const char after = i + 1 < size ? text[i + 1] : '\0';
            if (after == '.' || after == 'e' || after == 'E') {
                while (i + 1 < size && text[i + 1] != '\0' &&
                       strchr("0123456789.eE+-", text[i + 1]) != NULL)
                    i++;
            } else if (is_long_integer(text + start, i + 1 - start)) {
                firn_str_add_n(copy, text + copied, i + 1 - copied);
                firn_str_add(copy, ".0");
                copied = i + 1;
            }
        }
    }
    if (copied > 0)
        firn_str_add_n(copy, text + copied, size - copied);
    if (copy->failed)
        return no_memory(name, err);
    return FIRN_OK;
}

/* `line` is the number of the first line in `text`. */
static firn_status parse(const char *text, size_t size, size_t file_size, const char *name, size_t line, size_t flags,
                         json_t **out, struct firn_error *err)
{
    *out = NULL;
    if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3;
        size -= 3;
    }
    struct firn_str copy = { 0 };
    firn_status s = prepare(text, size, file_size, name, line, &copy, err);
    if (s == FIRN_OK) {
        json_error_t error;
        const bool is_copied = copy.size > 0;
        *out = json_loadb(is_copied ? copy.data : text, is_copied ? copy.size : size,
                          JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | flags, &error);
        const size_t below = error.line > 1 ? (size_t) error.line - 1 : 0;
        if (*out == NULL && error.text[0] == '\0') /* jansson says nothing when memory is out */
            s = no_memory(name, err);
        else if (*out == NULL)
            s = firn_fail(err, FIRN_ERR_FORMAT, .file = name,
                          .key = FIRN_STR("line %zu", line + below), .what = error.text);
    }
    firn_str_free(&copy);
    return s;
}

firn_status firn_json_parse(const char *text, size_t size, const char *name, json_t **out,
                            struct firn_error *err)
{
    return parse(text, size, size, name, 1, 0, out, err);
}

firn_status firn_json_parse_part(const char *text, size_t size, size_t file_size, const char *name, json_t **out,
                                 struct firn_error *err)
{
    return parse(text, size, file_size, name, 1, 0, out, err);
}

firn_status firn_json_parse_any(const char *text, size_t size, const char *name, json_t **out,
                                struct firn_error *err)
{
    return parse(text, size, size, name, 1, JSON_DECODE_ANY, out, err);
}

firn_status firn_json_parse_line(const char *text, size_t size, const char *name, size_t line,
                                 json_t **out, struct firn_error *err)
{
    return parse(text, size, size, name, line, JSON_DECODE_ANY, out, err);
}

firn_status firn_json_load(const char *path, json_t **out, struct firn_error *err)
{
    char *text;
    size_t size;
    *out = NULL;
    firn_status s = firn_file_read(path, MAX_FILE_BYTES, &text, &size, err);
    if (s == FIRN_OK)
        s = firn_json_parse(text, size, path, out, err);
    free(text);
    return s;
}

static void dump_text(struct firn_str *out, const char *text, size_t size)
{
    firn_str_add_n(out, "\"", 1);
    size_t plain = 0;
    for (size_t i = 0; i <= size; i++) {
        const unsigned char c = i < size ? (unsigned char) text[i] : 0;
        if (i < size && c >= 0x20 && c != '"' && c != '\\')
            continue;
        firn_str_add_n(out, text + plain, i - plain);
        plain = i + 1;
        if (i == size)
            break;
        switch (c) {
        case '"':
            firn_str_add(out, "\\\"");
            break;
        case '\\':
            firn_str_add(out, "\\\\");
            break;
        case '\n':
            firn_str_add(out, "\\n");
            break;
        case '\r':
            firn_str_add(out, "\\r");
            break;
        case '\t':
            firn_str_add(out, "\\t");
            break;
        default:
            firn_str_addf(out, "\\u%04x", c);
            break;
        }
    }
    firn_str_add_n(out, "\"", 1);
}

static void new_line(struct firn_str *out, int indent, int depth)
{
    if (indent > 0)
        firn_str_addf(out, "\n%*s", indent * depth, "");
}

static int by_key(const void *a, const void *b)
{
    return strcmp(*(const char *const *) a, *(const char *const *) b);
}

static void dump(struct firn_str *out, const json_t *value, int indent, bool sorted, int depth);

static void dump_object(struct firn_str *out, const json_t *value, int indent, bool sorted,
                        int depth)
{
    const size_t n = json_object_size(value);
    const char **keys = malloc((n > 0 ? n : 1) * sizeof *keys);
    if (keys == NULL) {
        out->failed = true;
        return;
    }
    size_t i = 0;
    const char *key;
    json_t *item;
    json_object_foreach((json_t *) (uintptr_t) value, key, item) keys[i++] = key;
    if (sorted && n > 1)
        qsort(keys, n, sizeof *keys, by_key);
    firn_str_add_n(out, "{", 1);
    for (i = 0; i < n; i++) {
        if (i > 0)
            firn_str_add(out, indent > 0 ? "," : ", ");
        new_line(out, indent, depth + 1);
        dump_text(out, keys[i], strlen(keys[i]));
        firn_str_add_n(out, ": ", 2);
        dump(out, json_object_get(value, keys[i]), indent, sorted, depth + 1);
    }
    if (n > 0)
        new_line(out, indent, depth);
    firn_str_add_n(out, "}", 1);
    free(keys);
}

static void dump(struct firn_str *out, const json_t *value, int indent, bool sorted, int depth)
{
    char number[FIRN_REAL_TEXT];
    if (depth > 2 * MAX_DEPTH) {
        out->failed = true; /* a tree that contains itself */
        return;
    }
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        dump_object(out, value, indent, sorted, depth);
        break;
    case JSON_ARRAY:
        firn_str_add_n(out, "[", 1);
        for (size_t i = 0; i < json_array_size(value); i++) {
            if (i > 0)
                firn_str_add(out, indent > 0 ? "," : ", ");
            new_line(out, indent, depth + 1);
            dump(out, json_array_get(value, i), indent, sorted, depth + 1);
        }
        if (json_array_size(value) > 0)
            new_line(out, indent, depth);
        firn_str_add_n(out, "]", 1);
        break;
    case JSON_STRING:
        dump_text(out, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER:
        firn_str_addf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        break;
    case JSON_REAL:
        firn_str_add(out, firn_real_text(number, json_real_value(value)));
        break;
    case JSON_TRUE:
        firn_str_add(out, "true");
        break;
    case JSON_FALSE:
        firn_str_add(out, "false");
        break;
    case JSON_NULL:
        firn_str_add(out, "null");
        break;
    }
}

char *firn_json_dump(const json_t *value, int indent, bool sorted)
{
    struct firn_str out = { 0 };
    dump(&out, value, indent, sorted, 0);
    if (out.failed)
        firn_str_free(&out);
    return out.data;
}

firn_status firn_json_save(const char *path, const json_t *value, bool sorted,
                           struct firn_error *err)
{
    struct firn_str out = { 0 };
    dump(&out, value, 2, sorted, 0);
    firn_str_add_n(&out, "\n", 1);
    firn_status s =
        out.failed ? firn_fail(err, FIRN_ERR_MEMORY, .file = path, .what = "no memory to write it")
                   : firn_file_write(path, out.data, out.size, err);
    firn_str_free(&out);
    return s;
}
