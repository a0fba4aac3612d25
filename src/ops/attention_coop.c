/* SPDX-License-Identifier: Apache-2.0 */
/* Attention on matrix units: which shapes it takes, the 16-bit copies in scratch, and how work is cut.
 * shaders/attention_coop.comp and attention_halves.comp do it. */
#include "ops/attention.h"

enum { SUBGROUPS = 4, COPIES = 2, CHUNK = 64, MOST_COLUMNS = 128, FEWEST_ROWS = 16 };

/* Head size in whole matrices. */
static int64_t padded_size(const struct firn_call *call, const struct firn_limits *l)
{
    const int64_t whole = l->coop_k > l->coop_n ? l->coop_k : l->coop_n;
    return (firn_attention_sizes(call).d + whole - 1) / whole * whole;
}

static int64_t padded_rows(int64_t rows)
{
    return (rows + CHUNK - 1) / CHUNK * CHUNK;
}

/* Rows of the other side that pass at a time: what shared memory holds. 0: these matrices do not fit. */
static uint32_t block_of(const struct firn_call *call, const struct firn_limits *l)
{
    const uint64_t m = l->coop_m, n = l->coop_n, k = l->coop_k, sub = l->subgroup_size;
    if (m == 0 || n == 0 || k == 0 || sub < m || sub % m != 0 || SUBGROUPS * sub > l->max_lanes || CHUNK % (SUBGROUPS * m) != 0)
        return 0;
    const uint64_t row = 2 * (uint64_t) padded_size(call, l) + 16, per_row = sub / m;
    for (uint32_t block = 32; block >= 8; block /= 2) {
        const uint64_t tiles = 2 * COPIES * block * row;
        const uint64_t scores = SUBGROUPS * m * (4 * block + 16), probs = COPIES * SUBGROUPS * m * (2 * block + 16);
        const uint64_t forward = sizeof(float) * SUBGROUPS * (m * n + sub);
        if (block % n == 0 && block % k == 0 && block / 4 % per_row == 0 &&
            tiles + scores + probs + forward <= l->shared_bytes)
            return block;
    }
    return 0;
}

/* Heads of all tensors that are copied. */
static int64_t n_heads(const struct firn_call *call)
{
    const struct firn_attention_sizes n = firn_attention_sizes(call);
    return n.b * ((firn_attention_is_backward(call) ? 2 : 1) * n.h + 2 * n.hkv);
}

static int64_t n_chunks(const struct firn_call *call)
{
    const struct firn_attention_sizes n = firn_attention_sizes(call);
    return padded_rows(n.tq > n.tk ? n.tq : n.tk) / CHUNK;
}

/* Copies, then the scale of each head and the largest element of each chunk. */
size_t firn_attention_coop_scratch(const struct firn_call *call, const struct firn_limits *l)
{
    const struct firn_attention_sizes n = firn_attention_sizes(call);
    const int64_t q = (firn_attention_is_backward(call) ? 2 : 1) * n.b * n.h * padded_rows(n.tq);
    const int64_t k = 2 * n.b * n.hkv * padded_rows(n.tk);
    return (size_t) (2 * COPIES * (q + k) * padded_size(call, l)) +
           sizeof(float) * (size_t) (n_heads(call) * (1 + n_chunks(call)));
}

static bool fits(const struct firn_call *call, const struct firn_limits *l)
{
    const struct firn_attention_sizes n = firn_attention_sizes(call);
    return n.tq >= FEWEST_ROWS && n.tk >= FEWEST_ROWS && block_of(call, l) > 0 &&
           firn_attention_coop_scratch(call, l) <= l->max_binding_bytes;
}

bool firn_attention_coop_wide(const struct firn_call *call, const struct firn_limits *limits)
{
    return firn_attention_sizes(call).d % 4 == 0 && fits(call, limits);
}

bool firn_attention_coop_narrow(const struct firn_call *call, const struct firn_limits *limits)
{
    return firn_attention_sizes(call).d % 4 != 0 && fits(call, limits);
}

