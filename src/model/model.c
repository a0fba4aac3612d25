/* SPDX-License-Identifier: Apache-2.0 */
/* Opens a model directory, builds its graph for a task, and loads the frozen weights that the graph asks for. */
#include "model/bucket_table.h"
#include "model/loss.h"
#include "model/squares.h"

#include "base/file.h"
#include "model/gguf_model.h"
#include "tensor/quant.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const firn_task_words[] = { "sequence_classification", "token_classification", "masked_lm", "causal_lm",
                                        "seq2seq_lm", "embedding", NULL };
const char *const firn_task_types[FIRN_TASK_COUNT] = { "SEQ_CLS", "TOKEN_CLS", NULL, "CAUSAL_LM", "SEQ_2_SEQ_LM",
                                                       "FEATURE_EXTRACTION" };
const char *const firn_problem_words[] = { "single_label_classification", "multi_label_classification", "regression",
                                           NULL };

static firn_status open_made(struct firn_model *m, const char *path, enum firn_dtype matrices, struct firn_error *err)
{
    const firn_status status = firn_config_load(&m->config, &m->arch, path, err);
    if (status == FIRN_OK)
        firn_weights_open_made(&m->weights, matrices, m->config.init_range > 0 ? m->config.init_range : 0.02);
    return status;
}

firn_status firn_model_open_config(struct firn_model *m, const char *path, enum firn_dtype matrices,
                                   struct firn_error *err)
{
    memset(m, 0, sizeof *m);
    m->directory = firn_strdup(path);
    char *config = firn_path_is_dir(path) ? firn_path_join(path, "config.json") : firn_strdup(path);
    const firn_status status = m->directory != NULL && config != NULL
                                   ? open_made(m, config, matrices, err)
                                   : firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a path");
    free(config);
    if (status)
        firn_model_close(m);
    return status;
}

static firn_status open_gguf(struct firn_model *m, const char *file, struct firn_error *err)
{
    float *factors = NULL;
    int64_t n = 0;
    firn_status status = firn_gguf_model_open(file, &m->gguf_config, &m->weights, &factors, &n, err);
    if (status == FIRN_OK)
        status = firn_config_read(&m->config, &m->arch, m->gguf_config, file, err);
    if (status == FIRN_OK && n > 0 && n != m->config.head_dim / 2)
        status = firn_fail(err, FIRN_ERR_FORMAT, .file = file, .key = "rope_freqs.weight",
                           .expected = FIRN_STR("%lld numbers", (long long) m->config.head_dim / 2),
                           .got = FIRN_STR("%lld", (long long) n));
    for (int64_t i = 0; status == FIRN_OK && i < n; i++)
        m->config.rope.factors[m->config.rope.n_factors++] = factors[i];
    free(factors);
    return status;
}

static firn_status open_directory(struct firn_model *m, struct firn_error *err)
{
    char *path = firn_path_join(m->directory, "config.json");
    firn_status status = path != NULL ? firn_weights_open(&m->weights, m->directory, err)
                                      : firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a path");
    if (status == FIRN_OK)
        status = firn_config_load(&m->config, &m->arch, path, err);
    free(path);
    return status;
}

firn_status firn_model_open(struct firn_model *m, const char *directory, struct firn_error *err)
{
    memset(m, 0, sizeof *m);
    char *file = NULL;
    firn_status status = firn_gguf_locate(directory, &file, err);
    m->directory = firn_strdup(directory);
    if (status == FIRN_OK && m->directory == NULL)
        status = firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a path");
    if (status == FIRN_OK && !firn_path_is_dir(directory) && file != NULL) { /* what lies beside the file */
        char *slash = strrchr(m->directory, '/');
        strcpy(slash != NULL ? slash : m->directory, slash == NULL ? "." : slash == m->directory ? "/" : "");
    }
    if (status == FIRN_OK)
        status = file != NULL ? open_gguf(m, file, err) : open_directory(m, err);
    if (status == FIRN_OK && m->arch->ties != NULL)
        m->config.tie_embeddings = m->arch->ties(m);
    free(file);
    if (status)
        firn_model_close(m);
    return status;
}

