/* SPDX-License-Identifier: Apache-2.0 */
/* GPT-2 (Radford et al. 2019): pre-norm decoder with learned positions and one layer for queries, keys and values. Its
 * files hold matrices as [in, out]. */
#include "model/model.h"

#include <math.h>
#include <string.h>

#define TABLE "transformer.wte.weight"
#define AT(field) offsetof(struct firn_config, field)
// clang-format off
static const struct firn_option keys[] = {
    { "n_embd",      .also = { "hidden_size" }, .type = FIRN_OPTION_INT, .offset = AT(width), .fallback = "768", .min = 1, .max = 65536 },
    { "n_layer",     .also = { "num_hidden_layers" }, .type = FIRN_OPTION_INT, .offset = AT(n_layers), .fallback = "12", .min = 1, .max = 1024 },
    { "n_head",      .also = { "num_attention_heads" }, .type = FIRN_OPTION_INT, .offset = AT(n_heads), .fallback = "12", .min = 1, .max = 1024 },
    { "n_inner",     .type = FIRN_OPTION_INT,  .offset = AT(hidden),        .fallback = "0", .max = 1048576 },
    { "vocab_size",  .type = FIRN_OPTION_INT,  .offset = AT(vocabulary),    .fallback = "50257", .min = 1, .max = 16777216 },
    { "n_positions", .also = { "n_ctx", "max_position_embeddings" }, .type = FIRN_OPTION_INT, .offset = AT(max_positions), .fallback = "1024", .min = 1, .max = 1048576 },
    { "pad_token_id",       .type = FIRN_OPTION_INT,  .offset = AT(pad_id), .fallback = "-1" },
    { "bos_token_id",       .type = FIRN_OPTION_INT,  .offset = AT(bos_id), .fallback = "-1" },
    { "eos_token_id",       .type = FIRN_OPTION_TREE, .offset = AT(eos) },
    { "layer_norm_epsilon", .type = FIRN_OPTION_REAL, .offset = AT(norm_eps),   .fallback = "1e-5", .max = 1 },
    { "initializer_range",  .type = FIRN_OPTION_REAL, .offset = AT(init_range), .fallback = "0.02", .max = 100 },
    { "embd_pdrop",         .type = FIRN_OPTION_REAL, .offset = AT(embedding_dropout), .fallback = "0.1", .max = 0.99 },
    { "attn_pdrop",         .type = FIRN_OPTION_REAL, .offset = AT(attention_dropout), .fallback = "0.1", .max = 0.99 },
    { "resid_pdrop",        .type = FIRN_OPTION_REAL, .offset = AT(hidden_dropout),    .fallback = "0.1", .max = 0.99 },
    { "classifier_dropout", .type = FIRN_OPTION_REAL, .offset = AT(classifier_dropout), .max = 0.99 },
    { "tie_word_embeddings", .type = FIRN_OPTION_BOOL, .offset = AT(tie_embeddings),   .fallback = "true" },
    { "scale_attn_weights", .type = FIRN_OPTION_BOOL, .offset = AT(scales_attention),  .fallback = "true" },
    { "scale_attn_by_inverse_layer_idx", .type = FIRN_OPTION_BOOL, .offset = AT(scales_by_layer), .fallback = "false" },
    { "activation_function", .type = FIRN_OPTION_WORD, .offset = AT(activation), .fallback = "gelu_new",
      .words = firn_activation_words, .words_also = firn_activation_words_also },
    { NULL }
};
/* reorder_and_upcast_attn is about 16-bit activations: scores are float32 here whatever it says. */
static const struct firn_only only[] = {
    { "add_cross_attention", "false" },
    { "quantization_config", "null" },
    { NULL }
};
// clang-format on

static firn_status finish(struct firn_config *c, const char *path, struct firn_error *err)
{
    if (c->width % c->n_heads != 0)
        return firn_fail(err, FIRN_ERR_FORMAT, .file = path, .key = "n_head",
                         .expected = FIRN_STR("a divisor of n_embd %lld", (long long) c->width),
                         .got = FIRN_STR("%lld", (long long) c->n_heads));
    c->n_kv_heads = c->n_heads;
    c->head_dim = c->width / c->n_heads;
    c->attention_scale = c->scales_attention ? 0 : 1;
    if (c->hidden == 0)
        c->hidden = 4 * c->width;
    if (c->classifier_dropout < 0)
        c->classifier_dropout = 0.1; /* what the class of token classifiers falls back on */
    return FIRN_OK;
}

