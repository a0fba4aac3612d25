/* SPDX-License-Identifier: Apache-2.0 */
/* What blocks are made of besides weights: dropout, self-attention, the ends of sub-layers, virtual tokens. */
#include "model/model.h"
#include "ops/ops.h"

#include <math.h>

firn_val firn_rng(struct firn_build *b)
{
    return firn_input(b, "rng", firn_dims(4));
}

firn_val firn_drop(struct firn_build *b, firn_val x, double p)
{
    if (!b->p->training || p <= 0)
        return x;
    return firn_dropout(b->g, x, firn_rng(b), (float) p, b->n_dropouts++);
}

firn_val firn_with_virtual(struct firn_build *b, firn_val x)
{
    const struct firn_method *method = firn_hooks(b);
    return method != NULL && method->input != NULL && !b->p->continues ? method->input(b->adapter->settings, b, x) : x;
}

firn_val firn_join_plain(struct firn_build *b, const struct firn_sublayer *s)
{
    const firn_val y = firn_add(b->g, s->f, s->x);
    return s->norm != NULL ? firn_layer_norm_at(b, s->norm, y) : y;
}

firn_val firn_join(struct firn_build *b, enum firn_sublayer_kind kind, firn_val x, firn_val f, const char *norm)
{
    const struct firn_method *method = firn_hooks(b);
    const struct firn_sublayer s = { .kind = kind, .path = b->scope.path, .layer = b->n_layers - 1, .x = x, .f = f,
                                     .norm = norm, .is_module = b->scope.depth > b->layer_depth };
    const firn_val y = method != NULL && method->sublayer != NULL ? method->sublayer(b->adapter->settings, b, &s)
                                                                  : firn_join_plain(b, &s);
    firn_graph_next_part(b->g);
    return y;
}

/* Positions do not count padding, so a cache that is longer than the model's context holds no position beyond it. */
static int64_t n_positions(const struct firn_build *b)
{
    const int64_t most = firn_model_limit(b->model);
    if (b->p->cache_length == 0)
        return b->n_prefix + b->n_virtual + b->p->length;
    return b->p->cache_length < most ? b->p->cache_length : most;
}

firn_val firn_rope_leaf(struct firn_build *b, bool is_local)
{
    const struct firn_config *c = &b->model->config;
    const bool is_dynamic = (is_local ? c->local_rope.kind : c->rope.kind) == FIRN_ROPE_DYNAMIC;
    const bool grows = is_dynamic && b->p->continues; /* each new token meets a sequence that is longer by one */
    const int64_t positions = is_dynamic && !grows ? b->n_prefix + b->n_virtual + b->p->length : n_positions(b);
    return firn_graph_leaf(b->g, FIRN_LEAF_WEIGHT,
                           FIRN_STR("rope.%s%s%lld", is_local ? "local." : "", grows ? "grows." : "", (long long) positions),
                           FIRN_F32,
                           firn_dims(positions, b->model->config.head_dim));
}

/* The factor of q k in the layer that is being built. */
static float attention_scale(const struct firn_build *b)
{
    const struct firn_config *c = &b->model->config;
    const double scale = c->attention_scale > 0 ? c->attention_scale : 1 / sqrt((double) c->head_dim);
    return (float) (c->scales_by_layer ? scale / (double) (b->layer + 1) : scale);
}

firn_val firn_bucket_leaf(struct firn_build *b, bool is_causal, int64_t n_queries, int64_t n_keys)
{
    const char *name = FIRN_STR("buckets.%s.%lld.%lld", is_causal ? "causal" : "both", (long long) n_queries,
                                (long long) n_keys);
    return firn_graph_leaf(b->g, FIRN_LEAF_WEIGHT, name, FIRN_I32, firn_dims(n_queries + n_keys - 1));
}

const char *const firn_cached[] = { "key", "value", "source_key", "source_value", NULL };

const char *firn_cache_name(char *text, size_t size, const char *what, int64_t layer)
{
    return firn_format(text, size, "cache.%s.%lld", what, (long long) layer);
}

