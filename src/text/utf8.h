/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8, one code point at a time. Texts are checked once where they enter; after that the
 * unchecked readers are used. */
#ifndef FIRN_TEXT_UTF8_H
#define FIRN_TEXT_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of the code point whose first byte is `b` (valid text). */
static inline unsigned firn_utf8_size(uint8_t b)
{
    return b < 0x80 ? 1 : b < 0xE0 ? 2 : b < 0xF0 ? 3 : 4;
}

/* The code point at `s` (valid text). */
static inline uint32_t firn_utf8_get(const uint8_t *s)
{
    if (s[0] < 0x80)
        return s[0];
    if (s[0] < 0xE0)
        return (uint32_t) (s[0] & 0x1F) << 6 | (s[1] & 0x3Fu);
    if (s[0] < 0xF0)
        return (uint32_t) (s[0] & 0x0F) << 12 | (uint32_t) (s[1] & 0x3F) << 6 | (s[2] & 0x3Fu);
    return (uint32_t) (s[0] & 0x07) << 18 | (uint32_t) (s[1] & 0x3F) << 12 |
           (uint32_t) (s[2] & 0x3F) << 6 | (s[3] & 0x3Fu);
}

/* Writes a code point; returns its bytes (1 to 4). */
static inline unsigned firn_utf8_put(uint8_t *s, uint32_t c)
{
    if (c < 0x80) {
        s[0] = (uint8_t) c;
        return 1;
    }
    if (c < 0x800) {
        s[0] = (uint8_t) (0xC0 | c >> 6);
        s[1] = (uint8_t) (0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        s[0] = (uint8_t) (0xE0 | c >> 12);
        s[1] = (uint8_t) (0x80 | (c >> 6 & 0x3F));
        s[2] = (uint8_t) (0x80 | (c & 0x3F));
        return 3;
    }
    s[0] = (uint8_t) (0xF0 | c >> 18);
    s[1] = (uint8_t) (0x80 | (c >> 12 & 0x3F));
    s[2] = (uint8_t) (0x80 | (c >> 6 & 0x3F));
    s[3] = (uint8_t) (0x80 | (c & 0x3F));
    return 4;
}

/* The position where the code point before `at` begins (valid text, at > 0). */
static inline size_t firn_utf8_before(const uint8_t *s, size_t at)
{
    do
        at--;
    while (at > 0 && (s[at] & 0xC0) == 0x80);
    return at;
}

/* Bytes of a well-formed sequence at `s`, or minus the bytes of the longest prefix of one (at least
 * 1): what one replacement character stands for. n > 0. */
int firn_utf8_check(const uint8_t *s, size_t n);
/* The position of the first byte that is not UTF-8; n when there is none. */
size_t firn_utf8_valid(const uint8_t *s, size_t n);
/* The position of the first byte that is not ASCII; n when there is none. */
size_t firn_ascii_size(const uint8_t *s, size_t n);

#endif
