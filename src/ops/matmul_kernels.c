/* SPDX-License-Identifier: Apache-2.0 */
/* The shaders of products, best first: register tiles for drivers on a CPU, a fixed-order split of long sums into small
 * results, shared-memory tiles for GPUs, and one that takes everything. */
#include "ops/matmul.h"

static bool types_are(const struct firn_call *call, bool trans_a, bool trans_b, enum firn_dtype b)
{
    const struct firn_matmul_attrs *t = call->attrs;
    return t->trans_a == trans_a && t->trans_b == trans_b && call->in[FIRN_MATMUL_B].dtype == b;
}

static bool is_plain(const struct firn_call *call)
{
    for (int i = FIRN_MATMUL_BIAS; i <= FIRN_MATMUL_V; i++)
        if (firn_has(&call->in[i]))
            return false;
    return true;
}

/* m, n, k, r, which optional inputs there are, trans_v, alpha */
void firn_matmul_push(const struct firn_call *call, struct firn_dispatch *d)
{
    const struct firn_matmul_sizes s = firn_matmul_sizes(call);
    const struct firn_matmul_attrs *t = call->attrs;
    firn_push(d, (uint64_t) s.m);
    firn_push(d, (uint64_t) s.n);
    firn_push(d, (uint64_t) s.k);
    firn_push(d, (uint64_t) s.r);
    firn_push_f32(d, t->alpha);
    firn_spec(d, firn_has(&call->in[FIRN_MATMUL_BIAS]));
    firn_spec(d, firn_has(&call->in[FIRN_MATMUL_RESIDUAL]));
    firn_spec(d, s.r > 0 ? t->trans_v ? 2 : 1 : 0);
}

static void grid(struct firn_dispatch *d, int64_t rows, int64_t cols)
{
    d->groups[0] = (uint32_t) cols;
    d->groups[1] = (uint32_t) rows;
    d->groups[2] = 1;
}

static bool grid_fits(const struct firn_limits *limits, int64_t rows, int64_t cols)
{
    return rows <= limits->max_groups[1] && cols <= limits->max_groups[0];
}

/* matmul_soft.comp: lanes along the columns, `SAME` rows a work group; SWAP: lanes along the rows. */
enum { SOFT_LANES = 64, SOFT_SAME = 16, SOFT_SAME_FEW = 4, SOFT_SAME_SWAP = 8 };

static int64_t tiles(int64_t n, int64_t size)
{
    return (n + size - 1) / size;
}

/* Vectors of 2 along k where an operand is contiguous along k, else of 4. */
static bool soft_is_wide(const struct firn_call *call)
{
    const struct firn_matmul_sizes s = firn_matmul_sizes(call);
    const struct firn_matmul_attrs *t = call->attrs;
    return (t->trans_a ? s.m % 4 == 0 : s.k % 2 == 0) && (t->trans_b ? s.k % 2 == 0 : s.n % 4 == 0);
}

/* Results that are computed, edges of tiles included; short tiles load more for each. */
static double soft_cost(const struct firn_call *call, int64_t rows, int64_t cols, double each)
{
    const struct firn_matmul_sizes s = firn_matmul_sizes(call);
    return (double) (tiles(s.m, rows) * rows) * (double) (tiles(s.n, cols) * cols) * each;
}

static bool swap_pays(const struct firn_call *call)
{
    return soft_cost(call, SOFT_LANES, SOFT_SAME_SWAP, 1.3) < soft_cost(call, SOFT_SAME, SOFT_LANES, 1);
}

static bool soft_fits(const struct firn_call *call, const struct firn_limits *limits)
{
    const struct firn_matmul_sizes s = firn_matmul_sizes(call);
    return grid_fits(limits, tiles(s.m, SOFT_SAME_FEW), tiles(s.n, SOFT_LANES)) && soft_is_wide(call);
}

static bool plain_fits(const struct firn_call *call, const struct firn_limits *limits)
{
    const struct firn_matmul_sizes s = firn_matmul_sizes(call);
    return grid_fits(limits, tiles(s.m, SOFT_SAME_FEW), tiles(s.n, SOFT_LANES));
}

static void soft_setup(const struct firn_call *call, const struct firn_limits *limits,
                       struct firn_dispatch *d)
{
    const struct firn_matmul_sizes s = firn_matmul_sizes(call);
    (void) limits;
    firn_matmul_push(call, d);
    grid(d, tiles(s.m, SOFT_SAME), tiles(s.n, SOFT_LANES));
}

/* A row or a few: a token that is generated, a pooled vector of each example. */
static bool few_fits(const struct firn_call *call, const struct firn_limits *limits)
{
    return firn_matmul_sizes(call).m <= SOFT_SAME_FEW && soft_fits(call, limits);
}

static void few_setup(const struct firn_call *call, const struct firn_limits *limits,
                      struct firn_dispatch *d)
{
    const struct firn_matmul_sizes s = firn_matmul_sizes(call);
    (void) limits;
    firn_matmul_push(call, d);
    grid(d, tiles(s.m, SOFT_SAME_FEW), tiles(s.n, SOFT_LANES));
}

/* Few columns: lanes go along the rows. */
static bool narrow_fits(const struct firn_call *call, const struct firn_limits *limits)
{
    const struct firn_matmul_sizes s = firn_matmul_sizes(call);
    return s.n <= 40 && swap_pays(call) && grid_fits(limits, tiles(s.m, SOFT_LANES), tiles(s.n, SOFT_SAME_SWAP)) &&
           soft_is_wide(call);
}

