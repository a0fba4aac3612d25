/* SPDX-License-Identifier: Apache-2.0 */
/* The inner parts of gemm.c for one instruction set; included once for each, with
 *   ISA(name)      the name of a function here        TARGET   its attribute
 *   VEC, LANES     a vector and its floats            WIDE     vectors across the widest panel
 *   ROWS_WIDE, ROWS_NARROW   rows of a tile of the widest panel, and of the others
 *   LOAD, STORE, FMA (a b + c), ADD, MUL, SPLAT, ZERO, TRANSPOSE(x, ld, y, ldy)
 * A panel is op(b) of some columns as [k][columns], zeros beyond the last column. */

struct ISA(tile) {
    const float *a, *u;   /* first row of the tile */
    int64_t a_row, a_step, u_row, k, r;
    const float *panel, *bias, *residual;
    float alpha, *y;
    int64_t ldy;          /* of residual too */
};

/* One tile in registers; always inlined, so that `rows` and `wide` are constants. */
TARGET static inline __attribute__((always_inline)) void ISA(tile_of)(const struct ISA(tile) *t, const int rows,
                                                                      const int wide)
{
    VEC sum[12][4];
    const float *b = t->panel, *a = t->a;
    const int64_t row = t->a_row, step = t->a_step;
#pragma GCC unroll 12
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < wide; j++) {
            sum[i][j] = ZERO;
            __builtin_prefetch(t->y + i * t->ldy + j * LANES, 1); /* comes while the sums are made */
        }
    if (t->residual != NULL && t->residual != t->y)
#pragma GCC unroll 12
        for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
            for (int j = 0; j < wide; j++)
                __builtin_prefetch(t->residual + i * t->ldy + j * LANES, 0);
    for (int64_t l = 0; l < t->k; l++, b += wide * LANES, a += step) {
        VEC columns[4];
#pragma GCC unroll 4
        for (int j = 0; j < wide; j++)
            columns[j] = LOAD(b + j * LANES);
#pragma GCC unroll 12
        for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
            for (int j = 0; j < wide; j++)
                sum[i][j] = FMA(SPLAT(a[i * row]), columns[j], sum[i][j]);
    }
    if (t->alpha != 1.0f)
#pragma GCC unroll 12
        for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
            for (int j = 0; j < wide; j++)
                sum[i][j] = MUL(SPLAT(t->alpha), sum[i][j]);
    for (int64_t l = 0; l < t->r; l++, b += wide * LANES) {
#pragma GCC unroll 12
        for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
            for (int j = 0; j < wide; j++)
                sum[i][j] = FMA(SPLAT(t->u[i * t->u_row + l]), LOAD(b + j * LANES), sum[i][j]);
    }
#pragma GCC unroll 12
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < wide; j++) {
            VEC y = sum[i][j];
            if (t->bias != NULL)
                y = ADD(y, LOAD(t->bias + j * LANES));
            if (t->residual != NULL)
                y = ADD(y, LOAD(t->residual + i * t->ldy + j * LANES));
            STORE(t->y + i * t->ldy + j * LANES, y);
        }
}

