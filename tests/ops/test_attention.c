/* SPDX-License-Identifier: Apache-2.0 */
/* What a walk over the records does not show of attention, dropout and rope on the host: long rows,
 * threads, rows that see nothing, huge scores, and the statistics of what is dropped. */
#include "base/rng.h"
#include "ops/attention.h"

#include <cmocka.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

enum { FORWARD, STATS, DQ, DKV, DBIAS };

/* Attention with all its tensors, in host memory. */
struct problem {
    struct firn_attention_attrs attrs;
    struct firn_tensor q, k, v, mask, bias, rng, y, lse, dy, stats, dq, dk, dv, dbias;
};

static struct firn_tensor tensor(enum firn_dtype dtype, struct firn_shape shape, uint32_t stream)
{
    struct firn_tensor t = { dtype, shape, NULL };
    const int64_t n = firn_shape_count(&shape);
    t.data = calloc((size_t) n + 1, 4);
    assert_non_null(t.data);
    for (int64_t i = 0; i < n && dtype == FIRN_F32 && stream > 0; i++)
        firn_f32(&t)[i] = firn_normal(7, stream, 0, (uint64_t) i);
    for (int64_t i = 0; i < n && dtype == FIRN_I32; i++)
        firn_i32(&t)[i] = 1;
    return t;
}

static struct problem problem(struct firn_attention_attrs attrs, int64_t tq, int64_t tk, int64_t d)
{
    const int64_t b = attrs.batch, h = attrs.n_heads, hkv = attrs.n_kv_heads;
    const struct firn_shape q = firn_dims(b * tq, h * d), k = firn_dims(b * tk, hkv * d);
    return (struct problem){
        .attrs = attrs,
        .q = tensor(FIRN_F32, q, 1),
        .k = tensor(FIRN_F32, k, 2),
        .v = tensor(FIRN_F32, k, 3),
        .mask = tensor(FIRN_I32, firn_dims(b, tk), 0),
        .bias = tensor(FIRN_F32, firn_dims(h, tq, tk), 5),
        .rng = tensor(FIRN_I32, firn_dims(4), 0),
        .y = tensor(FIRN_F32, q, 0),
        .lse = tensor(FIRN_F32, firn_dims(b * h * tq), 0),
        .dy = tensor(FIRN_F32, q, 4),
        .stats = tensor(FIRN_F32, firn_dims(b * h * tq, 2), 0),
        .dq = tensor(FIRN_F32, q, 0),
        .dk = tensor(FIRN_F32, k, 0),
        .dv = tensor(FIRN_F32, k, 0),
        .dbias = tensor(FIRN_F32, firn_dims(h, tq, tk), 0),
    };
}

static void problem_free(struct problem *p)
{
    struct firn_tensor *const all[] = { &p->q,   &p->k,  &p->v,   &p->mask, &p->bias,
                                        &p->rng, &p->y,  &p->lse, &p->dy,   &p->stats,
                                        &p->dq,  &p->dk, &p->dv,  &p->dbias };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i]->data);
}

static struct firn_call call_of(const struct problem *p, int which)
{
    const struct firn_tensor none = { FIRN_NONE }, rng = p->attrs.dropout > 0 ? p->rng : none;
    struct firn_call c = { .in = { p->q, p->k, p->v, p->dy, p->stats, p->mask, p->bias, rng },
                           .attrs = &p->attrs };
    switch (which) {
    case FORWARD:
        return (struct firn_call){ .in = { p->q, p->k, p->v, p->mask, p->bias, rng },
                                   .out = { p->y, p->lse },
                                   .attrs = &p->attrs };
    case STATS:
        return (struct firn_call){ .in = { p->y, p->dy, p->lse },
                                   .out = { p->stats },
                                   .attrs = &p->attrs };
    case DQ:
        c.out[0] = p->dq;
        break;
    case DKV:
        c.out[0] = p->dk;
        c.out[1] = p->dv;
        break;
    default:
        c.out[0] = p->dbias;
    }
    return c;
}

