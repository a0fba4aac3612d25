/* SPDX-License-Identifier: Apache-2.0 */
/* Attention's shaders, best first: matrix units; tiles in shared memory where that is fast; rows in registers on
 * drivers that run on a CPU; one that takes any shape with few registers. Wide variants take head
 * sizes that are multiples of 4. */
#include "ops/attention.h"

static bool is_wide(const struct firn_call *call, const struct firn_limits *limits)
{
    (void) limits;
    return firn_attention_sizes(call).d % 4 == 0;
}

static bool is_narrow(const struct firn_call *call, const struct firn_limits *limits)
{
    return !is_wide(call, limits);
}

enum { WIDEST_IN_ROWS = 128 };

/* Rows unroll the head: beyond this a compiler takes seconds, and longer than the square of it. */
static bool fits_wide(const struct firn_call *call, const struct firn_limits *limits)
{
    return is_wide(call, limits) && firn_attention_sizes(call).d <= WIDEST_IN_ROWS;
}

static bool fits_narrow(const struct firn_call *call, const struct firn_limits *limits)
{
    return is_narrow(call, limits) && firn_attention_sizes(call).d <= 48;
}

/* A row of work groups for each head of each sequence, so that a long dispatch can be cut between them. */
void firn_attention_grid(struct firn_dispatch *d, const struct firn_limits *limits, int64_t of_head, int64_t heads)
{
    if (of_head > limits->max_groups[0] || heads > limits->max_groups[1]) {
        firn_grid_flat(d, limits, of_head * heads);
        return;
    }
    d->is_flat = true;
    d->groups[0] = (uint32_t) of_head;
    d->groups[1] = (uint32_t) heads;
    d->groups[2] = 1;
}

void firn_attention_set_up(const struct firn_call *call, const struct firn_limits *limits,
                           struct firn_dispatch *d, enum firn_attention_side side, uint32_t lanes,
                           int64_t parts, int64_t per_group)
{
    const struct firn_attention_attrs *a = call->attrs;
    const struct firn_attention_sizes n = firn_attention_sizes(call);
    const int first =
        firn_attention_is_backward(call) ? FIRN_ATT_MASK_B : FIRN_ATT_MASK; /* then bias, random state */
    const int64_t tiles = ((side == FIRN_ATT_KEYS ? n.tk : n.tq) * parts + per_group - 1) / per_group;
    const int64_t groups = n.b * (side == FIRN_ATT_KEYS ? n.hkv : n.h) * tiles;
    const int64_t all = n.tq + n.tk + 1; /* as good as no window, and far from overflow */
    const int32_t ahead = (int32_t) n.ahead, window = (int32_t) (n.window < all ? n.window : all);
    firn_spec(d, lanes);
    firn_spec(d, (uint32_t) n.d);
    firn_spec(d, (firn_has(&call->in[first]) ? 1u : 0u) |
                     (firn_has(&call->in[first + 1]) ? 2u : 0u) | (a->dropout > 0 ? 4u : 0u) |
                     (a->softcap > 0 ? 8u : 0u) | (a->causal ? 16u : 0u) |
                     (call->in[first + 1].shape.rank == 2 ? 32u : 0u));
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
    firn_push(d, (uint64_t) n.b);
    firn_attention_grid(d, limits, tiles, tiles > 0 ? groups / tiles : 0);
}

/* 8 lanes, each with as many rows as keep the code small: `floats` is how many of D it may unroll;
 * 8 rows at most. */
static void set_up_rows(const struct firn_call *call, const struct firn_limits *limits,
                        struct firn_dispatch *d, enum firn_attention_side side, int64_t floats)
{
    const struct firn_attention_sizes n = firn_attention_sizes(call);
    const int64_t rows = side == FIRN_ATT_KEYS ? n.tk : n.tq;
    int64_t each = floats / n.d;
    each = each > 8 ? 8 : each;
    each = each > (rows + 7) / 8 ? (rows + 7) / 8 : each;
    each = each < 1 ? 1 : each;
    firn_attention_set_up(call, limits, d, side, 8, 1, 8 * each);
    firn_spec(d, (uint32_t) each);
}

/* Shader variants of a pass: name, constants, floats to unroll in wide and narrow rows. */
#define SETUPS(name, side, wide, narrow)                                                           \
    static void name##_tile(const struct firn_call *call, const struct firn_limits *limits,        \
                            struct firn_dispatch *d)                                               \
    {                                                                                              \
        firn_attention_set_up(call, limits, d, side, 128, 1, 32);                                                 \
    }                                                                                              \
    static void name##_rows_wide(const struct firn_call *call, const struct firn_limits *limits,   \
                                 struct firn_dispatch *d)                                          \
    {                                                                                              \
        set_up_rows(call, limits, d, side, wide);                                                  \
    }                                                                                              \
    static void name##_rows(const struct firn_call *call, const struct firn_limits *limits,        \
                            struct firn_dispatch *d)                                               \
    {                                                                                              \
        set_up_rows(call, limits, d, side, narrow);                                                \
    }                                                                                              \
    static void name##_any(const struct firn_call *call, const struct firn_limits *limits,         \
                           struct firn_dispatch *d)                                                \
    {                                                                                              \
        firn_attention_set_up(call, limits, d, side, 64, (firn_attention_sizes(call).d + 15) / 16, 64);           \
    }

