/* SPDX-License-Identifier: Apache-2.0 */
/* What a recipe's `quantization:` means, and matrices as layers use them: square transposed ones too. */
#include "scratch.h"

#include "base/rng.h"
#include "model/model.h"
#include "tensor/quant.h"

#include <stdlib.h>
#include <string.h>

static enum firn_dtype read_ok(const char *text)
{
    struct firn_error err;
    json_t *v;
    enum firn_dtype dtype;
    expect_ok(firn_json_parse_any(text, strlen(text), "recipe.yaml", &v, &err), &err);
    expect_ok(firn_quantisation_read(v, "recipe.yaml", "quantization", &dtype, &err), &err);
    json_decref(v);
    return dtype;
}

static void users_write_it_in_many_ways(void **state)
{
    (void) state;
    assert_int_equal(read_ok("\"nf4\""), FIRN_NF4);
    assert_int_equal(read_ok("\"int8\""), FIRN_INT8_ROWS);
    assert_int_equal(read_ok("\"none\""), FIRN_NONE);
    assert_int_equal(read_ok("null"), FIRN_NONE);
    assert_int_equal(read_ok("{\"load_in_4bit\": true}"), FIRN_NF4);
    assert_int_equal(read_ok("{\"load_in_4bit\": true, \"bnb_4bit_quant_type\": \"nf4\", \"bnb_4bit_use_double_quant\": true, "
                             "\"bnb_4bit_compute_dtype\": \"bfloat16\"}"), FIRN_NF4_DOUBLE);
    assert_int_equal(read_ok("{\"load_in_8bit\": true}"), FIRN_INT8_ROWS);
    assert_int_equal(read_ok("{\"load_in_4bit\": false}"), FIRN_NONE);
    assert_int_equal(read_ok("{\"kind\": \"nf4\", \"block\": 64, \"applies_to\": \"all\", \"stored\": []}"), FIRN_NF4);
    assert_int_equal(read_ok("{\"kind\": \"int8\", \"block\": null}"), FIRN_INT8_ROWS);
}

static void what_is_not_there_is_named(void **state)
{
    (void) state;
    static const struct { const char *json, *word, *other; } cases[] = {
        { "\"fp4\"", "quantization", "fp4" },
        { "4", "quantization", "nf4" },
        { "{\"load_in_4bit\": true, \"bnb_4bit_quant_type\": \"fp4\"}", "bnb_4bit_quant_type", "fp4" },
        { "{\"load_in_4bit\": true, \"load_in_8bit\": true}", "one of", NULL },
        { "{\"kind\": \"nf4\", \"block\": 32}", "block", "32" },
        { "{\"load_in_4bit\": \"yes\"}", "load_in_4bit", "yes" },
        { "{\"bits\": 4}", "bits", NULL },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct firn_error err;
        json_t *v;
        enum firn_dtype dtype;
        expect_ok(firn_json_parse_any(cases[i].json, strlen(cases[i].json), "x", &v, &err), &err);
        expect_error(firn_quantisation_read(v, "recipe.yaml", "quantization", &dtype, &err), FIRN_ERR_UNSUPPORTED, &err,
                     cases[i].word, cases[i].other);
        json_decref(v);
    }
}

static const struct firn_arch *find_arch(const char *name)
{
    for (const struct firn_arch *const *a = firn_archs; *a != NULL; a++)
        if (strcmp((*a)->name, name) == 0)
            return *a;
    return NULL;
}

/* GPT-2 keeps [in, out]: the leaf is quantised along the other axis, also where the shape does not tell. */
static void a_square_matrix_is_turned_where_the_architecture_says_so(void **state)
{
    (void) state;
    enum { N = 9 };
    float w[N * N], turned[N * N], got[N * N];
    for (int i = 0; i < N * N; i++)
        w[i] = firn_normal(1, 2, 3, (uint64_t) i);
    for (int i = 0; i < N * N; i++)
        turned[i % N * N + i / N] = w[i];
    const struct firn_shape shape = firn_dims(N, N);
    const struct firn_tensor from = { FIRN_F32, shape, w };
    const struct { const char *arch, *name; bool turns; } cases[] = {
        { "gpt2", "transformer.h.0.attn.c_proj.weight", true }, { "llama", "model.layers.0.self_attn.q_proj.weight", false } };
    for (int k = 0; k < 2; k++) {
        struct firn_model m = { .arch = find_arch(cases[k].arch), .quantised = FIRN_INT8_ROWS };
        struct firn_value leaf = { .dtype = FIRN_INT8_ROWS, .shape = shape, .name = (char *) cases[k].name };
        struct firn_tensor t = { leaf.dtype, shape, NULL };
        struct firn_error err;
        float want[N * N];
        memcpy(want, cases[k].turns ? turned : w, sizeof want);
        expect_ok(firn_quantise_leaf(&m, &leaf, &from, &t.data, &err), &err);
        expect_ok(firn_quantise_values(FIRN_INT8_ROWS, &shape, want, &err), &err);
        firn_tensor_read_f32(&t, 0, N * N, got);
        assert_memory_equal(got, want, sizeof got);
        free(t.data);
    }
}

static void layers_are_quantised_and_what_is_outside_is_not(void **state)
{
    (void) state;
    struct firn_model m = { .quantised = FIRN_NF4 };
    assert_true(firn_model_quantises(&m, "model.layers.12.mlp.up_proj"));
    assert_true(firn_model_quantises(&m, "decoder.block.0.layer.2.DenseReluDense.wo"));
    assert_false(firn_model_quantises(&m, "lm_head"));
    assert_false(firn_model_quantises(&m, "bert.pooler.dense"));
    m.quantised = FIRN_NONE;
    assert_false(firn_model_quantises(&m, "model.layers.12.mlp.up_proj"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(users_write_it_in_many_ways),
        cmocka_unit_test(what_is_not_there_is_named),
        cmocka_unit_test(a_square_matrix_is_turned_where_the_architecture_says_so),
        cmocka_unit_test(layers_are_quantised_and_what_is_outside_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
