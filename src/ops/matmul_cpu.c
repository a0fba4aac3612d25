/* SPDX-License-Identifier: Apache-2.0 */
/* Products on the cpu device. Where the processor has units that tensor/gemm.h knows, blocks of columns, a task each;
 * elsewhere, and for a handful of rows, panels of the result by single-threaded BLAS, which depend on the shape only.
 * Bits do not depend on threads either way. */
#include "ops/matmul.h"
#include "tensor/blas.h"
#include "tensor/gemm.h"

/* Fewer rows do not pay for packing b. */
enum { LEAST_ROWS = 8 };

struct blocks {
    struct firn_gemm gemm;
    int64_t rows, columns, n_across; /* of a block; blocks in a row of blocks */
    float *scratch;
    size_t scratch_floats; /* a thread's */
};

/* A block of columns is packed once for all rows, unless there are more threads than blocks. */
static struct blocks blocks_of(const struct firn_call *call, int n_threads)
{
    const struct firn_matmul_attrs *t = call->attrs;
    const struct firn_matmul_sizes s = firn_matmul_sizes(call);
    struct blocks b = { .gemm = { .units = firn_gemm_units(),
        .m = s.m, .n = s.n, .k = s.k, .r = s.r, .trans_a = t->trans_a, .trans_b = t->trans_b, .trans_v = t->trans_v,
        .alpha = t->alpha, .a = firn_f32(&call->in[FIRN_MATMUL_A]), .b = &call->in[FIRN_MATMUL_B],
        .u = firn_f32(&call->in[FIRN_MATMUL_U]), .v = firn_f32(&call->in[FIRN_MATMUL_V]),
        .bias = firn_f32(&call->in[FIRN_MATMUL_BIAS]), .residual = firn_f32(&call->in[FIRN_MATMUL_RESIDUAL]),
        .y = firn_f32(&call->out[0]) }, .scratch = call->scratch };
    enum { FEWEST = 96, TASKS = 4 };
    int64_t columns = firn_gemm_columns(&b.gemm);
    while (columns > 64 && (s.n + columns - 1) / columns < TASKS * n_threads && n_threads > 1)
        columns /= 2;
    b.columns = columns < 64 ? 64 : columns;
    b.n_across = (s.n + b.columns - 1) / b.columns;
    int64_t down = n_threads > 1 && b.n_across > 0 ? (TASKS * n_threads + b.n_across - 1) / b.n_across : 1;
    if (down > s.m / FEWEST)
        down = s.m / FEWEST;
    b.rows = down > 1 ? ((s.m + down - 1) / down + 11) / 12 * 12 : s.m;
    b.scratch_floats = firn_gemm_scratch(&b.gemm, b.columns < s.n ? b.columns : s.n);
    return b;
}

static void block(void *user, int index, int thread)
{
    const struct blocks *b = user;
    const int64_t i = index / b->n_across * b->rows, j = index % b->n_across * b->columns;
    firn_gemm_block(&b->gemm, i, i + b->rows < b->gemm.m ? i + b->rows : b->gemm.m, j,
                    j + b->columns < b->gemm.n ? j + b->columns : b->gemm.n, b->scratch + (size_t) thread * b->scratch_floats);
}

static bool in_blocks(const struct firn_call *call)
{
    return firn_gemm_units() != FIRN_GEMM_NONE && firn_matmul_sizes(call).m >= LEAST_ROWS;
}

struct panels {
    const struct firn_call *call;
    struct firn_matmul_sizes s;
    size_t scratch_floats; /* a thread's part of the scratch: a panel of b, decoded */
    int64_t rows, cols, n_across; /* of a panel; panels in a row of panels */
};

bool firn_matmul_cpu_accepts(const struct firn_call *call)
{
    return call->in[FIRN_MATMUL_A].dtype == FIRN_F32 && firn_dtype_is_float(call->in[FIRN_MATMUL_B].dtype) &&
           call->in[FIRN_MATMUL_B].dtype != FIRN_F64;
}

/* About 8 panels, none so thin that packing the other operand again costs more than a few percent. */
static int64_t piece(int64_t n)
{
    int64_t size = ((n + 7) / 8 + 31) / 32 * 32;
    if (size < 64)
        size = 64;
    return size < 256 ? size : 256;
}

/* Decoded at once: a vocabulary is long. */
static int64_t piece_of_k(const struct firn_matmul_sizes *s)
{
    enum { LONGEST = 4096 };
    return s->k < LONGEST ? s->k : LONGEST;
}

/* Panels by columns when b must be decoded: each column's part of b is decoded once, by the thread that needs it. */
static struct panels panels_of(const struct firn_call *call)
{
    struct panels p = { .call = call, .s = firn_matmul_sizes(call) };
    const bool decodes = call->in[FIRN_MATMUL_B].dtype != FIRN_F32;
    const bool by_rows = !decodes && (p.s.m >= p.s.n || p.s.m >= 256);
    p.rows = by_rows ? piece(p.s.m) : p.s.m;
    p.cols = by_rows ? p.s.n : piece(p.s.n);
    p.n_across = p.cols > 0 ? (p.s.n + p.cols - 1) / p.cols : 0;
    const int64_t widest = p.cols < p.s.n ? p.cols : p.s.n;
    p.scratch_floats = decodes ? (size_t) ((piece_of_k(&p.s) * widest + 63) / 64 * 64) : 0;
    return p;
}

