/* SPDX-License-Identifier: Apache-2.0 */
/* T5 and T5 v1.1 (Raffel et al. 2020; Shazeer 2020 for the gated feed-forward): pre-norm encoder and decoder, positions as
 * a learned bias by distance that all layers of a stack share, attention without a scale, norms without a mean. */
#include "model/model.h"

#include <math.h>
#include <string.h>

#define TABLE "shared.weight"
#define AT(field) offsetof(struct firn_config, field)
// clang-format off
static const struct firn_option keys[] = {
    { "d_model",                 .type = FIRN_OPTION_INT,  .offset = AT(width),         .is_required = true, .min = 1, .max = 65536 },
    { "num_layers",              .type = FIRN_OPTION_INT,  .offset = AT(n_layers),      .is_required = true, .min = 1, .max = 1024 },
    { "num_decoder_layers",      .type = FIRN_OPTION_INT,  .offset = AT(n_decoder_layers), .fallback = "0", .max = 1024 },
    { "num_heads",               .type = FIRN_OPTION_INT,  .offset = AT(n_heads),       .is_required = true, .min = 1, .max = 1024 },
    { "d_kv",                    .type = FIRN_OPTION_INT,  .offset = AT(head_dim),      .fallback = "64", .min = 1, .max = 256 },
    { "d_ff",                    .type = FIRN_OPTION_INT,  .offset = AT(hidden),        .is_required = true, .min = 1, .max = 1048576 },
    { "vocab_size",              .type = FIRN_OPTION_INT,  .offset = AT(vocabulary),    .is_required = true, .min = 1, .max = 16777216 },
    { "relative_attention_num_buckets",  .type = FIRN_OPTION_INT, .offset = AT(n_buckets), .fallback = "32", .min = 4, .max = 65536 },
    { "relative_attention_max_distance", .type = FIRN_OPTION_INT, .offset = AT(max_distance), .fallback = "128", .min = 2, .max = 16777216 },
    { "pad_token_id",            .type = FIRN_OPTION_INT,  .offset = AT(pad_id),        .fallback = "0" },
    { "decoder_start_token_id",  .type = FIRN_OPTION_INT,  .offset = AT(decoder_start_id), .fallback = "-1" },
    { "eos_token_id",            .type = FIRN_OPTION_TREE, .offset = AT(eos) },
    { "layer_norm_epsilon",      .type = FIRN_OPTION_REAL, .offset = AT(norm_eps),      .fallback = "1e-6", .max = 1 },
    { "dropout_rate",            .type = FIRN_OPTION_REAL, .offset = AT(hidden_dropout), .fallback = "0.1", .max = 0.99 },
    { "feed_forward_proj",       .type = FIRN_OPTION_TEXT, .offset = AT(feed_forward),  .fallback = "relu" },
    { "tie_word_embeddings",     .type = FIRN_OPTION_BOOL, .offset = AT(tie_embeddings), .fallback = "true" },
    { "scale_decoder_outputs",   .type = FIRN_OPTION_TREE, .offset = AT(scale_outputs) },
    { NULL }
};
static const struct firn_only only[] = {
    { "is_encoder_decoder",  "true" },
    { "is_decoder",          "false" },
    { "quantization_config", "null" },
    { NULL }
};
// clang-format on

/* "relu", "gated-gelu": the activation, and whether a second product goes beside it. A bare gated-gelu is the tanh one. */
static firn_status read_feed_forward(struct firn_config *c, const char *path, struct firn_error *err)
{
    const char *word = c->feed_forward;
    c->is_gated = strncmp(word, "gated-", 6) == 0;
    word += c->is_gated ? 6 : 0;
    if (c->is_gated && strcmp(word, "gelu") == 0)
        word = "gelu_new";
    for (int i = 0; firn_activation_words[i] != NULL; i++)
        if (strcmp(word, firn_activation_words[i]) == 0 ||
            (firn_activation_words_also[i] != NULL && strcmp(word, firn_activation_words_also[i]) == 0)) {
            c->activation = i;
            return FIRN_OK;
        }
    return firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = path, .key = "feed_forward_proj",
                     .expected = "an activation (relu, gelu, gelu_new, silu, tanh), or gated- and one",
                     .got = c->feed_forward);
}

