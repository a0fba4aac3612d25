/* SPDX-License-Identifier: Apache-2.0 */
/* The cache where positions and windows matter: made models with sliding windows, two rotary tables and scaled ones, with
 * and without a prefix, against the graph that computes the whole text for each token. */
#include "../model/scratch.h"

#include "infer/generate.h"

#include <stdlib.h>
#include <string.h>

enum { NEW = 11, ROWS = 5 };
static const size_t lengths[ROWS] = { 1, 9, 16, 23, 4 };

#define BASE                                                                                                           \
    "\"vocab_size\": 97, \"hidden_size\": 28, \"num_hidden_layers\": 4, \"num_attention_heads\": 4, "                 \
    "\"num_key_value_heads\": 2, \"head_dim\": 10, \"intermediate_size\": 37, \"max_position_embeddings\": 64, "      \
    "\"initializer_range\": 0.3, \"pad_token_id\": 0, "

static const char *const configs[] = {
    BASE "\"model_type\": \"mistral\", \"sliding_window\": 5",
    BASE "\"model_type\": \"gemma3_text\", \"sliding_window\": 5, \"rope_theta\": 100000, \"rope_local_base_freq\": 1000, "
         "\"layer_types\": [\"sliding_attention\", \"full_attention\", \"sliding_attention\", \"full_attention\"], "
         "\"query_pre_attn_scalar\": 10, \"hidden_activation\": \"gelu_pytorch_tanh\"",
    BASE "\"model_type\": \"llama\", \"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 2.0}",
    BASE "\"model_type\": \"llama\", \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8.0, \"low_freq_factor\": 1.0, "
         "\"high_freq_factor\": 4.0, \"original_max_position_embeddings\": 16}",
};
static const char *const methods[] = { NULL, "{\"type\": \"prefix_tuning\", \"num_virtual_tokens\": 3}",
                                       "{\"type\": \"prompt_tuning\", \"num_virtual_tokens\": 3}" };

static struct firn_error err;

static void open_session(struct firn_session *s, const char *config, const char *method)
{
    json_t *settings = method != NULL ? json_loads(method, 0, NULL) : NULL;
    scratch_mkdir("model");
    scratch_write("model/config.json", FIRN_STR("{%s}", config));
    char *model = strdup(scratch_path("model"));
    const struct firn_session_params p = { .model = model, .made = FIRN_F32, .device = "cpu:exact",
                                           .task = FIRN_TASK_CAUSAL_LM, .method = settings, .method_file = "test",
                                           .method_section = "" };
    expect_ok(firn_session_open(s, &p, &err), &err);
    for (int64_t i = 0; i < s->adapter.params.flat; i++)
        s->flat[i] = (float) ((i * 7919) % 1000) / 250 - 2;
    expect_ok(firn_session_push(s, "params", s->flat, &err), &err);
    json_decref(settings);
    free(model);
}

/* The best token behind `prompt` and `said`, without a cache. */
static int32_t next_token(struct firn_session *s, const struct firn_prompt *prompt, const int32_t *said, size_t n_said)
{
    const size_t n = prompt->n + n_said;
    const int64_t vocabulary = s->model.config.vocabulary;
    float *logits = malloc(sizeof *logits * (size_t) vocabulary);
    struct firn_inputs in;
    int64_t best = 0;
    expect_ok(firn_inputs_create(&in, 1, (int64_t) n, 0, &err), &err);
    for (size_t t = 0; t < n; t++) {
        in.input_ids[t] = t < prompt->n ? prompt->ids[t] : said[t - prompt->n];
        in.attention_mask[t] = 1;
    }
    in.pick[0] = (int32_t) n - 1;
    firn_inputs_count_positions(&in);
    expect_ok(firn_session_forward(s, FIRN_PLAN_PICKED, &in, 1, NULL, logits, vocabulary, &err), &err);
    for (int64_t v = 1; v < vocabulary; v++)
        best = logits[v] > logits[best] ? v : best;
    firn_inputs_free(&in);
    free(logits);
    return (int32_t) best;
}

static void check(const char *config, const char *method)
{
    struct firn_session s;
    struct firn_prompt prompts[ROWS];
    struct firn_generated out[ROWS];
    int32_t ids[ROWS][32];
    const struct firn_generate_params p = { .max_new_tokens = NEW };
    open_session(&s, config, method);
    for (int b = 0; b < ROWS; b++) {
        for (size_t k = 0; k < lengths[b]; k++)
            ids[b][k] = (int32_t) ((k * 37 + (size_t) b * 11 + 3) % 97);
        prompts[b] = (struct firn_prompt){ ids[b], lengths[b], (uint32_t) b };
    }
    expect_ok(firn_generate(&s, prompts, ROWS, &p, out, &err), &err);
    for (int b = 0; b < ROWS; b++) {
        assert_int_equal(out[b].n, NEW);
        for (size_t k = 0; k < NEW; k++) {
            const int32_t want = next_token(&s, &prompts[b], out[b].ids, k);
            if (out[b].ids[k] != want)
                fail_msg("%s, %s: row %d, token %zu: %d, without a cache %d", config, method != NULL ? method : "no method", b,
                         k, out[b].ids[k], want);
        }
    }
    firn_generated_free(out, ROWS);
    firn_session_close(&s);
}

static void the_cache_sees_what_the_whole_text_sees(void **state)
{
    (void) state;
    for (size_t i = 0; i < sizeof configs / sizeof configs[0]; i++)
        for (size_t k = 0; k < sizeof methods / sizeof methods[0]; k++)
            check(configs[i], methods[k]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_cache_sees_what_the_whole_text_sees, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