static bool thin_fits(const struct firn_call *call, const struct firn_limits *limits)
{
    const struct firn_matmul_sizes s = firn_matmul_sizes(call);
    return s.n <= 40 && swap_pays(call) && grid_fits(limits, tiles(s.m, SOFT_LANES), tiles(s.n, SOFT_SAME_SWAP));
}

static void narrow_setup(const struct firn_call *call, const struct firn_limits *limits,
                         struct firn_dispatch *d)
{
    const struct firn_matmul_sizes s = firn_matmul_sizes(call);
    (void) limits;
    firn_matmul_push(call, d);
    grid(d, tiles(s.m, SOFT_LANES), tiles(s.n, SOFT_SAME_SWAP));
}

static void any_setup(const struct firn_call *call, const struct firn_limits *limits,
                      struct firn_dispatch *d)
{
    const struct firn_matmul_sizes s = firn_matmul_sizes(call);
    firn_matmul_push(call, d);
    firn_grid_flat(d, limits, ((s.m + 3) / 4 * s.n + 31) / 32);
}

enum { PIECE = 256 };

static bool split_fits(const struct firn_call *call, const struct firn_limits *limits)
{
    const struct firn_matmul_sizes s = firn_matmul_sizes(call);
    (void) limits;
    return is_plain(call) && s.k >= 4 * PIECE && s.m * s.n <= 65536;
}

static int64_t n_pieces(const struct firn_call *call)
{
    return (firn_matmul_sizes(call).k + PIECE - 1) / PIECE;
}

static size_t split_scratch(const struct firn_call *call, const struct firn_limits *limits)
{
    (void) limits;
    return sizeof(float) * (size_t) (n_pieces(call) * firn_count(&call->out[0]) + 1);
}

static void split_setup(const struct firn_call *call, const struct firn_limits *limits,
                        struct firn_dispatch *d)
{
    firn_matmul_push(call, d);
    firn_grid_flat(d, limits, (n_pieces(call) * firn_count(&call->out[0]) + 31) / 32);
}

static void join_setup(const struct firn_call *call, const struct firn_limits *limits,
                       struct firn_dispatch *d)
{
    firn_matmul_push(call, d);
    firn_grid_flat(d, limits, (firn_count(&call->out[0]) + 31) / 32);
}

static const struct firn_kernel join = { "matmul_split_join", "matmul_split", "JOIN=1 TRANS_A=0 TRANS_B=0 B_TYPE=0",
                                         .setup = join_setup };

/* One accept function per transposition, type of b and kernel: the macro writes them. */
#define ACCEPTS(kernel, mode, ta, tb, type, dtype)                                                \
    static bool kernel##_##mode##_##type(const struct firn_call *c, const struct firn_limits *l)  \
    {                                                                                             \
        return types_are(c, ta, tb, dtype) && kernel##_fits(c, l);                                \
    }
static bool any_fits(const struct firn_call *call, const struct firn_limits *limits)
{
    (void) call;
    (void) limits;
    return true;
}
#define coop_fits firn_matmul_coop_fits
#define tile_fits firn_matmul_tile_fits
#define tile_large_fits firn_matmul_large_fits
#define slices_fits firn_matmul_slices_fits
#define slices_narrow_fits firn_matmul_narrow_fits
#define slices_low_fits firn_matmul_low_fits
/* Frozen b of 16 bits or less is read forward (nt) and backward (nn); gradients of trained matrices are tn. */
#define FROZEN_ACCEPTS(name, dtype)                                                               \
    ACCEPTS(tile, nn, 0, 0, name, dtype)                                                          \
    ACCEPTS(tile, nt, 0, 1, name, dtype)                                                          \
    ACCEPTS(tile_large, nn, 0, 0, name, dtype)                                                    \
    ACCEPTS(tile_large, nt, 0, 1, name, dtype)                                                    \
    ACCEPTS(slices, nn, 0, 0, name, dtype)                                                        \
    ACCEPTS(slices, nt, 0, 1, name, dtype)                                                        \
    ACCEPTS(slices_low, nn, 0, 0, name, dtype)                                                    \
    ACCEPTS(slices_low, nt, 0, 1, name, dtype)