static firn_status finish(struct firn_config *c, const char *path, struct firn_error *err)
{
    if (c->n_decoder_layers == 0)
        c->n_decoder_layers = c->n_layers;
    c->n_kv_heads = c->n_heads;
    c->attention_dropout = c->hidden_dropout;
    c->max_positions = 1 << 24; /* distances only, and all large ones are alike */
    if (c->decoder_start_id < 0)
        c->decoder_start_id = c->pad_id;
    c->scales_outputs = c->scale_outputs != NULL ? json_is_true(c->scale_outputs) : c->tie_embeddings;
    if (c->max_distance <= c->n_buckets / 2)
        return firn_fail(err, FIRN_ERR_FORMAT, .file = path, .key = "relative_attention_max_distance",
                         .expected = FIRN_STR("more than half of %lld buckets", (long long) c->n_buckets),
                         .got = FIRN_STR("%lld", (long long) c->max_distance));
    if (c->decoder_start_id < 0 || c->decoder_start_id >= c->vocabulary || c->pad_id < 0 || c->pad_id >= c->vocabulary)
        return firn_fail(err, FIRN_ERR_FORMAT, .file = path, .key = "decoder_start_token_id, pad_token_id",
                         .expected = FIRN_STR("ids below the vocabulary of %lld", (long long) c->vocabulary),
                         .got = FIRN_STR("%lld, %lld", (long long) c->decoder_start_id, (long long) c->pad_id));
    return read_feed_forward(c, path, err);
}

/* transformers 5 never scales mT5's outputs: the published files are untied, whatever they say. */
static firn_status finish_mt5(struct firn_config *c, const char *path, struct firn_error *err)
{
    const firn_status status = finish(c, path, err);
    c->scales_outputs = false;
    return status;
}

/* Encoder or decoder while it is built. */
struct stack {
    bool is_decoder;
    int64_t n_layers;
    firn_val bias;   /* by distance; made in layer 0 */
    firn_val memory; /* decoder: what the encoder says, [B T, C] */
};

/* Keys of what the encoder read. Behind a cache no virtual tokens are made: they were. */
static int64_t n_source(const struct firn_build *b)
{
    return (b->p->continues ? b->adapter->n_virtual : b->n_virtual) + b->p->length;
}

static firn_val encoder_mask(struct firn_build *b)
{
    return firn_input(b, "attention_mask", firn_dims(b->p->batch, n_source(b)));
}

/* The bias of a stack, once: rows of layer 0's table. */
static firn_val position_bias(struct firn_build *b, struct stack *s, int64_t n_queries, int64_t n_keys)
{
    const struct firn_config *c = &b->model->config;
    if (b->layer == 0 && s->is_decoder && b->p->continues) /* one query, whose place the host knows */
        s->bias = firn_embedding(b, "relative_attention_bias", c->n_buckets, c->n_heads,
                                 firn_input(b, "cache_buckets", firn_dims(n_keys)));
    else if (b->layer == 0)
        s->bias = firn_embedding(b, "relative_attention_bias", c->n_buckets, c->n_heads,
                                 firn_bucket_leaf(b, s->is_decoder, n_queries, n_keys));
    return s->bias;
}

/* Keys and values of an attention module: of `from`, or kept since an earlier run. */
static void keys_and_values(struct firn_build *b, const struct stack *s, bool is_cross, firn_val from, firn_val *k,
                            firn_val *v)
{
    const struct firn_config *c = &b->model->config;
    const struct firn_method *method = firn_hooks(b);
    const int64_t inner = c->n_heads * c->head_dim, rows = b->p->cache_length;
    if (is_cross && b->p->continues) {
        *k = firn_cache(b, "source_key", n_source(b), inner);
        *v = firn_cache(b, "source_value", n_source(b), inner);
        return;
    }
    *k = firn_linear(b, "k", from, c->width, inner, false);
    *v = firn_linear(b, "v", from, c->width, inner, false);
    if (is_cross && rows > 0) {
        firn_cache_write(b, "source_key", n_source(b), "cache_start", *k);
        firn_cache_write(b, "source_value", n_source(b), "cache_start", *v);
    }
    if (is_cross || !s->is_decoder)
        return;
    if (method != NULL && method->kv != NULL && !b->p->continues) /* a prefix: positions before the target's */
        method->kv(b->adapter->settings, b, b->layer, k, v);
    if (rows > 0) {
        const firn_val all_k = firn_cache_write(b, "key", rows, "cache_at", *k);
        const firn_val all_v = firn_cache_write(b, "value", rows, "cache_at", *v);
        *k = b->p->continues ? all_k : *k;
        *v = b->p->continues ? all_v : *v;
    }
}

