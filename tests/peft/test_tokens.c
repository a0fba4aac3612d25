/* SPDX-License-Identifier: Apache-2.0 */
/* Single rows of tables that train: what they do to lookups and to tied output layers, and what files hold of them. */
#include "tiny.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int make(void **state)
{
    (void) state;
    scratch_make();
    tiny_bert("bert");
    tiny_llama("tied", true, FIRN_F32);
    tiny_llama("llama", false, FIRN_F32);
    tiny_gpt2("gpt2", 5);
    return 0;
}

#define LORA "{\"type\":\"lora\",\"r\":2,\"trainable_token_indices\":"
#define DELTA ".token_adapter.trainable_tokens_delta"

static const struct { const char *base, *method, *param; enum firn_task task; int rows; bool unties; } all[] = {
    { "tied", LORA "[3,7,0]}", "base_model.model.model.embed_tokens" DELTA, FIRN_TASK_CAUSAL_LM, 3, false },
    { "tied", LORA "{\"embed_tokens\":[3,7],\"lm_head\":[3,7]}}", "base_model.model.model.embed_tokens" DELTA,
      FIRN_TASK_CAUSAL_LM, 2, false },
    { "tied", LORA "{\"embed_tokens\":[3,7],\"lm_head\":[2]}}", "base_model.model.lm_head" DELTA, FIRN_TASK_CAUSAL_LM, 1, true },
    { "llama", LORA "{\"lm_head\":[9]}}", "base_model.model.lm_head" DELTA, FIRN_TASK_CAUSAL_LM, 1, false },
    { "llama", LORA "[4]}", "base_model.model.model.embed_tokens" DELTA, FIRN_TASK_CAUSAL_LM, 1, false },
    { "gpt2", LORA "{\"wpe\":[1,2],\"wte\":[5]}}", "base_model.model.transformer.wpe" DELTA, FIRN_TASK_CAUSAL_LM, 2, false },
    { "bert", LORA "[4,1]}", "base_model.model.bert.embeddings.word_embeddings" DELTA, FIRN_TASK_TOKEN_CLS, 2, false },
    { "bert", LORA "[4,1]}", "base_model.model.bert.embeddings.word_embeddings" DELTA, FIRN_TASK_MASKED_LM, 2, false },
};

/* At most `most` apart. */
static void check_same(const float *got, const float *want, int64_t n, double most, const char *what)
{
    for (int64_t i = 0; i < n; i++)
        if (!(fabs((double) got[i] - (double) want[i]) <= most))
            fail_msg("%s: logit %lld is %g, not %g", what, (long long) i, (double) got[i], (double) want[i]);
}

/* At the start nothing changes; changed rows are those of the merged model, in tied layers too. */
static void trained_rows_stand_in_the_place_of_the_base_s(void **state)
{
    (void) state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct tiny t, plain;
        struct firn_merge_report report;
        const struct firn_save_params save = { .dtype = FIRN_F32, .report = &report };
        const char *out = FIRN_STR("merged%zu", i);
        int64_t n, m;
        static const char unchanged[] = "{\"type\":\"lora\",\"r\":2}"; /* a new head has the same seed */
        expect_ok(tiny_open(&plain, all[i].base, all[i].task, unchanged), &plain.err);
        expect_ok(tiny_open(&t, all[i].base, all[i].task, all[i].method), &t.err);
        const struct firn_param *p = firn_params_find(&t.adapter.params, all[i].param);
        if (p == NULL)
            fail_msg("%s: %s is not trained", all[i].method, all[i].param);
        assert_int_equal(p->shape.dim[0], all[i].rows);
        float *before = tiny_logits(&plain, &m), *start = tiny_logits(&t, &n);
        assert_int_equal(n, m);
        check_same(start, before, n, 1e-5, all[i].method);
        for (size_t k = 0; k < t.adapter.params.count; k++) {
            const struct firn_param *q = &t.adapter.params.list[k];
            for (int64_t j = 0; j < firn_shape_count(&q->shape) && strstr(q->name, DELTA) != NULL; j++)
                t.flat[q->offset + j] += 3.0f * (float) ((j * 7 + (int64_t) k) % 5 - 2);
        }
        float *want = tiny_logits(&t, &n);
        double moved = 0;
        for (int64_t j = 0; j < n; j++)
            moved = fmax(moved, fabs((double) want[j] - (double) start[j]));
        if (!(moved > 2e-5))
            fail_msg("%s: changed rows moved logits by %g only", all[i].method, moved);
        tiny_close(&plain);
        expect_ok(firn_adapter_merge(&t.adapter, &t.model, &t.params, t.flat, scratch_path(out), &save, &t.err), &t.err);
        assert_int_equal(report.unties, all[i].unties);
        expect_ok(tiny_open(&plain, out, all[i].task, unchanged), &plain.err);
        float *merged = tiny_logits(&plain, &m);
        check_same(merged, want, n, fmin(1e-5, moved / 10), all[i].method);
        free(merged);
        tiny_close(&plain);
        const struct firn_save_params undo = { .undoes = true };
        assert_int_equal(firn_adapter_merge(&t.adapter, &t.model, &t.params, t.flat, scratch_path("undone"), &undo, &t.err),
                         FIRN_ERR_UNSUPPORTED);
        free(before);
        free(start);
        free(want);
        tiny_close(&t);
    }
}

