/* SPDX-License-Identifier: Apache-2.0 */
/* Generation with cached keys and values: the recorded tokens, the tokens of the graph that has no cache, and rows that do
 * not depend on the batch. The device is $FIRN_DEVICE, else cpu:exact. */
#include "../model/golden.h"

#include "infer/generate.h"

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include <stdlib.h>
#include <string.h>

static const char *const cases[] = {
    "llama-lora", "gpt2-lora", "gpt2-lora-leftpad", "gpt2-prefix", "gpt2-prompt", "gpt2-ptuning-lstm", "llama-prefix",
    "llama-prompt-text", "mistral-lora", "qwen2-lora", "qwen3-lora", "gemma2-lora", "t5-lora",
    "t5v11-lora", "llama-qlora-nf4", "t5-prefix", "t5-prompt", "t5v11-prefix-proj" };
enum { N_CASES = sizeof cases / sizeof cases[0], MOST = 64 };

static const char *device(void)
{
    const char *d = getenv("FIRN_DEVICE");
    return d != NULL && d[0] != '\0' ? d : "cpu:exact";
}

struct open_case {
    struct firn_session s;
    struct firn_safetensors expected, batches;
    struct firn_prompt prompts[MOST];
    int32_t ids[MOST][MOST];
    size_t n;
    struct firn_error err;
};

static void ok(firn_status status, const struct firn_error *err)
{
    if (status != FIRN_OK)
        fail_msg("%s", err->text);
}

/* Rows of gen_prompt without their padding; of an encoder, of batch 0. */
static void read_prompts(struct open_case *c)
{
    const bool is_pair = c->s.params.task == FIRN_TASK_SEQ2SEQ_LM;
    const struct firn_safetensors *file = is_pair ? &c->batches : &c->expected;
    const struct firn_tensor *prompt = firn_safetensors_find(file, is_pair ? "input_ids" : "gen_prompt");
    const struct firn_tensor *mask = firn_safetensors_find(file, is_pair ? "attention_mask" : "gen_prompt_mask");
    if (prompt == NULL)
        return;
    const int64_t *dim = prompt->shape.dim + (is_pair ? 1 : 0);
    c->n = (size_t) dim[0];
    for (size_t b = 0; b < c->n; b++) {
        size_t n = 0;
        for (int64_t t = 0; t < dim[1]; t++) {
            const int64_t at = (int64_t) b * dim[1] + t;
            double id, visible = 1;
            firn_tensor_read_f64(prompt, at, 1, &id);
            if (mask != NULL)
                firn_tensor_read_f64(mask, at, 1, &visible);
            if (visible != 0)
                c->ids[b][n++] = (int32_t) id;
        }
        c->prompts[b] = (struct firn_prompt){ c->ids[b], n, (uint32_t) b };
    }
}

/* False when the case is not here or its model is none that this build has. */
static bool open_case(struct open_case *c, const char *name)
{
    memset(c, 0, sizeof *c);
    if (!golden_exists(name))
        return false;
    json_t *json = NULL;
    ok(firn_json_load(golden_path("cases", name, "case.json"), &json, &c->err), &c->err);
    const char *model = strrchr(json_string_value(json_object_get(json, "model")), '/') + 1;
    enum firn_dtype quantised = FIRN_NONE;
    ok(firn_quantisation_read(json_object_get(json, "base_quantization"), name, "base_quantization", &quantised, &c->err),
       &c->err);
    const struct firn_session_params p = { .quantised = quantised, .model = golden_path("models", model, NULL), .device = device(),
                                           .task = model[0] == 't' ? FIRN_TASK_SEQ2SEQ_LM : FIRN_TASK_CAUSAL_LM,
                                           .adapter = golden_path("cases", name, "adapter_final") };
    const firn_status status = firn_session_open(&c->s, &p, &c->err);
    json_decref(json);
    if (status == FIRN_ERR_UNSUPPORTED) {
        print_message("%s: skipped, %s\n", name, c->err.text);
        return false;
    }
    ok(status, &c->err);
    ok(firn_session_push(&c->s, "params", c->s.flat, &c->err), &c->err);
    ok(firn_safetensors_open(&c->expected, golden_path("cases", name, "expected.safetensors"), &c->err), &c->err);
    ok(firn_safetensors_open(&c->batches, golden_path("cases", name, "batches.safetensors"), &c->err), &c->err);
    read_prompts(c);
    return true;
}