#define TILE(rows, wide) \
    TARGET static void ISA(tile_##rows##_##wide)(const struct ISA(tile) *t) { ISA(tile_of)(t, rows, wide); }
#if WIDE == 4
TILE(6, 4) TILE(2, 4) TILE(1, 4)
#endif
#if ROWS_NARROW == 12
TILE(12, 2) TILE(12, 1)
#endif
TILE(6, 2) TILE(2, 2) TILE(1, 2) TILE(6, 1) TILE(2, 1) TILE(1, 1)
#undef TILE

/* As many rows as fit; says how many it did. */
TARGET static int64_t ISA(rows_of)(const struct ISA(tile) *t, int64_t rows, int wide)
{
#define TRY(n, w)                                                                                 \
    if (rows >= n && wide == w) {                                                                 \
        ISA(tile_##n##_##w)(t);                                                                   \
        return n;                                                                                 \
    }
#if ROWS_NARROW == 12
    TRY(12, 2) TRY(12, 1)
#endif
#if WIDE == 4
    TRY(6, 4) TRY(2, 4) TRY(1, 4)
#endif
    TRY(6, 2) TRY(2, 2) TRY(1, 2) TRY(6, 1) TRY(2, 1) TRY(1, 1)
#undef TRY
    return rows;
}

/* Vectors of the panel that starts where `rest` columns are left. */
static int ISA(wide_of)(int64_t rest)
{
    int wide = WIDE;
    while (wide > 1 && rest <= wide / 2 * LANES)
        wide /= 2;
    return wide;
}

/* panel[l][j] = x[j][l] for n columns j, zero in the lanes beyond. */
TARGET static void ISA(turn)(const float *x, int64_t ld, int64_t n, int64_t k, float *panel, int64_t width)
{
    int64_t l = 0;
    for (; l + LANES <= k && n == LANES; l += LANES)
        TRANSPOSE(x + l, ld, panel + l * width, width);
    for (; l < k; l++)
        for (int64_t j = 0; j < LANES; j++)
            panel[l * width + j] = j < n ? x[j * ld + l] : 0.0f;
}

/* Rows i0 .. i1 - 1 of a and u against the panels of columns j0 .. j1 - 1; k0 .. k0 + k of the sum, and u v. */
TARGET static void ISA(multiply)(const struct firn_gemm *g, const struct rows *a, int64_t i0, int64_t i1, int64_t j0,
                                 int64_t j1, int64_t k0, int64_t k, const float *panels)
{
    const bool is_first = k0 == 0;
    const int64_t r = is_first ? g->r : 0;
    /* every panel goes by the rows of the first, the widest, so that they advance together */
    const int64_t most = ISA(wide_of)(j1 - j0) == WIDE ? ROWS_WIDE : ROWS_NARROW;
    float edge[12 * 4 * LANES];
    for (int64_t i = i0, rows = 0; i < i1; i += rows) {
        const float *panel = panels;
        rows = i1 - i;
        for (int64_t j = j0; j < j1;) {
            const int wide = ISA(wide_of)(j1 - j);
            const int64_t width = wide * LANES, columns = j1 - j < width ? j1 - j : width;
            const float *residual = is_first ? g->residual : g->y, *bias = is_first ? g->bias : NULL;
            const bool is_whole = columns == width;
            struct ISA(tile) t = {
                .a = a->a + (i - i0) * a->row, .a_row = a->row, .a_step = a->step, .k = k,
                .u = r > 0 ? g->u + i * g->r : NULL, .u_row = g->r, .r = r, .panel = panel, .alpha = g->alpha,
                .bias = is_whole && bias != NULL ? bias + j : NULL,
                .residual = is_whole && residual != NULL ? residual + i * g->n + j : NULL,
                .y = is_whole ? g->y + i * g->n + j : edge, .ldy = is_whole ? g->n : width };
            const int64_t want = rows < most ? rows : most;
            int64_t done = 0;
            while (done < want) {
                const int64_t n = ISA(rows_of)(&t, want - done, wide);
                for (int64_t x = 0; x < n && !is_whole; x++)
                    for (int64_t c = 0; c < columns; c++) {
                        const int64_t at = (i + done + x) * g->n + j + c;
                        float y = edge[x * width + c];
                        if (bias != NULL)
                            y += bias[j + c];
                        g->y[at] = residual != NULL ? y + residual[at] : y;
                    }
                done += n;
                t.a += n * t.a_row;
                t.u = t.u != NULL ? t.u + n * t.u_row : NULL;
                t.y += is_whole ? n * t.ldy : 0;
                t.residual = t.residual != NULL ? t.residual + n * t.ldy : NULL;
            }
            rows = want;
            panel += (k + r) * width;
            j += width;
        }
    }
}

static const struct isa ISA(isa) = { LANES * WIDE, ISA(wide_of), LANES, ISA(turn), ISA(multiply) };
