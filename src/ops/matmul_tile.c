/* SPDX-License-Identifier: Apache-2.0 */
/* Products by tiles in shared memory on multiply-add units: which tiles a shape takes, and into how many slices of K it is cut
 * where its tiles alone would leave a device idle. Slices depend on the shape only, so that sums have one order. */
#include "ops/matmul.h"

enum { DEPTH = 16, FEWEST_TERMS = 256, ENOUGH_GROUPS = 256, ENOUGH_LARGE = 64 };

struct tile {
    int64_t rows, cols;
    uint32_t lanes;
};
static const struct tile large = { 128, 128, 256 }, square = { 64, 64, 128 }, narrow = { 64, 16, 64 }, low = { 16, 64, 64 };

static int64_t tiles(int64_t n, int64_t size)
{
    return (n + size - 1) / size;
}

/* Length of a slice of K. */
static int64_t slice(const struct firn_call *call, const struct tile *t)
{
    const struct firn_matmul_sizes s = firn_matmul_sizes(call);
    const int64_t groups = tiles(s.m, t->rows) * tiles(s.n, t->cols);
    int64_t n = groups > 0 ? tiles(ENOUGH_GROUPS, groups) : 1;
    n = n < s.k / FEWEST_TERMS ? n : s.k / FEWEST_TERMS;
    const int64_t length = tiles(tiles(s.k, n > 0 ? n : 1), DEPTH) * DEPTH;
    return length > 0 ? length : DEPTH;
}

static int64_t n_slices(const struct firn_call *call, const struct tile *t)
{
    return tiles(firn_matmul_sizes(call).k, slice(call, t));
}

static bool fits(const struct firn_call *call, const struct firn_limits *l, const struct tile *t)
{
    const struct firn_matmul_sizes s = firn_matmul_sizes(call);
    const uint64_t shared = 4 * DEPTH * (uint64_t) (t->rows + t->cols + 8);
    return l->max_lanes >= t->lanes && l->shared_bytes >= shared && tiles(s.m, t->rows) <= l->max_groups[1] &&
           tiles(s.n, t->cols) <= l->max_groups[0];
}

static bool sliced_fits(const struct firn_call *call, const struct firn_limits *l, const struct tile *t)
{
    return fits(call, l, t) && firn_matmul_sizes(call).k > 0 && n_slices(call, t) <= l->max_groups[2];
}

bool firn_matmul_tile_fits(const struct firn_call *call, const struct firn_limits *limits)
{
    const struct firn_matmul_sizes s = firn_matmul_sizes(call);
    return s.m >= 16 && s.n >= 16 && fits(call, limits, &square);
}

bool firn_matmul_large_fits(const struct firn_call *call, const struct firn_limits *limits)
{
    const struct firn_matmul_sizes s = firn_matmul_sizes(call);
    return tiles(s.m, large.rows) * tiles(s.n, large.cols) >= ENOUGH_LARGE && fits(call, limits, &large);
}

bool firn_matmul_slices_fits(const struct firn_call *call, const struct firn_limits *limits)
{
    return firn_matmul_tile_fits(call, limits) && n_slices(call, &square) > 1 && sliced_fits(call, limits, &square);
}

bool firn_matmul_narrow_fits(const struct firn_call *call, const struct firn_limits *limits)
{
    const struct firn_matmul_sizes s = firn_matmul_sizes(call);
    return s.n <= 32 && s.m >= 16 && sliced_fits(call, limits, &narrow);
}

bool firn_matmul_low_fits(const struct firn_call *call, const struct firn_limits *limits)
{
    const struct firn_matmul_sizes s = firn_matmul_sizes(call);
    return s.m <= 32 && s.n >= 16 && sliced_fits(call, limits, &low);
}

static void setup(const struct firn_call *call, struct firn_dispatch *d, const struct tile *t)
{
    const struct firn_matmul_sizes s = firn_matmul_sizes(call);
    const struct firn_matmul_attrs *a = call->attrs;
    firn_matmul_push(call, d);
    firn_spec(d, (a->trans_a ? s.m : s.k) % 4 == 0);
    firn_spec(d, (a->trans_b ? s.k : s.n) % 4 == 0);
    d->groups[0] = (uint32_t) tiles(s.n, t->cols);
    d->groups[1] = (uint32_t) tiles(s.m, t->rows);
}

static void sliced_setup(const struct firn_call *call, struct firn_dispatch *d, const struct tile *t)
{
    setup(call, d, t);
    firn_spec(d, (uint32_t) slice(call, t));
    d->groups[2] = (uint32_t) n_slices(call, t);
}

static void join_setup(const struct firn_call *call, const struct firn_limits *limits, struct firn_dispatch *d,
                       const struct tile *t)
{
    firn_matmul_push(call, d);
    firn_spec(d, (uint32_t) slice(call, t));
    firn_grid_flat(d, limits, (firn_count(&call->out[0]) + 31) / 32);
}

void firn_matmul_tile_setup(const struct firn_call *call, const struct firn_limits *limits, struct firn_dispatch *d)
{
    (void) limits;
    setup(call, d, &square);
}

void firn_matmul_large_setup(const struct firn_call *call, const struct firn_limits *limits, struct firn_dispatch *d)
{
    (void) limits;
    setup(call, d, &large);
}

#define SLICED(name, tile)                                                                         \
    void firn_matmul_##name##_setup(const struct firn_call *call, const struct firn_limits *limits, \
                                    struct firn_dispatch *d)                                       \
    {                                                                                              \
        (void) limits;                                                                             \
        sliced_setup(call, d, &tile);                                                              \
    }                                                                                              \
    size_t firn_matmul_##name##_scratch(const struct firn_call *call, const struct firn_limits *limits) \
    {                                                                                              \
        (void) limits;                                                                             \
        return sizeof(float) * (size_t) (n_slices(call, &tile) * firn_count(&call->out[0]) + 1);   \
    }                                                                                              \
    static void name##_join_setup(const struct firn_call *call, const struct firn_limits *limits,  \
                                  struct firn_dispatch *d)                                         \
    {                                                                                              \
        join_setup(call, limits, d, &tile);                                                        \
    }                                                                                              \
    const struct firn_kernel firn_matmul_##name##_join = {                                         \
        "matmul_" #name "_join", "matmul_split", "JOIN=1 TRANS_A=0 TRANS_B=0 B_TYPE=0",            \
        .setup = name##_join_setup };
SLICED(slices, square)
SLICED(narrow, narrow)
SLICED(low, low)