FROZEN_ACCEPTS(f32, FIRN_F32)
FROZEN_ACCEPTS(f16, FIRN_F16)
FROZEN_ACCEPTS(bf16, FIRN_BF16)
FROZEN_ACCEPTS(nf4, FIRN_NF4)
FROZEN_ACCEPTS(nf4d, FIRN_NF4_DOUBLE)
FROZEN_ACCEPTS(int8, FIRN_INT8_ROWS)
ACCEPTS(tile, tn, 1, 0, f16, FIRN_F16)
ACCEPTS(tile, tn, 1, 0, bf16, FIRN_BF16)
ACCEPTS(tile, tt, 1, 1, f16, FIRN_F16)
ACCEPTS(tile, tt, 1, 1, bf16, FIRN_BF16)
ACCEPTS(tile, tn, 1, 0, f32, FIRN_F32)
ACCEPTS(tile, tt, 1, 1, f32, FIRN_F32)
ACCEPTS(tile_large, tn, 1, 0, f32, FIRN_F32)
ACCEPTS(slices, tn, 1, 0, f32, FIRN_F32)
ACCEPTS(slices, tt, 1, 1, f32, FIRN_F32)
ACCEPTS(slices_low, tn, 1, 0, f32, FIRN_F32)
ACCEPTS(slices_low, tt, 1, 1, f32, FIRN_F32)
ACCEPTS(slices_narrow, nn, 0, 0, f32, FIRN_F32)
ACCEPTS(slices_narrow, nt, 0, 1, f32, FIRN_F32)
ACCEPTS(slices_narrow, tn, 1, 0, f32, FIRN_F32)
ACCEPTS(slices_narrow, tt, 1, 1, f32, FIRN_F32)
#define coop_large_fits firn_matmul_coop_large_fits
#define coop_fast_fits firn_matmul_coop_fast_fits
#define coop_large_fast_fits firn_matmul_coop_large_fast_fits
#define COOP_ACCEPTS(name, dtype)                                                                 \
    ACCEPTS(coop, nn, 0, 0, name, dtype)                                                          \
    ACCEPTS(coop, nt, 0, 1, name, dtype)                                                          \
    ACCEPTS(coop_large, nn, 0, 0, name, dtype)                                                    \
    ACCEPTS(coop_large, nt, 0, 1, name, dtype)
#define COOP_FAST_ACCEPTS(name, dtype)                                                            \
    ACCEPTS(coop_fast, nn, 0, 0, name, dtype)                                                     \
    ACCEPTS(coop_fast, nt, 0, 1, name, dtype)                                                     \
    ACCEPTS(coop_large_fast, nn, 0, 0, name, dtype)                                               \
    ACCEPTS(coop_large_fast, nt, 0, 1, name, dtype)
COOP_FAST_ACCEPTS(f16, FIRN_F16)
COOP_FAST_ACCEPTS(bf16, FIRN_BF16)
COOP_ACCEPTS(f16, FIRN_F16)
COOP_ACCEPTS(bf16, FIRN_BF16)
COOP_ACCEPTS(nf4, FIRN_NF4)
COOP_ACCEPTS(nf4d, FIRN_NF4_DOUBLE)
COOP_ACCEPTS(int8, FIRN_INT8_ROWS)
ACCEPTS(few, nn, 0, 0, f32, FIRN_F32)
ACCEPTS(few, nn, 0, 0, f16, FIRN_F16)
ACCEPTS(few, nn, 0, 0, bf16, FIRN_BF16)
ACCEPTS(few, nt, 0, 1, f32, FIRN_F32)
ACCEPTS(few, nt, 0, 1, f16, FIRN_F16)
ACCEPTS(few, nt, 0, 1, bf16, FIRN_BF16)
ACCEPTS(narrow, nn, 0, 0, f32, FIRN_F32)
ACCEPTS(narrow, nt, 0, 1, f32, FIRN_F32)
ACCEPTS(narrow, tn, 1, 0, f32, FIRN_F32)
ACCEPTS(narrow, tt, 1, 1, f32, FIRN_F32)
ACCEPTS(soft, nn, 0, 0, f32, FIRN_F32)
ACCEPTS(soft, nn, 0, 0, f16, FIRN_F16)
ACCEPTS(soft, nn, 0, 0, bf16, FIRN_BF16)
ACCEPTS(soft, nt, 0, 1, f32, FIRN_F32)
ACCEPTS(soft, nt, 0, 1, f16, FIRN_F16)
ACCEPTS(soft, nt, 0, 1, bf16, FIRN_BF16)
ACCEPTS(soft, tn, 1, 0, f32, FIRN_F32)
ACCEPTS(soft, tn, 1, 0, f16, FIRN_F16)
ACCEPTS(soft, tn, 1, 0, bf16, FIRN_BF16)
ACCEPTS(soft, tt, 1, 1, f32, FIRN_F32)
ACCEPTS(soft, tt, 1, 1, f16, FIRN_F16)
ACCEPTS(soft, tt, 1, 1, bf16, FIRN_BF16)
ACCEPTS(thin, nn, 0, 0, f32, FIRN_F32)
ACCEPTS(thin, nt, 0, 1, f32, FIRN_F32)
ACCEPTS(thin, tn, 1, 0, f32, FIRN_F32)
ACCEPTS(thin, tt, 1, 1, f32, FIRN_F32)
ACCEPTS(plain, nn, 0, 0, f32, FIRN_F32)
ACCEPTS(plain, nn, 0, 0, f16, FIRN_F16)
ACCEPTS(plain, nn, 0, 0, bf16, FIRN_BF16)
ACCEPTS(plain, nt, 0, 1, f32, FIRN_F32)
ACCEPTS(plain, nt, 0, 1, f16, FIRN_F16)
ACCEPTS(plain, nt, 0, 1, bf16, FIRN_BF16)
ACCEPTS(plain, tn, 1, 0, f32, FIRN_F32)
ACCEPTS(plain, tn, 1, 0, f16, FIRN_F16)
ACCEPTS(plain, tn, 1, 0, bf16, FIRN_BF16)
ACCEPTS(plain, tt, 1, 1, f32, FIRN_F32)
ACCEPTS(plain, tt, 1, 1, f16, FIRN_F16)
ACCEPTS(plain, tt, 1, 1, bf16, FIRN_BF16)
ACCEPTS(any, nn, 0, 0, f32, FIRN_F32)
ACCEPTS(any, nn, 0, 0, f16, FIRN_F16)
ACCEPTS(any, nn, 0, 0, bf16, FIRN_BF16)
ACCEPTS(any, nt, 0, 1, f32, FIRN_F32)
ACCEPTS(any, nt, 0, 1, f16, FIRN_F16)
ACCEPTS(any, nt, 0, 1, bf16, FIRN_BF16)
ACCEPTS(any, tn, 1, 0, f32, FIRN_F32)
ACCEPTS(any, tn, 1, 0, f16, FIRN_F16)
ACCEPTS(any, tn, 1, 0, bf16, FIRN_BF16)
ACCEPTS(any, tt, 1, 1, f32, FIRN_F32)
ACCEPTS(any, tt, 1, 1, f16, FIRN_F16)
ACCEPTS(any, tt, 1, 1, bf16, FIRN_BF16)
ACCEPTS(split, nn, 0, 0, f32, FIRN_F32)
ACCEPTS(split, nt, 0, 1, f32, FIRN_F32)
ACCEPTS(split, tn, 1, 0, f32, FIRN_F32)
ACCEPTS(split, tt, 1, 1, f32, FIRN_F32)

