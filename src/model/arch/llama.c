/* SPDX-License-Identifier: Apache-2.0 */
/* Llama 2 and 3 (Touvron et al. 2023): pre-norm decoder, rotary positions, grouped heads, gated feed-forward. */
#include "model/model.h"

#define TABLE "model.embed_tokens.weight"
#define AT(field) offsetof(struct firn_config, field)
// clang-format off
static const struct firn_option keys[] = {
    { "hidden_size",             .type = FIRN_OPTION_INT,  .offset = AT(width),         .is_required = true, .min = 1, .max = 65536 },
    { "num_hidden_layers",       .type = FIRN_OPTION_INT,  .offset = AT(n_layers),      .is_required = true, .min = 1, .max = 1024 },
    { "num_attention_heads",     .type = FIRN_OPTION_INT,  .offset = AT(n_heads),       .is_required = true, .min = 1, .max = 1024 },
    { "num_key_value_heads",     .type = FIRN_OPTION_INT,  .offset = AT(n_kv_heads),    .fallback = "0", .max = 1024 },
    { "head_dim",                .type = FIRN_OPTION_INT,  .offset = AT(head_dim),      .fallback = "0", .max = 256 },
    { "intermediate_size",       .type = FIRN_OPTION_INT,  .offset = AT(hidden),        .is_required = true, .min = 1, .max = 1048576 },
    { "vocab_size",              .type = FIRN_OPTION_INT,  .offset = AT(vocabulary),    .is_required = true, .min = 1, .max = 16777216 },
    { "max_position_embeddings", .type = FIRN_OPTION_INT,  .offset = AT(max_positions), .fallback = "2048", .min = 1, .max = 16777216 },
    { "pad_token_id",            .type = FIRN_OPTION_INT,  .offset = AT(pad_id),        .fallback = "-1" },
    { "rms_norm_eps",            .type = FIRN_OPTION_REAL, .offset = AT(norm_eps),      .fallback = "1e-6", .max = 1 },
    { "initializer_range",       .type = FIRN_OPTION_REAL, .offset = AT(init_range),    .fallback = "0.02", .max = 100 },
    { "attention_dropout",       .type = FIRN_OPTION_REAL, .offset = AT(attention_dropout), .fallback = "0", .max = 0.99 },
    { "rope_theta",              .type = FIRN_OPTION_REAL, .offset = AT(rope_theta),    .fallback = "10000" },
    { "bos_token_id",            .type = FIRN_OPTION_INT,  .offset = AT(bos_id),        .fallback = "-1" },
    { "eos_token_id",            .type = FIRN_OPTION_TREE, .offset = AT(eos) },
    { "rope_scaling",            .type = FIRN_OPTION_TREE, .offset = AT(rope_scaling) },
    { "rope_parameters",         .type = FIRN_OPTION_TREE, .offset = AT(rope_parameters) },
    { "tie_word_embeddings",     .type = FIRN_OPTION_BOOL, .offset = AT(tie_embeddings), .fallback = "false" },
    { "attention_bias",          .type = FIRN_OPTION_BOOL, .offset = AT(attention_bias), .fallback = "false" },
    { "mlp_bias",                .type = FIRN_OPTION_BOOL, .offset = AT(mlp_bias),      .fallback = "false" },
    { "hidden_act",              .type = FIRN_OPTION_WORD, .offset = AT(activation),    .fallback = "silu",
      .words = firn_activation_words, .words_also = firn_activation_words_also },
    { NULL }
};
static const struct firn_only only[] = {
    { "quantization_config",   "null" },
    { "partial_rotary_factor", "1.0" },
    { NULL }
};
// clang-format on

static firn_status finish(struct firn_config *c, const char *path, struct firn_error *err)
{
    if (c->n_kv_heads == 0)
        c->n_kv_heads = c->n_heads;
    if (c->head_dim == 0 && c->width % c->n_heads != 0)
        return firn_fail(err, FIRN_ERR_FORMAT, .file = path, .key = "num_attention_heads",
                         .expected = FIRN_STR("a divisor of hidden_size %lld", (long long) c->width),
                         .got = FIRN_STR("%lld", (long long) c->n_heads));
    if (c->head_dim == 0)
        c->head_dim = c->width / c->n_heads;
    if (c->n_heads % c->n_kv_heads != 0)
        return firn_fail(err, FIRN_ERR_FORMAT, .file = path, .key = "num_key_value_heads",
                         .expected = FIRN_STR("a divisor of num_attention_heads %lld", (long long) c->n_heads),
                         .got = FIRN_STR("%lld", (long long) c->n_kv_heads));
    if (c->head_dim % 2 != 0)
        return firn_fail(err, FIRN_ERR_FORMAT, .file = path, .key = "head_dim", .expected = "an even number",
                         .got = FIRN_STR("%lld", (long long) c->head_dim));
    return firn_rope_read(&c->rope, c->rope_theta, c->rope_scaling, c->rope_parameters, c->max_positions, path, err);
}

