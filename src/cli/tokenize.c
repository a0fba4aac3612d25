/* SPDX-License-Identifier: Apache-2.0 */
/* `firn tokenize`: ids, offsets and decoded text of lines that are JSON strings. */
#include "cli/tokenize.h"

#include "base/json.h"
#include "base/str.h"
#include "cli/command.h"
#include "firn/tokenizer.h"

#include <stdlib.h>
#include <string.h>

struct work {
    const struct firn_tokenizer *tok;
    struct firn_encoding encoding;
    struct firn_str line, decoded, json;
};

/* Digits end at `end`; returns where they begin. */
static char *digits_of(char *end, uint32_t value)
{
    do
        *--end = (char) ('0' + value % 10);
    while ((value /= 10) > 0);
    return end;
}

static void add_ids(struct firn_str *out, const struct firn_encoding *e, bool skip_special)
{
    char text[16];
    bool is_first = true;
    firn_str_add_n(out, "[", 1);
    for (size_t i = 0; i < e->n; i++) {
        if (skip_special && e->special[i])
            continue;
        char *begin = digits_of(text + sizeof text, (uint32_t) e->ids[i]);
        if (!is_first) {
            *--begin = ' ';
            *--begin = ',';
        }
        firn_str_add_n(out, begin, (size_t) (text + sizeof text - begin));
        is_first = false;
    }
    firn_str_add_n(out, "]", 1);
}

static void add_offsets(struct firn_str *out, const struct firn_encoding *e)
{
    char text[40];
    for (size_t i = 0; i < e->n; i++) {
        char *begin = text + sizeof text;
        *--begin = ']';
        begin = digits_of(begin, e->offsets[i].end);
        *--begin = ' ';
        *--begin = ',';
        begin = digits_of(begin, e->offsets[i].begin);
        *--begin = '[';
        if (i > 0) {
            *--begin = ' ';
            *--begin = ',';
        }
        firn_str_add_n(out, begin, (size_t) (text + sizeof text - begin));
    }
}

/* A JSON string with nothing escaped that need not be. */
static void add_text(struct firn_str *out, const struct firn_str *text)
{
    size_t kept = 0;
    firn_str_add(out, "\"");
    for (size_t i = 0; i < text->size; i++) {
        const unsigned char c = (unsigned char) text->data[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        firn_str_add_n(out, text->data + kept, i - kept);
        kept = i + 1;
        if (c == '"' || c == '\\')
            firn_str_addf(out, "\\%c", c);
        else if (c == '\n')
            firn_str_add(out, "\\n");
        else if (c == '\t')
            firn_str_add(out, "\\t");
        else if (c == '\r')
            firn_str_add(out, "\\r");
        else
            firn_str_addf(out, "\\u%04x", c);
    }
    if (text->size > kept)
        firn_str_add_n(out, text->data + kept, text->size - kept);
    firn_str_add(out, "\"");
}

static firn_status add_decoded(struct work *w, const char *name, bool skip_special,
                               struct firn_error *err)
{
    w->decoded.size = 0;
    const firn_status s = firn_tokenizer_decode(w->tok, w->encoding.ids, w->encoding.n,
                                                skip_special, &w->decoded, err);
    firn_str_add(&w->json, name);
    add_text(&w->json, &w->decoded);
    return s;
}

static firn_status tokenize(struct work *w, const char *text, size_t size, struct firn_error *err)
{
    struct firn_encoding *e = &w->encoding;
    struct firn_str *json = &w->json;
    json->size = 0;
    firn_status s = firn_tokenizer_encode(w->tok, text, size, NULL, 0, NULL, e, err);
    if (s != FIRN_OK)
        return s;
    firn_str_add(json, "{\"ids\": ");
    add_ids(json, e, false);
    firn_str_add(json, ", \"ids_no_special\": ");
    add_ids(json, e, true);
    firn_str_add(json, ", \"offsets\": [");
    add_offsets(json, e);
    s = add_decoded(w, "], \"decoded\": ", true, err);
    if (s == FIRN_OK)
        s = add_decoded(w, ", \"decoded_all\": ", false, err);
    firn_str_add(json, "}\n");
    if (s == FIRN_OK && (json->failed || w->decoded.failed))
        s = firn_fail(err, FIRN_ERR_MEMORY, .what = "no memory for a line of output");
    return s;
}

static firn_status run_line(struct work *w, size_t number, FILE *out, struct firn_error *err)
{
    json_t *value = NULL;
    struct firn_error inner = { 0 };
    firn_status s = firn_json_parse_any(w->line.data != NULL ? w->line.data : "", w->line.size,
                                        "json", &value, &inner);
    if (s != FIRN_OK || !json_is_string(value)) {
        s = firn_fail(err, FIRN_ERR_FORMAT, .key = FIRN_STR("line %zu", number),
                      .expected = "a JSON string",
                      .got = s != FIRN_OK ? inner.text : "another value");
        goto done;
    }
    s = tokenize(w, json_string_value(value), json_string_length(value), &inner);
    if (s != FIRN_OK)
        firn_fail(err, s, .key = FIRN_STR("line %zu", number), .what = inner.text);
    else if (fwrite(w->json.data, 1, w->json.size, out) != w->json.size)
        s = firn_fail(err, FIRN_ERR_IO, .what = "cannot write the output");
done:
    json_decref(value);
    return s;
}

firn_status firn_cmd_tokenize(FILE *in, FILE *out, const char *directory, struct firn_error *err)
{
    struct firn_tokenizer *tok = NULL;
    struct work w = { 0 };
    firn_status s = firn_tokenizer_open(&tok, directory, err);
    w.tok = tok;
    bool is_end = false;
    for (size_t number = 1; s == FIRN_OK && !is_end; number++) {
        char part[4096];
        size_t n = 0;
        int c = EOF;
        w.line.size = 0;
        while ((c = getc(in)) != EOF && c != '\n') {
            part[n++] = (char) c;
            if (n == sizeof part) {
                firn_str_add_n(&w.line, part, n);
                n = 0;
            }
        }
        firn_str_add_n(&w.line, part, n);
        is_end = c == EOF;
        if (ferror(in))
            s = firn_fail(err, FIRN_ERR_IO, .key = FIRN_STR("line %zu", number),
                          .what = "cannot read the input");
        else if (w.line.failed)
            s = firn_fail(err, FIRN_ERR_MEMORY, .key = FIRN_STR("line %zu", number));
        else if (!is_end || w.line.size > 0)
            s = run_line(&w, number, out, err);
    }
    if (fflush(out) != 0 && s == FIRN_OK)
        s = firn_fail(err, FIRN_ERR_IO, .what = "cannot write the output");
    firn_str_free(&w.line);
    firn_str_free(&w.decoded);
    firn_str_free(&w.json);
    firn_encoding_free(&w.encoding);
    firn_tokenizer_close(&tok);
    return s;
}

static firn_status run(const struct firn_args *args, struct firn_error *err)
{
    return firn_cmd_tokenize(stdin, stdout, args->words[0], err);
}

const struct firn_command firn_command_tokenize = {
    .name = "tokenize",
    .words = "TOKENIZER_DIR",
    .min_words = 1,
    .max_words = 1,
    .summary = "ids, offsets and decoded text for lines of text",
    .text = "Reads lines from stdin, each a JSON string, and prints one JSON object per line: ids with\n"
            "the special tokens of the post-processor, ids_no_special without them, offsets in code\n"
            "points, decoded without special tokens and decoded_all with them.",
    .run = run,
};
