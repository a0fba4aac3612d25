/* SPDX-License-Identifier: Apache-2.0 */
/* Properties of code points on top of utf8proc; where the reference library's tables are of another
 * version of Unicode, the differences are spelt out here and in unicode_sets.c. */
#include "text/unicode.h"

#include <string.h>
#include <utf8proc.h>

bool firn_is_space(uint32_t c)
{
    if (c < 0x80)
        return c == ' ' || (c >= '\t' && c <= '\r');
    return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
           c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

static bool in_ranges(const struct firn_code_range *ranges, size_t n, uint32_t c)
{
    for (size_t i = 0; i < n && c >= ranges[i].first; i++)
        if (c <= ranges[i].last)
            return true;
    return false;
}

bool firn_is_control(uint32_t c)
{
    static const struct firn_code_range control[] = {
        { 0x00, 0x08 },       { 0x0B, 0x0C },       { 0x0E, 0x1F },       { 0x7F, 0x9F },
        { 0xAD, 0xAD },       { 0x600, 0x605 },     { 0x61C, 0x61C },     { 0x6DD, 0x6DD },
        { 0x70F, 0x70F },     { 0x180E, 0x180E },   { 0x200B, 0x200F },   { 0x202A, 0x202E },
        { 0x2060, 0x2064 },   { 0x2066, 0x206F },   { 0xE000, 0xF8FF },   { 0xFEFF, 0xFEFF },
        { 0xFFF9, 0xFFFB },   { 0x110BD, 0x110BD }, { 0x1BCA0, 0x1BCA3 }, { 0x1D173, 0x1D17A },
        { 0xE0001, 0xE0001 }, { 0xE0020, 0xE007F }, { 0xF0000, 0xFFFFD }, { 0x100000, 0x10FFFD },
    };
    if (c >= 0x20 && c < 0x7F)
        return false;
    return in_ranges(control, sizeof control / sizeof control[0], c);
}

bool firn_is_chinese(uint32_t c)
{
    static const struct firn_code_range cjk[] = {
        { 0x3400, 0x4DBF },   { 0x4E00, 0x9FFF },   { 0xF900, 0xFAFF },   { 0x20000, 0x2A6DF },
        { 0x2A700, 0x2B73F }, { 0x2B740, 0x2B81F }, { 0x2B920, 0x2CEAF }, { 0x2F800, 0x2FA1F },
    };
    return c >= 0x3400 && in_ranges(cjk, sizeof cjk / sizeof cjk[0], c);
}

bool firn_is_numeric(uint32_t c)
{
    if (c < 0x80)
        return c >= '0' && c <= '9';
    switch (utf8proc_category((utf8proc_int32_t) c)) {
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return true;
    default:
        break;
    }
    const char *late = firn_late_category(c);
    return (late != NULL && late[0] == 'N') || (c >= 0x11DE0 && c <= 0x11DE9) ||
           (c >= 0x16FF4 && c <= 0x16FF6); // Unicode 17
}

bool firn_is_word(uint32_t c)
{
    if (c < 0x80)
        return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_';
    switch (utf8proc_category((utf8proc_int32_t) c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_PC:
        return true;
    default:
        break;
    }
    // Join_Control, and Other_Alphabetic beyond the marks: circled and squared letters
    if (c == 0x200C || c == 0x200D || (c >= 0x24B6 && c <= 0x24E9) ||
        (c >= 0x1F130 && c <= 0x1F149) || (c >= 0x1F150 && c <= 0x1F169) ||
        (c >= 0x1F170 && c <= 0x1F189))
        return true;
    const char *late = firn_late_category(c);
    return late != NULL && (late[0] == 'L' || late[0] == 'M' || strcmp(late, "Nd") == 0 ||
                            strcmp(late, "Nl") == 0 || strcmp(late, "Pc") == 0);
}

unsigned firn_lower(uint32_t c, uint32_t out[2])
{
    // letters whose lower case Unicode 16 and 17 brought or changed
    static const struct {
        uint32_t first, last, lower;
    } late[] = {
        { 0x1C89, 0x1C89, 0x1C8A },    { 0xA7CB, 0xA7CB, 0x264 },  { 0xA7CC, 0xA7CC, 0xA7CD },
        { 0xA7CE, 0xA7CE, 0xA7CF },    { 0xA7D2, 0xA7D2, 0xA7D3 }, { 0xA7D4, 0xA7D4, 0xA7D5 },
        { 0xA7DA, 0xA7DA, 0xA7DB },    { 0xA7DC, 0xA7DC, 0x19B },  { 0x10D50, 0x10D65, 0x10D70 },
        { 0x16EA0, 0x16EB8, 0x16EBB },
    };
    if (c < 0x80) {
        out[0] = c >= 'A' && c <= 'Z' ? c | 0x20 : c;
        return 1;
    }
    if (c == 0x130) { // the one code point whose lower case is two
        out[0] = 'i';
        out[1] = 0x307;
        return 2;
    }
    for (size_t i = 0; i < sizeof late / sizeof late[0] && c >= late[i].first; i++)
        if (c <= late[i].last) {
            out[0] = late[i].lower + (c - late[i].first);
            return 1;
        }
    out[0] = (uint32_t) utf8proc_tolower((utf8proc_int32_t) c);
    return 1;
}

/* Code points whose decomposition is newer than Unicode 9. */
static bool decomposes_since_9(uint32_t c)
{
    static const struct firn_code_range newer[] = {
        { 0x32FF, 0x32FF },   { 0xA7F1, 0xA7F4 },   { 0xAB69, 0xAB69 },   { 0x105C9, 0x105C9 },
        { 0x105E4, 0x105E4 }, { 0x10781, 0x107BA }, { 0x11383, 0x113C8 }, { 0x11938, 0x11938 },
        { 0x16121, 0x16128 }, { 0x16D68, 0x16D6A }, { 0x1CCD6, 0x1CCF9 }, { 0x1E030, 0x1E06D },
        { 0x1F16C, 0x1F16C }, { 0x1FBF0, 0x1FBF9 },
    };
    return c >= 0x32FF && in_ranges(newer, sizeof newer / sizeof newer[0], c);
}

unsigned firn_decompose(uint32_t c, bool compatibility, uint32_t out[FIRN_DECOMPOSED_MAX])
{
    out[0] = c;
    if (c < 0x80 || decomposes_since_9(c))
        return 1;
    utf8proc_int32_t buffer[FIRN_DECOMPOSED_MAX];
    int boundary = 0;
    const utf8proc_option_t options =
        UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | (compatibility ? UTF8PROC_COMPAT : 0);
    const utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t) c, buffer,
                                                       FIRN_DECOMPOSED_MAX, options, &boundary);
    if (n < 1 || n > FIRN_DECOMPOSED_MAX)
        return 1;
    for (utf8proc_ssize_t i = 0; i < n; i++)
        out[i] = (uint32_t) buffer[i];
    return (unsigned) n;
}

unsigned firn_combining_class(uint32_t c)
{
    if (c < 0x300)
        return 0;
    const utf8proc_propval_t value = utf8proc_get_property((utf8proc_int32_t) c)->combining_class;
    return value != 0 && firn_is_combining_mark(c) ? (unsigned) value : 0;
}

uint32_t firn_compose(uint32_t a, uint32_t b)
{
    if (b < 0x300) // no composition ends in one
        return 0;
    utf8proc_int32_t pair[2] = { (utf8proc_int32_t) a, (utf8proc_int32_t) b };
    const utf8proc_ssize_t n =
        utf8proc_normalize_utf32(pair, 2, UTF8PROC_COMPOSE | UTF8PROC_STABLE);
    return n == 1 && !decomposes_since_9((uint32_t) pair[0]) ? (uint32_t) pair[0] : 0;
}
