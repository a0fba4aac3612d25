/* SPDX-License-Identifier: Apache-2.0 */
/* Cases of the attention family: head sizes and lengths off every tile, shared heads, and each
 * option alone and with others. Random masks leave rows that see nothing. */
#include "ops/attention.h"

/* clang-format off */
/* B, H, Hkv, Tq, Tk, D, mask, bias (2: by distance), dropout, gradients checked, other attributes */
#define SMALL(X)                                                                                  \
    X(1, 1, 1,  1,  1,   1, 0, 0, 0.0f,    false, .causal = 0)                                    \
    X(2, 3, 3,  5,  5,   7, 1, 0, 0.0f,    false, .causal = 0)                                    \
    X(1, 4, 2,  5,  5,   3, 0, 0, 0.0f,    false, .causal = 1)                                    \
    X(1, 4, 1,  5,  9,   6, 0, 0, 0.0f,    false, .causal = 1, .window = 3)                       \
    X(1, 2, 2,  6,  6,   4, 0, 0, 0.0f,    false, .causal = 1, .softcap = 2.0f)                   \
    X(2, 3, 3,  5,  7,   2, 0, 1, 0.0f,    false, .causal = 0)                                    \
    X(2, 2, 1,  6,  7,   5, 1, 1, 0.0f,    false, .causal = 1, .softcap = 1.5f)                   \
    X(2, 2, 2,  5,  6,   3, 0, 0, 0.3f,    false, .stream = 5)                                    \
    X(2, 4, 2,  5,  8,   4, 1, 0, 0.5f,    false, .causal = 1)                                    \
    X(2, 1, 1,  7,  3,   8, 0, 0, 0.0f,    false, .causal = 1)                                    \
    X(3, 1, 1, 17, 17,  32, 1, 0, 0.0f,    true,  .causal = 1)                                    \
    X(1, 2, 1, 33, 33,  64, 0, 0, 0.0f,    true,  .causal = 1)                                    \
    X(2, 3, 3, 70, 70,  32, 1, 0, 0.0f,    true,  .causal = 0)                                    \
    X(1, 2, 2, 20, 21,  80, 0, 1, 0.0f,    true,  .causal = 0)                                    \
    X(1, 2, 1,  9, 11, 256, 0, 0, 0.0f,    true,  .causal = 1)                                    \
    X(1, 3, 1, 70, 75,  16, 0, 0, 0.0f,    true,  .causal = 1, .window = 8)                       \
    X(2, 1, 1, 65, 67,  33, 1, 0, 0.1f,    true,  .stream = 0xffffffffu)                          \
    X(1, 4, 2, 37, 37,  36, 1, 1, 0.25f,   true,  .causal = 1, .softcap = 3.0f)                  \
    X(2, 3, 3,  5,  4,   3, 1, 2, 0.0f,    false, .causal = 0)                                    \
    X(2, 2, 1,  4,  7,   5, 0, 2, 0.3f,    false, .causal = 1)                                    \
    X(1, 3, 3, 70, 75,  32, 1, 2, 0.0f,    true,  .causal = 0)                                    \
    X(1, 2, 1, 33, 18, 160, 0, 0, 0.0f,    true,  .causal = 0)                                    \
    X(1, 4, 2, 17, 67, 256, 1, 0, 0.2f,    true,  .causal = 1)                                    \
    X(2, 4, 2, 130, 130, 6, 1, 2, 0.1f,    true,  .causal = 1, .window = 70)

#define DIMS_IF(has, rank, ...) { (has) ? (rank) : 0, { __VA_ARGS__ } }
#define BIAS_DIMS(BIAS, H, TQ, TK)                                                                \
    { (BIAS) == 1 ? 3 : (BIAS) == 2 ? 2 : 0,                                                      \
      { (BIAS) == 2 ? (TQ) + (TK) - 1 : (H), (BIAS) == 2 ? (H) : (TQ), (BIAS) == 2 ? 0 : (TK) } }
#define ATTRS(B, H, HKV, D, P, ...)                                                               \
    &(const struct firn_attention_attrs){ .batch = B, .n_heads = H, .n_kv_heads = HKV,            \
                                          .scale = (D) < 4 ? 1.0f : (D) < 40 ? 0.3f : 0.1f,       \
                                          .dropout = P, __VA_ARGS__ }
#define FORWARD(B, H, HKV, TQ, TK, D, MASK, BIAS, P, NO_GRAD, ...)                                \
    { .in = { FIRN_DIMS(B * TQ, H * D), FIRN_DIMS(B * TK, HKV * D), FIRN_DIMS(B * TK, HKV * D),   \
              DIMS_IF(MASK, 2, B, TK), BIAS_DIMS(BIAS, H, TQ, TK), DIMS_IF((P) > 0, 1, 4) },     \
      .attrs = ATTRS(B, H, HKV, D, P, __VA_ARGS__),                                               \
      .below = { [FIRN_ATT_RNG] = 1 << 30 }, .no_grad = NO_GRAD },