static void push_matrices(const struct firn_call *call, const struct firn_limits *l, struct firn_dispatch *d)
{
    firn_spec(d, l->coop_m);
    firn_spec(d, l->coop_n);
    firn_spec(d, l->coop_k);
    firn_spec(d, block_of(call, l));
}

/* A work group for each chunk of each head. */
void firn_attention_halves(const struct firn_call *call, const struct firn_limits *limits,
                           struct firn_dispatch *d)
{
    const int64_t groups = n_heads(call) * n_chunks(call);
    firn_attention_set_up(call, limits, d, FIRN_ATT_QUERIES, CHUNK, 1, CHUNK);
    push_matrices(call, limits, d);
    d->push[0] = (uint32_t) groups;
    firn_grid_flat(d, limits, groups);
}

static void set_up(const struct firn_call *call, const struct firn_limits *l, struct firn_dispatch *d,
                   enum firn_attention_side side)
{
    const int64_t parts = (padded_size(call, l) + MOST_COLUMNS - 1) / MOST_COLUMNS;
    firn_attention_set_up(call, l, d, side, SUBGROUPS * l->subgroup_size, 1, SUBGROUPS * l->coop_m);
    push_matrices(call, l, d);
    const int64_t of_head = (int64_t) d->push[1] * parts, heads = d->push[1] > 0 ? d->push[0] / d->push[1] : 0;
    d->push[0] = (uint32_t) (of_head * heads);
    firn_attention_grid(d, l, of_head, heads);
}

static void queries(const struct firn_call *call, const struct firn_limits *limits, struct firn_dispatch *d)
{
    set_up(call, limits, d, FIRN_ATT_QUERIES);
}

static void keys(const struct firn_call *call, const struct firn_limits *limits, struct firn_dispatch *d)
{
    set_up(call, limits, d, FIRN_ATT_KEYS);
}

/* clang-format off */
#define HALVES(NAME, split, pass, bindings)                                                        \
    { { NAME "_wide_halves", "attention_halves", "SPLIT=" #split " PASS=1 WIDE=1 " bindings,       \
        FIRN_ATT_COOP_NEEDS, .setup = firn_attention_halves, .then = &last[split][pass][0] },      \
      { NAME "_halves", "attention_halves", "SPLIT=" #split " PASS=1 WIDE=0 " bindings,            \
        FIRN_ATT_COOP_NEEDS, .setup = firn_attention_halves, .then = &last[split][pass][1] } }
#define LAST(NAME, split, pass, rows)                                                              \
    { { NAME "_wide_rows", "attention_coop", "SPLIT=" #split " PASS=" #pass " WIDE=1",             \
        FIRN_ATT_COOP_NEEDS, .setup = rows },                                                      \
      { NAME "_rows", "attention_coop", "SPLIT=" #split " PASS=" #pass " WIDE=0",                  \
        FIRN_ATT_COOP_NEEDS, .setup = rows } }
#define ALL_LAST(NAME, split)                                                                      \
    { LAST("attention_" NAME, split, 0, queries), LAST("attention_dq_" NAME, split, 1, queries),   \
      LAST("attention_dkv_" NAME, split, 2, keys) }
#define ALL_HALVES(NAME, split)                                                                    \
    { HALVES("attention_" NAME, split, 0, "BACKWARD=0 SCRATCH=8"),                                 \
      HALVES("attention_dq_" NAME, split, 1, "BACKWARD=1 SCRATCH=9"),                              \
      HALVES("attention_dkv_" NAME, split, 2, "BACKWARD=1 SCRATCH=10") }
static const struct firn_kernel last[2][3][2] = { ALL_LAST("coop_fast", 0), ALL_LAST("coop", 1) };
const struct firn_kernel firn_attention_coop_then[2][3][2] = { ALL_HALVES("coop_fast", 0), ALL_HALVES("coop", 1) };
/* clang-format on */
