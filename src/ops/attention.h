/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the attention family share: attributes, input numbers, sizes, and who sees
 * whom.
 *
 *   attention        q k v mask bias rng              -> y, lse
 *   attention_stats  y dy lse                         -> stats: (lse, delta) of each query row of
 * each head attention_dq     q k v dy stats mask bias rng     -> dq attention_dkv    the same ->
 * dk, dv attention_dbias  the same                         -> dbias
 *
 * With s = softcap(scale q k) + bias over visible keys, p = exp(s - lse), f the dropout factor (0
 * or 1 / (1 - r)): y = sum p f v;  dp = f (dy v);  delta = dy y;  ds = p (dp - delta);  softcap' =
 * 1 - (softcap / cap)^2 dq = scale sum over keys of ds softcap' k;  dk = scale sum over queries of
 * ds softcap' q; dv = sum over queries of p f dy;  dbias = sum over the batch of ds           (Dao
 * et al. 2022, appendix B) */
#ifndef FIRN_OPS_ATTENTION_H
#define FIRN_OPS_ATTENTION_H

#include "ops/draw.h"
#include "ops/ops.h"

#include <math.h>

struct firn_attention_attrs {
    int32_t batch, n_heads, n_kv_heads;
    int32_t causal, window;
    float scale; /* never 0 */
    float softcap, dropout;
    uint32_t stream;
};

enum {
    FIRN_ATT_Q,
    FIRN_ATT_K,
    FIRN_ATT_V,
    FIRN_ATT_MASK,
    FIRN_ATT_BIAS,
    FIRN_ATT_RNG,
    FIRN_ATT_IN
};
enum {
    FIRN_ATT_DY = 3,
    FIRN_ATT_STATS,
    FIRN_ATT_MASK_B,
    FIRN_ATT_BIAS_B,
    FIRN_ATT_RNG_B,
    FIRN_ATT_IN_B
};
enum { FIRN_ATT_MAX_HEAD = 256 };

extern const struct firn_op firn_op_attention;

struct firn_attention_sizes {
    int64_t b, h, hkv, tq, tk, d;
    int64_t group;  /* query heads that share a key head */
    int64_t ahead;  /* causal: query i sees keys up to i + ahead */
    int64_t window; /* and none at or before i + ahead - window; huge where there is no limit */
};

/* Where the bias of head h, query i and key j stands: [H, Tq, Tk], or by distance [Tq + Tk - 1, H],
 * whose row j - i + Tq - 1 holds for every pair at that distance. */
struct firn_attention_bias {
    int64_t start, h, i, j; /* first element, and steps */
};

static inline struct firn_attention_bias
firn_attention_bias(const struct firn_attention_sizes *s, const struct firn_tensor *bias)
{
    return bias->shape.rank == 2
               ? (struct firn_attention_bias){ (s->tq - 1) * s->h, 1, -s->h, s->h }
               : (struct firn_attention_bias){ 0, s->tq * s->tk, s->tk, 1 };
}

static inline int64_t firn_bias_at(const struct firn_attention_bias *a, int64_t h, int64_t i,
                                   int64_t j)
{
    return a->start + h * a->h + i * a->i + j * a->j;
}

static inline struct firn_attention_sizes firn_attention_sizes(const struct firn_call *call)
{
    const struct firn_attention_attrs *a = call->attrs;
    struct firn_attention_sizes s = { a->batch, a->n_heads, a->n_kv_heads };
    s.tq = call->in[FIRN_ATT_Q].shape.dim[0] / s.b;
    s.tk = call->in[FIRN_ATT_K].shape.dim[0] / s.b;
    s.d = firn_cols(&call->in[FIRN_ATT_Q]) / s.h;
    s.group = s.h / s.hkv;
    s.ahead = a->causal ? s.tk - s.tq : s.tk; /* without causal: beyond the last key */
    s.window = a->window > 0 ? a->window : INT32_MAX;
    return s;
}

/* Whether query i sees key j, the mask left aside. */
static inline bool firn_attention_sees(const struct firn_attention_sizes *s, int64_t i, int64_t j)
{
    return j <= i + s->ahead && j > i + s->ahead - s->window;
}

/* Keys from the first to the one after the last that the mask shows in batch row b; mask NULL shows
 * all. */
static inline void firn_attention_shown(const struct firn_attention_sizes *s, const int32_t *mask,
                                        int64_t b, int64_t *first, int64_t *end)
{
    *first = 0;
    *end = s->tk;
    if (mask == NULL)
        return;
    while (*end > 0 && mask[b * s->tk + *end - 1] == 0)
        --*end;
    while (*first < *end && mask[b * s->tk + *first] == 0)
        ++*first;
}

