/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of one batch with different adapters: each row is what its own adapter alone makes of it, and the base is passed
 * once. */
#include "tiny.h"

#include "peft/mixed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 6 };

static int make(void **state)
{
    (void) state;
    scratch_make();
    tiny_bert("bert");
    tiny_llama("llama", false, FIRN_F32);
    tiny_llama("tied", true, FIRN_F32);
    return 0;
}

static const struct {
    const char *base, *weight;
    enum firn_task task;
    const char *methods[MOST];
    int products; /* by that weight; 0: DoRA takes the norms of its rows from it too */
} all[] = {
    { "llama", "model.layers.0.self_attn.v_proj.weight", FIRN_TASK_CAUSAL_LM,
      { "{\"type\":\"lora\",\"r\":2,\"init_lora_weights\":false}",
        "{\"type\":\"lora\",\"r\":3,\"init_lora_weights\":false,\"target_modules\":[\"q_proj\",\"embed_tokens\",\"lm_head\"]}",
        "{\"type\":\"ia3\",\"init_ia3_weights\":false}",
        "{\"type\":\"adalora\",\"total_step\":9,\"init_r\":4,\"target_r\":2}" }, 1 },
    { "tied", "model.layers.0.self_attn.q_proj.weight", FIRN_TASK_CAUSAL_LM,
      { "{\"type\":\"lora\",\"r\":2,\"init_lora_weights\":false,\"trainable_token_indices\":[3,7]}",
        "{\"type\":\"lora\",\"r\":2,\"init_lora_weights\":false,\"trainable_token_indices\":[1]}",
        "{\"type\":\"lora\",\"r\":1,\"init_lora_weights\":false,\"target_modules\":[\"down_proj\"]}" }, 1 },
    { "bert", "bert.encoder.layer.1.attention.self.query.weight", FIRN_TASK_SEQ_CLS,
      { "{\"type\":\"lora\",\"r\":2,\"init_lora_weights\":false}", "{\"type\":\"houlsby\",\"reduction_factor\":2}",
        "{\"type\":\"ia3\",\"init_ia3_weights\":false}", "{\"type\":\"head\"}" }, 1 },
    { "bert", "bert.encoder.layer.1.attention.self.query.weight", FIRN_TASK_TOKEN_CLS,
      { "{\"type\":\"lora\",\"r\":2,\"init_lora_weights\":false,\"use_dora\":true}", "{\"type\":\"pfeiffer\"}" }, 0 },
};

static void check_mix(size_t at)
{
    struct tiny t[MOST], *list[MOST];
    float *own[MOST];
    int64_t n = 0, m;
    size_t count = 0;
    for (; count < MOST && all[at].methods[count] != NULL; count++) {
        struct tiny *one = list[count] = &t[count];
        expect_ok(tiny_open(one, all[at].base, all[at].task, all[at].methods[count]), &one->err);
        for (int64_t i = 0; i < one->adapter.params.flat; i++)
            one->flat[i] += 0.1f * (float) ((i * 7 + (int64_t) count * 3) % 5 - 2);
        own[count] = tiny_logits(one, &n);
    }
    for (size_t a = 0; a < count; a++)
        for (size_t b = 0; b < count; b++) {
            const int32_t of[] = { (int32_t) a, (int32_t) b };
            int products;
            float *got = tiny_mixed_logits(list, count, of, all[at].weight, &products, &m);
            assert_int_equal(m, n);
            assert_true(all[at].products == 0 || products == all[at].products);
            for (int64_t i = 0; i < n; i++) {
                const double want = (double) own[of[i / (n / 2)]][i];
                if (!(fabs((double) got[i] - want) <= 2e-6 * (1 + fabs(want))))
                    fail_msg("%s beside %s: logit %lld is %g, not %g", all[at].methods[a], all[at].methods[b], (long long) i,
                             (double) got[i], want);
            }
            free(got);
        }
    for (size_t k = 0; k < count; k++) {
        for (size_t j = 0; j < k; j++) { /* else the test says nothing */
            double most = 0;
            for (int64_t i = 0; i < n; i++)
                most = fmax(most, fabs((double) own[k][i] - (double) own[j][i]));
            assert_true(most > 1e-5);
        }
    }
    for (size_t k = 0; k < count; k++) {
        free(own[k]);
        tiny_close(&t[k]);
    }
}

static void rows_are_what_their_own_adapters_make_of_them(void **state)
{
    (void) state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        check_mix(i);
}

static void what_cannot_be_mixed_is_told(void **state)
{
    (void) state;
    static const char lora[] = "{\"type\":\"lora\",\"r\":2}";
    static const struct { const char *method; bool can; } with[] = {
        { "{\"type\":\"lora\",\"r\":3,\"bias\":\"all\"}", false },
        { "{\"type\":\"full\"}", false },
        { "{\"type\":\"bitfit\"}", false },
        { "{\"type\":\"prompt_tuning\",\"num_virtual_tokens\":2}", false },
        { "{\"type\":\"prefix_tuning\",\"num_virtual_tokens\":2}", false },
        { "{\"type\":\"lora\",\"r\":2,\"init_lora_weights\":\"pissa\"}", false },
        { "{\"type\":\"lora\",\"r\":2,\"modules_to_save\":[\"pooler\"]}", false },
        { "{\"type\":\"ia3\"}", true },
    };
    for (size_t i = 0; i < sizeof with / sizeof with[0]; i++) {
        struct tiny a, b;
        expect_ok(tiny_open(&a, "bert", FIRN_TASK_SEQ_CLS, lora), &a.err);
        expect_ok(tiny_open(&b, "bert", FIRN_TASK_SEQ_CLS, with[i].method), &b.err);
        const struct firn_adapter *pair[] = { &a.adapter, &b.adapter }, *turned[] = { &b.adapter, &a.adapter };
        if (firn_mixed_can(pair, 2) != with[i].can || firn_mixed_can(turned, 2) != with[i].can || firn_mixed_can(pair, 1))
            fail_msg("%s", with[i].method);
        tiny_close(&a);
        tiny_close(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_what_their_own_adapters_make_of_them),
        cmocka_unit_test(what_cannot_be_mixed_is_told),
    };
    return cmocka_run_group_tests(tests, make, scratch_teardown);
}