static void run(const struct firn_op *op, struct firn_call *call, struct firn_pool *pool)
{
    const size_t size =
        op->cpu_scratch != NULL ? op->cpu_scratch(call, firn_pool_threads(pool)) : 0;
    call->pool = pool;
    call->scratch = malloc(size + 1);
    assert_non_null(call->scratch);
    op->cpu(call);
    free(call->scratch);
    call->scratch = NULL;
}

/* Forward and every backward pass. */
static void run_all(const struct problem *p, struct firn_pool *pool)
{
    for (int which = FORWARD; which <= DBIAS; which++) {
        struct firn_call call = call_of(p, which);
        run(firn_family_attention[which], &call, pool);
    }
}

/* Holds what p's outputs are against the reference for the same inputs. */
static void hold_against_reference(const struct problem *p, int which)
{
    const struct firn_op *op = firn_family_attention[which];
    struct firn_call call = call_of(p, which), want = call;
    for (int j = 0; j < op->n_out; j++)
        want.out[j] = tensor(FIRN_F32, call.out[j].shape, 0);
    op->ref(&want);
    for (int j = 0; j < op->n_out; j++) {
        const int64_t n = firn_count(&call.out[j]);
        double *bound = calloc((size_t) n, sizeof *bound);
        assert_non_null(bound);
        op->bound(&want, j, bound);
        for (int64_t i = 0; i < n; i++) {
            const double got = (double) firn_f32(&call.out[j])[i],
                         expected = (double) firn_f32(&want.out[j])[i];
            if (!(fabs(got - expected) <= bound[i]))
                fail_msg("%s output %d [%lld]: %g, reference %g, allowed %g", op->name, j,
                         (long long) i, got, expected, bound[i]);
        }
        free(bound);
    }
    for (int j = 0; j < op->n_out; j++)
        free(want.out[j].data);
}

static void long_rows_match_the_reference(void **state)
{
    (void) state;
    struct problem p = problem(
        (struct firn_attention_attrs){
            .batch = 1, .n_heads = 2, .n_kv_heads = 1, .scale = 0.2f, .causal = 1, .window = 900 },
        1000, 1003, 24);
    run_all(&p, NULL);
    for (int which = FORWARD; which <= DBIAS; which++)
        hold_against_reference(&p, which);
    problem_free(&p);
}

static bool same_bytes(const struct firn_tensor *a, const struct firn_tensor *b)
{
    return memcmp(a->data, b->data, sizeof(float) * (size_t) firn_count(a)) == 0;
}

static void threads_do_not_change_a_bit(void **state)
{
    (void) state;
    const struct firn_attention_attrs attrs = { .batch = 3,
                                                .n_heads = 4,
                                                .n_kv_heads = 2,
                                                .scale = 0.3f,
                                                .causal = 1,
                                                .dropout = 0.2f,
                                                .softcap = 4.0f };
    struct problem one = problem(attrs, 70, 133, 18), four = problem(attrs, 70, 133, 18);
    struct firn_pool *pool = NULL;
    assert_int_equal(firn_pool_create(&pool, 4, NULL), FIRN_OK);
    run_all(&one, NULL);
    run_all(&four, pool);
    assert_true(same_bytes(&one.y, &four.y) && same_bytes(&one.lse, &four.lse));
    assert_true(same_bytes(&one.dq, &four.dq) && same_bytes(&one.dk, &four.dk));
    assert_true(same_bytes(&one.dv, &four.dv) && same_bytes(&one.dbias, &four.dbias));
    firn_pool_destroy(&pool);
    problem_free(&one);
    problem_free(&four);
}

