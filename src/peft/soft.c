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

firn_val firn_soft_front(const struct firn_soft *s, struct firn_build *b, firn_val table, firn_val x)
{
    if (s->n_submodules > 1) /* the encoder's half; PEFT gives the other to nobody */
        table = firn_rows(b->g, table, 0, s->n_virtual);
    b->n_virtual = s->n_virtual;
    return firn_concat(b->g, table, x, b->p->batch);
}

firn_status firn_soft_words(const struct firn_model *m, const int32_t *ids, int64_t n, float *rows, struct firn_error *err)
{
    const int64_t width = m->config.width;
    const float factor = m->config.embedding_scale != 0 ? m->config.embedding_scale : 1;
    const char *file = m->directory;
    const struct firn_tensor *t = firn_weights_find(&m->weights, m->arch->prefix, m->arch->table, &file);
    if (t == NULL || t->shape.rank != 2 || t->shape.dim[1] != width || !firn_dtype_is_float(t->dtype))
        return firn_fail(err, FIRN_ERR_FORMAT, .file = file, .key = m->arch->table,
                         .expected = FIRN_STR("word embeddings of width %lld", (long long) width),
                         .got = t != NULL ? FIRN_SHAPE_STR(&t->shape) : "no such tensor");
    const firn_status status = firn_weights_fill(&m->weights, t, err);
    for (int64_t i = 0; i < n && status == FIRN_OK; i++) {
        if (ids[i] < 0 || ids[i] >= t->shape.dim[0])
            return firn_fail(err, FIRN_ERR_SHAPE, .file = file, .key = m->arch->table,
                             .expected = FIRN_STR("ids below %lld", (long long) t->shape.dim[0]),
                             .got = FIRN_STR("%d (tokenizer and model do not fit)", ids[i]));
        firn_tensor_read_f32(t, ids[i] * width, width, rows + i * width);
        for (int64_t c = 0; c < width; c++)
            rows[i * width + c] *= factor;
    }
    return status;
}
