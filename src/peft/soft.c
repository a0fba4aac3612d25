/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes, saved heads and names of prompts and prefixes (PEFT's PromptLearningConfig). */
#include "peft/soft.h"

#include <math.h>
#include <stdio.h>

/* A size that a file gives must be the model's. */
static firn_status size_of(int64_t *value, int64_t want, const char *file, const char *key, struct firn_error *err)
{
    if (*value != 0 && *value != want)
        return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = key,
                         .expected = FIRN_STR("%lld, as the model has it", (long long) want),
                         .got = FIRN_STR("%lld", (long long) *value));
    *value = want;
    return FIRN_OK;
}

firn_status firn_soft_open(struct firn_soft *s, const struct firn_model *m, enum firn_task task, int64_t token_dim,
                           int64_t n_heads, const char *file, struct firn_error *err)
{
    const int64_t submodules = task == FIRN_TASK_SEQ2SEQ_LM ? 2 : 1;
    firn_status status = size_of(&s->token_dim, token_dim, file, "token_dim", err);
    if (status == FIRN_OK)
        status = size_of(&s->n_layers, m->config.n_layers, file, "num_layers", err);
    if (status == FIRN_OK)
        status = size_of(&s->n_heads, n_heads, file, "num_attention_heads", err);
    if (status == FIRN_OK)
        status = size_of(&s->n_submodules, submodules, file, "num_transformer_submodules", err);
    return status ? status : firn_wrap_open_saved(&s->wrap, task, file, err);
}

bool firn_soft_copies(const void *settings, const struct firn_site *s)
{
    return firn_wrap_copies(&((const struct firn_soft *) settings)->wrap, s);
}

/* Beside a prompt a saved module has one word less in front than beside LoRA: PEFT wraps no base model here. */
const char *firn_soft_trains(const void *settings, const struct firn_site *s, const char *part, char *text, size_t size)
{
    if (!firn_soft_copies(settings, s))
        return NULL;
    snprintf(text, size, "base_model.%s.%s", s->path, part);
    return text;
}

void firn_soft_describe(const struct firn_soft *s, json_t *config)
{
    const json_t *saved = s->wrap.modules_to_save;
    json_object_set_new(config, "modules_to_save", json_array_size(saved) > 0 ? json_deep_copy(saved) : json_null());
    json_object_set_new(config, "num_attention_heads", json_integer(s->n_heads));
    json_object_set_new(config, "num_layers", json_integer(s->n_layers));
    json_object_set_new(config, "num_transformer_submodules", json_integer(s->n_submodules));
    json_object_set_new(config, "num_virtual_tokens", json_integer(s->n_virtual));
    json_object_set_new(config, "token_dim", json_integer(s->token_dim));
}

firn_val firn_soft_linear(struct firn_build *b, const char *name, firn_val x, int64_t n_in, int64_t n_out)
{
    const double a = 1 / sqrt((double) n_in);
    const firn_val w = firn_trained(b, FIRN_STR("prompt_encoder.%s.weight", name), firn_dims(n_out, n_in),
                                    FIRN_INIT_UNIFORM, a);
    const firn_val bias = firn_trained(b, FIRN_STR("prompt_encoder.%s.bias", name), firn_dims(n_out),
                                       FIRN_INIT_UNIFORM, a);
    return firn_matmul(b->g, x, w, firn_matmul_params(.trans_b = true, .bias = bias));
}