static void a_row_that_sees_nothing_gives_zeros_and_no_gradient(void **state)
{
    (void) state;
    struct problem p = problem(
        (struct firn_attention_attrs){ .batch = 2, .n_heads = 1, .n_kv_heads = 1, .scale = 1.0f },
        5, 6, 3);
    for (int j = 0; j < 6; j++)
        firn_i32(&p.mask)[6 + j] = 0; /* the second sequence is padding only */
    run_all(&p, NULL);
    for (int i = 0; i < 15; i++) {
        assert_true(firn_f32(&p.y)[i] != 0 && firn_f32(&p.dq)[i] != 0);
        assert_true(firn_f32(&p.y)[15 + i] == 0 && firn_f32(&p.dq)[15 + i] == 0);
    }
    for (int i = 0; i < 18; i++)
        assert_true(firn_f32(&p.dk)[18 + i] == 0 && firn_f32(&p.dv)[18 + i] == 0);
    for (int i = 0; i < 5; i++)
        assert_true(firn_f32(&p.lse)[5 + i] == 0);
    problem_free(&p);
}

static void expect_no_step(const struct firn_tensor *gradient)
{
    for (int64_t i = 0; i < firn_count(gradient); i++)
        assert_true(firn_f32(gradient)[i] == 0);
}

/* A probability of one cannot change: no rest of dy v - delta may be left, of which Adam would make a step. */
static void a_query_that_sees_one_key_has_no_gradient_of_scores(void **state)
{
    static const int sizes[] = { 1, 6, 16, 33, 40, 67 }, heads[] = { 1, 3, 18 };
    (void) state;
    for (int s = 0; s < 6; s++)
        for (int h = 0; h < 3; h++) {
            struct problem p = problem((struct firn_attention_attrs){ .batch = 2, .n_heads = heads[h], .n_kv_heads = heads[h],
                                                                      .scale = 0.3f, .softcap = h == 1 ? 20.0f : 0 },
                                       5, 70, sizes[s]);
            for (int j = 0; j < 140; j++)
                firn_i32(&p.mask)[j] = j == 3 || j == 70 + 66; /* one in each sequence */
            for (int is_ref = 0; is_ref < 2; is_ref++) {
                for (int which = FORWARD; which <= DBIAS && is_ref; which++) {
                    struct firn_call call = call_of(&p, which);
                    firn_family_attention[which]->ref(&call);
                }
                if (!is_ref)
                    run_all(&p, NULL);
                expect_no_step(&p.dq);
                expect_no_step(&p.dk);
                expect_no_step(&p.dbias);
                assert_true(firn_f32(&p.dv)[3 * heads[h] * sizes[s]] != 0);
            }
            problem_free(&p);
        }
}

static void what_padding_holds_does_not_matter(void **state)
{
    (void) state;
    const struct firn_attention_attrs attrs = {
        .batch = 2, .n_heads = 2, .n_kv_heads = 2, .scale = 0.5f
    };
    struct problem p = problem(attrs, 20, 20, 8), other = problem(attrs, 20, 20, 8);
    for (int j = 0; j < 40; j++)
        if (j % 20 > 12 || j == 3)
            for (int c = 0; c < 16; c++) {
                firn_i32(&p.mask)[j] = firn_i32(&other.mask)[j] = 0;
                firn_f32(&other.k)[j * 16 + c] = 1e4f;
                firn_f32(&other.v)[j * 16 + c] = -1e30f;
            }
    run_all(&p, NULL);
    run_all(&other, NULL);
    assert_true(same_bytes(&p.y, &other.y) && same_bytes(&p.dq, &other.dq));
    assert_true(same_bytes(&p.dk, &other.dk) && same_bytes(&p.dv, &other.dv));
    problem_free(&p);
    problem_free(&other);
}

static void huge_scores_stay_finite_and_a_nan_is_not_hidden(void **state)
{
    (void) state;
    struct problem p = problem(
        (struct firn_attention_attrs){ .batch = 1, .n_heads = 1, .n_kv_heads = 1, .scale = 1e4f },
        17, 90, 5);
    run_all(&p, NULL);
    for (int i = 0; i < 85; i++)
        assert_true(isfinite(firn_f32(&p.y)[i]) && isfinite(firn_f32(&p.dq)[i]));
    firn_f32(&p.q)[5 * 3] = NAN;
    run_all(&p, NULL);
    for (int c = 0; c < 5; c++) {
        assert_true(isnan(firn_f32(&p.y)[5 * 3 + c]));
        assert_true(isfinite(firn_f32(&p.y)[5 * 4 + c]));
    }
    problem_free(&p);
}