#define BACKWARD(B, H, HKV, TQ, TK, D, MASK, BIAS, P, NO_GRAD, ...)                               \
    { .in = { FIRN_DIMS(B * TQ, H * D), FIRN_DIMS(B * TK, HKV * D), FIRN_DIMS(B * TK, HKV * D),   \
              FIRN_DIMS(B * TQ, H * D), FIRN_DIMS(B * H * TQ, 2),                                 \
              DIMS_IF(MASK, 2, B, TK), BIAS_DIMS(BIAS, H, TQ, TK), DIMS_IF((P) > 0, 1, 4) },     \
      .attrs = ATTRS(B, H, HKV, D, P, __VA_ARGS__),                                               \
      .below = { [FIRN_ATT_RNG_B] = 1 << 30 } },

const struct firn_case firn_attention_cases[] = {
    SMALL(FORWARD)
    FORWARD(2, 2, 2, 3,  0,  5, 0, 0, 0.0f, false, .causal = 0)
    FORWARD(1, 2, 2, 0,  4,  5, 1, 0, 0.0f, false, .causal = 0)
    FORWARD(1, 4, 2, 1, 70, 64, 0, 0, 0.0f, true, .causal = 1)
    { .in = { FIRN_DIMS(34, 14), FIRN_DIMS(34, 14), FIRN_DIMS(34, 14), FIRN_DIMS(2, 17) },
      .attrs = ATTRS(2, 2, 2, 7, 0.0f, .causal = 1), .scale = 30, .no_grad = true },
};

const struct firn_case firn_attention_cases_b[] = {
    SMALL(BACKWARD)
    BACKWARD(2, 2, 2, 3, 0,  5, 0, 0, 0.0f, true, .causal = 0)
    BACKWARD(1, 2, 2, 0, 4,  5, 1, 0, 0.0f, true, .causal = 0)
    { .in = { FIRN_DIMS(34, 14), FIRN_DIMS(34, 14), FIRN_DIMS(34, 14), FIRN_DIMS(34, 14), FIRN_DIMS(68, 2),
              FIRN_DIMS(2, 17) },
      .attrs = ATTRS(2, 2, 2, 7, 0.0f, .causal = 1), .scale = 3 },
};

const struct firn_case firn_attention_dbias_cases[] = {
    BACKWARD(1, 1, 1,  1,  1,  1, 0, 1, 0.0f, true, .causal = 0)
    BACKWARD(2, 3, 3,  5,  7,  2, 0, 1, 0.0f, true, .causal = 0)
    BACKWARD(3, 2, 1,  6,  7,  5, 1, 1, 0.3f, true, .causal = 1, .softcap = 1.5f)
    BACKWARD(2, 2, 2, 37, 70, 64, 1, 1, 0.0f, true, .causal = 0)
    BACKWARD(2, 2, 2,  4,  0,  3, 0, 1, 0.0f, true, .causal = 0)
    BACKWARD(1, 1, 1,  1,  1,  1, 0, 2, 0.0f, true, .causal = 0)
    BACKWARD(2, 3, 3,  5,  7,  2, 0, 2, 0.0f, true, .causal = 0)
    BACKWARD(3, 2, 1,  9,  6,  5, 1, 2, 0.3f, true, .causal = 1, .softcap = 1.5f)
    BACKWARD(2, 2, 2, 37, 70, 64, 1, 2, 0.0f, true, .causal = 0)
};

#define STATS(B, H, TQ, D)                                                                        \
    { .in = { FIRN_DIMS(B * TQ, H * D), FIRN_DIMS(B * TQ, H * D), FIRN_DIMS(B * H * TQ) },        \
      .attrs = ATTRS(B, H, H, D, 0.0f, .causal = 0) },
const struct firn_case firn_attention_stats_cases[] = {
    STATS(1, 1, 1, 1)
    STATS(2, 3, 5, 7)
    STATS(3, 2, 33, 64)
    STATS(1, 2, 0, 5)
};
/* clang-format on */

#define COUNT(list) (sizeof(list) / sizeof(list)[0])
_Static_assert(COUNT(firn_attention_cases) == FIRN_ATT_CASES, "as the records say");
_Static_assert(COUNT(firn_attention_stats_cases) == FIRN_ATT_STATS_CASES, "as the records say");
_Static_assert(COUNT(firn_attention_cases_b) == FIRN_ATT_CASES_B, "as the records say");
_Static_assert(COUNT(firn_attention_dbias_cases) == FIRN_ATT_DBIAS_CASES, "as the records say");