/* attention_ref.c: double, one row at a time */
void firn_attention_ref(const struct firn_call *call);
void firn_attention_stats_ref(const struct firn_call *call);
void firn_attention_dq_ref(const struct firn_call *call);
void firn_attention_dkv_ref(const struct firn_call *call);
void firn_attention_dbias_ref(const struct firn_call *call);

/* attention_bound.c */
void firn_attention_bound(const struct firn_call *call, int out, double *bound);
void firn_attention_stats_bound(const struct firn_call *call, int out, double *bound);
void firn_attention_dq_bound(const struct firn_call *call, int out, double *bound);
void firn_attention_dkv_bound(const struct firn_call *call, int out, double *bound);
void firn_attention_dbias_bound(const struct firn_call *call, int out, double *bound);
/* of kernels on matrix units, whose operands are two 16-bit floats each */
void firn_attention_coop_bound(const struct firn_call *call, int out, double *bound);
void firn_attention_coop_dq_bound(const struct firn_call *call, int out, double *bound);
void firn_attention_coop_dkv_bound(const struct firn_call *call, int out, double *bound);
/* ... one each (FIRN_CAP_ROUND16) */
void firn_attention_coop_fast_bound(const struct firn_call *call, int out, double *bound);
void firn_attention_coop_dq_fast_bound(const struct firn_call *call, int out, double *bound);
void firn_attention_coop_dkv_fast_bound(const struct firn_call *call, int out, double *bound);

/* attention_cpu.c, attention_cpu_grad.c */
void firn_attention_cpu(const struct firn_call *call);
void firn_attention_stats_cpu(const struct firn_call *call);
void firn_attention_dq_cpu(const struct firn_call *call);
void firn_attention_dkv_cpu(const struct firn_call *call);
void firn_attention_dbias_cpu(const struct firn_call *call);
size_t firn_attention_scratch(const struct firn_call *call, int n_threads);
size_t firn_attention_grad_scratch(const struct firn_call *call, int n_threads);

/* attention_kernels.c */
extern const struct firn_kernel firn_attention_kernels[], firn_attention_stats_kernels[],
    firn_attention_dq_kernels[], firn_attention_dkv_kernels[], firn_attention_dbias_kernels[];
enum firn_attention_side { FIRN_ATT_QUERIES, FIRN_ATT_KEYS }; /* which rows own the output */
/* Constants and push constants of shaders/include/attention.glsl, and a group for each `per_group`
 * of a head's rows, each of which counts `parts` times. */
void firn_attention_set_up(const struct firn_call *call, const struct firn_limits *limits,
                           struct firn_dispatch *d, enum firn_attention_side side, uint32_t lanes,
                           int64_t parts, int64_t per_group);
void firn_attention_grid(struct firn_dispatch *d, const struct firn_limits *limits, int64_t of_head,
                         int64_t heads);
static inline bool firn_attention_is_backward(const struct firn_call *call)
{
    return firn_has(&call->in[FIRN_ATT_DY]) && call->in[FIRN_ATT_DY].dtype != FIRN_I32;
}

/* attention_coop.c: on matrix units. First the largest elements, then 16-bit copies, then attention. */
enum { FIRN_ATT_COOP_NEEDS = FIRN_CAP_COOPMAT | FIRN_CAP_SUBGROUP | FIRN_CAP_SHMEM };
bool firn_attention_coop_wide(const struct firn_call *call, const struct firn_limits *limits);
bool firn_attention_coop_narrow(const struct firn_call *call, const struct firn_limits *limits);
size_t firn_attention_coop_scratch(const struct firn_call *call, const struct firn_limits *limits);
void firn_attention_halves(const struct firn_call *call, const struct firn_limits *limits,
                           struct firn_dispatch *d);
extern const struct firn_kernel firn_attention_coop_then[2][3][2]; /* in one part or two; pass; wide, narrow */

/* attention_cases.c; a backward op runs the forward cases with dy and stats of its own */
enum {
    FIRN_ATT_CASES = 28,
    FIRN_ATT_STATS_CASES = 4,
    FIRN_ATT_CASES_B = 27,
    FIRN_ATT_DBIAS_CASES = 9
};
extern const struct firn_case firn_attention_cases[], firn_attention_stats_cases[],
    firn_attention_cases_b[], firn_attention_dbias_cases[];

#endif
