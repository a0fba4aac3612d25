/* SPDX-License-Identifier: Apache-2.0 */
/* A block of columns of b is packed into panels that stay in the second-level cache while all rows of a go by: tiles of
 * rows are broadcast from where they lie and multiplied in registers (the loop order of Goto & van de Geijn 2008, with
 * b inside). b is packed once a product, a only where it is stored transposed: its columns would be a page apart. */
#include "tensor/gemm.h"

#include <string.h>

enum {
    PACKED_FLOATS = 64 * 1024, /* of a block: a quarter of a MiB, beside rows of a in 1 MiB or half of 512 KiB */
    MOST_COLUMNS = 256,
    LONGEST_K = 2048,          /* of one pass over y */
    TURNED_ROWS = 48,          /* of y at a time where a is stored transposed */
    TURNED_K = 256,            /* short there, so that a block has many columns for each copy of rows of a */
};

/* Rows of op(a) from the first on: element l of row i is at i * row + l * step. */
struct rows {
    const float *a;
    int64_t row, step;
};

struct isa {
    int64_t width;                /* columns of the widest panel */
    int (*wide_of)(int64_t rest); /* vectors of the next panel */
    int64_t lanes;
    void (*turn)(const float *x, int64_t ld, int64_t n, int64_t k, float *panel, int64_t width);
    void (*multiply)(const struct firn_gemm *g, const struct rows *a, int64_t i0, int64_t i1, int64_t j0, int64_t j1,
                     int64_t k0, int64_t k, const float *panels);
};

#if defined(__x86_64__) && defined(__GNUC__) && defined(__OPTIMIZE__)
#include <immintrin.h>

#define ISA(name) avx512_##name
#define TARGET __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,fma")))
#define VEC __m512
#define LANES 16
#define WIDE 4
#define ROWS_WIDE 6
#define ROWS_NARROW 12
#define LOAD(p) _mm512_loadu_ps(p)
#define STORE(p, x) _mm512_storeu_ps(p, x)
#define FMA(a, b, c) _mm512_fmadd_ps(a, b, c)
#define ADD(a, b) _mm512_add_ps(a, b)
#define MUL(a, b) _mm512_mul_ps(a, b)
#define SPLAT(x) _mm512_set1_ps(x)
#define ZERO _mm512_setzero_ps()
#define TRANSPOSE avx512_transpose

/* Pairs of rows, then pairs of pairs, then quarters of registers. */
TARGET static inline __attribute__((always_inline)) void avx512_transpose(const float *x, int64_t ld, float *y,
                                                                          int64_t ldy)
{
    __m512 t[16], s[16];
#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) {
        const __m512 a = LOAD(x + i * ld), b = LOAD(x + (i + 1) * ld);
        t[i] = _mm512_unpacklo_ps(a, b);
        t[i + 1] = _mm512_unpackhi_ps(a, b);
    }
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) { /* 0 1 4 5 ..: the lower and upper halves of four rows */
        const int g = i / 2 * 4, h = i % 2;
        const __m512d a = _mm512_castps_pd(t[g + h]), b = _mm512_castps_pd(t[g + 2 + h]);
        s[g + 2 * h] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
        s[g + 2 * h + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
    }
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++) {
        const __m512 a = _mm512_shuffle_f32x4(s[c], s[4 + c], 0x88), b = _mm512_shuffle_f32x4(s[c], s[4 + c], 0xdd);
        const __m512 d = _mm512_shuffle_f32x4(s[8 + c], s[12 + c], 0x88),
                     e = _mm512_shuffle_f32x4(s[8 + c], s[12 + c], 0xdd);
        STORE(y + c * ldy, _mm512_shuffle_f32x4(a, d, 0x88));
        STORE(y + (4 + c) * ldy, _mm512_shuffle_f32x4(b, e, 0x88));
        STORE(y + (8 + c) * ldy, _mm512_shuffle_f32x4(a, d, 0xdd));
        STORE(y + (12 + c) * ldy, _mm512_shuffle_f32x4(b, e, 0xdd));
    }
}
#include "tensor/gemm_tile.h"

