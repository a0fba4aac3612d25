/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks of the Llama family's decoders. */
#include "model/blocks/decoder.h"

#include <string.h>

const struct firn_only firn_decoder_only[] = {
    { "quantization_config", "null" },
    { "partial_rotary_factor", "1.0" },
    { "use_bidirectional_attention", "false" },
    { NULL },
};
const char *const firn_decoder_targets[] = { "q_proj", "v_proj", NULL };

firn_status firn_decoder_finish(struct firn_config *c, const char *path, struct firn_error *err)
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
    if (c->classifier_dropout < 0) /* transformers' default for token classification */
        c->classifier_dropout = 0.1;
    return FIRN_OK;
}

firn_status firn_decoder_number(const json_t *v, const char *key, double absent, double low, double high, double *x,
                                const char *path, struct firn_error *err)
{
    *x = v == NULL ? absent : json_is_number(v) ? json_number_value(v) : 0;
    if (v == NULL || json_is_null(v) || (json_is_number(v) && *x >= low && *x <= high))
        return FIRN_OK;
    return firn_fail(err, FIRN_ERR_FORMAT, .file = path, .key = key,
                     .expected = FIRN_STR("a number from %g to %g, or null", low, high),
                     .got = json_is_number(v) ? FIRN_STR("%g", *x) : "something else");
}

firn_status firn_decoder_windows(struct firn_config *c, double absent, bool (*slides)(const struct firn_config *, int64_t),
                                 const char *path, struct firn_error *err)
{
    double window;
    firn_status status =
        firn_decoder_number(c->sliding_window, "sliding_window", absent, 1, 1 << 30, &window, path, err);
    c->window = (int64_t) window;
    const bool is_listed = c->layer_types != NULL && !json_is_null(c->layer_types);
    if (status == FIRN_OK && is_listed && json_array_size(c->layer_types) != (size_t) c->n_layers)
        status = firn_fail(err, FIRN_ERR_FORMAT, .file = path, .key = "layer_types",
                           .expected = FIRN_STR("a list of %lld", (long long) c->n_layers),
                           .got = FIRN_STR("%zu", json_array_size(c->layer_types)));
    for (int64_t i = 0; i < c->n_layers && status == FIRN_OK; i++) {
        const char *word = is_listed ? json_string_value(json_array_get(c->layer_types, (size_t) i)) : "";
        c->slides[i] = is_listed ? word != NULL && strcmp(word, "sliding_attention") == 0 : slides(c, i);
        if (is_listed && !c->slides[i] && (word == NULL || strcmp(word, "full_attention") != 0))
            status = firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = path, .key = FIRN_STR("layer_types[%lld]", (long long) i),
                               .expected = "full_attention or sliding_attention",
                               .got = word != NULL ? word : "something else");
    }
    return status;
}

/* Each head's D channels are a row of the norm. */
static firn_val head_norm(struct firn_build *b, const char *name, firn_val x, int64_t n_heads)
{
    const int64_t rows = firn_n_tokens(b), dim = b->model->config.head_dim;
    x = firn_rms_norm_at(b, name, firn_reshape(b->g, x, firn_dims(rows * n_heads, dim)));
    return firn_reshape(b->g, x, firn_dims(rows, n_heads * dim));
}

static bool is_upper(const struct firn_config *c, int64_t layer)
{
    return layer >= c->max_window_layers;
}

firn_status firn_decoder_rope(struct firn_config *c, const char *path, struct firn_error *err)
{
    return firn_rope_read(&c->rope, c->rope_theta, c->rope_scaling, c->rope_parameters, c->max_positions, path, err);
}

firn_status firn_decoder_finish_upper(struct firn_config *c, const char *path, struct firn_error *err)
{
    firn_status status = firn_decoder_finish(c, path, err);
    if (status == FIRN_OK)
        status = firn_decoder_windows(c, 4096, is_upper, path, err);
    if (!c->use_window)
        c->window = 0;
    return status ? status : firn_decoder_rope(c, path, err);
}

