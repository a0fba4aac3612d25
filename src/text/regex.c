/* SPDX-License-Identifier: Apache-2.0 */
/* Oniguruma to PCRE2, outside of character classes (which are in regex_class.c): the same letters
 * mean other things in the two (\h \s \w \b, options, intervals), so a pattern is parsed and
 * written anew. Whatever is not understood is refused, never passed through. */
#include "text/regex.h"

#include "text/regex_class.h"
#include "text/utf8.h"

#include <stdio.h>
#include <string.h>

#define DEPTH_MAX 60

static void refuse(struct firn_regex *r, const char *what)
{
    if (!r->failed)
        snprintf(r->what, 100, "%s at byte %zu of the pattern", what, (size_t) (r->at - r->start));
    r->failed = true;
}

void firn_regex_refuse(struct firn_regex *r, const char *what)
{
    refuse(r, what);
}

static void alternatives(struct firn_regex *r, struct firn_str *out, int depth);

static bool starts(const struct firn_regex *r, const char *word)
{
    const size_t n = strlen(word);
    return (size_t) (r->end - r->at) >= n && memcmp(r->at, word, n) == 0;
}

/* The inside of (?<name> or (?i-mx: up to and with its end; true when it was options. */
static void group(struct firn_regex *r, struct firn_str *out, int depth)
{
    static const char *const plain[] = { "(?:", "(?=", "(?!", "(?>", "(?<=", "(?<!" };
    const char *open = NULL;
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
        if (starts(r, plain[i]))
            open = plain[i];
    if (open != NULL) {
        r->at += strlen(open);
        firn_str_add(out, open);
    } else if (starts(r, "(?#")) {
        while (r->at < r->end && *r->at != ')')
            r->at++;
        if (r->at == r->end)
            refuse(r, "an open comment");
        else
            r->at++;
        return;
    } else if (starts(r, "(?<")) {
        const char *name = r->at + 3, *stop = name;
        while (stop < r->end && (*stop == '_' || (*stop >= '0' && *stop <= '9') ||
                                 (*stop >= 'a' && *stop <= 'z') || (*stop >= 'A' && *stop <= 'Z')))
            stop++;
        if (stop == r->end || *stop != '>' || stop == name || stop - name > 32) {
            refuse(r, "a group name");
            return;
        }
        firn_str_add_n(out, r->at, (size_t) (stop + 1 - r->at));
        r->at = stop + 1;
    } else if (starts(r, "(?")) {
        // options: i and x are the same word in both, m of Oniguruma is s of PCRE2
        const char *o = r->at + 2;
        firn_str_add(out, "(?");
        bool is_off = false;
        for (; o < r->end && *o != ':' && *o != ')'; o++) {
            if (*o == '-' && !is_off) {
                is_off = true;
                firn_str_add(out, "-");
            } else if (*o == 'i') {
                firn_str_add(out, "i");
            } else if (*o == 'm') {
                firn_str_add(out, "s");
            } else {
                refuse(r, "a group or option");
                return;
            }
        }
        if (o == r->end) {
            refuse(r, "an open group");
            return;
        }
        firn_str_add(out, ":");
        r->at = o + 1;
        if (*o == ')') { // holds to the end of the enclosing group, as if it were a group
            alternatives(r, out, depth + 1);
            firn_str_add(out, ")");
            return;
        }
    } else if (starts(r, "(*")) {
        refuse(r, "a verb");
        return;
    } else {
        firn_str_add(out, "(");
        r->at++;
        r->n_groups++;
    }
    alternatives(r, out, depth + 1);
    if (r->at == r->end) {
        refuse(r, "an open group");
        return;
    }
    r->at++;
    firn_str_add(out, ")");
}

/* An escape outside of a class. */
static void escape(struct firn_regex *r, struct firn_str *out)
{
    const char c = r->at + 1 < r->end ? r->at[1] : '\0';
    switch (c) {
    case 'A':
    case 'z':
    case 'Z':
    case 'R':
    case 'G':
        firn_str_add_n(out, r->at, 2);
        r->at += 2;
        return;
    case 'b':
    case 'B': { // (?<=\w)(?!\w)|(?<!\w)(?=\w)
        static const char *const parts[] = { "(?:(?<=[", "])(?![", "])|(?<![", "])(?=[", "]))" };
        firn_str_add(out, c == 'B' ? "(?!" : "(?:");
        for (int i = 0; i < 5; i++) {
            firn_str_add(out, parts[i]);
            if (i < 4)
                firn_regex_word(out);
        }
        firn_str_add(out, ")");
        r->at += 2;
        return;
    }
    case 'k':
        if (starts(r, "\\k<")) {
            const char *stop = memchr(r->at, '>', (size_t) (r->end - r->at));
            for (const char *n = r->at + 3; stop != NULL && n < stop; n++)
                if (*n != '_' && !(*n >= '0' && *n <= '9') &&
                    !((*n | 32) >= 'a' && (*n | 32) <= 'z'))
                    stop = NULL;
            if (stop != NULL) {
                firn_str_add_n(out, r->at, (size_t) (stop + 1 - r->at));
                r->at = stop + 1;
                return;
            }
        }
        refuse(r, "a back reference");
        return;
    default:
        break;
    }
    if (c >= '1' && c <= '9') {
        if (r->at + 2 < r->end && r->at[2] >= '0' && r->at[2] <= '9') {
            refuse(r, "a back reference of two digits");
            return;
        }
        firn_str_addf(out, "\\g{%c}", c);
        r->at += 2;
        return;
    }
    firn_regex_class_escape(r, out);
}