size_t firn_matmul_cpu_scratch(const struct firn_call *call, int n_threads)
{
    if (in_blocks(call))
        return sizeof(float) * blocks_of(call, n_threads).scratch_floats * (size_t) n_threads;
    return sizeof(float) * panels_of(call).scratch_floats * (size_t) n_threads;
}

/* Rows k0 .. k0 + k and columns j0 .. j0 + n of b as f32: [n, k] or [k, n], as b lies. */
static void decode(const struct panels *p, int64_t j0, int64_t n, int64_t k0, int64_t k, float *out)
{
    const struct firn_call *call = p->call;
    const struct firn_matmul_attrs *t = call->attrs;
    for (int64_t j = 0; j < n && t->trans_b; j++)
        firn_tensor_read_f32(&call->in[FIRN_MATMUL_B], (j0 + j) * p->s.k + k0, k, out + j * k);
    for (int64_t i = 0; i < k && !t->trans_b; i++)
        firn_tensor_read_f32(&call->in[FIRN_MATMUL_B], (k0 + i) * p->s.n + j0, n, out + i * n);
}

/* What the product is added to: residual and bias, or nothing (then BLAS overwrites). */
static float prepare(const struct panels *p, int64_t i0, int64_t m, int64_t j0, int64_t n)
{
    const struct firn_call *call = p->call;
    const float *bias = firn_f32(&call->in[FIRN_MATMUL_BIAS]);
    const float *residual = firn_f32(&call->in[FIRN_MATMUL_RESIDUAL]);
    if (bias == NULL && residual == NULL)
        return 0;
    for (int64_t i = i0; i < i0 + m; i++) {
        float *y = firn_f32(&call->out[0]) + i * p->s.n + j0;
        const float *from = residual != NULL ? residual + i * p->s.n + j0 : NULL;
        if (from != NULL && bias != NULL)
            for (int64_t j = 0; j < n; j++)
                y[j] = from[j] + bias[j0 + j];
        else if (from != NULL && from != y)
            memcpy(y, from, sizeof *y * (size_t) n);
        else if (from == NULL)
            memcpy(y, bias + j0, sizeof *y * (size_t) n);
    }
    return 1;
}

static void panel(void *user, int index, int thread)
{
    const struct panels *p = user;
    const struct firn_call *call = p->call;
    const struct firn_matmul_attrs *t = call->attrs;
    const struct firn_matmul_sizes s = p->s;
    const int64_t i0 = index / p->n_across * p->rows, j0 = index % p->n_across * p->cols;
    const int64_t m = i0 + p->rows < s.m ? p->rows : s.m - i0;
    const int64_t n = j0 + p->cols < s.n ? p->cols : s.n - j0;
    const float *a = firn_f32(&call->in[FIRN_MATMUL_A]) + (t->trans_a ? i0 : i0 * s.k);
    const bool decodes = p->scratch_floats > 0;
    float *own = decodes ? (float *) call->scratch + (size_t) thread * p->scratch_floats : NULL;
    float *y = firn_f32(&call->out[0]) + i0 * s.n + j0;
    float beta = prepare(p, i0, m, j0, n);
    if (s.k == 0 && beta == 0)
        for (int64_t i = 0; i < m; i++)
            memset(y + i * s.n, 0, sizeof *y * (size_t) n);
    if (s.k > 0 && !decodes)
        firn_sgemm(t->trans_a, t->trans_b, m, n, s.k, t->alpha, a, t->trans_a ? s.m : s.k,
                   firn_f32(&call->in[FIRN_MATMUL_B]) + (t->trans_b ? j0 * s.k : j0), t->trans_b ? s.k : s.n, beta, y,
                   s.n);
    for (int64_t k0 = 0; k0 < s.k && decodes; k0 += piece_of_k(&s), beta = 1) {
        const int64_t k = s.k - k0 < piece_of_k(&s) ? s.k - k0 : piece_of_k(&s);
        decode(p, j0, n, k0, k, own);
        firn_sgemm(t->trans_a, t->trans_b, m, n, k, t->alpha, a + (t->trans_a ? k0 * s.m : k0), t->trans_a ? s.m : s.k, own,
                   t->trans_b ? k : n, beta, y, s.n);
    }
    if (s.r > 0) {
        const float *v = firn_f32(&call->in[FIRN_MATMUL_V]) + (t->trans_v ? j0 * s.r : j0);
        firn_sgemm(false, t->trans_v, m, n, s.r, 1, firn_f32(&call->in[FIRN_MATMUL_U]) + i0 * s.r, s.r, v,
                   t->trans_v ? s.r : s.n, 1, y, s.n);
    }
}

void firn_matmul_cpu(const struct firn_call *call)
{
    if (in_blocks(call)) {
        struct blocks b = blocks_of(call, firn_pool_threads(call->pool));
        firn_pool_run(call->pool, (int) ((b.gemm.m + b.rows - 1) / b.rows * b.n_across), block, &b);
        return;
    }
    const struct panels p = panels_of(call);
    if (p.s.m == 0 || p.s.n == 0)
        return;
    firn_pool_run(call->pool, (int) ((p.s.m + p.rows - 1) / p.rows * p.n_across), panel, (void *) (uintptr_t) &p);
}
