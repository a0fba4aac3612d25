/* SPDX-License-Identifier: Apache-2.0 */
/* Character classes, Oniguruma to PCRE2: nested sets, intersections, POSIX brackets, properties and
 * their shorthands. A class becomes an expression that matches one code point: plain members stay
 * in brackets; what PCRE2's brackets cannot hold becomes an alternative or a look-ahead beside
 * them. */
#include "text/regex_class.h"

#include "text/unicode.h"
#include "text/utf8.h"

#include <stdio.h>
#include <string.h>

#define SPACE                                                                                      \
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}"             \
    "\\x{202f}\\x{205f}\\x{3000}"
#define NOT_SPACE                                                                                  \
    "\\x{0}-\\x{8}\\x{e}-\\x{1f}\\x{21}-\\x{84}\\x{86}-\\x{9f}\\x{a1}-\\x{167f}"                   \
    "\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}"                 \
    "\\x{2060}-\\x{2fff}\\x{3001}-\\x{10ffff}"

struct set {
    struct firn_str members; /* for the inside of brackets */
    struct firn_str others;  /* alternatives, each with a bar before it */
};

static void set_free(struct set *s)
{
    firn_str_free(&s->members);
    firn_str_free(&s->others);
}

static const char *text_of(const struct firn_str *s)
{
    return s->data != NULL ? s->data : "";
}

/* The expression for a set, or for everything but it. */
static void set_write(const struct set *s, bool is_negated, struct firn_str *out)
{
    if (s->members.failed || s->others.failed)
        out->failed = true;
    if (s->others.size == 0 && s->members.size > 0) {
        firn_str_add(out, is_negated ? "[^" : "[");
        firn_str_add(out, text_of(&s->members));
        firn_str_add(out, "]");
        return;
    }
    firn_str_add(out, is_negated ? "(?:(?!" : "(?:");
    if (s->members.size > 0) {
        firn_str_add(out, "[");
        firn_str_add(out, text_of(&s->members));
        firn_str_add(out, "]");
        firn_str_add(out, text_of(&s->others));
    } else {
        firn_str_add(out, s->others.size > 0 ? s->others.data + 1 : "(?!)");
    }
    firn_str_add(out, is_negated ? ")(?s:.))" : ")");
}