/* The module `name` on normalised x; keys and values come from `from`. */
static firn_val attention(struct firn_build *b, struct stack *s, const char *name, firn_val x, firn_val from)
{
    const struct firn_config *c = &b->model->config;
    const bool is_cross = strcmp(name, "EncDecAttention") == 0, is_own = s->is_decoder && !is_cross;
    const int64_t batch = b->p->batch, inner = c->n_heads * c->head_dim;
    const double drop = b->p->training ? c->attention_dropout : 0;
    firn_push_scope(b, name);
    const firn_val q = firn_linear(b, "q", x, c->width, inner, false);
    firn_val k, v, bias = { 0 }, mask = { 0 };
    keys_and_values(b, s, is_cross, from, &k, &v);
    if (!is_cross && firn_is_value(k))
        bias = position_bias(b, s, firn_val_shape(b->g, q).dim[0] / batch, firn_val_shape(b->g, k).dim[0] / batch);
    if (!is_own)
        mask = encoder_mask(b);
    else if (b->p->continues)
        mask = firn_input(b, "cache_mask", firn_dims(batch, b->p->cache_length));
    x = firn_attention(b->g, q, k, v,
                       firn_attention_params(.batch = (int) batch, .n_heads = (int) c->n_heads, .scale = 1,
                           .causal = is_own && !b->p->continues, .mask = mask, .bias = bias,
                           .dropout = (float) drop, .rng = drop > 0 ? firn_rng(b) : (firn_val){ 0 },
                           .stream = drop > 0 ? b->n_dropouts++ : 0));
    x = firn_linear(b, "o", x, inner, c->width, false);
    firn_pop_scope(b);
    return firn_drop(b, x, c->hidden_dropout);
}

static firn_val feed_forward(struct firn_build *b, firn_val x)
{
    const struct firn_config *c = &b->model->config;
    const enum firn_activation kind = (enum firn_activation) c->activation;
    firn_push_scope(b, "DenseReluDense");
    if (c->is_gated) {
        const firn_val gate = firn_linear(b, "wi_0", x, c->width, c->hidden, false);
        x = firn_gate(b->g, kind, gate, firn_linear(b, "wi_1", x, c->width, c->hidden, false));
    } else {
        x = firn_activate(b->g, kind, firn_linear(b, "wi", x, c->width, c->hidden, false));
    }
    x = firn_linear(b, "wo", firn_drop(b, x, c->hidden_dropout), c->hidden, c->width, false);
    firn_pop_scope(b);
    return firn_drop(b, x, c->hidden_dropout);
}

static firn_val block(struct firn_build *b, struct stack *s, firn_val x)
{
    firn_push_scope(b, "layer.0");
    firn_val h = firn_rms_norm_at(b, "layer_norm", x);
    x = firn_join(b, FIRN_SUBLAYER_ATTENTION, x, attention(b, s, "SelfAttention", h, h), NULL);
    firn_pop_scope(b);
    if (s->is_decoder) {
        firn_push_scope(b, "layer.1");
        h = firn_rms_norm_at(b, "layer_norm", x);
        x = firn_join(b, FIRN_SUBLAYER_CROSS_ATTENTION, x, attention(b, s, "EncDecAttention", h, s->memory), NULL);
        firn_pop_scope(b);
    }
    firn_push_scope(b, s->is_decoder ? "layer.2" : "layer.1");
    h = firn_rms_norm_at(b, "layer_norm", x);
    x = firn_join(b, FIRN_SUBLAYER_FEED_FORWARD, x, feed_forward(b, h), NULL);
    firn_pop_scope(b);
    return x;
}

