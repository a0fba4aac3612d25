/* SPDX-License-Identifier: Apache-2.0 */
/* Elements of GGUF tensors: plain floats, and blocks of 32 with a common scale d (ggml's quants):
 * Q8_0: d (f16), 32 signed bytes q; x = d q.  Q4_0: d (f16), 16 bytes; x = d (q - 8), the low halves first. */
#include "model/gguf.h"

#include "tensor/half.h"

#include <string.h>

enum { BLOCK = 32, Q8_BYTES = 34, Q4_BYTES = 18 };

static uint16_t half_at(const uint8_t *p)
{
    return (uint16_t) (p[0] | p[1] << 8);
}

static void read_q8(const uint8_t *row, int64_t col, int64_t n, float *out)
{
    for (int64_t i = 0; i < n; i++) {
        const uint8_t *block = row + (col + i) / BLOCK * Q8_BYTES;
        out[i] = firn_f16_to_f32(half_at(block)) * (float) (int8_t) block[2 + (col + i) % BLOCK];
    }
}

static void read_q4(const uint8_t *row, int64_t col, int64_t n, float *out)
{
    for (int64_t i = 0; i < n; i++) {
        const uint8_t *block = row + (col + i) / BLOCK * Q4_BYTES;
        const int64_t k = (col + i) % BLOCK;
        const int q = k < 16 ? block[2 + k] & 15 : block[2 + k - 16] >> 4;
        out[i] = firn_f16_to_f32(half_at(block)) * (float) (q - 8);
    }
}

static void read_row(const struct firn_packed *p, int64_t row, int64_t col, int64_t n, float *out)
{
    const uint8_t *at = p->bytes;
    switch (p->type) {
    case FIRN_GGML_Q8_0: read_q8(at + row * (p->cols / BLOCK) * Q8_BYTES, col, n, out); return;
    case FIRN_GGML_Q4_0: read_q4(at + row * (p->cols / BLOCK) * Q4_BYTES, col, n, out); return;
    case FIRN_GGML_F16:
        for (int64_t i = 0; i < n; i++)
            out[i] = firn_f16_to_f32(half_at(at + 2 * (row * p->cols + col + i)));
        return;
    case FIRN_GGML_BF16:
        for (int64_t i = 0; i < n; i++)
            out[i] = firn_bf16_to_f32(half_at(at + 2 * (row * p->cols + col + i)));
        return;
    default: memcpy(out, at + 4 * (row * p->cols + col), 4 * (size_t) n); return;
    }
}

/* Row x of a head is row 2 x of the file in the first half, 2 (x - D/2) + 1 in the second. */
int64_t firn_gguf_row(int64_t row, int64_t head_dim)
{
    const int64_t x = row % head_dim, half = head_dim / 2;
    return row - x + 2 * (x % half) + x / half;
}

void firn_packed_read(const struct firn_packed *p, int64_t start, int64_t n, float *out)
{
    while (n > 0) {
        const int64_t row = start / p->cols, col = start % p->cols;
        const int64_t count = n < p->cols - col ? n : p->cols - col;
        read_row(p, p->head_dim > 0 ? firn_gguf_row(row, p->head_dim) : row, col, count, out);
        for (int64_t i = 0; i < count && p->offset != 0; i++)
            out[i] += p->offset;
        start += count;
        out += count;
        n -= count;
    }
}