/* Quantised b, forward (nt) and backward (nn). */
#define QUANTISED_ACCEPTS(name, dtype)                                                            \
    ACCEPTS(few, nn, 0, 0, name, dtype)                                                           \
    ACCEPTS(few, nt, 0, 1, name, dtype)                                                           \
    ACCEPTS(plain, nn, 0, 0, name, dtype)                                                         \
    ACCEPTS(plain, nt, 0, 1, name, dtype)                                                         \
    ACCEPTS(soft, nn, 0, 0, name, dtype)                                                          \
    ACCEPTS(soft, nt, 0, 1, name, dtype)                                                          \
            ACCEPTS(any, nn, 0, 0, name, dtype)                                                           \
    ACCEPTS(any, nt, 0, 1, name, dtype)
QUANTISED_ACCEPTS(nf4, FIRN_NF4)
QUANTISED_ACCEPTS(nf4d, FIRN_NF4_DOUBLE)
QUANTISED_ACCEPTS(int8, FIRN_INT8_ROWS)

// clang-format off
/* Scales, then tiles. */
#define COOP_TILES(size, mode, name, defines)                                                                \
    static const struct firn_kernel coop##size##_##mode##_##name##_ = {                                         \
        "matmul_coop" #size "_" #mode "_" #name "_tiles", "matmul_coop", defines,                            \
        .needs = FIRN_CAP_COOPMAT | FIRN_CAP_SHMEM, .setup = firn_matmul_coop##size##_setup };
