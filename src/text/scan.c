/* SPDX-License-Identifier: Apache-2.0 */
/* A reader of JSON text in one pass; see scan.h. */
#include "text/scan.h"

#include "text/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 64

void firn_scan_init(struct firn_scan *s, const char *file, const char *data, size_t size,
                    struct firn_error *err)
{
    *s = (struct firn_scan){
        .start = data, .at = data, .end = data + size, .file = file, .err = err
    };
}

void firn_scan_finish(struct firn_scan *s)
{
    firn_str_free(&s->text);
}

static size_t line_of(const struct firn_scan *s)
{
    size_t line = 1;
    for (const char *p = s->start; p < s->at; p++)
        line += *p == '\n';
    return line;
}

void firn_scan_fail(struct firn_scan *s, const char *expected)
{
    if (s->status != FIRN_OK)
        return;
    const char *got = s->at < s->end ? FIRN_STR("'%c'", *s->at) : "the end of the file";
    s->status =
        firn_fail(s->err, FIRN_ERR_FORMAT, .file = s->file, .key = FIRN_STR("line %zu", line_of(s)),
                  .expected = expected, .got = got);
}

char firn_scan_peek(struct firn_scan *s)
{
    if (s->status != FIRN_OK)
        return '\0';
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\n' || *s->at == '\r' || *s->at == '\t'))
        s->at++;
    return s->at < s->end ? *s->at : '\0';
}

void firn_scan_expect(struct firn_scan *s, char c)
{
    if (firn_scan_peek(s) == c && c != '\0')
        s->at++;
    else
        firn_scan_fail(s, FIRN_STR("'%c'", c));
}

bool firn_scan_more(struct firn_scan *s, char close, bool *is_first)
{
    const char c = firn_scan_peek(s);
    if (c == close) {
        s->at++;
        return false;
    }
    if (!*is_first)
        firn_scan_expect(s, ',');
    *is_first = false;
    return s->status == FIRN_OK;
}

static uint32_t hex4(struct firn_scan *s)
{
    uint32_t c = 0;
    for (int i = 0; i < 4; i++) {
        const char d = s->at < s->end ? *s->at : '\0';
        if (d >= '0' && d <= '9')
            c = c << 4 | (uint32_t) (d - '0');
        else if ((d | 32) >= 'a' && (d | 32) <= 'f')
            c = c << 4 | (uint32_t) ((d | 32) - 'a' + 10);
        else {
            firn_scan_fail(s, "four hexadecimal digits");
            return 0;
        }
        s->at++;
    }
    return c;
}

static void unescape(struct firn_scan *s)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char e = s->at < s->end ? *s->at : '\0';
    const char *plain = e == '\0' ? NULL : strchr(from, e);
    if (plain != NULL) {
        firn_str_add_n(&s->text, to + (plain - from), 1);
        s->at++;
        return;
    }
    if (e != 'u') {
        firn_scan_fail(s, "an escape of JSON");
        return;
    }
    s->at++;
    uint32_t c = hex4(s);
    if (c >= 0xD800 && c < 0xDC00 && s->end - s->at >= 2 && s->at[0] == '\\' && s->at[1] == 'u') {
        s->at += 2;
        const uint32_t low = hex4(s);
        c = low >= 0xDC00 && low < 0xE000 ? 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00)
                                          : 0xD800;
    }
    if (c >= 0xD800 && c < 0xE000) {
        firn_scan_fail(s, "a pair of surrogates");
        return;
    }
    uint8_t bytes[4];
    firn_str_add_n(&s->text, (const char *) bytes, firn_utf8_put(bytes, c));
}

void firn_scan_string(struct firn_scan *s)
{
    if (firn_scan_peek(s) != '"') {
        firn_scan_fail(s, "a string");
        return;
    }
    s->at++;
    s->text.size = 0;
    while (s->status == FIRN_OK) {
        const char *p = s->at;
        while (p < s->end && *p != '"' && *p != '\\' && (unsigned char) *p >= 0x20)
            p++;
        const size_t n = (size_t) (p - s->at);
        const size_t good = firn_utf8_valid((const uint8_t *) s->at, n);
        if (good != n) {
            s->at += good;
            firn_scan_fail(s, "UTF-8");
            return;
        }
        firn_str_add_n(&s->text, s->at, n);
        s->at = p;
        if (p == s->end || (unsigned char) *p < 0x20) {
            firn_scan_fail(s, "the end of a string");
            return;
        }
        s->at++;
        if (*p == '"')
            break;
        unescape(s);
    }
    if (s->text.failed && s->status == FIRN_OK)
        s->status = firn_fail(s->err, FIRN_ERR_MEMORY, .file = s->file, .what = "no memory");
}

static double power_of_ten(int n)
{
    char text[16];
    snprintf(text, sizeof text, "1e%d", n);
    return strtod(text, NULL); // correctly rounded; no point that a locale could change
}