void firn_model_close(struct firn_model *m)
{
    firn_weights_close(&m->weights);
    firn_config_free(&m->config, m->arch);
    json_decref(m->gguf_config);
    free(m->directory);
    memset(m, 0, sizeof *m);
}

int64_t firn_model_limit(const struct firn_model *m)
{
    return firn_rope_limit(&m->config.rope, m->config.max_positions) - m->config.first_position;
}

static firn_status check(const struct firn_model *m, const struct firn_build_params *p, struct firn_error *err)
{
    if (m->arch->head[p->task] == NULL) {
        struct firn_str can = { 0 };
        for (int t = 0; t < FIRN_TASK_COUNT; t++)
            if (m->arch->head[t] != NULL)
                firn_str_addf(&can, "%s%s", can.size > 0 ? ", " : "one of ", firn_task_words[t]);
        const firn_status status = firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = m->directory,
                                             .key = FIRN_STR("task (of a %s model)", m->arch->name),
                                             .expected = can.data, .got = firn_task_words[p->task]);
        firn_str_free(&can);
        return status;
    }
    if (p->packed > 0 && (p->task != FIRN_TASK_CAUSAL_LM || p->cache_length > 0 || p->picked_logits || p->fills_blind))
        return firn_fail(err, FIRN_ERR_USAGE, .key = "packed", .expected = "training or evaluation of causal_lm",
                         .got = "another graph");
    const bool classifies = p->task == FIRN_TASK_SEQ_CLS || p->task == FIRN_TASK_TOKEN_CLS;
    if (classifies && (p->n_labels < 1 || p->n_labels > 1 << 24))
        return firn_fail(err, FIRN_ERR_USAGE, .key = "labels", .expected = "at least one",
                         .got = FIRN_STR("%lld", (long long) p->n_labels));
    const int64_t n_new = p->task == FIRN_TASK_SEQ2SEQ_LM ? p->target : p->length;
    if (p->continues && n_new != 1)
        return firn_fail(err, FIRN_ERR_USAGE, .key = "length", .expected = "one token a row behind a cache",
                         .got = FIRN_STR("%lld", (long long) n_new));
    const int64_t limit = firn_model_limit(m);
    if (p->length < 1 || p->length > limit)
        return firn_fail(err, FIRN_ERR_SHAPE, .file = m->directory, .key = "max_position_embeddings",
                         .expected = FIRN_STR("1 to %lld tokens", (long long) limit),
                         .got = FIRN_STR("%lld", (long long) p->length));
    if ((p->task == FIRN_TASK_SEQ2SEQ_LM) != (p->target > 0) || p->target > limit)
        return firn_fail(err, FIRN_ERR_SHAPE, .file = m->directory, .key = "target tokens",
                         .expected = p->task == FIRN_TASK_SEQ2SEQ_LM ? "at least one" : "none but for seq2seq_lm",
                         .got = FIRN_STR("%lld", (long long) p->target));
    return FIRN_OK;
}

int64_t firn_text_limit(const struct firn_model *m, const struct firn_adapter *a)
{
    return firn_model_limit(m) - a->n_virtual - a->n_prefix;
}

/* The context holds the text and what a method puts in front of it. */
static firn_status check_front(const struct firn_build *b, struct firn_error *err)
{
    const struct firn_model *m = b->model;
    const int64_t limit = firn_rope_limit(&m->config.rope, m->config.max_positions) - m->config.first_position;
    const int64_t front = b->n_virtual + b->n_prefix;
    if (b->p->length + front <= limit)
        return FIRN_OK;
    return firn_fail(err, FIRN_ERR_SHAPE, .file = m->directory, .key = "max_position_embeddings",
                     .expected = FIRN_STR("at most %lld tokens", (long long) limit),
                     .got = FIRN_STR("%lld virtual ones and %lld of text (num_virtual_tokens, max_length)",
                                     (long long) front, (long long) b->p->length));
}