#define COOP_ALL(name, type, split)                                                                          \
    COOP_TILES(, nn, name, "TRANS_A=0 TRANS_B=0 B_TYPE=" #type " SIDE=64 SPLIT_A=" #split)                  \
    COOP_TILES(, nt, name, "TRANS_A=0 TRANS_B=1 B_TYPE=" #type " SIDE=64 SPLIT_A=" #split)                  \
    COOP_TILES(_large, nn, name, "TRANS_A=0 TRANS_B=0 B_TYPE=" #type " SIDE=128 SPLIT_A=" #split)           \
    COOP_TILES(_large, nt, name, "TRANS_A=0 TRANS_B=1 B_TYPE=" #type " SIDE=128 SPLIT_A=" #split)
COOP_ALL(f16_fast, 1, 0)
COOP_ALL(bf16_fast, 2, 0)
COOP_ALL(f16, 1, 1)
COOP_ALL(bf16, 2, 1)
COOP_ALL(nf4, 3, 1)
COOP_ALL(nf4d, 4, 1)
COOP_ALL(int8, 5, 1)
#define COOP_KERNEL(size, mode, name, accept, more_needs, bound_)                                            \
    { "matmul_coop" #size "_" #mode "_" #name, "matmul_scale", "TRANS_A=0 TRANS_B=0 B_TYPE=0",               \
      .needs = FIRN_CAP_COOPMAT | FIRN_CAP_SHMEM | more_needs, .accepts = accept,                            \
      .setup = firn_matmul_scale_setup, .scratch = firn_matmul_coop_scratch, .bound = bound_,                \
      .then = &coop##size##_##mode##_##name##_ }
#define COOP_ONE(size, mode, name) COOP_KERNEL(size, mode, name, coop##size##_##mode##_##name, 0, firn_matmul_coop_bound)
#define FAST_ONE(size, mode, name)                                                                           \
    COOP_KERNEL(size, mode, name##_fast, coop##size##_fast_##mode##_##name, FIRN_CAP_ROUND16, firn_matmul_coop_fast_bound)
#define COOP(name) COOP_ONE(_large, nn, name), COOP_ONE(_large, nt, name), COOP_ONE(, nn, name), COOP_ONE(, nt, name)
#define COOP_FAST(name) FAST_ONE(_large, nn, name), FAST_ONE(_large, nt, name), FAST_ONE(, nn, name), FAST_ONE(, nt, name)
#define QUANTISED(name, type)                                                                                \
    { "matmul_few_nn_" #name, "matmul_soft", "TRANS_A=0 TRANS_B=0 B_TYPE=" #type " SWAP=0 ROWS=4 WIDE=1",    \
      .needs = FIRN_CAP_SOFTWARE, .accepts = few_nn_##name, .setup = few_setup },                            \
    { "matmul_few_nt_" #name, "matmul_soft", "TRANS_A=0 TRANS_B=1 B_TYPE=" #type " SWAP=0 ROWS=4 WIDE=1",    \
      .needs = FIRN_CAP_SOFTWARE, .accepts = few_nt_##name, .setup = few_setup },                            \
    { "matmul_soft_nn_" #name, "matmul_soft", "TRANS_A=0 TRANS_B=0 B_TYPE=" #type " SWAP=0 ROWS=16 WIDE=1",  \
      .needs = FIRN_CAP_SOFTWARE, .accepts = soft_nn_##name, .setup = soft_setup },                          \
    { "matmul_soft_nt_" #name, "matmul_soft", "TRANS_A=0 TRANS_B=1 B_TYPE=" #type " SWAP=0 ROWS=16 WIDE=1",  \
      .needs = FIRN_CAP_SOFTWARE, .accepts = soft_nt_##name, .setup = soft_setup },                          \
    { "matmul_plain_nn_" #name, "matmul_soft", "TRANS_A=0 TRANS_B=0 B_TYPE=" #type " SWAP=0 ROWS=16 WIDE=0", \
      .needs = FIRN_CAP_SOFTWARE, .accepts = plain_nn_##name, .setup = soft_setup },                         \
    { "matmul_plain_nt_" #name, "matmul_soft", "TRANS_A=0 TRANS_B=1 B_TYPE=" #type " SWAP=0 ROWS=16 WIDE=0", \
      .needs = FIRN_CAP_SOFTWARE, .accepts = plain_nt_##name, .setup = soft_setup },                         \
    { "matmul_any_nn_" #name, "matmul_any", "TRANS_A=0 TRANS_B=0 B_TYPE=" #type, .accepts = any_nn_##name,   \
      .setup = any_setup },                                                                                  \
    { "matmul_any_nt_" #name, "matmul_any", "TRANS_A=0 TRANS_B=1 B_TYPE=" #type, .accepts = any_nt_##name,   \
      .setup = any_setup }
/* Tiles in shared memory: letters, TRANS_A, TRANS_B; type by name and number. */
#define TRANS_nn "TRANS_A=0 TRANS_B=0"
#define TRANS_nt "TRANS_A=0 TRANS_B=1"
#define TRANS_tn "TRANS_A=1 TRANS_B=0"
#define TRANS_tt "TRANS_A=1 TRANS_B=1"
#define TILE(mode, name, type)                                                                               \
    { "matmul_tile_" #mode "_" #name, "matmul_tile",                                                         \
      TRANS_##mode " B_TYPE=" #type " BM=64 BN=64 TM=4 TN=8 SLICED=0", .needs = FIRN_CAP_SHMEM,              \
      .accepts = tile_##mode##_##name, .setup = firn_matmul_tile_setup }
#define TILE_LARGE(mode, name, type)                                                                         \
    { "matmul_tile_large_" #mode "_" #name, "matmul_tile",                                                   \
      TRANS_##mode " B_TYPE=" #type " BM=128 BN=128 TM=8 TN=8 SLICED=0", .needs = FIRN_CAP_SHMEM,            \
      .accepts = tile_large_##mode##_##name, .setup = firn_matmul_large_setup }
#define SLICES(mode, name, type)                                                                             \
    { "matmul_slices_" #mode "_" #name, "matmul_tile",                                                       \
      TRANS_##mode " B_TYPE=" #type " BM=64 BN=64 TM=4 TN=8 SLICED=1", .needs = FIRN_CAP_SHMEM,              \
      .accepts = slices_##mode##_##name, .setup = firn_matmul_slices_setup,                                  \
      .scratch = firn_matmul_slices_scratch, .then = &firn_matmul_slices_join }
#define NARROW(mode, name, type)                                                                             \
    { "matmul_slices_narrow_" #mode "_" #name, "matmul_tile",                                                \
      TRANS_##mode " B_TYPE=" #type " BM=64 BN=16 TM=4 TN=4 SLICED=1", .needs = FIRN_CAP_SHMEM,              \
      .accepts = slices_narrow_##mode##_##name, .setup = firn_matmul_narrow_setup,                           \
      .scratch = firn_matmul_narrow_scratch, .then = &firn_matmul_narrow_join }
#define LOW(mode, name, type)                                                                                \
    { "matmul_slices_low_" #mode "_" #name, "matmul_tile",                                                   \
      TRANS_##mode " B_TYPE=" #type " BM=16 BN=64 TM=4 TN=4 SLICED=1", .needs = FIRN_CAP_SHMEM,              \
      .accepts = slices_low_##mode##_##name, .setup = firn_matmul_low_setup,                                 \
      .scratch = firn_matmul_low_scratch, .then = &firn_matmul_low_join }
#define FROZEN(name, type)                                                                                   \
    LOW(nn, name, type), LOW(nt, name, type), TILE_LARGE(nn, name, type), TILE_LARGE(nt, name, type),        \
    SLICES(nn, name, type), SLICES(nt, name, type), TILE(nn, name, type), TILE(nt, name, type)
const struct firn_kernel firn_matmul_kernels[] = {
    COOP_FAST(f16),
    COOP_FAST(bf16),
    COOP(f16),
    COOP(bf16),
    COOP(nf4),
    COOP(nf4d),
    COOP(int8),
    { "matmul_few_nn_f32", "matmul_soft", "TRANS_A=0 TRANS_B=0 B_TYPE=0 SWAP=0 ROWS=4 WIDE=1", .needs = FIRN_CAP_SOFTWARE,
      .accepts = few_nn_f32, .setup = few_setup },
    { "matmul_few_nn_f16", "matmul_soft", "TRANS_A=0 TRANS_B=0 B_TYPE=1 SWAP=0 ROWS=4 WIDE=1", .needs = FIRN_CAP_SOFTWARE,
      .accepts = few_nn_f16, .setup = few_setup },
    { "matmul_few_nn_bf16", "matmul_soft", "TRANS_A=0 TRANS_B=0 B_TYPE=2 SWAP=0 ROWS=4 WIDE=1", .needs = FIRN_CAP_SOFTWARE,
      .accepts = few_nn_bf16, .setup = few_setup },
    { "matmul_few_nt_f32", "matmul_soft", "TRANS_A=0 TRANS_B=1 B_TYPE=0 SWAP=0 ROWS=4 WIDE=1", .needs = FIRN_CAP_SOFTWARE,
      .accepts = few_nt_f32, .setup = few_setup },
    { "matmul_few_nt_f16", "matmul_soft", "TRANS_A=0 TRANS_B=1 B_TYPE=1 SWAP=0 ROWS=4 WIDE=1", .needs = FIRN_CAP_SOFTWARE,
      .accepts = few_nt_f16, .setup = few_setup },
    { "matmul_few_nt_bf16", "matmul_soft", "TRANS_A=0 TRANS_B=1 B_TYPE=2 SWAP=0 ROWS=4 WIDE=1", .needs = FIRN_CAP_SOFTWARE,
      .accepts = few_nt_bf16, .setup = few_setup },
    { "matmul_narrow_nn_f32", "matmul_soft", "TRANS_A=0 TRANS_B=0 B_TYPE=0 SWAP=1 ROWS=8 WIDE=1", .needs = FIRN_CAP_SOFTWARE,
      .accepts = narrow_nn_f32, .setup = narrow_setup },
    { "matmul_narrow_nt_f32", "matmul_soft", "TRANS_A=0 TRANS_B=1 B_TYPE=0 SWAP=1 ROWS=8 WIDE=1", .needs = FIRN_CAP_SOFTWARE,
      .accepts = narrow_nt_f32, .setup = narrow_setup },
    { "matmul_narrow_tn_f32", "matmul_soft", "TRANS_A=1 TRANS_B=0 B_TYPE=0 SWAP=1 ROWS=8 WIDE=1", .needs = FIRN_CAP_SOFTWARE,
      .accepts = narrow_tn_f32, .setup = narrow_setup },
    { "matmul_narrow_tt_f32", "matmul_soft", "TRANS_A=1 TRANS_B=1 B_TYPE=0 SWAP=1 ROWS=8 WIDE=1", .needs = FIRN_CAP_SOFTWARE,
      .accepts = narrow_tt_f32, .setup = narrow_setup },
    { "matmul_soft_nn_f32", "matmul_soft", "TRANS_A=0 TRANS_B=0 B_TYPE=0 SWAP=0 ROWS=16 WIDE=1", .needs = FIRN_CAP_SOFTWARE,
      .accepts = soft_nn_f32, .setup = soft_setup },
    { "matmul_soft_nn_f16", "matmul_soft", "TRANS_A=0 TRANS_B=0 B_TYPE=1 SWAP=0 ROWS=16 WIDE=1", .needs = FIRN_CAP_SOFTWARE,
      .accepts = soft_nn_f16, .setup = soft_setup },
    { "matmul_soft_nn_bf16", "matmul_soft", "TRANS_A=0 TRANS_B=0 B_TYPE=2 SWAP=0 ROWS=16 WIDE=1", .needs = FIRN_CAP_SOFTWARE,
      .accepts = soft_nn_bf16, .setup = soft_setup },
    { "matmul_soft_nt_f32", "matmul_soft", "TRANS_A=0 TRANS_B=1 B_TYPE=0 SWAP=0 ROWS=16 WIDE=1", .needs = FIRN_CAP_SOFTWARE,
      .accepts = soft_nt_f32, .setup = soft_setup },
    { "matmul_soft_nt_f16", "matmul_soft", "TRANS_A=0 TRANS_B=1 B_TYPE=1 SWAP=0 ROWS=16 WIDE=1", .needs = FIRN_CAP_SOFTWARE,
      .accepts = soft_nt_f16, .setup = soft_setup },
    { "matmul_soft_nt_bf16", "matmul_soft", "TRANS_A=0 TRANS_B=1 B_TYPE=2 SWAP=0 ROWS=16 WIDE=1", .needs = FIRN_CAP_SOFTWARE,
      .accepts = soft_nt_bf16, .setup = soft_setup },
    { "matmul_soft_tn_f32", "matmul_soft", "TRANS_A=1 TRANS_B=0 B_TYPE=0 SWAP=0 ROWS=16 WIDE=1", .needs = FIRN_CAP_SOFTWARE,
      .accepts = soft_tn_f32, .setup = soft_setup },
    { "matmul_soft_tn_f16", "matmul_soft", "TRANS_A=1 TRANS_B=0 B_TYPE=1 SWAP=0 ROWS=16 WIDE=1", .needs = FIRN_CAP_SOFTWARE,
      .accepts = soft_tn_f16, .setup = soft_setup },
    { "matmul_soft_tn_bf16", "matmul_soft", "TRANS_A=1 TRANS_B=0 B_TYPE=2 SWAP=0 ROWS=16 WIDE=1", .needs = FIRN_CAP_SOFTWARE,
      .accepts = soft_tn_bf16, .setup = soft_setup },
    { "matmul_soft_tt_f32", "matmul_soft", "TRANS_A=1 TRANS_B=1 B_TYPE=0 SWAP=0 ROWS=16 WIDE=1", .needs = FIRN_CAP_SOFTWARE,
      .accepts = soft_tt_f32, .setup = soft_setup },
    { "matmul_soft_tt_f16", "matmul_soft", "TRANS_A=1 TRANS_B=1 B_TYPE=1 SWAP=0 ROWS=16 WIDE=1", .needs = FIRN_CAP_SOFTWARE,
      .accepts = soft_tt_f16, .setup = soft_setup },
    { "matmul_soft_tt_bf16", "matmul_soft", "TRANS_A=1 TRANS_B=1 B_TYPE=2 SWAP=0 ROWS=16 WIDE=1", .needs = FIRN_CAP_SOFTWARE,
      .accepts = soft_tt_bf16, .setup = soft_setup },
    { "matmul_thin_nn_f32", "matmul_soft", "TRANS_A=0 TRANS_B=0 B_TYPE=0 SWAP=1 ROWS=8 WIDE=0", .needs = FIRN_CAP_SOFTWARE,
      .accepts = thin_nn_f32, .setup = narrow_setup },
    { "matmul_thin_nt_f32", "matmul_soft", "TRANS_A=0 TRANS_B=1 B_TYPE=0 SWAP=1 ROWS=8 WIDE=0", .needs = FIRN_CAP_SOFTWARE,
      .accepts = thin_nt_f32, .setup = narrow_setup },
    { "matmul_thin_tn_f32", "matmul_soft", "TRANS_A=1 TRANS_B=0 B_TYPE=0 SWAP=1 ROWS=8 WIDE=0", .needs = FIRN_CAP_SOFTWARE,
      .accepts = thin_tn_f32, .setup = narrow_setup },
    { "matmul_thin_tt_f32", "matmul_soft", "TRANS_A=1 TRANS_B=1 B_TYPE=0 SWAP=1 ROWS=8 WIDE=0", .needs = FIRN_CAP_SOFTWARE,
      .accepts = thin_tt_f32, .setup = narrow_setup },
    { "matmul_plain_nn_f32", "matmul_soft", "TRANS_A=0 TRANS_B=0 B_TYPE=0 SWAP=0 ROWS=16 WIDE=0", .needs = FIRN_CAP_SOFTWARE,
      .accepts = plain_nn_f32, .setup = soft_setup },
    { "matmul_plain_nn_f16", "matmul_soft", "TRANS_A=0 TRANS_B=0 B_TYPE=1 SWAP=0 ROWS=16 WIDE=0", .needs = FIRN_CAP_SOFTWARE,
      .accepts = plain_nn_f16, .setup = soft_setup },
    { "matmul_plain_nn_bf16", "matmul_soft", "TRANS_A=0 TRANS_B=0 B_TYPE=2 SWAP=0 ROWS=16 WIDE=0", .needs = FIRN_CAP_SOFTWARE,
      .accepts = plain_nn_bf16, .setup = soft_setup },
    { "matmul_plain_nt_f32", "matmul_soft", "TRANS_A=0 TRANS_B=1 B_TYPE=0 SWAP=0 ROWS=16 WIDE=0", .needs = FIRN_CAP_SOFTWARE,
      .accepts = plain_nt_f32, .setup = soft_setup },
    { "matmul_plain_nt_f16", "matmul_soft", "TRANS_A=0 TRANS_B=1 B_TYPE=1 SWAP=0 ROWS=16 WIDE=0", .needs = FIRN_CAP_SOFTWARE,
      .accepts = plain_nt_f16, .setup = soft_setup },
    { "matmul_plain_nt_bf16", "matmul_soft", "TRANS_A=0 TRANS_B=1 B_TYPE=2 SWAP=0 ROWS=16 WIDE=0", .needs = FIRN_CAP_SOFTWARE,
      .accepts = plain_nt_bf16, .setup = soft_setup },
    { "matmul_plain_tn_f32", "matmul_soft", "TRANS_A=1 TRANS_B=0 B_TYPE=0 SWAP=0 ROWS=16 WIDE=0", .needs = FIRN_CAP_SOFTWARE,
      .accepts = plain_tn_f32, .setup = soft_setup },
    { "matmul_plain_tn_f16", "matmul_soft", "TRANS_A=1 TRANS_B=0 B_TYPE=1 SWAP=0 ROWS=16 WIDE=0", .needs = FIRN_CAP_SOFTWARE,
      .accepts = plain_tn_f16, .setup = soft_setup },
    { "matmul_plain_tn_bf16", "matmul_soft", "TRANS_A=1 TRANS_B=0 B_TYPE=2 SWAP=0 ROWS=16 WIDE=0", .needs = FIRN_CAP_SOFTWARE,
      .accepts = plain_tn_bf16, .setup = soft_setup },
    { "matmul_plain_tt_f32", "matmul_soft", "TRANS_A=1 TRANS_B=1 B_TYPE=0 SWAP=0 ROWS=16 WIDE=0", .needs = FIRN_CAP_SOFTWARE,
      .accepts = plain_tt_f32, .setup = soft_setup },
    { "matmul_plain_tt_f16", "matmul_soft", "TRANS_A=1 TRANS_B=1 B_TYPE=1 SWAP=0 ROWS=16 WIDE=0", .needs = FIRN_CAP_SOFTWARE,
      .accepts = plain_tt_f16, .setup = soft_setup },
    { "matmul_plain_tt_bf16", "matmul_soft", "TRANS_A=1 TRANS_B=1 B_TYPE=2 SWAP=0 ROWS=16 WIDE=0", .needs = FIRN_CAP_SOFTWARE,
      .accepts = plain_tt_bf16, .setup = soft_setup },
    NARROW(nn, f32, 0), NARROW(nt, f32, 0), NARROW(tn, f32, 0), NARROW(tt, f32, 0),
    LOW(tn, f32, 0), LOW(tt, f32, 0), TILE_LARGE(tn, f32, 0), SLICES(tn, f32, 0), SLICES(tt, f32, 0),
    FROZEN(f32, 0), FROZEN(f16, 1), FROZEN(bf16, 2), FROZEN(nf4, 3), FROZEN(nf4d, 4), FROZEN(int8, 5),
    TILE(tn, f32, 0), TILE(tn, f16, 1), TILE(tn, bf16, 2), TILE(tt, f32, 0), TILE(tt, f16, 1), TILE(tt, bf16, 2),
    { "matmul_split_nn", "matmul_split", "JOIN=0 TRANS_A=0 TRANS_B=0 B_TYPE=0", .accepts = split_nn_f32,
      .setup = split_setup, .scratch = split_scratch, .then = &join },
    { "matmul_split_nt", "matmul_split", "JOIN=0 TRANS_A=0 TRANS_B=1 B_TYPE=0", .accepts = split_nt_f32,
      .setup = split_setup, .scratch = split_scratch, .then = &join },
    { "matmul_split_tn", "matmul_split", "JOIN=0 TRANS_A=1 TRANS_B=0 B_TYPE=0", .accepts = split_tn_f32,
      .setup = split_setup, .scratch = split_scratch, .then = &join },
    { "matmul_split_tt", "matmul_split", "JOIN=0 TRANS_A=1 TRANS_B=1 B_TYPE=0", .accepts = split_tt_f32,
      .setup = split_setup, .scratch = split_scratch, .then = &join },
    { "matmul_any_nn_f32", "matmul_any", "TRANS_A=0 TRANS_B=0 B_TYPE=0", .accepts = any_nn_f32, .setup = any_setup },
    { "matmul_any_nn_f16", "matmul_any", "TRANS_A=0 TRANS_B=0 B_TYPE=1", .accepts = any_nn_f16, .setup = any_setup },
    { "matmul_any_nn_bf16", "matmul_any", "TRANS_A=0 TRANS_B=0 B_TYPE=2", .accepts = any_nn_bf16, .setup = any_setup },
    { "matmul_any_nt_f32", "matmul_any", "TRANS_A=0 TRANS_B=1 B_TYPE=0", .accepts = any_nt_f32, .setup = any_setup },
    { "matmul_any_nt_f16", "matmul_any", "TRANS_A=0 TRANS_B=1 B_TYPE=1", .accepts = any_nt_f16, .setup = any_setup },
    { "matmul_any_nt_bf16", "matmul_any", "TRANS_A=0 TRANS_B=1 B_TYPE=2", .accepts = any_nt_bf16, .setup = any_setup },
    { "matmul_any_tn_f32", "matmul_any", "TRANS_A=1 TRANS_B=0 B_TYPE=0", .accepts = any_tn_f32, .setup = any_setup },
    { "matmul_any_tn_f16", "matmul_any", "TRANS_A=1 TRANS_B=0 B_TYPE=1", .accepts = any_tn_f16, .setup = any_setup },
    { "matmul_any_tn_bf16", "matmul_any", "TRANS_A=1 TRANS_B=0 B_TYPE=2", .accepts = any_tn_bf16, .setup = any_setup },
    { "matmul_any_tt_f32", "matmul_any", "TRANS_A=1 TRANS_B=1 B_TYPE=0", .accepts = any_tt_f32, .setup = any_setup },
    { "matmul_any_tt_f16", "matmul_any", "TRANS_A=1 TRANS_B=1 B_TYPE=1", .accepts = any_tt_f16, .setup = any_setup },
    { "matmul_any_tt_bf16", "matmul_any", "TRANS_A=1 TRANS_B=1 B_TYPE=2", .accepts = any_tt_bf16, .setup = any_setup },
    QUANTISED(nf4, 3),
    QUANTISED(nf4d, 4),
    QUANTISED(int8, 5),
    { NULL },
};
// clang-format on
