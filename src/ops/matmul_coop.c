/* SPDX-License-Identifier: Apache-2.0 */
/* Products on matrix units: which shapes they take, and how a tile is shared out among subgroups. */
#include "ops/matmul.h"

enum { DEPTH = 32 };

/* Subgroups along rows and columns of a tile; as square as can be. False: the tile cannot be shared out. */
static bool waves(const struct firn_limits *l, uint32_t side, uint32_t *rows, uint32_t *cols)
{
    const uint32_t lanes = 2 * side, sub = l->subgroup_size;
    uint32_t best = UINT32_MAX;
    if (sub == 0 || lanes % sub != 0 || l->coop_m == 0 || l->coop_n == 0 || l->coop_k == 0 || DEPTH % l->coop_k != 0)
        return false;
    for (uint32_t r = 1; r <= lanes / sub; r++) {
        const uint32_t c = lanes / sub / r, far = r > c ? r - c : c - r;
        if (r * c != lanes / sub || side % (r * l->coop_m) != 0 || side % (c * l->coop_n) != 0 || far >= best)
            continue;
        best = far;
        *rows = r;
        *cols = c;
    }
    return best != UINT32_MAX;
}

/* is_fast: one 16-bit float for an element of a, not two */
static bool fits(const struct firn_call *call, const struct firn_limits *l, uint32_t side, bool is_fast)
{
    const struct firn_matmul_sizes s = firn_matmul_sizes(call);
    const struct firn_matmul_attrs *t = call->attrs;
    const enum firn_dtype type = call->in[FIRN_MATMUL_B].dtype;
    const bool is_split = type != FIRN_F16 && type != FIRN_BF16;
    uint32_t rows, cols;
    if (t->trans_a || s.k % 4 != 0 || s.k == 0 || (!t->trans_b && s.n % 4 != 0) || s.m < 16 ||
        s.n < 16 || l->max_lanes < 2 * side || !waves(l, side, &rows, &cols))
        return false;
    const uint64_t row = DEPTH * 2 + 16, a = side * row, b = t->trans_b ? a : DEPTH * (2 * side + 16);
    const uint64_t stage = sizeof(float) * rows * cols * l->coop_m * l->coop_n;
    uint64_t shared = (is_fast ? 1 : 2) * a + (is_split ? 2 : 1) * (b > a ? b : a);
    shared = shared > stage ? shared : stage;
    return shared <= l->shared_bytes && (s.m + side - 1) / side <= l->max_groups[1] &&
           (s.n + side - 1) / side <= l->max_groups[0];
}

/* Large tiles where there are enough of them to fill a device. */
static bool is_large(const struct firn_call *call)
{
    const struct firn_matmul_sizes s = firn_matmul_sizes(call);
    return s.m * s.n >= 64 * 128 * 128;
}

bool firn_matmul_coop_fits(const struct firn_call *call, const struct firn_limits *limits)
{
    return fits(call, limits, 64, false);
}

bool firn_matmul_coop_large_fits(const struct firn_call *call, const struct firn_limits *limits)
{
    return is_large(call) && fits(call, limits, 128, false);
}

bool firn_matmul_coop_fast_fits(const struct firn_call *call, const struct firn_limits *limits)
{
    return fits(call, limits, 64, true);
}

bool firn_matmul_coop_large_fast_fits(const struct firn_call *call, const struct firn_limits *limits)
{
    return is_large(call) && fits(call, limits, 128, true);
}

size_t firn_matmul_coop_scratch(const struct firn_call *call, const struct firn_limits *limits)
{
    const struct firn_matmul_sizes s = firn_matmul_sizes(call);
    (void) limits;
    return sizeof(float) * (size_t) (2 * s.m + s.n);
}

/* The scales: a work group for each row of a and u, then for each column of v. */
void firn_matmul_scale_setup(const struct firn_call *call, const struct firn_limits *limits, struct firn_dispatch *d)
{
    const struct firn_matmul_sizes s = firn_matmul_sizes(call);
    firn_matmul_push(call, d);
    firn_grid_flat(d, limits, s.m + (s.r > 0 ? s.n : 0));
}

static void setup(const struct firn_call *call, const struct firn_limits *l, struct firn_dispatch *d, uint32_t side)
{
    const struct firn_matmul_sizes s = firn_matmul_sizes(call);
    uint32_t rows = 1, cols = 1;
    waves(l, side, &rows, &cols);
    firn_matmul_push(call, d);
    firn_spec(d, l->coop_m);
    firn_spec(d, l->coop_n);
    firn_spec(d, l->coop_k);
    firn_spec(d, rows);
    firn_spec(d, cols);
    d->groups[0] = (uint32_t) ((s.n + side - 1) / side);
    d->groups[1] = (uint32_t) ((s.m + side - 1) / side);
}

void firn_matmul_coop_setup(const struct firn_call *call, const struct firn_limits *limits, struct firn_dispatch *d)
{
    setup(call, limits, d, 64);
}

void firn_matmul_coop_large_setup(const struct firn_call *call, const struct firn_limits *limits, struct firn_dispatch *d)
{
    setup(call, limits, d, 128);
}
