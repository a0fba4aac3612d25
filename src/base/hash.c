/* SPDX-License-Identifier: Apache-2.0 */
/* CRC32C by the SSE4.2 instruction where the processor has it, else by slices of eight bytes
 * (Kounavis and Berry 2005); FNV-1a. All give the same value for the same bytes. */
#include "base/hash.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The polynomial 0x1EDC6F41, reflected, for each value of four bits. */
static const uint32_t nibble[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

static uint32_t crc_byte(uint32_t crc, uint8_t byte)
{
    crc ^= byte;
    crc = (crc >> 4) ^ nibble[crc & 15];
    return (crc >> 4) ^ nibble[crc & 15];
}

/* Tables of slice k: the effect of a byte that k more bytes follow. Made anew in each call (2 us),
 * so that the library keeps no state; short inputs go without. */
static uint32_t crc_plain(uint32_t crc, const uint8_t *p, size_t size)
{
    if (size >= 4096) {
        uint32_t t[8][256];
        for (uint32_t i = 0; i < 256; i++)
            t[0][i] = crc_byte(0, (uint8_t) i);
        for (int k = 1; k < 8; k++)
            for (int i = 0; i < 256; i++)
                t[k][i] = (t[k - 1][i] >> 8) ^ t[0][t[k - 1][i] & 255];
        for (; size >= 8; size -= 8, p += 8) {
            crc ^= (uint32_t) p[0] | (uint32_t) p[1] << 8 | (uint32_t) p[2] << 16 |
                   (uint32_t) p[3] << 24;
            crc = t[7][crc & 255] ^ t[6][crc >> 8 & 255] ^ t[5][crc >> 16 & 255] ^ t[4][crc >> 24] ^
                  t[3][p[4]] ^ t[2][p[5]] ^ t[1][p[6]] ^ t[0][p[7]];
        }
    }
    for (; size > 0; size--)
        crc = crc_byte(crc, *p++);
    return crc;
}

#if defined(__x86_64__) && defined(__GNUC__)
__attribute__((target("sse4.2"))) static uint32_t crc_sse42(uint32_t crc, const uint8_t *p,
                                                            size_t size)
{
    uint64_t wide = crc;
    for (; size >= 8; size -= 8, p += 8) {
        uint64_t word;
        memcpy(&word, p, sizeof word);
        wide = __builtin_ia32_crc32di(wide, word);
    }
    crc = (uint32_t) wide;
    for (; size > 0; size--)
        crc = __builtin_ia32_crc32qi(crc, *p++);
    return crc;
}
#endif

uint32_t firn_crc32c_plain(uint32_t crc, const void *data, size_t size)
{
    return ~crc_plain(~crc, data, size);
}

uint32_t firn_crc32c(uint32_t crc, const void *data, size_t size)
{
#if defined(__x86_64__) && defined(__GNUC__)
    if (__builtin_cpu_supports("sse4.2"))
        return ~crc_sse42(~crc, data, size);
#endif
    return firn_crc32c_plain(crc, data, size);
}

firn_status firn_crc32c_file(const char *path, uint32_t *crc, uint64_t *size,
                             struct firn_error *err)
{
    enum { PIECE = 1 << 20 };
    firn_status s = FIRN_OK;
    *crc = 0;
    *size = 0;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return firn_fail(err, FIRN_ERR_IO, .file = path,
                         .what = FIRN_STR("cannot open: %s", strerror(errno)));
    uint8_t *piece = malloc(PIECE);
    if (piece == NULL)
        s = firn_fail(err, FIRN_ERR_MEMORY, .file = path, .what = "no memory to read it");
    while (s == FIRN_OK) {
        const ssize_t n = read(fd, piece, PIECE);
        if (n == 0)
            break;
        if (n > 0) {
            *crc = firn_crc32c(*crc, piece, (size_t) n);
            *size += (uint64_t) n;
        } else if (errno != EINTR) {
            s = firn_fail(err, FIRN_ERR_IO, .file = path,
                          .what = FIRN_STR("cannot read: %s", strerror(errno)));
        }
    }
    free(piece);
    close(fd);
    return s;
}

uint64_t firn_fnv1a(uint64_t hash, const void *data, size_t size)
{
    const uint8_t *p = data;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ p[i]) * 0x100000001b3u;
    return hash;
}