/* With values of one, y is the kept share of the probabilities over 1 - p: its mean is 1. */
static void attention_dropout_keeps_the_mean(void **state)
{
    (void) state;
    struct problem p = problem(
        (struct firn_attention_attrs){
            .batch = 2, .n_heads = 4, .n_kv_heads = 4, .scale = 0.0f, .dropout = 0.25f },
        64, 128, 1);
    double sum = 0;
    memset(p.bias.data, 0, sizeof(float) * (size_t) firn_count(&p.bias));
    for (int64_t i = 0; i < firn_count(&p.v); i++)
        firn_f32(&p.v)[i] = 1;
    run_all(&p, NULL);
    for (int64_t i = 0; i < firn_count(&p.y); i++)
        sum += (double) firn_f32(&p.y)[i];
    /* 65536 draws: a standard deviation of sqrt(1/3 / 65536) = 0.0023, five of them allowed */
    assert_true(fabs(sum / (double) firn_count(&p.y) - 1.0) < 0.0115);
    problem_free(&p);
}

static void batches_of_draws_are_the_single_draws(void **state)
{
    (void) state;
    static const int64_t starts[] = { 0, 1, 3, 61, 64, 1000003 },
                         counts[] = { 1, 3, 4, 5, 63, 64, 65, 201 };
    const struct firn_draw draw = firn_draw_start((int32_t[]){ -5, 77, 3, 2 }, 9, 0.3f);
    const uint64_t far = ((uint64_t) 1 << 34) - 40; /* the block number's low word wraps here */
    float factors[201];
    for (size_t s = 0; s < 6; s++)
        for (size_t c = 0; c < 8; c++)
            for (int is_far = 0; is_far < 2; is_far++) {
                const uint64_t first = (uint64_t) starts[s] + (is_far ? far : 0);
                firn_draw_factors(&draw, first, counts[c], factors);
                for (int64_t i = 0; i < counts[c]; i++)
                    assert_int_equal(factors[i] != 0, firn_draw_keeps(&draw, first + (uint64_t) i));
            }
}

static void dropout_drops_its_share_and_streams_differ(void **state)
{
    (void) state;
    enum { N = 100000 };
    static const struct {
        int32_t rng[4];
        uint32_t stream;
    } kinds[] = { { { 1, 2, 3, 4 }, 5 }, { { 9, 2, 3, 4 }, 5 }, { { 1, 9, 3, 4 }, 5 },
                  { { 1, 2, 9, 4 }, 5 }, { { 1, 2, 3, 9 }, 5 }, { { 1, 2, 3, 4 }, 9 } };
    float *base = malloc(sizeof *base * N), *other = malloc(sizeof *other * N);
    assert_true(base != NULL && other != NULL);
    for (int k = 0; k < 6; k++) {
        const struct firn_draw draw = firn_draw_start(kinds[k].rng, kinds[k].stream, 0.3f);
        int kept = 0, agree = 0;
        firn_draw_factors(&draw, 0, N, k == 0 ? base : other);
        for (int i = 0; i < N; i++) {
            kept += (k == 0 ? base : other)[i] != 0;
            agree += k > 0 && (base[i] != 0) == (other[i] != 0);
        }
        /* standard deviations: sqrt(0.21 N) = 145; independent masks agree in 0.58 N, sqrt(0.2436
         * N) = 156 */
        assert_true(abs(kept - 70000) < 5 * 145);
        assert_true(k == 0 || abs(agree - 58000) < 5 * 156);
    }
    free(base);
    free(other);
}

static firn_val leaf(struct firn_graph *g, const char *name, int64_t rows, int64_t cols)
{
    return firn_graph_leaf(g, FIRN_LEAF_INPUT, name, FIRN_F32, firn_dims(rows, cols));
}

