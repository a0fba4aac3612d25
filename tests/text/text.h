/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of text share: small tokenizers from JSON, and tokens as one line of text. */
#ifndef FIRN_TESTS_TEXT_H
#define FIRN_TESTS_TEXT_H

#include "../base/check.h"

#include "base/str.h"
#include "firn/tokenizer.h"
#include "text/tokenizer.h"

#ifndef FIRN_TESTS_GOLDEN
#define FIRN_TESTS_GOLDEN "tests/golden"
#endif

/* A folder of the recorded tokenizers: $FIRN_GOLDEN, else tests/golden. */
static inline const char *golden_tokenizer(const char *name)
{
    static char path[600];
    const char *root = getenv("FIRN_GOLDEN");
    snprintf(path, sizeof path, "%s/tokenizers/%s",
             root != NULL && root[0] != '\0' ? root : FIRN_TESTS_GOLDEN, name);
    return path;
}

static inline struct firn_tokenizer *parse(const char *json)
{
    struct firn_tokenizer *tok = NULL;
    struct firn_error err = { 0 };
    check_ok(firn_tokenizer_parse(&tok, "test.json", json, strlen(json), &err), &err);
    return tok;
}

/* A tokenizer whose model turns each piece into one token: what is tested is what comes before it.
 */
#define PIECES(stages)                                                                             \
    "{\"version\": \"1.0\", " stages                                                               \
    "\"model\": {\"type\": \"WordLevel\", \"unk_token\": \"u\", \"vocab\": {\"u\": 0}}}"
/* One whose model turns each byte into one token, so that ids spell the normalized text. */
#define LETTERS(stages)                                                                            \
    "{\"version\": \"1.0\", " stages "\"decoder\": {\"type\": \"Fuse\"}, "                         \
    "\"model\": {\"type\": \"BPE\", \"unk_token\": \"?\", \"merges\": [], \"vocab\": "             \
    "{\"?\": 0, \"a\": 1, \"b\": 2, \"c\": 3, \" \": 4, \"e\": 5, \"\\u0301\": 6, \"\\u00e9\": "   \
    "7, "                                                                                          \
    "\"\\u2581\": 8, \"x\": 9, \"i\": 10, \"\\u0307\": 11, \"\\u4e2d\": 12, \"f\": 13}}}"

/* The offsets of all tokens: "0-3 3-5". Lives until the next call. */
static inline const char *offsets_of(const struct firn_tokenizer *tok, const char *text)
{
    static char line[4000];
    struct firn_encoding e = { 0 };
    struct firn_error err = { 0 };
    size_t used = 0;
    check_ok(firn_tokenizer_encode(tok, text, strlen(text), NULL, 0, NULL, &e, &err), &err);
    line[0] = '\0';
    for (size_t i = 0; i < e.n; i++)
        used += (size_t) snprintf(line + used, sizeof line - used, "%s%u-%u", i > 0 ? " " : "",
                                  (unsigned) e.offsets[i].begin, (unsigned) e.offsets[i].end);
    firn_encoding_free(&e);
    return line;
}

/* Checks the offsets of `text` under a tokenizer given as JSON. */
static inline void check_offsets(const char *json, const char *text, const char *want)
{
    struct firn_tokenizer *tok = parse(json);
    assert_string_equal(offsets_of(tok, text), want);
    firn_tokenizer_close(&tok);
}

/* Checks what the tokens of `text` spell, and their offsets. */
static inline void check_letters(const char *json, const char *text, const char *spelled,
                                 const char *offsets)
{
    struct firn_tokenizer *tok = parse(json);
    struct firn_encoding e = { 0 };
    struct firn_error err = { 0 };
    struct firn_str s = { 0 };
    assert_string_equal(offsets_of(tok, text), offsets);
    check_ok(firn_tokenizer_encode(tok, text, strlen(text), NULL, 0, NULL, &e, &err), &err);
    check_ok(firn_tokenizer_decode(tok, e.ids, e.n, false, &s, &err), &err);
    assert_string_equal(s.data != NULL ? s.data : "", spelled);
    firn_str_free(&s);
    firn_encoding_free(&e);
    firn_tokenizer_close(&tok);
}

/* Opening the JSON fails with this status and an error that holds `text`. */
static inline void check_refused(const char *json, firn_status want, const char *text)
{
    struct firn_tokenizer *tok = NULL;
    struct firn_error err = { 0 };
    const firn_status s = firn_tokenizer_parse(&tok, "test.json", json, strlen(json), &err);
    if (s != want || strstr(err.text, text) == NULL)
        fail_msg("%.200s\n  gives %s (%s), wanted %s with '%s'", json, firn_status_name(s),
                 err.text, firn_status_name(want), text);
    assert_null(tok);
}

#endif
