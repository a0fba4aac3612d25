/* SPDX-License-Identifier: Apache-2.0 */
/* Attention's shaders: tiles in shared memory where that is fast, else rows in registers (drivers that run on a CPU,
 * and whatever is left). Each comes as a wide variant, for head sizes that are multiples of 4. */
#include "ops/attention.h"

static bool is_wide(const struct firn_call *call, const struct firn_limits *limits)
{
    (void) limits;
    return firn_attention_sizes(call).d % 4 == 0;
}

enum side { QUERIES, KEYS }; /* which rows own the output */

/* Constants and push constants of shaders/include/attention.glsl, and a group for each `per_group` rows of a head. */
static void set_up(const struct firn_call *call, const struct firn_limits *limits, struct firn_dispatch *d, int first,
                   enum side side, uint32_t lanes, int64_t per_group)
{
    const struct firn_attention_attrs *a = call->attrs;
    const struct firn_attention_sizes n = firn_attention_sizes(call);
    const int64_t tiles = ((side == QUERIES ? n.tq : n.tk) + per_group - 1) / per_group;
    const int64_t groups = n.b * (side == QUERIES ? n.h : n.hkv) * tiles;
    const int64_t all = n.tq + n.tk + 1; /* as good as no window, and far from overflow */
    const int32_t ahead = (int32_t) n.ahead, window = (int32_t) (n.window < all ? n.window : all);
    firn_spec(d, lanes);
    firn_spec(d, (uint32_t) n.d);
    firn_spec(d, (firn_has(&call->in[first]) ? 1u : 0u) | (firn_has(&call->in[first + 1]) ? 2u : 0u) |
                     (a->dropout > 0 ? 4u : 0u) | (a->softcap > 0 ? 8u : 0u) | (a->causal ? 16u : 0u));
    firn_push(d, (uint64_t) groups);
    firn_push(d, (uint64_t) tiles);
    firn_push(d, (uint64_t) n.h);
    firn_push(d, (uint64_t) n.hkv);
    firn_push(d, (uint64_t) n.tq);
    firn_push(d, (uint64_t) n.tk);
    firn_push(d, (uint32_t) ahead);
    firn_push(d, (uint32_t) window);
    firn_push_f32(d, a->scale);
    firn_push_f32(d, a->softcap);
    firn_push(d, a->stream);
    firn_push(d, firn_draw_below(a->dropout));
    firn_push_f32(d, (float) (1.0 / (1.0 - (double) a->dropout)));
    firn_grid_flat(d, limits, groups);
}

/* Rows of a lane: as many as let D of each stay near (the shader keeps `floats` values of D a row), and no more than
 * 8 lanes can use. A row a lane on anything that is not a CPU: there lanes are many and registers few. */
static void set_up_rows(const struct firn_call *call, const struct firn_limits *limits, struct firn_dispatch *d,
                        int first, enum side side, int64_t floats)
{
    const struct firn_attention_sizes n = firn_attention_sizes(call);
    const bool is_software = (limits->caps & FIRN_CAP_SOFTWARE) != 0;
    const int64_t lanes = is_software ? 8 : 64, rows = side == QUERIES ? n.tq : n.tk;
    int64_t each = is_software ? floats / n.d : 1;
    each = each > 8 ? 8 : each;
    each = each > (rows + lanes - 1) / lanes ? (rows + lanes - 1) / lanes : each;
    each = each < 1 ? 1 : each;
    set_up(call, limits, d, first, side, (uint32_t) lanes, lanes * each);
    firn_spec(d, (uint32_t) each);
}

static void forward_tile(const struct firn_call *call, const struct firn_limits *limits, struct firn_dispatch *d)
{
    set_up(call, limits, d, FIRN_ATT_MASK, QUERIES, 128, 32);
}

static void forward_rows(const struct firn_call *call, const struct firn_limits *limits, struct firn_dispatch *d)
{
    set_up_rows(call, limits, d, FIRN_ATT_MASK, QUERIES, 512);
}

static void dq_tile(const struct firn_call *call, const struct firn_limits *limits, struct firn_dispatch *d)
{
    set_up(call, limits, d, FIRN_ATT_MASK_B, QUERIES, 128, 32);
}

static void dq_rows(const struct firn_call *call, const struct firn_limits *limits, struct firn_dispatch *d)
{
    set_up_rows(call, limits, d, FIRN_ATT_MASK_B, QUERIES, 256);
}

static void dkv_tile(const struct firn_call *call, const struct firn_limits *limits, struct firn_dispatch *d)
{
    set_up(call, limits, d, FIRN_ATT_MASK_B, KEYS, 128, 32);
}

static void dkv_rows(const struct firn_call *call, const struct firn_limits *limits, struct firn_dispatch *d)
{
    set_up_rows(call, limits, d, FIRN_ATT_MASK_B, KEYS, 256);
}

/* A lane an element of the bias. */
static void dbias(const struct firn_call *call, const struct firn_limits *limits, struct firn_dispatch *d)
{
    const int64_t elements = firn_count(&call->out[0]);
    set_up(call, limits, d, FIRN_ATT_MASK_B, QUERIES, 64, 64);
    firn_spec(d, (uint32_t) firn_attention_sizes(call).b);
    d->push[0] = (uint32_t) elements;
    firn_grid_flat(d, limits, (elements + 63) / 64);
}

static void stats(const struct firn_call *call, const struct firn_limits *limits, struct firn_dispatch *d)
{
    const struct firn_attention_attrs *a = call->attrs;
    const int64_t rows = firn_n_rows(&call->in[0]), n = rows * a->n_heads;
    firn_push(d, (uint64_t) n);
    firn_push(d, (uint64_t) a->n_heads);
    firn_push(d, (uint64_t) (rows / a->batch));
    firn_push(d, (uint64_t) (firn_cols(&call->in[0]) / a->n_heads));
    firn_grid_flat(d, limits, (n + 63) / 64);
}

#define VARIANTS(NAME, TILE, ROWS)                                                                \
    { NAME "_tile_wide", NAME "_tile", "WIDE=1", .needs = FIRN_CAP_SHMEM, .accepts = is_wide, .setup = TILE }, \
        { NAME "_tile", NAME "_tile", "WIDE=0", .needs = FIRN_CAP_SHMEM, .setup = TILE },         \
        { NAME "_rows_wide", NAME, "WIDE=1", .accepts = is_wide, .setup = ROWS },                 \
        { NAME "_rows", NAME, "WIDE=0", .setup = ROWS },                                          \
    {                                                                                             \
        NULL                                                                                      \
    }

const struct firn_kernel firn_attention_kernels[] = { VARIANTS("attention", forward_tile, forward_rows) };
const struct firn_kernel firn_attention_dq_kernels[] = { VARIANTS("attention_dq", dq_tile, dq_rows) };
const struct firn_kernel firn_attention_dkv_kernels[] = { VARIANTS("attention_dkv", dkv_tile, dkv_rows) };
const struct firn_kernel firn_attention_stats_kernels[] = {
    { "attention_stats", "attention_stats", .setup = stats }, { NULL }
};
const struct firn_kernel firn_attention_dbias_kernels[] = {
    { "attention_dbias", "attention_dbias", .setup = dbias }, { NULL }
};
