/* SPDX-License-Identifier: Apache-2.0 */
/* BERT (Devlin et al. 2018): post-norm encoder with learned positions and token types. */
#include "model/model.h"

#define TABLE "bert.embeddings.word_embeddings.weight"
#define AT(field) offsetof(struct firn_config, field)
// clang-format off
static const struct firn_option keys[] = {
    { "hidden_size",             .type = FIRN_OPTION_INT,  .offset = AT(width),         .is_required = true, .min = 1, .max = 65536 },
    { "num_hidden_layers",       .type = FIRN_OPTION_INT,  .offset = AT(n_layers),      .is_required = true, .min = 1, .max = 1024 },
    { "num_attention_heads",     .type = FIRN_OPTION_INT,  .offset = AT(n_heads),       .is_required = true, .min = 1, .max = 1024 },
    { "intermediate_size",       .type = FIRN_OPTION_INT,  .offset = AT(hidden),        .is_required = true, .min = 1, .max = 1048576 },
    { "vocab_size",              .type = FIRN_OPTION_INT,  .offset = AT(vocabulary),    .is_required = true, .min = 1, .max = 16777216 },
    { "max_position_embeddings", .type = FIRN_OPTION_INT,  .offset = AT(max_positions), .fallback = "512", .min = 1, .max = 1048576 },
    { "type_vocab_size",         .type = FIRN_OPTION_INT,  .offset = AT(token_types),   .fallback = "2", .min = 1, .max = 65536 },
    { "pad_token_id",            .type = FIRN_OPTION_INT,  .offset = AT(pad_id),        .fallback = "0" },
    { "layer_norm_eps",          .type = FIRN_OPTION_REAL, .offset = AT(norm_eps),      .fallback = "1e-12", .max = 1 },
    { "initializer_range",       .type = FIRN_OPTION_REAL, .offset = AT(init_range),    .fallback = "0.02", .max = 100 },
    { "hidden_dropout_prob",     .type = FIRN_OPTION_REAL, .offset = AT(hidden_dropout),    .fallback = "0.1", .max = 0.99 },
    { "attention_probs_dropout_prob", .type = FIRN_OPTION_REAL, .offset = AT(attention_dropout), .fallback = "0.1", .max = 0.99 },
    { "classifier_dropout",      .type = FIRN_OPTION_REAL, .offset = AT(classifier_dropout), .max = 0.99 },
    { "tie_word_embeddings",     .type = FIRN_OPTION_BOOL, .offset = AT(tie_embeddings), .fallback = "true" },
    { "hidden_act",              .type = FIRN_OPTION_WORD, .offset = AT(activation),    .fallback = "gelu",
      .words = firn_activation_words, .words_also = firn_activation_words_also },
    { NULL }
};
static const struct firn_only only[] = {
    { "position_embedding_type", "\"absolute\"" },
    { "is_decoder",              "false" },
    { "add_cross_attention",     "false" },
    { "quantization_config",     "null" },
    { NULL }
};
// clang-format on

static firn_status finish(struct firn_config *c, const char *path, struct firn_error *err)
{
    if (c->width % c->n_heads != 0)
        return firn_fail(err, FIRN_ERR_FORMAT, .file = path, .key = "num_attention_heads",
                         .expected = FIRN_STR("a divisor of hidden_size %lld", (long long) c->width),
                         .got = FIRN_STR("%lld", (long long) c->n_heads));
    c->n_kv_heads = c->n_heads;
    c->head_dim = c->width / c->n_heads;
    if (c->classifier_dropout < 0)
        c->classifier_dropout = c->hidden_dropout;
    return FIRN_OK;
}

/* Bare BertModel has no class prefix; every task's class has. */
static bool has_prefix(const struct firn_build *b)
{
    return b->p->task != FIRN_TASK_EMBEDDING;
}

static firn_val embeddings(struct firn_build *b)
{
    const struct firn_config *c = &b->model->config;
    const struct firn_shape rows = firn_dims(firn_n_tokens(b));
    firn_push_scope(b, "embeddings");
    firn_val words = firn_embedding(b, "word_embeddings", c->vocabulary, c->width,
                                    firn_input(b, "input_ids", firn_dims(b->p->batch * b->p->length)));
    words = firn_with_virtual(b, words);
    const firn_val positions = firn_embedding(b, "position_embeddings", c->max_positions, c->width,
                                              firn_input(b, "position_ids", rows));
    const firn_val types = firn_embedding(b, "token_type_embeddings", c->token_types, c->width,
                                          firn_input(b, "token_type_ids", rows));
    firn_val x = firn_add(b->g, firn_add(b->g, words, types), positions);
    x = firn_drop(b, firn_layer_norm_at(b, "LayerNorm", x), c->hidden_dropout);
    firn_pop_scope(b);
    return x;
}

/* LayerNorm(dropout(dense(h)) + x) */
static firn_val output(struct firn_build *b, enum firn_sublayer_kind kind, firn_val h, int64_t n_in, firn_val x)
{
    const struct firn_config *c = &b->model->config;
    firn_push_scope(b, "output");
    h = firn_drop(b, firn_linear(b, "dense", h, n_in, c->width, true), c->hidden_dropout);
    x = firn_join(b, kind, x, h, "LayerNorm");
    firn_pop_scope(b);
    return x;
}

