/* SPDX-License-Identifier: Apache-2.0 */
/* Growing texts, numbers to and from text in any locale, and the nearest known word. */
#include "base/str.h"

#include <ctype.h>
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Room for `more` bytes and the NUL; false (and failed) without memory. */
static bool reserve(struct firn_str *s, size_t more)
{
    if (s->failed)
        return false;
    if (more < s->capacity - s->size && s->capacity > 0)
        return true;
    size_t capacity = s->capacity < 64 ? 64 : s->capacity;
    while (capacity - s->size <= more) {
        if (capacity > SIZE_MAX / 4) {
            s->failed = true;
            return false;
        }
        capacity *= 2;
    }
    char *grown = realloc(s->data, capacity);
    if (grown == NULL) {
        s->failed = true;
        return false;
    }
    s->data = grown;
    s->capacity = capacity;
    return true;
}

void firn_str_add_n(struct firn_str *s, const char *bytes, size_t n)
{
    if (!reserve(s, n))
        return;
    if (n > 0)
        memcpy(s->data + s->size, bytes, n);
    s->size += n;
    s->data[s->size] = '\0';
}

void firn_str_add(struct firn_str *s, const char *text)
{
    firn_str_add_n(s, text, strlen(text));
}

void firn_str_addf(struct firn_str *s, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    const int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0) {
        s->failed = true;
    } else if (reserve(s, (size_t) n)) {
        vsnprintf(s->data + s->size, (size_t) n + 1, format, again);
        s->size += (size_t) n;
    }
    va_end(again);
}

void firn_str_free(struct firn_str *s)
{
    free(s->data);
    *s = (struct firn_str){ 0 };
}

char *firn_strdup(const char *text)
{
    return text == NULL ? NULL : strdup(text);
}

/* The decimal point of the locale that the host program chose. */
static const char *decimal_point(void)
{
    const struct lconv *conv = localeconv();
    return conv->decimal_point[0] != '\0' ? conv->decimal_point : ".";
}

const char *firn_real_text(char text[FIRN_REAL_TEXT], double value)
{
    if (!isfinite(value)) {
        strcpy(text, isnan(value) ? "nan" : value < 0 ? "-inf" : "inf");
        return text;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, FIRN_REAL_TEXT, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    const char *point = decimal_point();
    char *at = strcmp(point, ".") == 0 ? NULL : strstr(text, point);
    if (at != NULL) {
        const size_t n = strlen(point);
        *at = '.';
        memmove(at + 1, at + n, strlen(at + n) + 1);
    }
    if (strpbrk(text, ".e") == NULL)
        strcat(text, ".0");
    return text;
}

bool firn_real_parse(const char *text, double *value)
{
    /* strtod also takes spaces, hexadecimal, inf and nan: only digits, one point, one exponent here
     */
    const char *c = text + (*text == '-' || *text == '+');
    const char *whole = c;
    while (isdigit((unsigned char) *c))
        c++;
    size_t n_digits = (size_t) (c - whole);
    const char *point = NULL;
    if (*c == '.') {
        point = c++;
        while (isdigit((unsigned char) *c))
            c++;
        n_digits = (size_t) (c - whole) - 1;
    }
    if (n_digits == 0)
        return false;
    if (*c == 'e' || *c == 'E') {
        c += 1 + (c[1] == '-' || c[1] == '+');
        const char *exponent = c;
        while (isdigit((unsigned char) *c))
            c++;
        if (c == exponent)
            return false;
    }
    if (*c != '\0')
        return false;
    const char *local = decimal_point();
    double number;
    if (point == NULL || strcmp(local, ".") == 0) {
        number = strtod(text, NULL);
    } else {
        struct firn_str copy = { 0 };
        firn_str_add_n(&copy, text, (size_t) (point - text));
        firn_str_add(&copy, local);
        firn_str_add(&copy, point + 1);
        number = copy.failed ? NAN : strtod(copy.data, NULL);
        firn_str_free(&copy);
    }
    if (!isfinite(number))
        return false;
    *value = number;
    return true;
}

bool firn_int_parse(const char *text, int64_t *value)
{
    const char *c = text + (*text == '-' || *text == '+');
    if (*c == '\0' || c[strspn(c, "0123456789")] != '\0')
        return false;
    errno = 0;
    const long long number = strtoll(text, NULL, 10);
    if (errno != 0)
        return false;
    *value = number;
    return true;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

enum { MAX_WORD = 64 };

/* Edits (insert, delete, replace, swap of neighbours; letter case is free) between two words. */
static size_t distance(const char *a, size_t n_a, const char *b, size_t n_b)
{
    size_t rows[3][MAX_WORD + 1];
    size_t *before = rows[0], *last = rows[1], *row = rows[2];
    for (size_t j = 0; j <= n_b; j++)
        last[j] = j;
    for (size_t i = 1; i <= n_a; i++) {
        row[0] = i;
        for (size_t j = 1; j <= n_b; j++) {
            const int x = tolower((unsigned char) a[i - 1]), y = tolower((unsigned char) b[j - 1]);
            row[j] = smaller(last[j - 1] + (x != y), 1 + smaller(last[j], row[j - 1]));
            if (i > 1 && j > 1 && x == tolower((unsigned char) b[j - 2]) &&
                y == tolower((unsigned char) a[i - 2]))
                row[j] = smaller(row[j], before[j - 2] + 1);
        }
        size_t *spare = before;
        before = last;
        last = row;
        row = spare;
    }
    return last[n_b];
}

const char *firn_nearest(const char *word, const char *const *words)
{
    const size_t n = strlen(word);
    size_t best = (n + 2) / 3 + 1;
    const char *nearest = NULL;
    for (; n <= MAX_WORD && *words != NULL; words++) {
        const size_t n_other = strlen(*words);
        if (n_other > MAX_WORD)
            continue;
        const size_t d = distance(word, n, *words, n_other);
        if (d < best && (d < n || d == 0) && d < n_other + (d == 0)) {
            best = d;
            nearest = *words;
        }
    }
    return nearest;
}