#undef ISA
#undef TARGET
#undef VEC
#undef LANES
#undef WIDE
#undef ROWS_WIDE
#undef ROWS_NARROW
#undef LOAD
#undef STORE
#undef FMA
#undef ADD
#undef MUL
#undef SPLAT
#undef ZERO
#undef TRANSPOSE

#define ISA(name) avx2_##name
#define TARGET __attribute__((target("avx2,fma")))
#define VEC __m256
#define LANES 8
#define WIDE 2
#define ROWS_WIDE 6
#define ROWS_NARROW 6
#define LOAD(p) _mm256_loadu_ps(p)
#define STORE(p, x) _mm256_storeu_ps(p, x)
#define FMA(a, b, c) _mm256_fmadd_ps(a, b, c)
#define ADD(a, b) _mm256_add_ps(a, b)
#define MUL(a, b) _mm256_mul_ps(a, b)
#define SPLAT(x) _mm256_set1_ps(x)
#define ZERO _mm256_setzero_ps()
#define TRANSPOSE avx2_transpose

TARGET static inline __attribute__((always_inline)) void avx2_transpose(const float *x, int64_t ld, float *y, int64_t ldy)
{
    __m256 t[8], s[8];
#pragma GCC unroll 4
    for (int i = 0; i < 8; i += 2) {
        const __m256 a = LOAD(x + i * ld), b = LOAD(x + (i + 1) * ld);
        t[i] = _mm256_unpacklo_ps(a, b);
        t[i + 1] = _mm256_unpackhi_ps(a, b);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        const int g = i / 2 * 4, h = i % 2;
        const __m256d a = _mm256_castps_pd(t[g + h]), b = _mm256_castps_pd(t[g + 2 + h]);
        s[g + 2 * h] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, b));
        s[g + 2 * h + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, b));
    }
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++) {
        STORE(y + c * ldy, _mm256_permute2f128_ps(s[c], s[4 + c], 0x20));
        STORE(y + (4 + c) * ldy, _mm256_permute2f128_ps(s[c], s[4 + c], 0x31));
    }
}
#include "tensor/gemm_tile.h"

static const struct isa *isa_of(const struct firn_gemm *g)
{
    return g->units == FIRN_GEMM_AVX512 ? &avx512_isa : &avx2_isa;
}

enum firn_gemm_units firn_gemm_units(void)
{
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw"))
        return FIRN_GEMM_AVX512;
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? FIRN_GEMM_AVX2 : FIRN_GEMM_NONE;
}
#else
static const struct isa *isa_of(const struct firn_gemm *g)
{
    (void) g;
    return NULL;
}

enum firn_gemm_units firn_gemm_units(void)
{
    return FIRN_GEMM_NONE;
}
#endif

static int64_t longest(const struct firn_gemm *g)
{
    const int64_t most = g->trans_a ? TURNED_K : LONGEST_K;
    return g->k < most ? g->k : most;
}

int64_t firn_gemm_columns(const struct firn_gemm *g)
{
    const int64_t width = isa_of(g)->width, rows = longest(g) + g->r + 1;
    int64_t columns = PACKED_FLOATS / rows / width * width;
    columns = columns < MOST_COLUMNS ? columns : MOST_COLUMNS;
    return columns > 64 ? columns : 64;
}

/* Panels, then columns of a, then rows of b as f32 where it is stored otherwise: of one vector of columns, or one row of all. */
size_t firn_gemm_scratch(const struct firn_gemm *g, int64_t columns)
{
    const struct isa *isa = isa_of(g);
    const int64_t padded = (columns + isa->width - 1) / isa->width * isa->width;
    const int64_t decoded = g->b->dtype == FIRN_F32 ? 0 : g->trans_b ? isa->lanes * longest(g) : padded;
    const int64_t turned = g->trans_a ? TURNED_ROWS * longest(g) : 0;
    return (size_t) (((longest(g) + g->r) * padded + turned + decoded + 15) / 16 * 16);
}