static void close_case(struct open_case *c)
{
    firn_session_close(&c->s);
    firn_safetensors_close(&c->expected);
    firn_safetensors_close(&c->batches);
}

static void the_cache_gives_the_recorded_tokens(void **state)
{
    (void) state;
    int n = 0;
    for (int i = 0; i < N_CASES; i++) {
        struct open_case c;
        if (!open_case(&c, cases[i]))
            continue;
        const struct firn_tensor *want = firn_safetensors_find(&c.expected, "generated");
        if (want == NULL) { /* a case that generates nothing */
            close_case(&c);
            continue;
        }
        const struct firn_generate_params p = { .max_new_tokens = want->shape.dim[1] };
        struct firn_generated out[MOST];
        ok(firn_generate(&c.s, c.prompts, c.n, &p, out, &c.err), &c.err);
        for (size_t b = 0; b < c.n; b++)
            for (int64_t t = 0; t < want->shape.dim[1]; t++) {
                double id;
                firn_tensor_read_f64(want, (int64_t) b * want->shape.dim[1] + t, 1, &id);
                if (out[b].ids[t] != (int32_t) id)
                    fail_msg("%s: row %zu, token %lld: %d, recorded %d", cases[i], b, (long long) t, out[b].ids[t],
                             (int) id);
            }
        firn_generated_free(out, c.n);
        close_case(&c);
        n++;
    }
    if (n == 0)
        skip();
}

/* The best token by a graph without a cache. */
static int32_t best_of(struct open_case *c, const struct firn_inputs *in, float *logits)
{
    const int64_t vocabulary = c->s.model.config.vocabulary;
    int64_t best = 0;
    ok(firn_session_forward(&c->s, FIRN_PLAN_PICKED, in, 1, NULL, logits, vocabulary, &c->err), &c->err);
    for (int64_t v = 1; v < vocabulary; v++)
        best = logits[v] > logits[best] ? v : best;
    return (int32_t) best;
}

/* Of a decoder: what it has said so far is read again for each token. */
static void greedy_pair(struct open_case *c, const struct firn_prompt *prompt, int64_t n_new, int32_t *out)
{
    float *logits = malloc(sizeof *logits * (size_t) c->s.model.config.vocabulary);
    struct firn_inputs in;
    ok(firn_inputs_create(&in, 1, (int64_t) prompt->n, 0, &c->err), &c->err);
    ok(firn_inputs_add_target(&in, n_new, &c->err), &c->err);
    for (size_t t = 0; t < prompt->n; t++) {
        in.input_ids[t] = prompt->ids[t];
        in.attention_mask[t] = 1;
    }
    for (int64_t k = 0; k < n_new; k++) {
        in.decoder_input_ids[k] = k == 0 ? (int32_t) c->s.model.config.decoder_start_id : out[k - 1];
        in.pick[0] = (int32_t) k;
        out[k] = best_of(c, &in, logits);
    }
    firn_inputs_free(&in);
    free(logits);
}

