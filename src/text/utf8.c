/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of UTF-8 (RFC 3629: no surrogates, no long forms, nothing above U+10FFFF). */
#include "text/utf8.h"

#include <string.h>

int firn_utf8_check(const uint8_t *s, size_t n)
{
    const uint8_t b = s[0];
    if (b < 0x80)
        return 1;
    if (b < 0xC2 || b > 0xF4)
        return -1;
    const int size = b < 0xE0 ? 2 : b < 0xF0 ? 3 : 4;
    uint8_t low = 0x80, high = 0xBF; // of the second byte
    if (b == 0xE0)
        low = 0xA0;
    else if (b == 0xED)
        high = 0x9F;
    else if (b == 0xF0)
        low = 0x90;
    else if (b == 0xF4)
        high = 0x8F;
    for (int i = 1; i < size; i++) {
        if ((size_t) i >= n || s[i] < low || s[i] > high)
            return -i;
        low = 0x80;
        high = 0xBF;
    }
    return size;
}

size_t firn_ascii_size(const uint8_t *s, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t word;
        memcpy(&word, s + i, 8);
        if ((word & 0x8080808080808080u) != 0)
            break;
    }
    while (i < n && s[i] < 0x80)
        i++;
    return i;
}

size_t firn_utf8_valid(const uint8_t *s, size_t n)
{
    size_t i = 0;
    while ((i += firn_ascii_size(s + i, n - i)) < n)
        while (i < n && s[i] >= 0x80) {
            const int size = firn_utf8_check(s + i, n - i);
            if (size < 0)
                return i;
            i += (size_t) size;
        }
    return n;
}
