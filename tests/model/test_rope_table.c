/* SPDX-License-Identifier: Apache-2.0 */
/* Rotary tables against transformers 5.23 (LlamaRotaryEmbedding, head size 16, 64 positions), which computes in float32:
 * an angle of at most 96 radians is exact there to about 4e-6. */
#include "scratch.h"

#include "model/rope_table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name, *tree;
    double theta;
    int64_t positions;
    double cos[5], sin[5]; /* of (1, 0), (7, 1), (31, 2), (63, 3), (last, 7) */
} recorded[] = {
    { "default", "{}", 10000, 64, { 0.5403023, -0.5994375, -0.9991351, -0.4090737, 0.9998016 },
      { 0.841471, 0.8004216, 0.04158052, 0.9125013, 0.01992103 } },
    { "linear", "{\"type\":\"linear\",\"factor\":4.0}", 10000, 64,
      { 0.9689124, 0.8507432, 0.714421, 0.8785116, 0.9999876 },
      { 0.247404, 0.5255816, 0.6997161, 0.477721, 0.004980567 } },
    { "dynamic", "{\"rope_type\":\"dynamic\",\"factor\":2.0}", 10000, 96,
      { 0.5403023, -0.4206017, -0.8261517, 0.0904477, 0.9998872 },
      { 0.841471, 0.9072454, 0.5634477, 0.9959012, 0.01502025 } },
    { "llama3", "{\"rope_type\":\"llama3\",\"factor\":8.0,\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,"
                "\"original_max_position_embeddings\":32}", 500000, 64,
      { 0.5403023, 0.9856384, 0.9894011, 0.9983513, 1 },
      { 0.841471, 0.1688693, 0.1452082, 0.05739817, 8.121791e-05 } },
    { "yarn", "{\"rope_type\":\"yarn\",\"factor\":4.0,\"original_max_position_embeddings\":32}", 10000, 64,
      { 0.6152042, 0.2120203, 0.8134608, 1.000299, 1.138615 },
      { 0.9581236, 1.118716, 0.7967173, 0.5439472, 0.00567102 } },
    { "yarn with all its keys",
      "{\"rope_type\":\"yarn\",\"rope_theta\":1000.0,\"factor\":8.0,\"original_max_position_embeddings\":16,"
      "\"mscale\":0.7,\"mscale_all_dim\":0.4,\"beta_fast\":8.0,\"beta_slow\":2.0,\"truncate\":false,"
      "\"attention_factor\":null}", 1000, 64,
      { 0.5714199, 0.9864106, 0.816281, 0.8784781, 1.057408 },
      { 0.8899337, 0.3814403, 0.6724492, 0.5888794, 0.01974894 } },
};

static void every_kind_is_that_of_transformers(void **state)
{
    (void) state;
    for (size_t i = 0; i < sizeof recorded / sizeof recorded[0]; i++) {
        struct firn_rope rope;
        struct firn_error err = { 0 };
        json_t *tree = NULL;
        const int64_t n = recorded[i].positions, at[5][2] = { { 1, 0 }, { 7, 1 }, { 31, 2 }, { 63, 3 }, { n - 1, 7 } };
        float *table = calloc((size_t) n * 16, sizeof *table);
        expect_ok(firn_json_parse(recorded[i].tree, strlen(recorded[i].tree), "x", &tree, &err), &err);
        expect_ok(firn_rope_read(&rope, recorded[i].theta, tree, NULL, 64, "x", &err), &err);
        assert_true(n <= firn_rope_limit(&rope, 64));
        firn_rope_fill(table, n, 16, &rope);
        for (int k = 0; k < 5; k++) {
            const float *row = table + at[k][0] * 16 + at[k][1];
            if (fabs((double) row[0] - recorded[i].cos[k]) > 5e-6 || fabs((double) row[8] - recorded[i].sin[k]) > 5e-6)
                fail_msg("%s: cos %.7g sin %.7g at %d", recorded[i].name, (double) row[0], (double) row[8], k);
        }
        json_decref(tree);
        free(table);
    }
}

static void dynamic_scaling_leaves_short_sequences_as_they_are(void **state)
{
    (void) state;
    struct firn_rope plain = { .theta = 10000, .gain = 1, .factor = 1 }, dynamic = plain;
    float a[64 * 4], b[64 * 4];
    dynamic.kind = FIRN_ROPE_DYNAMIC;
    dynamic.factor = 4;
    dynamic.original = 64;
    firn_rope_fill(a, 64, 4, &plain);
    firn_rope_fill(b, 64, 4, &dynamic);
    assert_memory_equal(a, b, sizeof a);
    /* tokens that come one by one: as they are up to 64, then each with its own length */
    float c[80 * 4], d[80 * 4];
    firn_rope_fill_growing(c, 80, 4, &dynamic);
    assert_memory_equal(a, c, sizeof a);
    firn_rope_fill(d, 70, 4, &dynamic);
    assert_memory_equal(c + 69 * 4, d + 69 * 4, 4 * sizeof *c);
    firn_rope_fill(d, 80, 4, &dynamic);
    assert_true(memcmp(c + 69 * 4, d + 69 * 4, 4 * sizeof *c) != 0);
}

static void a_scaling_says_how_long_a_sequence_may_be(void **state)
{
    (void) state;
    static const struct { const char *tree; int64_t limit; } all[] = {
        { "{}", 64 },
        { "{\"type\":\"linear\",\"factor\":4}", 256 },
        { "{\"type\":\"dynamic\",\"factor\":2}", 128 },
        { "{\"type\":\"yarn\",\"factor\":4,\"original_max_position_embeddings\":64}", 256 },
        { "{\"type\":\"yarn\",\"factor\":4,\"original_max_position_embeddings\":16,\"beta_fast\":0}", 64 },
        { "{\"type\":\"linear\",\"factor\":1e6}", 64000000 } };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct firn_rope rope;
        struct firn_error err = { 0 };
        json_t *tree = NULL, *ignored = json_pack("{s:s}", "rope_type", "default");
        expect_ok(firn_json_parse(all[i].tree, strlen(all[i].tree), "x", &tree, &err), &err);
        expect_ok(firn_rope_read(&rope, 10000, tree, ignored, 64, "x", &err), &err); /* the older key is asked first */
        assert_int_equal(firn_rope_limit(&rope, 64), all[i].limit);
        json_decref(tree);
        json_decref(ignored);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_is_that_of_transformers),
        cmocka_unit_test(dynamic_scaling_leaves_short_sequences_as_they_are),
        cmocka_unit_test(a_scaling_says_how_long_a_sequence_may_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