/* The same by a graph without a cache, which computes the whole text for each token. */
static void greedy_reference(struct open_case *c, const struct firn_prompt *prompt, int64_t n_new, int32_t *out)
{
    const int64_t n = (int64_t) prompt->n, total = n + n_new, vocabulary = c->s.model.config.vocabulary;
    float *logits = malloc(sizeof *logits * (size_t) vocabulary);
    struct firn_inputs in;
    ok(firn_inputs_create(&in, 1, total, 0, &c->err), &c->err);
    memcpy(in.input_ids, prompt->ids, sizeof *in.input_ids * prompt->n);
    for (int64_t t = 0; t < n; t++)
        in.attention_mask[t] = 1;
    for (int64_t k = 0; k < n_new; k++) {
        in.pick[0] = (int32_t) (n + k - 1);
        firn_inputs_count_positions(&in);
        out[k] = in.input_ids[n + k] = best_of(c, &in, logits);
        in.attention_mask[n + k] = 1;
    }
    firn_inputs_free(&in);
    free(logits);
}

/* Different lengths in one batch: a token, one below, at and one above the length that prompts are padded to. */
static void rows_of_a_batch_equal_single_runs_without_a_cache(void **state)
{
    (void) state;
    enum { NEW = 9, ROWS = 5 };
    static const size_t lengths[ROWS] = { 1, 15, 16, 17, 5 };
    int n = 0;
    for (int i = 0; i < N_CASES; i++) {
        struct open_case c;
        if (!open_case(&c, cases[i]))
            continue;
        struct firn_prompt prompts[ROWS];
        struct firn_generated out[ROWS];
        const struct firn_generate_params p = { .max_new_tokens = NEW };
        for (int b = 0; b < ROWS; b++) {
            for (size_t k = 0; k < lengths[b]; k++)
                c.ids[b][k] = (int32_t) ((k * 37 + (size_t) b * 11 + 3) % 256);
            prompts[b] = (struct firn_prompt){ c.ids[b], lengths[b], (uint32_t) b };
        }
        ok(firn_generate(&c.s, prompts, ROWS, &p, out, &c.err), &c.err);
        for (int b = 0; b < ROWS; b++) {
            int32_t want[NEW];
            if (c.s.params.task == FIRN_TASK_SEQ2SEQ_LM)
                greedy_pair(&c, &prompts[b], NEW, want);
            else
                greedy_reference(&c, &prompts[b], NEW, want);
            for (int k = 0; k < NEW; k++)
                if (out[b].n != NEW || out[b].ids[k] != want[k])
                    fail_msg("%s: row %d, token %d: %d, without a cache %d", cases[i], b, k, out[b].ids[k], want[k]);
        }
        firn_generated_free(out, ROWS);
        close_case(&c);
        n++;
    }
    if (n == 0)
        skip();
}

static void a_seed_gives_one_text_whatever_the_batch(void **state)
{
    (void) state;
    struct open_case c;
    if (!open_case(&c, "llama-lora"))
        skip();
    struct firn_generate_params p = { .max_new_tokens = 20,
                                      .sampling = { .temperature = 1.5, .top_p = 0.95, .top_k = 50, .seed = 7 } };
    struct firn_generated together[MOST], alone[1], other[1];
    ok(firn_generate(&c.s, c.prompts, c.n, &p, together, &c.err), &c.err);
    ok(firn_generate(&c.s, c.prompts + c.n - 1, 1, &p, alone, &c.err), &c.err);
    assert_int_equal(alone[0].n, 20);
    assert_memory_equal(alone[0].ids, together[c.n - 1].ids, sizeof(int32_t) * 20);
    p.sampling.seed = 8;
    ok(firn_generate(&c.s, c.prompts + c.n - 1, 1, &p, other, &c.err), &c.err);
    assert_memory_not_equal(alone[0].ids, other[0].ids, sizeof(int32_t) * 20);
    firn_generated_free(together, c.n);
    firn_generated_free(alone, 1);
    firn_generated_free(other, 1);
    close_case(&c);
}

