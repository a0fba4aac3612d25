/* SPDX-License-Identifier: Apache-2.0 */
/* DistilBERT (Sanh et al. 2019): BERT with fewer layers, without token types and pooler, with names of its own. */
#include "model/model.h"

#define PREFIX "distilbert"
#define AT(field) offsetof(struct firn_config, field)
// clang-format off
static const struct firn_option keys[] = {
    { "dim",        .also = { "hidden_size" }, .type = FIRN_OPTION_INT, .offset = AT(width), .fallback = "768", .min = 1, .max = 65536 },
    { "n_layers",   .also = { "num_hidden_layers" }, .type = FIRN_OPTION_INT, .offset = AT(n_layers), .fallback = "6", .min = 1, .max = 1024 },
    { "n_heads",    .also = { "num_attention_heads" }, .type = FIRN_OPTION_INT, .offset = AT(n_heads), .fallback = "12", .min = 1, .max = 1024 },
    { "hidden_dim", .type = FIRN_OPTION_INT,  .offset = AT(hidden),     .fallback = "3072", .min = 1, .max = 1048576 },
    { "vocab_size", .type = FIRN_OPTION_INT,  .offset = AT(vocabulary), .fallback = "30522", .min = 1, .max = 16777216 },
    { "max_position_embeddings", .type = FIRN_OPTION_INT, .offset = AT(max_positions), .fallback = "512", .min = 1, .max = 1048576 },
    { "pad_token_id",        .type = FIRN_OPTION_INT,  .offset = AT(pad_id), .fallback = "0" },
    { "initializer_range",   .type = FIRN_OPTION_REAL, .offset = AT(init_range), .fallback = "0.02", .max = 100 },
    { "dropout",             .type = FIRN_OPTION_REAL, .offset = AT(hidden_dropout),     .fallback = "0.1", .max = 0.99 },
    { "attention_dropout",   .type = FIRN_OPTION_REAL, .offset = AT(attention_dropout),  .fallback = "0.1", .max = 0.99 },
    { "seq_classif_dropout", .type = FIRN_OPTION_REAL, .offset = AT(classifier_dropout), .fallback = "0.2", .max = 0.99 },
    { "tie_word_embeddings", .type = FIRN_OPTION_BOOL, .offset = AT(tie_embeddings), .fallback = "true" },
    { "activation",          .type = FIRN_OPTION_WORD, .offset = AT(activation), .fallback = "gelu",
      .words = firn_activation_words, .words_also = firn_activation_words_also },
    { NULL }
};
/* Sinusoidal positions are stored like learned ones: sinusoidal_pos_embds says how they once began. */
static const struct firn_only only[] = {
    { "quantization_config", "null" },
    { NULL }
};
// clang-format on

static firn_status finish(struct firn_config *c, const char *path, struct firn_error *err)
{
    if (c->width % c->n_heads != 0)
        return firn_fail(err, FIRN_ERR_FORMAT, .file = path, .key = "n_heads",
                         .expected = FIRN_STR("a divisor of dim %lld", (long long) c->width),
                         .got = FIRN_STR("%lld", (long long) c->n_heads));
    c->n_kv_heads = c->n_heads;
    c->head_dim = c->width / c->n_heads;
    c->norm_eps = 1e-12; /* no key: the class has it fixed */
    return FIRN_OK;
}

static firn_val embeddings(struct firn_build *b)
{
    const struct firn_config *c = &b->model->config;
    firn_push_scope(b, "embeddings");
    firn_val x = firn_embedding_padded(b, "word_embeddings", c->vocabulary, c->width,
                                       firn_input(b, "input_ids", firn_dims(b->p->batch * b->p->length)), c->pad_id);
    x = firn_with_virtual(b, x);
    const firn_val at = firn_input(b, "position_ids", firn_dims(firn_n_tokens(b)));
    x = firn_add(b->g, x, firn_embedding(b, "position_embeddings", c->max_positions, c->width, at));
    x = firn_drop(b, firn_layer_norm_at(b, "LayerNorm", x), c->hidden_dropout);
    firn_pop_scope(b);
    return x;
}

