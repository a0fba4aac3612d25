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

static bool tile_fits(const struct firn_call *call, const struct firn_limits *limits)
{
    const struct firn_matmul_sizes s = firn_matmul_sizes(call);
    return limits->max_lanes >= 128 && limits->shared_bytes >= 16384 && s.m >= 16 && s.n >= 16 &&
           grid_fits(limits, (s.m + 63) / 64, (s.n + 63) / 64);
}

static void tile_setup(const struct firn_call *call, const struct firn_limits *limits,
                       struct firn_dispatch *d)
{
    const struct firn_matmul_sizes s = firn_matmul_sizes(call);
    (void) limits;
    firn_matmul_push(call, d);
    grid(d, (s.m + 63) / 64, (s.n + 63) / 64);
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
#define coop_large_fits firn_matmul_coop_large_fits
#define COOP_ACCEPTS(name, dtype)                                                                 \
    ACCEPTS(coop, nn, 0, 0, name, dtype)                                                          \
    ACCEPTS(coop, nt, 0, 1, name, dtype)                                                          \
    ACCEPTS(coop_large, nn, 0, 0, name, dtype)                                                    \
    ACCEPTS(coop_large, nt, 0, 1, name, dtype)
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
ACCEPTS(tile, nn, 0, 0, f32, FIRN_F32)
ACCEPTS(tile, nn, 0, 0, f16, FIRN_F16)
ACCEPTS(tile, nn, 0, 0, bf16, FIRN_BF16)
ACCEPTS(tile, nt, 0, 1, f32, FIRN_F32)
ACCEPTS(tile, nt, 0, 1, f16, FIRN_F16)
ACCEPTS(tile, nt, 0, 1, bf16, FIRN_BF16)
ACCEPTS(tile, tn, 1, 0, f32, FIRN_F32)
ACCEPTS(tile, tn, 1, 0, f16, FIRN_F16)
ACCEPTS(tile, tn, 1, 0, bf16, FIRN_BF16)
ACCEPTS(tile, tt, 1, 1, f32, FIRN_F32)
ACCEPTS(tile, tt, 1, 1, f16, FIRN_F16)
ACCEPTS(tile, tt, 1, 1, bf16, FIRN_BF16)
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
    ACCEPTS(tile, nn, 0, 0, name, dtype)                                                          \
    ACCEPTS(tile, nt, 0, 1, name, dtype)                                                          \
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
#define COOP_ALL(name, type)                                                                                 \
    COOP_TILES(, nn, name, "TRANS_A=0 TRANS_B=0 B_TYPE=" #type " SIDE=64")                                  \
    COOP_TILES(, nt, name, "TRANS_A=0 TRANS_B=1 B_TYPE=" #type " SIDE=64")                                  \
    COOP_TILES(_large, nn, name, "TRANS_A=0 TRANS_B=0 B_TYPE=" #type " SIDE=128")                           \
    COOP_TILES(_large, nt, name, "TRANS_A=0 TRANS_B=1 B_TYPE=" #type " SIDE=128")
COOP_ALL(f16, 1)
COOP_ALL(bf16, 2)
COOP_ALL(nf4, 3)
COOP_ALL(nf4d, 4)
COOP_ALL(int8, 5)
#define COOP_KERNEL(size, mode, name)                                                                        \
    { "matmul_coop" #size "_" #mode "_" #name, "matmul_scale", "TRANS_A=0 TRANS_B=0 B_TYPE=0",               \
      .needs = FIRN_CAP_COOPMAT | FIRN_CAP_SHMEM, .accepts = coop##size##_##mode##_##name,                   \
      .setup = firn_matmul_scale_setup, .scratch = firn_matmul_coop_scratch, .bound = firn_matmul_coop_bound,\
      .then = &coop##size##_##mode##_##name##_ }
#define COOP(name) COOP_KERNEL(_large, nn, name), COOP_KERNEL(_large, nt, name), COOP_KERNEL(, nn, name), COOP_KERNEL(, nt, name)
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
    { "matmul_tile_nn_" #name, "matmul_tile", "TRANS_A=0 TRANS_B=0 B_TYPE=" #type, .needs = FIRN_CAP_SHMEM,  \
      .accepts = tile_nn_##name, .setup = tile_setup },                                                      \
    { "matmul_tile_nt_" #name, "matmul_tile", "TRANS_A=0 TRANS_B=1 B_TYPE=" #type, .needs = FIRN_CAP_SHMEM,  \
      .accepts = tile_nt_##name, .setup = tile_setup },                                                      \
    { "matmul_any_nn_" #name, "matmul_any", "TRANS_A=0 TRANS_B=0 B_TYPE=" #type, .accepts = any_nn_##name,   \
      .setup = any_setup },                                                                                  \
    { "matmul_any_nt_" #name, "matmul_any", "TRANS_A=0 TRANS_B=1 B_TYPE=" #type, .accepts = any_nt_##name,   \
      .setup = any_setup }
const struct firn_kernel firn_matmul_kernels[] = {
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
    { "matmul_split_nn", "matmul_split", "JOIN=0 TRANS_A=0 TRANS_B=0 B_TYPE=0", .accepts = split_nn_f32,
      .setup = split_setup, .scratch = split_scratch, .then = &join },
    { "matmul_split_nt", "matmul_split", "JOIN=0 TRANS_A=0 TRANS_B=1 B_TYPE=0", .accepts = split_nt_f32,
      .setup = split_setup, .scratch = split_scratch, .then = &join },
    { "matmul_split_tn", "matmul_split", "JOIN=0 TRANS_A=1 TRANS_B=0 B_TYPE=0", .accepts = split_tn_f32,
      .setup = split_setup, .scratch = split_scratch, .then = &join },
    { "matmul_split_tt", "matmul_split", "JOIN=0 TRANS_A=1 TRANS_B=1 B_TYPE=0", .accepts = split_tt_f32,
      .setup = split_setup, .scratch = split_scratch, .then = &join },
    { "matmul_tile_nn_f32", "matmul_tile", "TRANS_A=0 TRANS_B=0 B_TYPE=0", .needs = FIRN_CAP_SHMEM,
      .accepts = tile_nn_f32, .setup = tile_setup },
    { "matmul_tile_nn_f16", "matmul_tile", "TRANS_A=0 TRANS_B=0 B_TYPE=1", .needs = FIRN_CAP_SHMEM,
      .accepts = tile_nn_f16, .setup = tile_setup },
    { "matmul_tile_nn_bf16", "matmul_tile", "TRANS_A=0 TRANS_B=0 B_TYPE=2", .needs = FIRN_CAP_SHMEM,
      .accepts = tile_nn_bf16, .setup = tile_setup },
    { "matmul_tile_nt_f32", "matmul_tile", "TRANS_A=0 TRANS_B=1 B_TYPE=0", .needs = FIRN_CAP_SHMEM,
      .accepts = tile_nt_f32, .setup = tile_setup },
    { "matmul_tile_nt_f16", "matmul_tile", "TRANS_A=0 TRANS_B=1 B_TYPE=1", .needs = FIRN_CAP_SHMEM,
      .accepts = tile_nt_f16, .setup = tile_setup },
    { "matmul_tile_nt_bf16", "matmul_tile", "TRANS_A=0 TRANS_B=1 B_TYPE=2", .needs = FIRN_CAP_SHMEM,
      .accepts = tile_nt_bf16, .setup = tile_setup },
    { "matmul_tile_tn_f32", "matmul_tile", "TRANS_A=1 TRANS_B=0 B_TYPE=0", .needs = FIRN_CAP_SHMEM,
      .accepts = tile_tn_f32, .setup = tile_setup },
    { "matmul_tile_tn_f16", "matmul_tile", "TRANS_A=1 TRANS_B=0 B_TYPE=1", .needs = FIRN_CAP_SHMEM,
      .accepts = tile_tn_f16, .setup = tile_setup },
    { "matmul_tile_tn_bf16", "matmul_tile", "TRANS_A=1 TRANS_B=0 B_TYPE=2", .needs = FIRN_CAP_SHMEM,
      .accepts = tile_tn_bf16, .setup = tile_setup },
    { "matmul_tile_tt_f32", "matmul_tile", "TRANS_A=1 TRANS_B=1 B_TYPE=0", .needs = FIRN_CAP_SHMEM,
      .accepts = tile_tt_f32, .setup = tile_setup },
    { "matmul_tile_tt_f16", "matmul_tile", "TRANS_A=1 TRANS_B=1 B_TYPE=1", .needs = FIRN_CAP_SHMEM,
      .accepts = tile_tt_f16, .setup = tile_setup },
    { "matmul_tile_tt_bf16", "matmul_tile", "TRANS_A=1 TRANS_B=1 B_TYPE=2", .needs = FIRN_CAP_SHMEM,
      .accepts = tile_tt_bf16, .setup = tile_setup },
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