firn_status firn_model_build(struct firn_build *b, struct firn_graph *g, struct firn_model *m,
                             struct firn_adapter *adapter, const struct firn_build_params *p,
                             struct firn_error *err)
{
    const firn_status status = check(m, p, err);
    if (status)
        return status;
    *b = (struct firn_build){ .g = g, .model = m, .adapter = adapter, .p = p, .layer = -1 };
    const struct firn_method *method = firn_hooks(b);
    if (p->packed > 0 && method != NULL && (method->kv != NULL || method->input != NULL))
        return firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = adapter->file, .key = "data.packing",
                         .expected = "a method that puts nothing in front of each example", .got = method->name);
    b->n_prefix = firn_hooks(b) != NULL ? adapter->n_prefix : 0; /* positions are asked for before keys are */
    const firn_val x = m->arch->body(b);
    const struct firn_head head = m->arch->head[p->task](b, x);
    firn_build_outputs(b, &head);
    free(b->slots);
    b->slots = NULL;
    const firn_status fits = check_front(b, err);
    return fits ? fits : firn_graph_check(g, err);
}

/* No target module matched: says which there are. */
static firn_status check_matches(const struct firn_model *m, const struct firn_adapter *a, struct firn_error *err)
{
    const firn_status status = a->method != NULL && a->method->check != NULL
                                   ? a->method->check(a->settings, a->file, err)
                                   : FIRN_OK;
    if (status || a->method == NULL || a->method->targets == NULL || a->n_matched > 0)
        return status;
    char *wanted = a->wanted != NULL ? json_dumps(a->wanted, JSON_ENCODE_ANY) : NULL;
    const firn_status failed =
        firn_fail(err, FIRN_ERR_USAGE, .file = a->file, .key = FIRN_STR("%starget_modules", a->section),
                  .what = FIRN_STR("match no module of the model %s", m->directory),
                  .expected = FIRN_STR("some of %s", a->words.data != NULL ? a->words.data : "none"),
                  .got = wanted != NULL ? wanted : FIRN_STR("the defaults of %s", a->method->name));
    free(wanted);
    return failed;
}

