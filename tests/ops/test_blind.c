/* SPDX-License-Identifier: Apache-2.0 */
/* Queries that see no key: what PyTorch's eager attention gives them is the attention over all keys with equal scores.
 * With q or k zero the scores are equal anyway, so that the ordinary operation tells what each gradient must be. */
#include "base/rng.h"
#include "ops/attention.h"

#include <cmocka.h>
#include <stdlib.h>

enum { B = 2, H = 4, HKV = 2, TQ = 5, TK = 6, D = 3, N_Q = B * TQ * H * D, N_K = B * TK * HKV * D };
static float q[N_Q], k[N_K], v[N_K], dy[N_Q], y[N_Q], stats[B * H * TQ * 2], lse[B * H * TQ];
static float got[3][N_Q + N_K], want[3][N_Q + N_K];
static int32_t mask[B * TK];

static struct firn_tensor floats(float *x, int64_t rows, int64_t cols)
{
    return (struct firn_tensor){ FIRN_F32, firn_dims(rows, cols), x };
}

static void fill(float *x, int64_t n, uint32_t stream)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = firn_normal(3, stream, 0, (uint64_t) i);
}

static void run(const char *op, struct firn_call call)
{
    firn_op_find(op)->ref(&call);
}

/* The gradients of rows that all see nothing, and those of rows that see everything. */
static void compare(bool is_q_zero)
{
    const struct firn_attention_attrs all = { .batch = B, .n_heads = H, .n_kv_heads = HKV, .scale = 0.7f };
    struct firn_attention_attrs causal = all;
    causal.causal = 1;
    causal.softcap = 2.0f; /* of equal scores it changes nothing: its slope at zero is one */
    fill(q, N_Q, 1);
    fill(k, N_K, 2);
    fill(v, N_K, 3);
    fill(dy, N_Q, 4);
    memset(is_q_zero ? q : k, 0, is_q_zero ? sizeof q : sizeof k);
    memset(mask, 0, sizeof mask);
    const struct firn_tensor Q = floats(q, B * TQ, H * D), K = floats(k, B * TK, HKV * D), V = floats(v, B * TK, HKV * D);
    const struct firn_tensor DY = floats(dy, B * TQ, H * D), Y = floats(y, B * TQ, H * D);
    const struct firn_tensor M = { FIRN_I32, firn_dims(B, TK), mask };
    const struct firn_tensor L = { FIRN_F32, firn_dims(B * H * TQ), lse }, S = floats(stats, B * H * TQ, 2);
#define OUT(list) { floats(list[0], B * TQ, H * D), floats(list[1], B * TK, HKV * D), floats(list[2], B * TK, HKV * D) }
    run("attention", (struct firn_call){ .in = { Q, K, V }, .out = { floats(want[0], B * TQ, H * D), L }, .attrs = &all });
    run("attention_blind", (struct firn_call){ .in = { Q, K, V, M }, .out = { Y }, .attrs = &causal });
    for (int i = 0; i < N_Q; i++)
        assert_true(fabsf(y[i] - want[0][i]) < 1e-6f);
    run("attention_stats", (struct firn_call){ .in = { Y, DY, L }, .out = { S }, .attrs = &all });
    run("attention_dq", (struct firn_call){ .in = { Q, K, V, DY, S }, .out = { floats(want[0], B * TQ, H * D) }, .attrs = &all });
    run("attention_dkv", (struct firn_call){ .in = { Q, K, V, DY, S }, .attrs = &all,
                                             .out = { floats(want[1], B * TK, HKV * D), floats(want[2], B * TK, HKV * D) } });
    run("attention_blind_grad", (struct firn_call){ .in = { Q, K, V, DY, Y, M }, .out = OUT(got), .attrs = &causal });
    for (int j = 0; j < 3; j++)
        for (int i = 0; i < (j == 0 ? N_Q : N_K); i++)
            assert_true(fabsf(got[j][i] - want[j][i]) < 2e-6f);
}

static void gradients_are_those_of_equal_scores(void **state)
{
    (void) state;
    compare(true);  /* dq, dv; dk is zero */
    compare(false); /* dk, dv; dq is zero */
}

static void rows_that_see_a_key_get_nothing(void **state)
{
    (void) state;
    const struct firn_attention_attrs a = { .batch = B, .n_heads = H, .n_kv_heads = HKV, .scale = 1, .causal = 1 };
    fill(v, N_K, 3);
    for (int i = 0; i < B * TK; i++)
        mask[i] = i >= TK || i >= 3; /* the first text starts with three pads; one key stands before the first query */
    const struct firn_tensor M = { FIRN_I32, firn_dims(B, TK), mask };
    run("attention_blind", (struct firn_call){ .in = { floats(q, B * TQ, H * D), floats(k, B * TK, HKV * D),
                                                       floats(v, B * TK, HKV * D), M },
                                               .out = { floats(y, B * TQ, H * D) }, .attrs = &a });
    for (int i = 0; i < N_Q; i++)
        assert_int_equal(y[i] != 0, i / (H * D) < 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(gradients_are_those_of_equal_scores),
                                        cmocka_unit_test(rows_that_see_a_key_get_nothing) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