static void expect_error(const struct firn_attention_params *params, int64_t k_rows, int64_t k_cols,
                         const char *text)
{
    struct firn_graph *g = firn_graph_create();
    const firn_val q = leaf(g, "q", 10, 24), k = leaf(g, "k", k_rows, k_cols);
    assert_false(firn_is_value(firn_attention(g, q, k, k, params)));
    assert_non_null(firn_graph_error(g));
    if (strstr(firn_graph_error(g), text) == NULL)
        fail_msg("'%s' does not say '%s'", firn_graph_error(g), text);
    firn_graph_destroy(&g);
}

static void shapes_that_do_not_fit_are_refused_by_name(void **state)
{
    (void) state;
    expect_error(firn_attention_params(.batch = 2, .n_heads = 5), 10, 24,
                 "a width of 24 is not 5 heads");
    expect_error(firn_attention_params(.batch = 2, .n_heads = 4, .n_kv_heads = 3), 10, 18,
                 "4 query heads and 3 key");
    expect_error(firn_attention_params(.batch = 2, .n_heads = 4, .n_kv_heads = 2), 10, 24,
                 "not 2 heads of size 6");
    expect_error(firn_attention_params(.batch = 3, .n_heads = 4), 9, 24,
                 "10 rows are not 3 sequences");
    expect_error(firn_attention_params(.batch = 2, .n_heads = 4, .window = 4), 10, 24,
                 "needs causal");
    expect_error(firn_attention_params(.batch = 2, .n_heads = 4, .dropout = 1.0f), 10, 24,
                 "not in [0, 1)");
    expect_error(firn_attention_params(.batch = 2, .n_heads = 4, .dropout = 0.5f), 10, 24,
                 "needs random state");
}

static void rope_turned_back_is_where_it_was(void **state)
{
    (void) state;
    const struct firn_op *rope = firn_family_rope[0];
    struct firn_tensor x = tensor(FIRN_F32, firn_dims(9, 24), 1),
                       pos = tensor(FIRN_I32, firn_dims(9), 0);
    struct firn_tensor table = tensor(FIRN_F32, firn_dims(9, 8), 0),
                       y = tensor(FIRN_F32, x.shape, 0);
    for (int p = 0; p < 9; p++) {
        firn_i32(&pos)[p] = p == 4 ? -1 : p; /* row 4 is outside the table and stays */
        for (int c = 0; c < 4; c++) {
            firn_f32(&table)[p * 8 + c] = cosf((float) (p * (c + 1)));
            firn_f32(&table)[p * 8 + 4 + c] = sinf((float) (p * (c + 1)));
        }
    }
    for (int inverse = 0; inverse < 2; inverse++) {
        const int32_t attrs[2] = { 3, inverse };
        struct firn_call call = { .in = { inverse ? y : x, pos, table },
                                  .out = { y },
                                  .attrs = attrs };
        rope->cpu(&call); /* the second time in place */
        for (int i = 0; i < 24; i++)
            assert_true(firn_f32(&y)[4 * 24 + i] == firn_f32(&x)[4 * 24 + i]);
        assert_true(inverse || fabsf(firn_f32(&y)[24] - firn_f32(&x)[24]) > 1e-3f);
    }
    for (int64_t i = 0; i < firn_count(&x); i++)
        assert_true(fabsf(firn_f32(&y)[i] - firn_f32(&x)[i]) < 4e-6f);
    free(x.data);
    free(pos.data);
    free(table.data);
    free(y.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(long_rows_match_the_reference),
        cmocka_unit_test(threads_do_not_change_a_bit),
        cmocka_unit_test(a_row_that_sees_nothing_gives_zeros_and_no_gradient),
        cmocka_unit_test(a_query_that_sees_one_key_has_no_gradient_of_scores),
        cmocka_unit_test(what_padding_holds_does_not_matter),
        cmocka_unit_test(huge_scores_stay_finite_and_a_nan_is_not_hidden),
        cmocka_unit_test(attention_dropout_keeps_the_mean),
        cmocka_unit_test(batches_of_draws_are_the_single_draws),
        cmocka_unit_test(dropout_drops_its_share_and_streams_differ),
        cmocka_unit_test(shapes_that_do_not_fit_are_refused_by_name),
        cmocka_unit_test(rope_turned_back_is_where_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