static firn_val layer(struct firn_build *b, firn_val x)
{
    const struct firn_config *c = &b->model->config;
    firn_push_scope(b, "attention");
    firn_push_scope(b, "self");
    const firn_val q = firn_linear(b, "query", x, c->width, c->width, true);
    const firn_val k = firn_linear(b, "key", x, c->width, c->width, true);
    const firn_val v = firn_linear(b, "value", x, c->width, c->width, true);
    firn_val h = firn_self_attention(b, q, k, v, false, false);
    firn_pop_scope(b);
    x = output(b, FIRN_SUBLAYER_ATTENTION, h, c->width, x);
    firn_pop_scope(b);
    firn_push_scope(b, "intermediate");
    h = firn_linear(b, "dense", x, c->width, c->hidden, true);
    h = firn_activate(b->g, (enum firn_activation) c->activation, h);
    firn_pop_scope(b);
    return output(b, FIRN_SUBLAYER_FEED_FORWARD, h, c->hidden, x);
}

static firn_val body(struct firn_build *b)
{
    if (has_prefix(b))
        firn_push_scope(b, "bert");
    firn_val x = embeddings(b);
    firn_push_scope(b, "encoder");
    for (int64_t i = 0; i < b->model->config.n_layers; i++) {
        firn_push_layer(b, "layer", i);
        x = layer(b, x);
        firn_pop_layer(b);
    }
    firn_pop_scope(b);
    if (has_prefix(b))
        firn_pop_scope(b);
    return x;
}

/* tanh(dense(first token)) */
static firn_val pooler(struct firn_build *b, firn_val x)
{
    const int64_t width = b->model->config.width;
    firn_push_scope(b, has_prefix(b) ? "bert.pooler" : "pooler");
    firn_val first = firn_embed(b->g, x, firn_input(b, "pick", firn_dims(b->p->batch)));
    first = firn_activate(b->g, FIRN_TANH, firn_linear(b, "dense", first, width, width, true));
    firn_pop_scope(b);
    return first;
}

static struct firn_head sequence_head(struct firn_build *b, firn_val x)
{
    const struct firn_config *c = &b->model->config;
    x = firn_drop(b, pooler(b, x), c->classifier_dropout);
    return (struct firn_head){ .logits = firn_linear(b, "classifier", x, c->width, b->p->n_labels, true) };
}

static struct firn_head token_head(struct firn_build *b, firn_val x)
{
    const struct firn_config *c = &b->model->config;
    x = firn_drop(b, x, c->classifier_dropout);
    return (struct firn_head){ .logits = firn_linear(b, "classifier", x, c->width, b->p->n_labels, true) };
}

static struct firn_head masked_head(struct firn_build *b, firn_val x)
{
    const struct firn_config *c = &b->model->config;
    firn_push_scope(b, "cls.predictions.transform");
    x = firn_linear(b, "dense", x, c->width, c->width, true);
    x = firn_activate(b->g, (enum firn_activation) c->activation, x);
    x = firn_layer_norm_at(b, "LayerNorm", x);
    firn_pop_scope(b);
    if (c->tie_embeddings)
        return firn_output_layer(b, "cls.predictions.decoder", TABLE, x, c->vocabulary, "cls.predictions.bias");
    /* an untied decoder has a bias of its own, which older files hold under the shared name */
    const bool is_own = firn_weights_find(&b->model->weights, "bert", "cls.predictions.decoder.bias", NULL) != NULL;
    if (is_own)
        b->counts.base += c->vocabulary; /* the shared one stays in the class, unused */
    return firn_output_layer(b, "cls.predictions.decoder", NULL, x, c->vocabulary,
                             is_own ? "cls.predictions.decoder.bias" : "cls.predictions.bias");
}

static struct firn_head embedding_head(struct firn_build *b, firn_val x)
{
    return (struct firn_head){ .h = x, .pooled = pooler(b, x) };
}

static const char *const targets[] = { "query", "value", NULL };

const struct firn_arch firn_arch_bert = {
    .name = "bert",
    .model_type = "bert",
    .prefix = "bert",
    .table = TABLE,
    .keys = keys,
    .only = only,
    .targets = targets,
    .finish = finish,
    .body = body,
    .head = { [FIRN_TASK_SEQ_CLS] = sequence_head, [FIRN_TASK_TOKEN_CLS] = token_head,
              [FIRN_TASK_MASKED_LM] = masked_head, [FIRN_TASK_EMBEDDING] = embedding_head },
    .class_name = { [FIRN_TASK_SEQ_CLS] = "BertForSequenceClassification",
                    [FIRN_TASK_TOKEN_CLS] = "BertForTokenClassification",
                    [FIRN_TASK_MASKED_LM] = "BertForMaskedLM", [FIRN_TASK_EMBEDDING] = "BertModel" },
};
