/* SPDX-License-Identifier: Apache-2.0 */
/* The byte-level alphabet of GPT-2: a printable character for each of the 256 bytes. */
#ifndef FIRN_TEXT_BYTELEVEL_H
#define FIRN_TEXT_BYTELEVEL_H

#include <stdint.h>

/* Printable bytes stand for themselves, the others for U+0100 and up in order. */
static inline uint32_t firn_byte_char(uint8_t b)
{
    if ((b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE)
        return b;
    if (b <= ' ')
        return 0x100u + b;
    return b == 0xAD ? 0x143 : 0x121u + (b - 0x7Fu);
}

/* The byte of a character of the alphabet, or -1. */
static inline int firn_char_byte(uint32_t c)
{
    if (c < 0x100)
        return firn_byte_char((uint8_t) c) == c ? (int) c : -1;
    if (c <= 0x120)
        return (int) (c - 0x100);
    if (c == 0x143)
        return 0xAD;
    return c < 0x143 ? (int) (c - 0x121 + 0x7F) : -1;
}

#endif