static void an_end_token_a_full_context_and_a_bad_prompt_end_it(void **state)
{
    (void) state;
    struct open_case c;
    if (!open_case(&c, "llama-lora"))
        skip();
    struct firn_generated free_run[1], ended[1];
    struct firn_generate_params p = { .max_new_tokens = 12 };
    ok(firn_generate(&c.s, c.prompts, 1, &p, free_run, &c.err), &c.err);
    size_t at = 5;
    while (at > 0 && free_run[0].ids[at - 1] == free_run[0].ids[5])
        at--;
    p.ends = &free_run[0].ids[5];
    p.n_ends = 1;
    ok(firn_generate(&c.s, c.prompts, 1, &p, ended, &c.err), &c.err);
    assert_int_equal(ended[0].finish, FIRN_FINISH_END);
    assert_true(ended[0].n <= at);
    firn_generated_free(ended, 1);
    firn_generated_free(free_run, 1);

    /* positions end with the model's */
    const int64_t limit = firn_generate_limit(&c.s);
    int32_t *ids = calloc((size_t) limit + 1, sizeof *ids);
    struct firn_prompt prompt = { ids, (size_t) limit - 2, 0 };
    p = (struct firn_generate_params){ .max_new_tokens = 100 };
    ok(firn_generate(&c.s, &prompt, 1, &p, ended, &c.err), &c.err);
    assert_int_equal(ended[0].n, 3);
    assert_int_equal(ended[0].finish, FIRN_FINISH_LENGTH);
    firn_generated_free(ended, 1);
    prompt.n = (size_t) limit + 1;
    assert_int_equal(firn_generate(&c.s, &prompt, 1, &p, ended, &c.err), FIRN_ERR_SHAPE);
    firn_generated_free(ended, 1);
    prompt.n = 0;
    assert_int_equal(firn_generate(&c.s, &prompt, 1, &p, ended, &c.err), FIRN_ERR_SHAPE);
    firn_generated_free(ended, 1);
    prompt.n = 2;
    ids[1] = (int32_t) c.s.model.config.vocabulary;
    assert_int_equal(firn_generate(&c.s, &prompt, 1, &p, ended, &c.err), FIRN_ERR_SHAPE);
    firn_generated_free(ended, 1);
    free(ids);
    close_case(&c);
}

static bool enough(void *user, size_t row, const char *text, size_t size)
{
    struct firn_str *shown = user;
    assert_int_equal(row, 0);
    firn_str_add_n(shown, text, size);
    return shown->size < 5;
}

static void whoever_reads_the_text_can_end_it(void **state)
{
    (void) state;
    struct open_case c;
    struct firn_tokenizer *tok = NULL;
    struct firn_str shown = { 0 };
    struct firn_generated out[1];
    const volatile sig_atomic_t now = 1;
    if (!open_case(&c, "llama-lora"))
        skip();
    ok(firn_tokenizer_open(&tok, golden_path("models", "llama", NULL), &c.err), &c.err);
    struct firn_generate_params p = { .max_new_tokens = 60, .tokenizer = tok, .on_text = enough, .user = &shown };
    ok(firn_generate(&c.s, c.prompts, 1, &p, out, &c.err), &c.err);
    assert_int_equal(out[0].finish, FIRN_FINISH_CANCEL);
    assert_in_range(out[0].n, 1, 30);
    assert_string_equal(out[0].text, shown.data);
    firn_generated_free(out, 1);
    p.on_text = NULL;
    p.cancel = &now;
    ok(firn_generate(&c.s, c.prompts, 1, &p, out, &c.err), &c.err);
    assert_int_equal(out[0].n, 1);
    assert_int_equal(out[0].finish, FIRN_FINISH_CANCEL);
    firn_generated_free(out, 1);
    firn_str_free(&shown);
    firn_tokenizer_close(&tok);
    close_case(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cache_gives_the_recorded_tokens),
        cmocka_unit_test(rows_of_a_batch_equal_single_runs_without_a_cache),
        cmocka_unit_test(a_seed_gives_one_text_whatever_the_batch),
        cmocka_unit_test(an_end_token_a_full_context_and_a_bad_prompt_end_it),
        cmocka_unit_test(whoever_reads_the_text_can_end_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