static firn_val attention(struct firn_build *b, firn_val x)
{
    const struct firn_config *c = &b->model->config;
    const int64_t q_width = c->n_heads * c->head_dim, kv_width = c->n_kv_heads * c->head_dim;
    firn_push_scope(b, "self_attn");
    const firn_val q = firn_linear(b, "q_proj", x, c->width, q_width, c->attention_bias);
    const firn_val k = firn_linear(b, "k_proj", x, c->width, kv_width, c->attention_bias);
    const firn_val v = firn_linear(b, "v_proj", x, c->width, kv_width, c->attention_bias);
    x = firn_self_attention(b, q, k, v, true, true);
    x = firn_linear(b, "o_proj", x, q_width, c->width, c->attention_bias);
    firn_pop_scope(b);
    return x;
}

static firn_val feed_forward(struct firn_build *b, firn_val x)
{
    const struct firn_config *c = &b->model->config;
    firn_push_scope(b, "mlp");
    const firn_val gate = firn_linear(b, "gate_proj", x, c->width, c->hidden, c->mlp_bias);
    const firn_val up = firn_linear(b, "up_proj", x, c->width, c->hidden, c->mlp_bias);
    x = firn_gate(b->g, (enum firn_activation) c->activation, gate, up);
    x = firn_linear(b, "down_proj", x, c->hidden, c->width, c->mlp_bias);
    firn_pop_scope(b);
    return x;
}

static firn_val body(struct firn_build *b)
{
    const struct firn_config *c = &b->model->config;
    firn_push_scope(b, "model");
    firn_val x = firn_embedding(b, "embed_tokens", c->vocabulary, c->width,
                                firn_input(b, "input_ids", firn_dims(b->p->batch * b->p->length)));
    x = firn_with_virtual(b, x);
    for (int64_t i = 0; i < c->n_layers; i++) {
        firn_push_layer(b, "layers", i);
        firn_val h = attention(b, firn_rms_norm_at(b, "input_layernorm", x));
        x = firn_join(b, FIRN_SUBLAYER_ATTENTION, x, h, NULL);
        h = feed_forward(b, firn_rms_norm_at(b, "post_attention_layernorm", x));
        x = firn_join(b, FIRN_SUBLAYER_FEED_FORWARD, x, h, NULL);
        firn_pop_layer(b);
    }
    x = firn_rms_norm_at(b, "norm", x);
    firn_pop_scope(b);
    return x;
}

/* `score` of the rightmost token that is no padding. */
static struct firn_head sequence_head(struct firn_build *b, firn_val x)
{
    const struct firn_config *c = &b->model->config;
    x = firn_embed(b->g, x, firn_input(b, "pick", firn_dims(b->p->batch)));
    return (struct firn_head){ .logits = firn_linear(b, "score", x, c->width, b->p->n_labels, false) };
}

static struct firn_head causal_head(struct firn_build *b, firn_val x)
{
    const struct firn_config *c = &b->model->config;
    return firn_output_layer(b, "lm_head", c->tie_embeddings ? TABLE : NULL, x, c->vocabulary, NULL);
}

static const char *const targets[] = { "q_proj", "v_proj", NULL };

const struct firn_arch firn_arch_llama = {
    .name = "llama",
    .model_type = "llama",
    .prefix = "model",
    .table = TABLE,
    .keys = keys,
    .only = only,
    .targets = targets,
    .pools_last = true,
    .finish = finish,
    .body = body,
    .head = { [FIRN_TASK_SEQ_CLS] = sequence_head, [FIRN_TASK_CAUSAL_LM] = causal_head },
    .class_name = { [FIRN_TASK_SEQ_CLS] = "LlamaForSequenceClassification",
                    [FIRN_TASK_CAUSAL_LM] = "LlamaForCausalLM" },
};