static firn_val attention(struct firn_build *b, firn_val x)
{
    const struct firn_config *c = &b->model->config;
    firn_val part[3];
    firn_push_scope(b, "attn");
    firn_split_columns(b->g, firn_linear(b, "c_attn", x, c->width, 3 * c->width, true), part);
    x = firn_self_attention(b, part[0], part[1], part[2], true, false);
    x = firn_drop(b, firn_linear(b, "c_proj", x, c->width, c->width, true), c->hidden_dropout);
    firn_pop_scope(b);
    return x;
}

static firn_val feed_forward(struct firn_build *b, firn_val x)
{
    const struct firn_config *c = &b->model->config;
    firn_push_scope(b, "mlp");
    x = firn_linear(b, "c_fc", x, c->width, c->hidden, true);
    x = firn_activate(b->g, (enum firn_activation) c->activation, x);
    x = firn_drop(b, firn_linear(b, "c_proj", x, c->hidden, c->width, true), c->hidden_dropout);
    firn_pop_scope(b);
    return x;
}

static firn_val body(struct firn_build *b)
{
    const struct firn_config *c = &b->model->config;
    firn_push_scope(b, "transformer");
    const firn_val words = firn_embedding(b, "wte", c->vocabulary, c->width,
                                          firn_input(b, "input_ids", firn_dims(firn_n_text(b))));
    firn_val x = firn_with_virtual(b, words);
    const firn_val at = firn_input(b, "position_ids", firn_dims(firn_n_tokens(b)));
    x = firn_add(b->g, x, firn_embedding(b, "wpe", c->max_positions, c->width, at));
    x = firn_drop(b, x, c->embedding_dropout);
    for (int64_t i = 0; i < c->n_layers; i++) {
        firn_push_layer(b, "h", i);
        firn_val h = attention(b, firn_layer_norm_at(b, "ln_1", x));
        x = firn_join(b, FIRN_SUBLAYER_ATTENTION, x, h, NULL);
        h = feed_forward(b, firn_layer_norm_at(b, "ln_2", x));
        x = firn_join(b, FIRN_SUBLAYER_FEED_FORWARD, x, h, NULL);
        firn_pop_layer(b);
    }
    x = firn_layer_norm_at(b, "ln_f", x);
    firn_pop_scope(b);
    return x;
}

/* `score` of the rightmost token that is no padding. */
static struct firn_head sequence_head(struct firn_build *b, firn_val x)
{
    const struct firn_config *c = &b->model->config;
    x = firn_pick_rows(b->g, x, firn_input(b, "pick", firn_dims(b->p->batch)));
    return (struct firn_head){ .logits = firn_linear(b, "score", x, c->width, b->p->n_labels, false) };
}

static struct firn_head token_head(struct firn_build *b, firn_val x)
{
    const struct firn_config *c = &b->model->config;
    x = firn_drop(b, x, c->classifier_dropout);
    return (struct firn_head){ .logits = firn_linear(b, "classifier", x, c->width, b->p->n_labels, true) };
}

static struct firn_head causal_head(struct firn_build *b, firn_val x)
{
    const struct firn_config *c = &b->model->config;
    return firn_output_layer(b, "lm_head", c->tie_embeddings ? TABLE : NULL, x, c->vocabulary, NULL);
}

static const char *const targets[] = { "c_attn", NULL };
static const char *const conv1d[] = { "c_attn", "c_proj", "c_fc", NULL };

/* The layers that write to the residual start smaller, by their number (Radford et al. 2019, sec. 2.3). */
static double init_std(const struct firn_config *c, const char *name)
{
    return strstr(name, ".c_proj.") != NULL ? c->init_range / sqrt(2.0 * (double) c->n_layers) : 0;
}

const struct firn_arch firn_arch_gpt2 = {
    .name = "gpt2",
    .model_type = "gpt2",
    .prefix = "transformer",
    .table = TABLE,
    .keys = keys,
    .init_std = init_std,
    .only = only,
    .targets = targets,
    .conv1d = conv1d,
    .pools_last = true,
    .finish = finish,
    .body = body,
    .head = { [FIRN_TASK_SEQ_CLS] = sequence_head, [FIRN_TASK_TOKEN_CLS] = token_head,
              [FIRN_TASK_CAUSAL_LM] = causal_head },
    .class_name = { [FIRN_TASK_SEQ_CLS] = "GPT2ForSequenceClassification",
                    [FIRN_TASK_TOKEN_CLS] = "GPT2ForTokenClassification",
                    [FIRN_TASK_CAUSAL_LM] = "GPT2LMHeadModel" },
};