firn_val firn_cache(struct firn_build *b, const char *what, int64_t rows, int64_t width)
{
    char name[64];
    return firn_graph_leaf(b->g, FIRN_LEAF_STATE, firn_cache_name(name, sizeof name, what, b->layer), FIRN_F32,
                           firn_dims(b->p->batch * rows, width));
}

firn_val firn_cache_write(struct firn_build *b, const char *what, int64_t rows, const char *at, firn_val x)
{
    if (!firn_is_value(x))
        return x;
    const firn_val cache = firn_cache(b, what, rows, firn_val_shape(b->g, x).dim[1]);
    firn_write_rows(b->g, cache, x, firn_input(b, at, firn_dims(b->p->batch)));
    return cache;
}

firn_val firn_self_attention(struct firn_build *b, firn_val q, firn_val k, firn_val v, bool causal, bool rotary)
{
    const struct firn_config *c = &b->model->config;
    const struct firn_method *method = firn_hooks(b);
    const bool slides = b->layer >= 0 && b->layer < FIRN_MAX_LAYERS && c->window > 0 && c->slides[b->layer];
    if (rotary) {
        const firn_val at = firn_input(b, "position_ids", firn_dims(firn_n_tokens(b)));
        const firn_val table = firn_rope_leaf(b, slides && c->has_local_rope);
        q = firn_rope(b->g, q, at, table, (int) c->n_heads);
        k = firn_rope(b->g, k, at, table, (int) c->n_kv_heads);
    }
    if (method != NULL && method->kv != NULL && !b->p->continues)
        method->kv(b->adapter->settings, b, b->layer, &k, &v);
    if (b->p->cache_length > 0) {
        const firn_val all_k = firn_cache_write(b, "key", b->p->cache_length, "cache_at", k);
        const firn_val all_v = firn_cache_write(b, "value", b->p->cache_length, "cache_at", v);
        k = b->p->continues ? all_k : k;
        v = b->p->continues ? all_v : v;
        causal = causal && !b->p->continues; /* one token a row: the mask hides what is not written yet */
    }
    const int64_t n_keys = b->p->continues ? b->p->cache_length : b->n_prefix + b->n_virtual + b->p->length;
    const bool masks_window = slides && b->p->continues;
    const double drop = b->p->training ? c->attention_dropout : 0;
    const struct firn_attention_params p = {
        .batch = (int) b->p->batch, .n_heads = (int) c->n_heads, .n_kv_heads = (int) c->n_kv_heads,
        .scale = attention_scale(b), .causal = causal, .window = slides && !masks_window ? (int) c->window : 0,
        .softcap = c->attention_softcap,
        .mask = firn_input(b, masks_window ? "window_mask" : "attention_mask", firn_dims(b->p->batch, n_keys)),
        .dropout = (float) drop, .rng = drop > 0 ? firn_rng(b) : (firn_val){ 0 },
        .stream = drop > 0 ? b->n_dropouts++ : 0 };
    const bool is_packed = b->p->packed > 0;
    const firn_val rows = is_packed ? firn_input(b, "pack_rows", firn_dims(b->p->batch * b->p->length)) : (firn_val){ 0 };
    const firn_val back = is_packed ? firn_input(b, "unpack_rows", firn_dims(b->p->packed)) : (firn_val){ 0 };
    if (is_packed) { /* attention alone needs rows: padding is zeros there, and hidden */
        q = firn_move_rows(b->g, q, rows, back);
        k = firn_move_rows(b->g, k, rows, back);
        v = firn_move_rows(b->g, v, rows, back);
    }
    const firn_val y = firn_attention(b->g, q, k, v, &p);
    if (is_packed)
        return firn_move_rows(b->g, y, back, rows);
    return b->p->fills_blind && b->p->has_loss && causal ? firn_add(b->g, y, firn_attention_blind(b->g, q, k, v, &p)) : y;
}