static void what_files_hold_is_read_again(void **state)
{
    (void) state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct tiny t, again = { 0 };
        const struct firn_save_params save = { 0 };
        const char *out = scratch_path(FIRN_STR("adapter%zu", i));
        expect_ok(tiny_open(&t, all[i].base, all[i].task, all[i].method), &t.err);
        for (int64_t j = 0; j < t.adapter.params.flat; j++)
            t.flat[j] = 0.01f * (float) (j % 97);
        expect_ok(firn_adapter_save(&t.adapter, &t.model, &t.params, t.flat, out, &save, &t.err), &t.err);
        expect_ok(firn_model_open(&again.model, scratch_path(all[i].base), &again.err), &again.err);
        expect_ok(firn_adapter_load(&again.adapter, &again.model, all[i].task, out, &again.err), &again.err);
        again.params = t.params;
        expect_ok(firn_model_collect(&again.model, &again.adapter, &again.params, NULL, &again.err), &again.err);
        assert_int_equal(again.adapter.params.count, t.adapter.params.count);
        again.flat = calloc((size_t) again.adapter.params.flat + 1, sizeof *again.flat);
        expect_ok(firn_adapter_read(&again.adapter, &again.model, out, again.flat, &again.err), &again.err);
        for (size_t k = 0; k < t.adapter.params.count; k++) {
            const struct firn_param *p = &t.adapter.params.list[k], *q = firn_params_find(&again.adapter.params, p->name);
            assert_memory_equal(again.flat + q->offset, t.flat + p->offset,
                                sizeof *t.flat * (size_t) firn_shape_count(&p->shape));
        }
        tiny_close(&t);
        tiny_close(&again);
    }
}

static void rows_that_cannot_be_are_refused(void **state)
{
    (void) state;
    static const struct { const char *method, *word; } wrong[] = {
        { LORA "[10]}", "0 to 9" },
        { LORA "[-1]}", "0 to 9" },
        { LORA "[1,2,1]}", "1 twice" },
        { LORA "[1.5]}", "something else" },
        { LORA "{\"wte\":[1]}}", "got wte" },
        { LORA "{\"embed_tokens\":[11]}}", "below 10" },
        { LORA "{\"embed_tokens\":3}}", "lists of token ids" },
        { LORA "[1],\"modules_to_save\":[\"embed_tokens\"]}", "modules_to_save" },
        { LORA "[1],\"target_modules\":[\"embed_tokens\"]}", "target_modules" },
        { LORA "[1],\"target_modules\":[\"lm_head\"]}", "target_modules" },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct tiny t;
        const firn_status status = tiny_open(&t, "tied", FIRN_TASK_CAUSAL_LM, wrong[i].method);
        if (status == FIRN_OK || strstr(t.err.text, wrong[i].word) == NULL)
            fail_msg("%s: %s", wrong[i].method, status == FIRN_OK ? "was taken" : t.err.text);
        tiny_close(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trained_rows_stand_in_the_place_of_the_base_s),
        cmocka_unit_test(what_files_hold_is_read_again),
        cmocka_unit_test(rows_that_cannot_be_are_refused),
    };
    return cmocka_run_group_tests(tests, make, scratch_teardown);
}