SETUPS(attention, FIRN_ATT_QUERIES, 512, 128)
SETUPS(attention_dq, FIRN_ATT_QUERIES, 256, 96)
SETUPS(attention_dkv, FIRN_ATT_KEYS, 256, 64)

/* A lane an element of the bias. */
static void dbias(const struct firn_call *call, const struct firn_limits *limits,
                  struct firn_dispatch *d)
{
    const int64_t elements = firn_count(&call->out[0]);
    firn_attention_set_up(call, limits, d, FIRN_ATT_QUERIES, 64, 1, 64);
    firn_spec(d, (uint32_t) firn_attention_sizes(call).b);
    d->push[0] = (uint32_t) elements;
    firn_grid_flat(d, limits, (elements + 63) / 64);
}

static bool stats_fours(const struct firn_call *call, const struct firn_limits *limits)
{
    const int64_t d =
        firn_cols(&call->in[0]) / ((const struct firn_attention_attrs *) call->attrs)->n_heads;
    (void) limits;
    return d % 4 == 0 && d <= WIDEST_IN_ROWS;
}

static void stats(const struct firn_call *call, const struct firn_limits *limits,
                  struct firn_dispatch *d)
{
    const struct firn_attention_attrs *a = call->attrs;
    const int64_t rows = firn_n_rows(&call->in[0]), n = rows * a->n_heads;
    firn_push(d, (uint64_t) n);
    firn_push(d, (uint64_t) a->n_heads);
    firn_push(d, (uint64_t) (rows / a->batch));
    firn_push(d, (uint64_t) (firn_cols(&call->in[0]) / a->n_heads));
    firn_grid_flat(d, limits, (n + 63) / 64);
}

/* clang-format off */
#define COOP_KERNELS(NAME, split, pass, bindings, more_needs, bound_)                               \
    { NAME "_wide", "attention_halves", "SPLIT=" #split " PASS=0 WIDE=1 " bindings,                 \
      FIRN_ATT_COOP_NEEDS | more_needs, .accepts = firn_attention_coop_wide,                        \
      .setup = firn_attention_halves, .scratch = firn_attention_coop_scratch, .bound = bound_,      \
      .then = &firn_attention_coop_then[split][pass][0] },                                          \
    { NAME, "attention_halves", "SPLIT=" #split " PASS=0 WIDE=0 " bindings,                         \
      FIRN_ATT_COOP_NEEDS | more_needs, .accepts = firn_attention_coop_narrow,                      \
      .setup = firn_attention_halves, .scratch = firn_attention_coop_scratch, .bound = bound_,      \
      .then = &firn_attention_coop_then[split][pass][1] }
#define COOP(NAME, pass, bindings, bounds)                                                          \
    COOP_KERNELS(NAME "_coop_fast", 0, pass, bindings, FIRN_CAP_ROUND16, bounds##_fast_bound),      \
    COOP_KERNELS(NAME "_coop", 1, pass, bindings, 0, bounds##_bound)
#define VARIANTS(NAME, name)                                                                       \
    { NAME "_tile_wide", NAME "_tile", "WIDE=1", FIRN_CAP_SHMEM,    0, is_wide,     name##_tile }, \
    { NAME "_tile",      NAME "_tile", "WIDE=0", FIRN_CAP_SHMEM,    0, is_narrow,   name##_tile }, \
    { NAME "_rows_wide", NAME "_rows", "WIDE=1", FIRN_CAP_SOFTWARE, 0, fits_wide,                  \
      name##_rows_wide },                                                                          \
    { NAME "_rows",      NAME "_rows", "WIDE=0", FIRN_CAP_SOFTWARE, 0, fits_narrow, name##_rows }, \
    { NAME "_any",       NAME "_any",  NULL,     0,                 0, NULL,        name##_any },  \
    { NULL }

const struct firn_kernel firn_attention_kernels[] = {
    COOP("attention", 0, "BACKWARD=0 SCRATCH=8", firn_attention_coop), VARIANTS("attention", attention) };
const struct firn_kernel firn_attention_dq_kernels[] = {
    COOP("attention_dq", 1, "BACKWARD=1 SCRATCH=9", firn_attention_coop_dq), VARIANTS("attention_dq", attention_dq) };
const struct firn_kernel firn_attention_dkv_kernels[] = {
    COOP("attention_dkv", 2, "BACKWARD=1 SCRATCH=10", firn_attention_coop_dkv), VARIANTS("attention_dkv", attention_dkv) };
/* clang-format on */

/* Dot products of four where dq and dkv have them, so that they sum alike. */
const struct firn_kernel firn_attention_stats_kernels[] = {
    { "attention_stats_tile", "attention_stats", "FOURS=1", FIRN_CAP_SHMEM, .setup = stats },
    { "attention_stats_rows", "attention_stats", "FOURS=1", FIRN_CAP_SOFTWARE,
      .accepts = stats_fours, .setup = stats },
    { "attention_stats", "attention_stats", "FOURS=0", .setup = stats },
    { NULL }
};
const struct firn_kernel firn_attention_dbias_kernels[] = {
    { "attention_dbias", "attention_dbias", .setup = dbias }, { NULL }
};