/* {n}, {n,}, {,m} or {n,m} at r->at; false when it is none (then it is text). */
static bool interval(const struct firn_regex *r, char text[48], size_t *size, bool *is_fixed)
{
    const char *p = r->at + 1;
    long low = -1, high = -1;
    for (int i = 0; p < r->end && *p >= '0' && *p <= '9' && i < 6; i++, p++)
        low = (low < 0 ? 0 : low * 10) + (*p - '0');
    *is_fixed = p < r->end && *p == '}';
    if (p < r->end && *p == ',') {
        p++;
        for (int i = 0; p < r->end && *p >= '0' && *p <= '9' && i < 6; i++, p++)
            high = (high < 0 ? 0 : high * 10) + (*p - '0');
        if (low < 0 && high < 0)
            return false;
    } else if (low < 0) {
        return false;
    }
    if (p == r->end || *p != '}')
        return false;
    *size = (size_t) (p + 1 - r->at);
    if (*is_fixed)
        snprintf(text, 48, "{%ld}", low);
    else if (high < 0)
        snprintf(text, 48, "{%ld,}", low);
    else
        snprintf(text, 48, "{%ld,%ld}", low < 0 ? 0 : low, high);
    return true;
}

static void wrap(struct firn_str *atom)
{
    struct firn_str whole = { 0 };
    firn_str_add(&whole, "(?:");
    firn_str_add_n(&whole, atom->data != NULL ? atom->data : "", atom->size);
    firn_str_add(&whole, ")");
    firn_str_free(atom);
    *atom = whole;
}

static void quantifiers(struct firn_regex *r, struct firn_str *atom)
{
    int n = 0;
    while (r->at < r->end && !r->failed) {
        char text[48] = { *r->at, '\0' };
        size_t size = 1;
        bool is_fixed = false, is_interval = false;
        if (*r->at == '{') {
            if (!interval(r, text, &size, &is_fixed))
                return;
            is_interval = true;
        } else if (*r->at != '*' && *r->at != '+' && *r->at != '?') {
            return;
        }
        if (++n > 8) {
            refuse(r, "too many quantifiers in a row");
            return;
        }
        if (n > 1)
            wrap(atom);
        if (atom->size == 0) {
            refuse(r, "a quantifier of nothing");
            return;
        }
        firn_str_add(atom, text);
        r->at += size;
        // after an interval + quantifies again, and so does ? after {n}
        if (r->at < r->end && ((*r->at == '?' && !is_fixed) || (*r->at == '+' && !is_interval))) {
            firn_str_add_n(atom, r->at, 1);
            r->at++;
        }
    }
}

static void atom(struct firn_regex *r, struct firn_str *out, int depth)
{
    const char c = *r->at;
    if (c == '(') {
        group(r, out, depth);
    } else if (c == '[') {
        firn_regex_class(r, out, depth);
    } else if (c == '\\') {
        escape(r, out);
    } else if (c == '.' || c == '^' || c == '$') {
        firn_str_add_n(out, r->at++, 1);
    } else if (c == '*' || c == '+' || c == '?') {
        refuse(r, "a quantifier of nothing");
    } else {
        const uint32_t code = firn_utf8_get((const uint8_t *) r->at);
        r->at += firn_utf8_size((uint8_t) c);
        firn_regex_code(out, code);
    }
}

static void alternatives(struct firn_regex *r, struct firn_str *out, int depth)
{
    if (depth > DEPTH_MAX) {
        refuse(r, "groups nested too deeply");
        return;
    }
    while (r->at < r->end && *r->at != ')' && !r->failed) {
        if (*r->at == '|') {
            firn_str_add(out, "|");
            r->at++;
            continue;
        }
        struct firn_str one = { 0 };
        atom(r, &one, depth);
        if (!r->failed && one.size > 0)
            quantifiers(r, &one);
        if (one.size > 0)
            firn_str_add_n(out, one.data, one.size);
        if (one.failed)
            out->failed = true;
        firn_str_free(&one);
    }
}

firn_status firn_regex_translate(const char *pattern, size_t size, struct firn_str *out,
                                 char what[100])
{
    struct firn_regex r = { .start = pattern, .at = pattern, .end = pattern + size, .what = what };
    what[0] = '\0';
    if (firn_utf8_valid((const uint8_t *) pattern, size) != size) {
        snprintf(what, 100, "not UTF-8");
        return FIRN_ERR_FORMAT;
    }
    alternatives(&r, out, 0);
    if (!r.failed && r.at != r.end)
        refuse(&r, "a closing parenthesis");
    if (out->failed)
        return FIRN_ERR_MEMORY;
    return r.failed ? FIRN_ERR_UNSUPPORTED : FIRN_OK;
}
