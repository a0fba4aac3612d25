/* SPDX-License-Identifier: Apache-2.0 */
/* Post-norm encoder with learned positions and token types. */
#include "model/blocks/bert_encoder.h"

const struct firn_only firn_bert_only[] = {
    { "position_embedding_type", "\"absolute\"" },
    { "is_decoder",              "false" },
    { "add_cross_attention",     "false" },
    { "quantization_config",     "null" },
    { NULL }
};

firn_status firn_bert_finish(struct firn_config *c, const char *path, struct firn_error *err)
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

/* Bare models have no class prefix; every task's class has. */
static bool has_prefix(const struct firn_build *b)
{
    return b->p->task != FIRN_TASK_EMBEDDING;
}

static firn_val embeddings(struct firn_build *b)
{
    const struct firn_config *c = &b->model->config;
    firn_push_scope(b, "embeddings");
    firn_val words = firn_embedding_padded(b, "word_embeddings", c->vocabulary, c->width,
                                           firn_input(b, "input_ids", firn_dims(b->p->batch * b->p->length)), c->pad_id);
    words = firn_with_virtual(b, words);
    const struct firn_shape rows = firn_dims(firn_n_tokens(b));
    const firn_val positions = firn_embedding_padded(b, "position_embeddings", c->max_positions, c->width,
                                                     firn_input(b, "position_ids", rows),
                                                     c->first_position > 0 ? c->pad_id : -1);
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

firn_val firn_bert_body(struct firn_build *b, const char *prefix)
{
    if (has_prefix(b))
        firn_push_scope(b, prefix);
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

firn_val firn_bert_pooler(struct firn_build *b, const char *prefix, firn_val x)
{
    const int64_t width = b->model->config.width;
    if (has_prefix(b))
        firn_push_scope(b, prefix);
    firn_push_scope(b, "pooler");
    firn_val first = firn_pick_rows(b->g, x, firn_input(b, "pick", firn_dims(b->p->batch)));
    first = firn_activate(b->g, FIRN_TANH, firn_linear(b, "dense", first, width, width, true));
    firn_pop_scope(b);
    if (has_prefix(b))
        firn_pop_scope(b);
    return first;
}

struct firn_head firn_bert_token_head(struct firn_build *b, firn_val x)
{
    const struct firn_config *c = &b->model->config;
    x = firn_drop(b, x, c->classifier_dropout);
    return (struct firn_head){ .logits = firn_linear(b, "classifier", x, c->width, b->p->n_labels, true) };
}

struct firn_head firn_bert_output(struct firn_build *b, const char *path, const char *bias, firn_val x)
{
    const struct firn_model *m = b->model;
    if (m->config.tie_embeddings)
        return firn_output_layer(b, path, m->arch->table, x, m->config.vocabulary, bias);
    const char *own = FIRN_STR("%s.bias", path);
    const bool is_own = firn_weights_find(&m->weights, m->arch->prefix, own, NULL) != NULL;
    if (is_own && firn_weights_find(&m->weights, m->arch->prefix, bias, NULL) != NULL)
        firn_weight_at(b, bias, firn_dims(m->config.vocabulary)); /* stays in the class, unused */
    return firn_output_layer(b, path, NULL, x, m->config.vocabulary, is_own ? own : bias);
}