firn_status firn_model_collect(struct firn_model *m, struct firn_adapter *adapter,
                               const struct firn_build_params *p, struct firn_counts *counts,
                               struct firn_error *err)
{
    struct firn_build_params small = *p;
    struct firn_graph *g = firn_graph_create();
    struct firn_build b = { 0 };
    small.batch = small.length = 1;
    small.packed = 0;
    small.target = p->task == FIRN_TASK_SEQ2SEQ_LM;
    small.has_loss = false;
    if (g == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a graph");
    adapter->n_matched = 0;
    firn_status status = firn_model_build(&b, g, m, adapter, &small, err);
    if (status == FIRN_OK)
        status = check_matches(m, adapter, err);
    if (status == FIRN_OK && adapter->method != NULL && adapter->method->check_params != NULL)
        status = adapter->method->check_params(adapter->settings, m, &adapter->params, adapter->file, err);
    if (status == FIRN_OK && m->quantised != FIRN_NONE && b.counts.quantised == 0)
        status = firn_fail(err, FIRN_ERR_USAGE, .file = m->directory, .key = "quantization",
                           .expected = "frozen linear layers; train with an adapter, or leave quantization out",
                           .got = "none: all of them train");
    if (status == FIRN_OK && counts != NULL)
        *counts = b.counts;
    adapter->n_virtual = b.n_virtual;
    adapter->n_prefix = b.n_prefix;
    for (size_t i = 0; i < adapter->params.count && adapter->method != NULL && adapter->method->rate != NULL; i++) {
        struct firn_param *q = &adapter->params.list[i];
        q->rate = adapter->method->rate(adapter->settings, q, &q->is_peak);
    }
    if (status == FIRN_OK)
        firn_params_finish(&adapter->params);
    for (int i = 0; status == FIRN_OK && adapter->method != NULL && i < adapter->method->n_state; i++) {
        if (adapter->state[i] == NULL)
            adapter->state[i] = calloc((size_t) adapter->params.flat + 1, sizeof(float));
        if (adapter->state[i] == NULL)
            status = firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a method's statistics");
    }
    firn_graph_destroy(&g);
    return status;
}

int64_t firn_model_total(const struct firn_counts *counts, const struct firn_param_set *params)
{
    int64_t added = 0;
    for (size_t i = 0; i < params->count; i++)
        if (params->list[i].base == NULL)
            added += firn_shape_count(&params->list[i].shape);
    return counts->base + added + counts->head_copies;
}

/* "buckets.causal.5.9": for 5 queries and 9 keys. */
static void fill_buckets(const struct firn_model *m, const struct firn_value *leaf, int32_t *ids)
{
    const struct firn_buckets b = { strstr(leaf->name, ".causal.") != NULL, m->config.n_buckets,
                                    m->config.max_distance };
    const int64_t n_keys = strtoll(strrchr(leaf->name, '.') + 1, NULL, 10);
    firn_buckets_fill(&b, leaf->shape.dim[0] + 1 - n_keys, n_keys, ids);
}

/* "rope.64", "rope.local.64", "rope.grows.64" */
static void fill_rope(const struct firn_model *m, const struct firn_value *leaf, float *values)
{
    const bool is_local = strncmp(leaf->name, "rope.local.", 11) == 0;
    const struct firn_rope *rope = is_local ? &m->config.local_rope : &m->config.rope;
    (strstr(leaf->name, ".grows.") != NULL ? firn_rope_fill_growing : firn_rope_fill)(values, leaf->shape.dim[0],
                                                                                     leaf->shape.dim[1], rope);
}

/* Elements of a tensor in another float type. */
static void convert(const struct firn_tensor *t, int64_t start, int64_t n, enum firn_dtype dtype, void *out)
{
    enum { PIECE = 1024 };
    float values[PIECE];
    const struct firn_tensor to = { .dtype = dtype, .shape = firn_dims(n), .data = out };
    const struct firn_packed *packed = t->data == NULL ? firn_weights_packed(t) : NULL;
    for (int64_t at = 0; at < n; at += PIECE) {
        const int64_t count = n - at < PIECE ? n - at : PIECE;
        if (packed != NULL)
            firn_packed_read(packed, start + at, count, values);
        else
            firn_tensor_read_f32(t, start + at, count, values);
        firn_tensor_write_f32(&to, at, count, values);
    }
}

/* A matrix whose type changes goes to the device in pieces; the host keeps no copy. */
static firn_status stream(struct firn_store *store, const struct firn_value *leaf, const struct firn_tensor *t,
                          struct firn_error *err)
{
    enum { PIECE = 1 << 18 };
    const int64_t n = firn_shape_count(&leaf->shape);
    const size_t size = firn_dtype_size(leaf->dtype);
    void *piece = malloc(size * (n < PIECE ? (size_t) n + 1 : PIECE));
    firn_status status = piece != NULL ? firn_store_add(store, FIRN_LEAF_WEIGHT, leaf->name, (size_t) n * size, NULL, err)
                                       : firn_fail(err, FIRN_ERR_MEMORY, .key = leaf->name, .what = "out of memory for it");
    for (int64_t at = 0; at < n && status == FIRN_OK; at += PIECE) {
        const int64_t count = n - at < PIECE ? n - at : PIECE;
        convert(t, at, count, leaf->dtype, piece);
        status = firn_store_write(store, leaf->name, (size_t) at * size, piece, (size_t) count * size, err);
    }
    free(piece);
    return status;
}

/* Host bytes that are made once and kept with the weights: 16-bit vectors as f32, rotary tables, buckets. */
static firn_status make_copy(struct firn_model *m, const struct firn_value *leaf, const struct firn_tensor *t,
                             const void **data, struct firn_error *err)
{
    *data = firn_weights_copy(&m->weights, leaf->name);
    if (*data != NULL)
        return FIRN_OK;
    const int64_t n = firn_shape_count(&leaf->shape);
    float *values = malloc(sizeof *values * (size_t) (n + 1));
    if (values == NULL || firn_weights_keep(&m->weights, leaf->name, values) != FIRN_OK) {
        free(values);
        return firn_fail(err, FIRN_ERR_MEMORY, .key = leaf->name, .what = "out of memory for it");
    }
    *data = values;
    if (t != NULL)
        convert(t, 0, n, leaf->dtype, values);
    else if (firn_is_squares(leaf->name))
        return firn_squares_fill(m, leaf, values, err);
    else if (leaf->dtype == FIRN_I32)
        fill_buckets(m, leaf, (int32_t *) values); /* as large as floats */
    else
        fill_rope(m, leaf, values);
    return FIRN_OK;
}

/* Codes that stay as long as the model. */
static firn_status make_codes(struct firn_model *m, const struct firn_value *leaf, const struct firn_tensor *t,
                              const void **data, struct firn_error *err)
{
    void *codes = NULL;
    *data = firn_weights_copy(&m->weights, leaf->name);
    if (*data != NULL)
        return FIRN_OK;
    firn_status status = firn_quantise_leaf(m, leaf, t, &codes, err);
    if (status == FIRN_OK && firn_weights_keep(&m->weights, leaf->name, codes) != FIRN_OK)
        status = firn_fail(err, FIRN_ERR_MEMORY, .key = leaf->name, .what = "out of memory for it");
    if (status)
        free(codes);
    else
        *data = codes;
    return status;
}

/* Codes for the device: made, written, freed, one matrix at a time. */
static firn_status stream_codes(const struct firn_model *m, struct firn_store *store, const struct firn_value *leaf, const struct firn_tensor *t,
                                struct firn_error *err)
{
    const size_t size = firn_tensor_bytes(leaf->dtype, &leaf->shape);
    void *codes = NULL;
    firn_status status = firn_quantise_leaf(m, leaf, t, &codes, err);
    if (status == FIRN_OK)
        status = firn_store_add(store, FIRN_LEAF_WEIGHT, leaf->name, size, NULL, err);
    if (status == FIRN_OK)
        status = firn_store_write(store, leaf->name, 0, codes, size, err);
    free(codes);
    return status;
}

/* Tables that no file holds. */
static bool is_made_leaf(const struct firn_value *leaf)
{
    return strncmp(leaf->name, "rope.", 5) == 0 || strncmp(leaf->name, "buckets.", 8) == 0 ||
           firn_is_squares(leaf->name);
}

firn_status firn_model_leaf(struct firn_model *m, const struct firn_value *leaf, const void **data,
                            struct firn_error *err)
{
    const bool is_made = is_made_leaf(leaf);
    *data = firn_weights_copy(&m->weights, leaf->name);
    if (*data != NULL)
        return FIRN_OK;
    const struct firn_tensor *t =
        is_made ? NULL : firn_weights_find(&m->weights, m->arch->prefix, leaf->name, NULL);
    if (!is_made && t == NULL)
        return firn_fail(err, FIRN_ERR_FORMAT, .file = m->directory, .key = leaf->name, .what = "no such tensor");
    const firn_status status = t != NULL ? firn_weights_fill(&m->weights, t, err) : FIRN_OK;
    if (status)
        return status;
    if (firn_dtype_is_quantised(leaf->dtype))
        return make_codes(m, leaf, t, data, err);
    if (t == NULL || t->dtype != leaf->dtype)
        return make_copy(m, leaf, t, data, err);
    *data = t->data;
    return FIRN_OK;
}

/* Puts one frozen leaf into the store: where the file is mapped, copied to the device, or converted on the way. */
static firn_status load_leaf(struct firn_model *m, const struct firn_value *v, struct firn_store *store,
                             struct firn_error *err)
{
    const size_t size = firn_tensor_bytes(v->dtype, &v->shape);
    const struct firn_tensor *t =
        is_made_leaf(v) ? NULL : firn_weights_find(&m->weights, m->arch->prefix, v->name, NULL);
    const bool is_host = firn_store_device(store)->is_host;
    const bool is_packed = t != NULL && firn_weights_packed(t) != NULL;
    const bool encodes = firn_dtype_is_quantised(v->dtype);
    const void *data = firn_weights_copy(&m->weights, v->name); /* a method's own base goes before the file's */
    const bool converts = data == NULL && t != NULL && (is_packed || t->dtype != v->dtype) && v->shape.rank > 1;
    const bool decodes = is_packed && converts && t->data == NULL;
    firn_status status = decodes && !encodes ? FIRN_OK /* on the way */
                         : converts          ? firn_weights_fill(&m->weights, t, err)
                                             : firn_model_leaf(m, v, &data, err);
    if (status == FIRN_OK)
        status = converts && encodes ? stream_codes(m, store, v, t, err)
                 : converts          ? stream(store, v, t, err)
                                     : firn_store_add(store, FIRN_LEAF_WEIGHT, v->name, size, data, err);
    if (decodes && encodes)
        firn_weights_forget(t);
    if (status == FIRN_OK && t != NULL && (converts || !is_host))
        firn_weights_drop(&m->weights, t);
    return status;
}

firn_status firn_model_load(struct firn_model *m, const struct firn_graph *g, struct firn_store *store,
                            struct firn_error *err)
{
    for (uint32_t id = 1; id < firn_graph_n_values(g); id++) {
        const struct firn_value *v = firn_graph_value(g, (firn_val){ id });
        if (v->node != FIRN_NO_NODE || v->leaf != FIRN_LEAF_WEIGHT || firn_store_has(store, v->name))
            continue;
        const firn_status status = load_leaf(m, v, store, err);
        if (status)
            return status;
    }
    return FIRN_OK;
}

firn_status firn_model_fill(const struct firn_model *m, const struct firn_param_set *params, float *flat,
                            struct firn_error *err)
{
    for (size_t i = 0; i < params->count; i++) {
        const struct firn_param *p = &params->list[i];
        const char *file = NULL;
        if (p->init != FIRN_INIT_BASE)
            continue;
        const struct firn_tensor *t = firn_weights_find(&m->weights, m->arch->prefix, p->base, &file);
        if (t == NULL)
            return firn_fail(err, FIRN_ERR_FORMAT, .file = m->directory, .key = p->base, .what = "no such tensor");
        firn_status status = firn_weights_fill(&m->weights, t, err);
        if (status == FIRN_OK)
            status = firn_param_read(p, t, file, p->base, flat, err);
        if (status)
            return status;
    }
    return FIRN_OK;
}

void firn_sentence_vectors(const float *hidden, const int32_t *mask, int64_t batch, int64_t length, int64_t width,
                           float *out)
{
    for (int64_t r = 0; r < batch; r++) {
        double norm = 0, count = 0;
        for (int64_t t = 0; t < length; t++)
            count += mask[r * length + t] != 0;
        for (int64_t c = 0; c < width; c++) {
            double sum = 0;
            for (int64_t t = 0; t < length; t++)
                if (mask[r * length + t] != 0)
                    sum += (double) hidden[(r * length + t) * width + c];
            sum = count > 0 ? sum / count : 0;
            norm += sum * sum;
            out[r * width + c] = (float) sum;
        }
        norm = sqrt(norm);
        for (int64_t c = 0; c < width && norm > 0; c++)
            out[r * width + c] = (float) ((double) out[r * width + c] / norm);
    }
}