static firn_val layer(struct firn_build *b, firn_val x)
{
    const struct firn_config *c = &b->model->config;
    firn_push_scope(b, "attention");
    const firn_val q = firn_linear(b, "q_lin", x, c->width, c->width, true);
    const firn_val k = firn_linear(b, "k_lin", x, c->width, c->width, true);
    const firn_val v = firn_linear(b, "v_lin", x, c->width, c->width, true);
    firn_val h = firn_self_attention(b, q, k, v, false, false);
    h = firn_linear(b, "out_lin", h, c->width, c->width, true);
    firn_pop_scope(b);
    x = firn_join(b, FIRN_SUBLAYER_ATTENTION, x, h, "sa_layer_norm");
    firn_push_scope(b, "ffn");
    h = firn_linear(b, "lin1", x, c->width, c->hidden, true);
    h = firn_activate(b->g, (enum firn_activation) c->activation, h);
    h = firn_drop(b, firn_linear(b, "lin2", h, c->hidden, c->width, true), c->hidden_dropout);
    firn_pop_scope(b);
    return firn_join(b, FIRN_SUBLAYER_FEED_FORWARD, x, h, "output_layer_norm");
}

static firn_val body(struct firn_build *b)
{
    const bool has_prefix = b->p->task != FIRN_TASK_EMBEDDING; /* the bare model has none */
    if (has_prefix)
        firn_push_scope(b, PREFIX);
    firn_val x = embeddings(b);
    firn_push_scope(b, "transformer");
    for (int64_t i = 0; i < b->model->config.n_layers; i++) {
        firn_push_layer(b, "layer", i);
        x = layer(b, x);
        firn_pop_layer(b);
    }
    firn_pop_scope(b);
    if (has_prefix)
        firn_pop_scope(b);
    return x;
}

/* classifier(dropout(relu(pre_classifier(first token)))) */
static struct firn_head sequence_head(struct firn_build *b, firn_val x)
{
    const struct firn_config *c = &b->model->config;
    x = firn_pick_rows(b->g, x, firn_input(b, "pick", firn_dims(b->p->batch)));
    x = firn_activate(b->g, FIRN_RELU, firn_linear(b, "pre_classifier", x, c->width, c->width, true));
    x = firn_drop(b, x, c->classifier_dropout);
    return (struct firn_head){ .logits = firn_linear(b, "classifier", x, c->width, b->p->n_labels, true) };
}

static struct firn_head token_head(struct firn_build *b, firn_val x)
{
    const struct firn_config *c = &b->model->config;
    x = firn_drop(b, x, c->hidden_dropout);
    return (struct firn_head){ .logits = firn_linear(b, "classifier", x, c->width, b->p->n_labels, true) };
}

static struct firn_head masked_head(struct firn_build *b, firn_val x)
{
    const struct firn_config *c = &b->model->config;
    x = firn_linear(b, "vocab_transform", x, c->width, c->width, true);
    x = firn_activate(b->g, (enum firn_activation) c->activation, x);
    x = firn_layer_norm_at(b, "vocab_layer_norm", x);
    return firn_output_layer(b, "vocab_projector", c->tie_embeddings ? b->model->arch->table : NULL, x, c->vocabulary,
                             "vocab_projector.bias");
}

static struct firn_head embedding_head(struct firn_build *b, firn_val x)
{
    (void) b;
    return (struct firn_head){ .h = x };
}

static const char *const targets[] = { "q_lin", "v_lin", NULL };

const struct firn_arch firn_arch_distilbert = {
    .name = "distilbert",
    .model_type = "distilbert",
    .prefix = PREFIX,
    .table = PREFIX ".embeddings.word_embeddings.weight",
    .keys = keys,
    .only = only,
    .targets = targets,
    .finish = finish,
    .body = body,
    .head = { [FIRN_TASK_SEQ_CLS] = sequence_head, [FIRN_TASK_TOKEN_CLS] = token_head,
              [FIRN_TASK_MASKED_LM] = masked_head, [FIRN_TASK_EMBEDDING] = embedding_head },
    .class_name = { [FIRN_TASK_SEQ_CLS] = "DistilBertForSequenceClassification",
                    [FIRN_TASK_TOKEN_CLS] = "DistilBertForTokenClassification",
                    [FIRN_TASK_MASKED_LM] = "DistilBertForMaskedLM", [FIRN_TASK_EMBEDDING] = "DistilBertModel" },
};
