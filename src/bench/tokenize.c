/* SPDX-License-Identifier: Apache-2.0 */
/* How fast a tokenizer encodes: the text is cut behind a line feed into texts of some KiB, and each is encoded by one
 * thread whose memory of words is empty at the start of every run. */
#include "bench/bench.h"

#include "base/file.h"
#include "base/str.h"
#include "firn/tokenizer.h"
#include "text/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_BYTES 4096 /* of each text, where --length says nothing */

struct work {
    const struct firn_tokenizer *tok;
    const char *text;
    size_t size, each;
    int64_t n_texts, n_tokens;
};

/* The bytes of the text at `from`: `each`, and on to the end of the line (or of a code point, of a line without end). */
static size_t text_size(const struct work *w, size_t from)
{
    const size_t left = w->size - from;
    if (left <= w->each)
        return left;
    size_t most = left < w->each * 4 ? left : w->each * 4;
    const char *feed = memchr(w->text + from + w->each, '\n', most - w->each);
    if (feed != NULL)
        return (size_t) (feed + 1 - (w->text + from));
    while (most < left && ((unsigned char) w->text[from + most] & 0xC0) == 0x80)
        most++;
    return most;
}

static firn_status encode_all(void *user, struct firn_error *err)
{
    struct work *w = user;
    struct firn_encoding e = { 0 };
    firn_status s = FIRN_OK;
    w->n_texts = w->n_tokens = 0;
    for (size_t at = 0, size; at < w->size && s == FIRN_OK; at += size) {
        size = text_size(w, at);
        s = firn_tokenizer_encode(w->tok, w->text + at, size, NULL, 0, NULL, &e, err);
        w->n_tokens += (int64_t) e.n;
        w->n_texts++;
    }
    firn_encoding_free(&e);
    return s;
}

static firn_status read_stdin(struct firn_str *text, struct firn_error *err)
{
    char part[65536];
    for (size_t n; (n = fread(part, 1, sizeof part, stdin)) > 0 && !text->failed;)
        firn_str_add_n(text, part, n);
    if (ferror(stdin))
        return firn_fail(err, FIRN_ERR_IO, .file = "standard input", .what = "cannot be read");
    return text->failed ? firn_fail(err, FIRN_ERR_MEMORY, .file = "standard input") : FIRN_OK;
}

firn_status firn_bench_tokenize(struct firn_bench *b, struct firn_error *err)
{
    const struct firn_bench_settings *set = b->settings;
    struct firn_tokenizer *tok = NULL;
    struct firn_map map = { 0 };
    struct firn_str text = { 0 };
    const char *name = set->text != NULL ? set->text : "standard input";
    if (set->tokenizer == NULL)
        return firn_fail(err, FIRN_ERR_USAGE, .key = "tokenize", .what = "needs a tokenizer.json or a model directory");
    firn_status s = firn_tokenizer_open(&tok, set->tokenizer, err);
    if (s == FIRN_OK)
        s = set->text != NULL ? firn_map_open(&map, set->text, err) : read_stdin(&text, err);
    struct work w = { .tok = tok, .text = set->text != NULL ? (const char *) map.data : text.data,
                      .size = set->text != NULL ? map.size : text.size,
                      .each = set->length > 0 ? (size_t) set->length : TEXT_BYTES };
    if (s == FIRN_OK && w.size == 0)
        s = firn_fail(err, FIRN_ERR_FORMAT, .file = name, .expected = "a text", .got = "nothing");
    const size_t good = s == FIRN_OK ? firn_utf8_valid((const uint8_t *) w.text, w.size) : 0;
    if (s == FIRN_OK && good != w.size)
        s = firn_fail(err, FIRN_ERR_FORMAT, .file = name, .expected = "UTF-8",
                      .got = FIRN_STR("the byte 0x%02X at %zu", (unsigned) (unsigned char) w.text[good], good));
    struct firn_bench_row *row = s == FIRN_OK ? firn_bench_row(b, err) : NULL;
    if (s == FIRN_OK && row == NULL)
        s = FIRN_ERR_MEMORY;
    if (s == FIRN_OK)
        s = firn_bench_measure(set, encode_all, &w, &row->time, err);
    if (s == FIRN_OK) {
        snprintf(row->name, sizeof row->name, "%s", set->tokenizer);
        row->count = w.n_texts;
        row->bytes = (double) w.size;
        b->tokens = w.n_tokens;
    }
    firn_map_close(&map);
    firn_str_free(&text);
    firn_tokenizer_close(&tok);
    return s;
}