void firn_regex_code(struct firn_str *out, uint32_t c)
{
    if ((c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z')) {
        const char text[2] = { (char) c, '\0' };
        firn_str_add(out, text);
    } else {
        firn_str_addf(out, "\\x{%x}", (unsigned) c);
    }
}

/* Members for a category (L, Lu, N, ...), with what newer versions of Unicode added to it. */
static void category(struct firn_str *members, const char *name)
{
    firn_str_addf(members, "\\p{%s}", name);
    for (const struct firn_late_range *r = NULL; (r = firn_late_next(r, name)) != NULL;) {
        if (r->first == r->last)
            firn_str_addf(members, "\\x{%x}", (unsigned) r->first);
        else
            firn_str_addf(members, "\\x{%x}-\\x{%x}", (unsigned) r->first, (unsigned) r->last);
    }
}

static void word(struct firn_str *members)
{
    firn_str_add(members,
                 "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}"
                 "\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}");
    category(members, "L");
    category(members, "M");
    category(members, "Nd");
}

void firn_regex_word(struct firn_str *members)
{
    word(members);
    firn_str_add(members, "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}");
}

/* Members for a property or a POSIX bracket of this name; false when there is none. */
static bool property(struct firn_str *members, const char *name, size_t size, bool is_posix)
{
    // clang-format off
    static const struct {
        const char *name, *category;
    } categories[] = {
        { "l", "L" },  { "letter", "L" },      { "lu", "Lu" },   { "uppercaseletter", "Lu" },
        { "ll", "Ll" }, { "lowercaseletter", "Ll" }, { "lt", "Lt" }, { "titlecaseletter", "Lt" },
        { "lm", "Lm" }, { "modifierletter", "Lm" }, { "lo", "Lo" }, { "otherletter", "Lo" },
        { "m", "M" },  { "mark", "M" },        { "combiningmark", "M" },
        { "mn", "Mn" }, { "nonspacingmark", "Mn" }, { "mc", "Mc" }, { "spacingmark", "Mc" },
        { "me", "Me" }, { "enclosingmark", "Me" },
        { "n", "N" },  { "number", "N" },      { "nd", "Nd" },   { "decimalnumber", "Nd" },
        { "digit", "Nd" }, { "nl", "Nl" },     { "letternumber", "Nl" }, { "no", "No" },
        { "othernumber", "No" },
        { "p", "P" },  { "punct", "P" },       { "punctuation", "P" }, { "pc", "Pc" },
        { "connectorpunctuation", "Pc" }, { "pd", "Pd" }, { "dashpunctuation", "Pd" },
        { "ps", "Ps" }, { "openpunctuation", "Ps" }, { "pe", "Pe" }, { "closepunctuation", "Pe" },
        { "pi", "Pi" }, { "initialpunctuation", "Pi" }, { "pf", "Pf" },
        { "finalpunctuation", "Pf" }, { "po", "Po" }, { "otherpunctuation", "Po" },
        { "s", "S" },  { "symbol", "S" },      { "sm", "Sm" },   { "mathsymbol", "Sm" },
        { "sc", "Sc" }, { "currencysymbol", "Sc" }, { "sk", "Sk" }, { "modifiersymbol", "Sk" },
        { "so", "So" }, { "othersymbol", "So" },
        { "z", "Z" },  { "separator", "Z" },   { "zs", "Zs" },   { "spaceseparator", "Zs" },
        { "zl", "Zl" }, { "lineseparator", "Zl" }, { "zp", "Zp" }, { "paragraphseparator", "Zp" },
        { "c", "C" },  { "other", "C" },       { "cc", "Cc" },   { "control", "Cc" },
        { "cntrl", "Cc" }, { "cf", "Cf" },     { "format", "Cf" }, { "co", "Co" },
        { "privateuse", "Co" }, { "cn", "Cn" }, { "unassigned", "Cn" },
    };
    // clang-format on
    static const char *const binary[] = { "emoji",
                                          "emojipresentation",
                                          "emojimodifier",
                                          "emojimodifierbase",
                                          "emojicomponent",
                                          "extendedpictographic",
                                          "uppercase",
                                          "lowercase",
                                          "alphabetic",
                                          "ideographic",
                                          "math",
                                          "dash",
                                          NULL };
    char word_text[40];
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        const char c = name[i];
        if (c == ' ' || c == '_' || c == '-')
            continue;
        if (n + 1 == sizeof word_text || !(((c | 32) >= 'a' && (c | 32) <= 'z')))
            return false;
        word_text[n++] = (char) (c | 32);
    }
    word_text[n] = '\0';
    if (is_posix && strcmp(word_text, "punct") == 0) {
        category(members, "P");
        category(members, "S");
        return true;
    }
    if (strcmp(word_text, "alpha") == 0 || strcmp(word_text, "alnum") == 0) {
        firn_str_add(members, "\\p{Alphabetic}");
        category(members, "L");
        if (strcmp(word_text, "alnum") == 0)
            category(members, "Nd");
        return true;
    }
    for (size_t i = 0; i < sizeof categories / sizeof categories[0]; i++)
        if (strcmp(word_text, categories[i].name) == 0) {
            category(members, categories[i].category);
            return true;
        }
    if (strcmp(word_text, "space") == 0 || strcmp(word_text, "whitespace") == 0)
        firn_str_add(members, SPACE);
    else if (strcmp(word_text, "word") == 0)
        word(members);
    else if (strcmp(word_text, "upper") == 0)
        firn_str_add(members, "\\p{Uppercase}");
    else if (strcmp(word_text, "lower") == 0)
        firn_str_add(members, "\\p{Lowercase}");
    else if (strcmp(word_text, "xdigit") == 0 || strcmp(word_text, "asciihexdigit") == 0)
        firn_str_add(members, "0-9A-Fa-f");
    else if (strcmp(word_text, "blank") == 0)
        firn_str_add(members, "\\x{9}\\p{Zs}");
    else if (strcmp(word_text, "ascii") == 0)
        firn_str_add(members, "\\x{0}-\\x{7f}");
    else if (strcmp(word_text, "any") == 0)
        firn_str_add(members, "\\x{0}-\\x{10ffff}");
    else if (is_posix || n == 0)
        return false;
    else {
        for (size_t i = 0; binary[i] != NULL; i++)
            if (strcmp(word_text, binary[i]) == 0) {
                firn_str_addf(members, "\\p{%s}", word_text);
                return true;
            }
        // a script; a name that is none fails when the pattern is compiled
        firn_str_addf(members, "\\p{sc:%s}", word_text);
        if (strcmp(word_text, "han") == 0)
            firn_str_add(members, "\\x{2b739}\\x{2ebf0}-\\x{2ee5d}\\x{31350}-\\x{323af}");
    }
    return true;
}