double firn_scan_number(struct firn_scan *s)
{
    const bool is_negative = firn_scan_peek(s) == '-';
    if (is_negative)
        s->at++;
    const char *first = s->at;
    uint64_t digits = 0;
    int exponent = 0;
    bool is_fraction = false, is_full = false;
    for (; s->at < s->end; s->at++) {
        if (*s->at == '.' && !is_fraction && s->at > first) {
            is_fraction = true;
            continue;
        }
        if (*s->at < '0' || *s->at > '9')
            break;
        const uint64_t d = (uint64_t) (*s->at - '0');
        is_full = is_full || digits > (UINT64_MAX - d) / 10;
        if (!is_full)
            digits = digits * 10 + d;
        if (exponent > -100000 && exponent < 100000)
            exponent += (is_full ? 1 : 0) - (is_fraction ? 1 : 0);
    }
    if (s->at == first || s->at[-1] == '.' ||
        (*first == '0' && s->at - first > 1 && first[1] != '.')) {
        firn_scan_fail(s, "a number");
        return 0;
    }
    if (s->at < s->end && (*s->at | 32) == 'e') {
        s->at++;
        const bool is_minus = s->at < s->end && *s->at == '-';
        if (s->at < s->end && (*s->at == '-' || *s->at == '+'))
            s->at++;
        int e = 0;
        const char *mark = s->at;
        for (; s->at < s->end && *s->at >= '0' && *s->at <= '9'; s->at++)
            e = e < 100000 ? e * 10 + (*s->at - '0') : e;
        if (s->at == mark)
            firn_scan_fail(s, "an exponent");
        exponent += is_minus ? -e : e;
    }
    double value = (double) digits;
    for (; exponent < -308 && value != 0; exponent += 308)
        value /= 1e308;
    if (value != 0)
        value = exponent < 0      ? value / power_of_ten(-exponent)
                : exponent <= 308 ? value * power_of_ten(exponent)
                                  : INFINITY;
    if (isinf(value))
        firn_scan_fail(s, "a number that fits a double");
    return is_negative ? -value : value;
}

int64_t firn_scan_integer(struct firn_scan *s)
{
    if (firn_scan_peek(s) == '\0' || *s->at < '0' || *s->at > '9') {
        firn_scan_fail(s, "an integer of at least 0");
        return 0;
    }
    const char *first = s->at;
    int64_t value = 0;
    for (; s->at < s->end && *s->at >= '0' && *s->at <= '9'; s->at++)
        if (value <= INT32_MAX)
            value = value * 10 + (*s->at - '0');
    if ((*first == '0' && s->at - first > 1) ||
        (s->at < s->end && (*s->at == '.' || (*s->at | 32) == 'e')))
        firn_scan_fail(s, "an integer");
    return value;
}

/* A string without looking into it. */
static void skip_string(struct firn_scan *s)
{
    for (s->at++; s->at < s->end && *s->at != '"'; s->at++)
        if (*s->at == '\\' && s->at + 1 < s->end)
            s->at++;
    if (s->at == s->end)
        firn_scan_fail(s, "the end of a string");
    else
        s->at++;
}

void firn_scan_skip(struct firn_scan *s)
{
    // only brackets and strings matter here: the rest is checked when it is parsed
    int depth = 0;
    do {
        const char c = firn_scan_peek(s);
        if (c == '"') {
            skip_string(s);
        } else if (c == '{' || c == '[') {
            s->at++;
            if (++depth > DEPTH_MAX)
                firn_scan_fail(s, FIRN_STR("at most %d levels", DEPTH_MAX));
        } else if (c == '}' || c == ']') {
            if (depth == 0) {
                firn_scan_fail(s, "a value");
                return;
            }
            s->at++;
            depth--;
        } else if (c == '\0') {
            firn_scan_fail(s, "a value");
        } else if (depth > 0 && (c == ',' || c == ':')) {
            s->at++;
        } else {
            const char *first = s->at;
            while (s->at < s->end && strchr(",:]}[{\"\t\r\n ", *s->at) == NULL)
                s->at++;
            if (s->at == first)
                firn_scan_fail(s, "a value");
        }
    } while (depth > 0 && s->status == FIRN_OK);
}

static void rest_without(struct firn_str *rest, const char *from, const char *to)
{
    firn_str_add(rest, "null");
    for (const char *p = from; p < to && (p = memchr(p, '\n', (size_t) (to - p))) != NULL; p++)
        firn_str_add_n(rest, "\n", 1);
}

firn_status firn_scan_parts(struct firn_parts *parts, const char *file, const char *data,
                            size_t size, struct firn_error *err)
{
    *parts = (struct firn_parts){ 0 };
    struct firn_scan s;
    firn_scan_init(&s, file, data, size, err);
    const char *copied = data;
    bool is_first = true;
    firn_scan_expect(&s, '{');
    while (s.status == FIRN_OK && firn_scan_more(&s, '}', &is_first)) {
        firn_scan_string(&s);
        const bool is_model = s.text.size == 5 && memcmp(s.text.data, "model", 5) == 0;
        firn_scan_expect(&s, ':');
        if (!is_model || firn_scan_peek(&s) != '{') {
            firn_scan_skip(&s);
            continue;
        }
        s.at++;
        bool is_first_key = true;
        while (firn_scan_more(&s, '}', &is_first_key)) {
            firn_scan_string(&s);
            const bool is_vocab = s.text.size == 5 && memcmp(s.text.data, "vocab", 5) == 0;
            const bool is_merges = s.text.size == 6 && memcmp(s.text.data, "merges", 6) == 0;
            firn_scan_expect(&s, ':');
            firn_scan_peek(&s);
            const char *begin = s.at;
            firn_scan_skip(&s);
            if (s.status != FIRN_OK || (!is_vocab && !is_merges))
                continue;
            *(is_vocab ? &parts->vocab : &parts->merges) = begin;
            *(is_vocab ? &parts->vocab_end : &parts->merges_end) = s.at;
            firn_str_add_n(&parts->rest, copied, (size_t) (begin - copied));
            rest_without(&parts->rest, begin, s.at);
            copied = s.at;
        }
    }
    firn_str_add_n(&parts->rest, copied, (size_t) (data + size - copied));
    if (s.status == FIRN_OK && parts->rest.failed)
        s.status = firn_fail(err, FIRN_ERR_MEMORY, .file = file, .what = "no memory");
    firn_scan_finish(&s);
    return s.status;
}