static firn_val stack(struct firn_build *b, struct stack *s, firn_val table, firn_val ids)
{
    const struct firn_config *c = &b->model->config;
    firn_push_scope(b, s->is_decoder ? "decoder" : "encoder");
    firn_val x = firn_lookup(b, "embed_tokens", table, ids);
    if (!s->is_decoder)
        x = firn_with_virtual(b, x);
    x = firn_drop(b, x, c->hidden_dropout);
    for (int64_t i = 0; i < s->n_layers; i++) {
        firn_push_layer(b, "block", i);
        x = block(b, s, x);
        firn_pop_layer(b);
    }
    x = firn_drop(b, firn_rms_norm_at(b, "final_layer_norm", x), c->hidden_dropout);
    firn_pop_scope(b);
    return x;
}

static firn_val body(struct firn_build *b)
{
    const struct firn_config *c = &b->model->config;
    const struct firn_build_params *p = b->p;
    struct stack encoder = { .n_layers = c->n_layers };
    struct stack decoder = { .is_decoder = true, .n_layers = c->n_decoder_layers };
    const firn_val table = firn_table_at(b, "shared", c->vocabulary, c->width);
    if (!p->continues)
        decoder.memory = stack(b, &encoder, table, firn_input(b, "input_ids", firn_dims(p->batch * p->length)));
    return stack(b, &decoder, table, firn_input(b, "decoder_input_ids", firn_dims(p->batch * p->target)));
}

/* As transformers 5 loads it: without an output layer of its own the embedding serves; one that differs from the
 * embedding is its own, whatever the configuration says. */
static bool ties(const struct firn_model *m)
{
    const struct firn_tensor *head = firn_weights_find(&m->weights, "", "lm_head.weight", NULL);
    const struct firn_tensor *table = firn_weights_find(&m->weights, "", TABLE, NULL);
    if (head == NULL || table == NULL)
        return true;
    return m->config.tie_embeddings && head->dtype == table->dtype && firn_shape_eq(&head->shape, &table->shape) &&
           memcmp(head->data, table->data, (size_t) firn_shape_count(&head->shape) * firn_dtype_size(head->dtype)) == 0;
}

static struct firn_head lm_head(struct firn_build *b, firn_val x)
{
    const struct firn_config *c = &b->model->config;
    if (c->scales_outputs)
        x = firn_scale(b->g, x, (float) (1 / sqrt((double) c->width)));
    return firn_output_layer(b, "lm_head", c->tie_embeddings ? TABLE : NULL, x, c->vocabulary, NULL);
}

static const char *const targets[] = { "q", "v", NULL };

/* Scores have no 1 / sqrt(d): the layers start so that they do not need it (transformers: T5PreTrainedModel). */
static double init_std(const struct firn_config *c, const char *name)
{
    const double width = (double) c->width, inner = (double) (c->n_heads * c->head_dim);
    if (strstr(name, "shared.") != NULL || strstr(name, "lm_head.") != NULL)
        return 1;
    if (strstr(name, ".q.") != NULL)
        return 1 / sqrt(width * (double) c->head_dim);
    if (strstr(name, ".o.") != NULL)
        return 1 / sqrt(inner);
    return 1 / sqrt(strstr(name, ".wo.") != NULL ? (double) c->hidden : width);
}

#define RECORD(word, set, class)                                                                                       \
    {                                                                                                                  \
        .name = word, .model_type = word, .prefix = "", .table = TABLE, .keys = keys, .only = only, .init_std = init_std, \
        .targets = targets, .finish = set, .ties = ties, .body = body, .head = { [FIRN_TASK_SEQ2SEQ_LM] = lm_head }, \
        .class_name = { [FIRN_TASK_SEQ2SEQ_LM] = class },                                                              \
    }
const struct firn_arch firn_arch_t5 = RECORD("t5", finish, "T5ForConditionalGeneration");
/* Xue et al. 2020: T5 v1.1 with another vocabulary */
const struct firn_arch firn_arch_mt5 = RECORD("mt5", finish_mt5, "MT5ForConditionalGeneration");
