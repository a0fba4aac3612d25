/* SPDX-License-Identifier: Apache-2.0 */
/* Prompt tuning (Lester et al. 2021): trained embeddings in front of the text. Layout, names and starts are PEFT's. */
#include "peft/soft.h"

#include "base/hash.h"
#include "base/rng.h"
#include "firn/tokenizer.h"

#include <stdlib.h>
#include <string.h>

enum init_rule { INIT_RANDOM, INIT_VOCABULARY, INIT_TEXT };

struct prompt {
    struct firn_soft soft;
    int init; /* enum init_rule */
    char *text, *tokenizer;
    char *model; /* directory, for the file */
};

#define AT(field) offsetof(struct prompt, field)
static const char *const init_words[] = { "RANDOM", "SAMPLE_VOCAB", "TEXT", NULL };
static const char *const init_words_also[] = { "random", "vocabulary", "text" };
// clang-format off
static const struct firn_option keys[] = {
    FIRN_SOFT_KEYS(struct prompt),
    { "prompt_tuning_init",      .also = { "init" }, .type = FIRN_OPTION_WORD, .offset = AT(init), .fallback = "RANDOM",
      .words = init_words, .words_also = init_words_also,
      .help = "start from normal numbers, from random words of the vocabulary, or from a text" },
    { "prompt_tuning_init_text", .also = { "init_text" }, .type = FIRN_OPTION_TEXT, .offset = AT(text),
      .help = "that text; cut, or repeated, to the virtual tokens" },
    { "tokenizer_name_or_path",  .type = FIRN_OPTION_TEXT, .offset = AT(tokenizer), .unit = "directory",
      .help = "whose tokenizer reads the text; unset: the model's" },
    { NULL }
};
// clang-format on
static const char *const refuses[] = { "tokenizer_kwargs", NULL };

static firn_status open_prompt(void *settings, const struct firn_model *m, enum firn_task task, const char *file,
                               struct firn_error *err)
{
    struct prompt *p = settings;
    if (p->init == INIT_TEXT && (p->text == NULL || p->text[0] == '\0'))
        return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = "prompt_tuning_init_text",
                         .expected = "a text to start from (prompt_tuning_init is TEXT)", .got = "none");
    p->model = firn_strdup(m->directory);
    if (p->model == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for settings");
    return firn_soft_open(&p->soft, m, task, m->config.width, m->config.n_heads, file, err);
}

static void close_prompt(void *settings)
{
    free(((struct prompt *) settings)->model);
}

/* The text's ids with its special tokens, cut or repeated to n. */
static firn_status text_ids(const struct prompt *p, const struct firn_model *m, int64_t n, int32_t *ids,
                            struct firn_error *err)
{
    struct firn_tokenizer *tokenizer = NULL;
    struct firn_encoding encoding = { 0 };
    /* a file's tokenizer may be a hub name, or a path that was valid elsewhere */
    const bool is_here = p->tokenizer != NULL && firn_path_is_dir(p->tokenizer);
    firn_status status = firn_tokenizer_open(&tokenizer, is_here ? p->tokenizer : m->directory, err);
    if (status == FIRN_OK)
        status = firn_tokenizer_encode(tokenizer, p->text, strlen(p->text), NULL, 0, NULL, &encoding, err);
    if (status == FIRN_OK && encoding.n == 0)
        status = firn_fail(err, FIRN_ERR_USAGE, .key = "prompt_tuning_init_text", .expected = "a text with tokens",
                           .got = p->text);
    for (int64_t i = 0; i < n && status == FIRN_OK; i++)
        ids[i] = encoding.ids[(size_t) i % encoding.n];
    firn_encoding_free(&encoding);
    firn_tokenizer_close(&tokenizer);
    return status;
}

static firn_status init(const void *settings, const struct firn_model *m, const struct firn_param_set *params,
                        uint64_t seed, float *flat, struct firn_error *err)
{
    const struct prompt *p = settings;
    const struct firn_param *table = firn_params_find(params, FIRN_TABLE);
    const int64_t n = table->shape.dim[0];
    const uint32_t stream = (uint32_t) firn_fnv1a(FIRN_FNV_START, FIRN_TABLE, sizeof FIRN_TABLE - 1);
    if (p->init == INIT_RANDOM)
        return FIRN_OK;
    int32_t *ids = malloc(sizeof *ids * (size_t) n);
    firn_status status = ids == NULL ? firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a prompt") : FIRN_OK;
    for (int64_t i = 0; i < n && status == FIRN_OK; i++)
        ids[i] = (int32_t) ((double) firn_uniform(seed, stream, 0, (uint64_t) i) * (double) m->config.vocabulary);
    if (status == FIRN_OK && p->init == INIT_TEXT)
        status = text_ids(p, m, n, ids, err);
    if (status == FIRN_OK)
        status = firn_soft_words(m, ids, n, flat + table->offset, err);
    free(ids);
    return status;
}

static firn_val input(const void *settings, struct firn_build *b, firn_val x)
{
    const struct prompt *p = settings;
    const firn_val table = firn_trained(b, FIRN_TABLE, firn_dims(p->soft.n_virtual * p->soft.n_submodules, p->soft.token_dim),
                                        FIRN_INIT_NORMAL, 1);
    return firn_soft_front(&p->soft, b, table, x);
}

static void describe(const void *settings, const struct firn_param_set *params, json_t *config)
{
    const struct prompt *p = settings;
    const bool is_text = p->init == INIT_TEXT;
    (void) params;
    firn_soft_describe(&p->soft, config);
    json_object_set_new(config, "prompt_tuning_init", json_string(init_words[p->init]));
    json_object_set_new(config, "prompt_tuning_init_text", is_text ? json_string(p->text) : json_null());
    json_object_set_new(config, "tokenizer_kwargs", json_null());
    json_object_set_new(config, "tokenizer_name_or_path",
                        is_text ? json_string(p->tokenizer != NULL ? p->tokenizer : p->model) : json_null());
}

const struct firn_method firn_method_prompt = {
    .name = "prompt_tuning",
    .peft_type = "PROMPT_TUNING",
    .keys = keys,
    .settings_size = sizeof(struct prompt),
    .refuses = refuses,
    .open = open_prompt,
    .close = close_prompt,
    .copies = firn_soft_copies,
    .trains = firn_soft_trains,
    .input = input,
    .init = init,
    .describe = describe,
};