firn_val firn_decoder_attention(struct firn_build *b, firn_val x, const struct firn_decoder_params *p)
{
    const struct firn_config *c = &b->model->config;
    const int64_t q_width = c->n_heads * c->head_dim, kv_width = c->n_kv_heads * c->head_dim;
    firn_push_scope(b, "self_attn");
    firn_val q = firn_linear(b, "q_proj", x, c->width, q_width, p->qkv_bias);
    firn_val k = firn_linear(b, "k_proj", x, c->width, kv_width, p->qkv_bias);
    const firn_val v = firn_linear(b, "v_proj", x, c->width, kv_width, p->qkv_bias);
    if (p->qk_norm) {
        q = head_norm(b, "q_norm", q, c->n_heads);
        k = head_norm(b, "k_norm", k, c->n_kv_heads);
    }
    x = firn_self_attention(b, q, k, v, true, true);
    x = firn_linear(b, "o_proj", x, q_width, c->width, p->out_bias);
    firn_pop_scope(b);
    return x;
}

firn_val firn_decoder_feed_forward(struct firn_build *b, firn_val x, bool has_bias)
{
    const struct firn_config *c = &b->model->config;
    firn_push_scope(b, "mlp");
    const firn_val gate = firn_linear(b, "gate_proj", x, c->width, c->hidden, has_bias);
    const firn_val up = firn_linear(b, "up_proj", x, c->width, c->hidden, has_bias);
    x = firn_gate(b->g, (enum firn_activation) c->activation, gate, up);
    x = firn_linear(b, "down_proj", x, c->hidden, c->width, has_bias);
    firn_pop_scope(b);
    return x;
}

firn_val firn_decoder_layer(struct firn_build *b, firn_val x, const struct firn_decoder_params *p)
{
    firn_val h = firn_decoder_attention(b, firn_rms_norm_at(b, "input_layernorm", x), p);
    x = firn_join(b, FIRN_SUBLAYER_ATTENTION, x, h, NULL);
    h = firn_decoder_feed_forward(b, firn_rms_norm_at(b, "post_attention_layernorm", x), b->model->config.mlp_bias);
    return firn_join(b, FIRN_SUBLAYER_FEED_FORWARD, x, h, NULL);
}

firn_val firn_decoder_sandwich(struct firn_build *b, firn_val x, const struct firn_decoder_params *p)
{
    firn_val h = firn_decoder_attention(b, firn_rms_norm_at(b, "input_layernorm", x), p);
    x = firn_join(b, FIRN_SUBLAYER_ATTENTION, x, firn_rms_norm_at(b, "post_attention_layernorm", h), NULL);
    h = firn_decoder_feed_forward(b, firn_rms_norm_at(b, "pre_feedforward_layernorm", x), false);
    return firn_join(b, FIRN_SUBLAYER_FEED_FORWARD, x, firn_rms_norm_at(b, "post_feedforward_layernorm", h), NULL);
}

firn_val firn_decoder_body(struct firn_build *b, firn_val (*layer)(struct firn_build *b, firn_val x))
{
    const struct firn_config *c = &b->model->config;
    firn_push_scope(b, "model");
    firn_val x = firn_embedding_padded(b, "embed_tokens", c->vocabulary, c->width,
                                       firn_input(b, "input_ids", firn_dims(firn_n_text(b))), c->pad_id);
    if (c->embedding_scale != 0) /* of the table's rows and of what a method adds to them, but not of virtual tokens */
        x = firn_scale(b->g, x, c->embedding_scale);
    x = firn_with_virtual(b, x);
    for (int64_t i = 0; i < c->n_layers; i++) {
        firn_push_layer(b, "layers", i);
        x = layer(b, x);
        firn_pop_layer(b);
    }
    x = firn_rms_norm_at(b, "norm", x);
    firn_pop_scope(b);
    return x;
}

/* `score` of the rightmost token that is no padding. */
struct firn_head firn_decoder_sequence_head(struct firn_build *b, firn_val x)
{
    const struct firn_config *c = &b->model->config;
    x = firn_pick_rows(b->g, x, firn_input(b, "pick", firn_dims(b->p->batch)));
    return (struct firn_head){ .logits = firn_linear(b, "score", x, c->width, b->p->n_labels, false) };
}

/* `score` of every token, with a bias here. */
struct firn_head firn_decoder_token_head(struct firn_build *b, firn_val x)
{
    const struct firn_config *c = &b->model->config;
    x = firn_drop(b, x, c->classifier_dropout);
    return (struct firn_head){ .logits = firn_linear(b, "score", x, c->width, b->p->n_labels, true) };
}

struct firn_head firn_decoder_causal_head(struct firn_build *b, firn_val x)
{
    const struct firn_config *c = &b->model->config;
    struct firn_head head = firn_output_layer(b, "lm_head", c->tie_embeddings ? FIRN_DECODER_TABLE : NULL, x,
                                              c->vocabulary, NULL);
    head.softcap = c->final_softcap;
    return head;
}