/* Adds members, or everything but them, to a set. */
static void set_add(struct set *s, const char *members, bool is_negated)
{
    if (is_negated) {
        firn_str_add(&s->others, "|[^");
        firn_str_add(&s->others, members);
        firn_str_add(&s->others, "]");
    } else {
        firn_str_add(&s->members, members);
    }
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* Up to `most` digits of base 8 or 16 at r->at. */
static uint32_t digits(struct firn_regex *r, int most, int base)
{
    uint32_t c = 0;
    for (; most > 0 && r->at < r->end; most--, r->at++) {
        const int v = hex_value(*r->at);
        if (v < 0 || v >= base)
            break;
        c = c * (uint32_t) base + (uint32_t) v;
    }
    return c;
}

/* An escape at r->at: true when it is a set (added to s), false when it is the code point *code. */
static bool escape(struct firn_regex *r, struct set *s, bool is_alone, uint32_t *code)
{
    const char *at = r->at;
    r->at += 2;
    *code = 0;
    if (r->at > r->end) {
        r->at = r->end;
        firn_regex_refuse(r, "a backslash at the end");
        return false;
    }
    switch (at[1]) {
    case 's':
        set_add(s, SPACE, false);
        return true;
    case 'S':
        set_add(s, NOT_SPACE, false);
        return true;
    case 'h':
    case 'H':
        set_add(s, "0-9A-Fa-f", at[1] == 'H');
        return true;
    case 'd':
    case 'D':
    case 'w':
    case 'W': {
        struct firn_str members = { 0 };
        if ((at[1] | 32) == 'd')
            category(&members, "Nd");
        else if (is_alone)
            firn_regex_word(&members);
        else
            word(&members);
        set_add(s, text_of(&members), at[1] < 'a');
        firn_str_free(&members);
        return true;
    }
    case 'p':
    case 'P': {
        const char *stop =
            r->at < r->end && *r->at == '{' ? memchr(r->at, '}', (size_t) (r->end - r->at)) : NULL;
        struct firn_str members = { 0 };
        const bool is_negated = stop != NULL && r->at[1] == '^';
        if (stop == NULL || !property(&members, r->at + 1 + is_negated,
                                      (size_t) (stop - r->at - 1 - is_negated), false))
            firn_regex_refuse(r, "an unknown property");
        else
            r->at = stop + 1;
        set_add(s, text_of(&members), is_negated != (at[1] == 'P'));
        firn_str_free(&members);
        return true;
    }
    case 'n':
        *code = '\n';
        return false;
    case 'r':
        *code = '\r';
        return false;
    case 't':
        *code = '\t';
        return false;
    case 'f':
        *code = '\f';
        return false;
    case 'v':
        *code = '\v';
        return false;
    case 'a':
        *code = '\a';
        return false;
    case 'e':
        *code = 0x1B;
        return false;
    case 'x':
        if (r->at < r->end && *r->at == '{') {
            r->at++;
            *code = digits(r, 8, 16);
            if (r->at == r->end || *r->at != '}')
                firn_regex_refuse(r, "an open \\x{");
            else
                r->at++;
        } else {
            *code = digits(r, 2, 16);
            if (*code > 0x7F)
                firn_regex_refuse(r, "a byte that is no character");
        }
        break;
    case 'u': {
        const char *before = r->at;
        *code = digits(r, 4, 16);
        if (r->at - before != 4)
            firn_regex_refuse(r, "a short \\u");
        break;
    }
    case '0':
        *code = digits(r, 2, 8);
        break;
    default:
        if ((at[1] >= '0' && at[1] <= '9') || ((at[1] | 32) >= 'a' && (at[1] | 32) <= 'z')) {
            firn_regex_refuse(r, "an escape that is not known");
            return false;
        }
        *code = firn_utf8_get((const uint8_t *) at + 1);
        r->at = at + 1 + firn_utf8_size((uint8_t) at[1]);
    }
    if (*code > 0x10FFFF || (*code >= 0xD800 && *code <= 0xDFFF))
        firn_regex_refuse(r, "a number that is no code point");
    return false;
}

void firn_regex_class_escape(struct firn_regex *r, struct firn_str *out)
{
    struct set s = { 0 };
    uint32_t code;
    if (escape(r, &s, true, &code))
        set_write(&s, false, out);
    else
        firn_regex_code(out, code);
    set_free(&s);
}

/* [:name:] at r->at; false when it is not one. */
static bool posix(struct firn_regex *r, struct set *s)
{
    const char *p = r->at + 2;
    const bool is_negated = p < r->end && *p == '^';
    p += is_negated;
    const char *stop = p;
    while (stop < r->end && *stop >= 'a' && *stop <= 'z')
        stop++;
    if (stop + 1 >= r->end || stop[0] != ':' || stop[1] != ']')
        return false;
    struct firn_str members = { 0 };
    if (!property(&members, p, (size_t) (stop - p), true))
        firn_regex_refuse(r, "an unknown POSIX bracket");
    set_add(s, text_of(&members), is_negated);
    firn_str_free(&members);
    r->at = stop + 2;
    return true;
}

/* One member that is not a class of its own: a code point, a range, a set by escape. */
static void member(struct firn_regex *r, struct set *s)
{
    uint32_t first, last;
    if (*r->at == '\\') {
        if (r->at + 1 < r->end && r->at[1] == 'b') {
            first = 8;
            r->at += 2;
        } else if (escape(r, s, false, &first)) {
            return;
        }
    } else {
        first = firn_utf8_get((const uint8_t *) r->at);
        r->at += firn_utf8_size((uint8_t) *r->at);
    }
    firn_regex_code(&s->members, first);
    if (r->end - r->at < 2 || r->at[0] != '-' || r->at[1] == ']')
        return;
    if (r->at[1] == '[' || (r->at[1] == '&' && r->end - r->at > 2 && r->at[2] == '&'))
        return; // the hyphen is a member
    r->at++;
    if (*r->at == '\\') {
        if (escape(r, s, false, &last)) {
            firn_regex_refuse(r, "a range that ends in a set");
            return;
        }
    } else {
        last = firn_utf8_get((const uint8_t *) r->at);
        r->at += firn_utf8_size((uint8_t) *r->at);
    }
    if (last < first)
        firn_regex_refuse(r, "a range that runs backwards");
    firn_str_add(&s->members, "-");
    firn_regex_code(&s->members, last);
}

void firn_regex_class(struct firn_regex *r, struct firn_str *out, int depth)
{
    struct set s = { 0 };
    struct firn_str both = { 0 }; // look-aheads for the earlier sets of an intersection
    r->at++;
    const bool is_negated = r->at < r->end && *r->at == '^';
    r->at += is_negated;
    const char *first = r->at;
    if (depth > 20)
        firn_regex_refuse(r, "classes nested too deeply");
    while (!r->failed) {
        if (r->at == r->end) {
            firn_regex_refuse(r, "an open class");
        } else if (*r->at == ']' && r->at != first) {
            break;
        } else if (*r->at == '[') {
            if (r->at + 1 < r->end && r->at[1] == ':' && posix(r, &s))
                continue;
            firn_str_add(&s.others, "|");
            firn_regex_class(r, &s.others, depth + 1);
        } else if (r->end - r->at > 1 && r->at[0] == '&' && r->at[1] == '&') {
            r->at += 2;
            firn_str_add(&both, "(?=");
            set_write(&s, false, &both);
            firn_str_add(&both, ")");
            set_free(&s);
        } else {
            member(r, &s);
        }
    }
    r->at += r->at < r->end;
    if (both.size > 0) {
        struct firn_str last = { 0 };
        set_write(&s, false, &last);
        set_free(&s);
        firn_str_add(&s.others, "|");
        firn_str_add(&s.others, both.data);
        firn_str_add(&s.others, text_of(&last));
        firn_str_free(&last);
    }
    if (!r->failed)
        set_write(&s, is_negated, out);
    firn_str_free(&both);
    set_free(&s);
}