/* Rows of x [k][columns], as they lie, into panel[l][width]. */
static void copy_row(const float *x, int64_t columns, int64_t width, float *row)
{
    memcpy(row, x, sizeof *row * (size_t) columns);
    for (int64_t j = columns; j < width; j++)
        row[j] = 0.0f;
}

/* x [columns][k] into the panel, a vector of columns at a time. */
static void turn(const struct isa *isa, const float *x, int64_t columns, int64_t ld, int64_t k, int64_t width, float *panel)
{
    for (int64_t c = 0; c < width; c += isa->lanes) {
        const int64_t rest = columns - c, n = rest < 0 ? 0 : rest < isa->lanes ? rest : isa->lanes;
        isa->turn(n > 0 ? x + c * ld : x, ld, n, k, panel + c, width);
    }
}

/* Columns j .. j + columns - 1 of op(b), its rows k0 .. k0 + k - 1. */
static void pack(const struct firn_gemm *g, const struct isa *isa, int64_t j, int64_t columns, int64_t width, int64_t k0,
                 int64_t k, float *decoded, float *panel)
{
    const bool is_f32 = g->b->dtype == FIRN_F32;
    const float *b = g->b->data;
    if (g->trans_b && is_f32)
        turn(isa, b + j * g->k + k0, columns, g->k, k, width, panel);
    for (int64_t c = 0; c < width && g->trans_b && !is_f32; c += isa->lanes) {
        const int64_t rest = columns - c, n = rest < 0 ? 0 : rest < isa->lanes ? rest : isa->lanes;
        for (int64_t i = 0; i < n; i++)
            firn_tensor_read_f32(g->b, (j + c + i) * g->k + k0, k, decoded + i * k);
        isa->turn(decoded, k, n, k, panel + c, width);
    }
    for (int64_t l = 0; l < k && !g->trans_b; l++) {
        const int64_t at = (k0 + l) * g->n + j;
        if (!is_f32)
            firn_tensor_read_f32(g->b, at, columns, decoded);
        copy_row(is_f32 ? b + at : decoded, columns, width, panel + l * width);
    }
}

void firn_gemm_block(const struct firn_gemm *g, int64_t i0, int64_t i1, int64_t j0, int64_t j1, float *scratch)
{
    const struct isa *isa = isa_of(g);
    const int64_t padded = (j1 - j0 + isa->width - 1) / isa->width * isa->width;
    float *turned = scratch + (longest(g) + g->r) * padded;
    float *decoded = turned + (g->trans_a ? TURNED_ROWS * longest(g) : 0);
    int64_t k0 = 0;
    do {
        const int64_t k = g->k - k0 < longest(g) ? g->k - k0 : longest(g), r = k0 == 0 ? g->r : 0;
        float *panel = scratch;
        for (int64_t j = j0; j < j1;) {
            const int64_t width = isa->wide_of(j1 - j) * isa->lanes, columns = j1 - j < width ? j1 - j : width;
            pack(g, isa, j, columns, width, k0, k, decoded, panel);
            panel += k * width;
            if (r > 0 && g->trans_v)
                turn(isa, g->v + j * r, columns, r, r, width, panel);
            for (int64_t l = 0; l < r && !g->trans_v; l++)
                copy_row(g->v + l * g->n + j, columns, width, panel + l * width);
            panel += r * width;
            j += width;
        }
        for (int64_t i = i0, end; i < i1; i = end) {
            struct rows rows = { g->a + i * g->k + k0, g->k, 1 };
            end = g->trans_a && i1 - i > TURNED_ROWS ? i + TURNED_ROWS : i1;
            for (int64_t l = 0; l < k && g->trans_a; l++)
                memcpy(turned + l * (end - i), g->a + (k0 + l) * g->m + i, sizeof *turned * (size_t) (end - i));
            if (g->trans_a)
                rows = (struct rows){ turned, 1, end - i };
            isa->multiply(g, &rows, i, end, j0, j1, k0, k, scratch);
        }
        k0 += k;
    } while (k0 < g->k);
}
