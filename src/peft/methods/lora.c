/* SPDX-License-Identifier: Apache-2.0 */
/* LoRA: y + s B A x of frozen layers, s = alpha / r (Hu et al. 2021, sec. 4.1) or alpha / sqrt(r) (rsLoRA, Kalajdzievski
 * 2023). Names, defaults and selection of modules are PEFT's. */
#include "peft/dora.h"
#include "peft/files.h"
#include "peft/keys.h"
#include "peft/lora_start.h"
#include "peft/tokens.h"
#include "peft/wrap.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct lora {
    int64_t r;
    double alpha, dropout, ratio, embedding_rate;
    bool use_rslora, use_dora, lora_bias;
    json_t *init_lora_weights, *rank_pattern, *alpha_pattern, *token_indices, *loftq_config;
    struct firn_wrap wrap;
    /* made by open */
    enum firn_lora_start start;
    int n_iter;
    int64_t loftq_bits, loftq_iter;
    struct firn_numbers ranks, alphas;
    struct firn_tokens tokens;
};

#define MAGNITUDE "lora_magnitude_vector"
#define AT(field) offsetof(struct lora, field)
static const char *const bias_words[] = { "none", "all", "lora_only", NULL };
// clang-format off
static const struct firn_option keys[] = {
    { "r",            .type = FIRN_OPTION_INT,  .offset = AT(r), .fallback = "8", .min = 1, .max = 65536,
      .help = "rank of the update" },
    { "lora_alpha",   .also = { "alpha" }, .type = FIRN_OPTION_REAL, .offset = AT(alpha), .fallback = "8",
      .help = "the update is scaled by lora_alpha / r" },
    { "lora_dropout", .also = { "dropout" }, .type = FIRN_OPTION_REAL, .offset = AT(dropout), .fallback = "0", .max = 0.99,
      .help = "dropout of the update's input" },
    FIRN_WRAP_BIAS_KEY(struct lora, bias_words),
    { "use_rslora",   .type = FIRN_OPTION_BOOL, .offset = AT(use_rslora), .fallback = "false",
      .help = "scale by lora_alpha / sqrt(r)" },
    { "use_dora",     .type = FIRN_OPTION_BOOL, .offset = AT(use_dora), .fallback = "false",
      .help = "train the magnitudes of the weights' rows too" },
    { "lora_bias",    .type = FIRN_OPTION_BOOL, .offset = AT(lora_bias), .fallback = "false",
      .help = "the second factor has a bias" },
    { "init_lora_weights",   .type = FIRN_OPTION_TREE, .offset = AT(init_lora_weights),
      .help = "true, false, gaussian, orthogonal, olora, pissa, pissa_niter_K, or loftq over a quantised base" },
    { "loftq_config",        .type = FIRN_OPTION_TREE, .offset = AT(loftq_config),
      .help = "loftq: loftq_bits (4 or 8) and loftq_iter, the turns of quantising and decomposing" },
    FIRN_WRAP_KEYS(struct lora),
    FIRN_WRAP_LAYER_KEYS(struct lora),
    { "rank_pattern",        .type = FIRN_OPTION_TREE, .offset = AT(rank_pattern),
      .help = "other ranks, by end of path or expression" },
    { "alpha_pattern",       .type = FIRN_OPTION_TREE, .offset = AT(alpha_pattern),
      .help = "other alphas, by end of path or expression" },
    { "trainable_token_indices", .type = FIRN_OPTION_TREE, .offset = AT(token_indices),
      .help = "ids of tokens whose embeddings train, as a list or by module" },
    { "loraplus_lr_ratio",   .type = FIRN_OPTION_REAL, .offset = AT(ratio), .fallback = "0", .max = 1e6,
      .help = "LoRA+: the second factor and vectors learn so many times faster; 0: not" },
    { "loraplus_lr_embedding", .type = FIRN_OPTION_REAL, .offset = AT(embedding_rate), .fallback = "1e-6", .max = 1e6,
      .help = "LoRA+: learning rate of embeddings' factors" },
    { NULL }
};
// clang-format on
static const char *const refuses[] = { "layer_replication", "target_parameters",
                                       "ensure_weight_tying", "alora_invocation_tokens",
                                       "use_qalora", "use_bdlora", "megatron_config", "arrow_config", "kasa_config",
                                       "monteclora_config", "velora_config", "eva_config", "corda_config",
                                       "lora_ga_config", NULL };
/* fan_in_fan_out follows from the layer, as in PEFT; the others say nothing without a key that is refused. */
static const char *const ignores[] = { "fan_in_fan_out", "megatron_core", "qalora_group_size", "runtime_config", NULL };

static bool anchors(const void *settings)
{
    const struct lora *l = settings;
    return l->start == FIRN_START_PISSA || l->start == FIRN_START_OLORA;
}

/* LoftQ starts from what quantising loses: the base must be quantised as it says. */
static firn_status check_loftq(struct lora *l, const struct firn_model *m, const char *file, struct firn_error *err)
{
    if (l->start != FIRN_START_LOFTQ)
        return firn_is_unset(l->loftq_config) ? FIRN_OK
                                              : firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = "loftq_config",
                                                          .expected = "init_lora_weights: loftq", .got = "another start");
    const firn_status status = firn_loftq_config_read(l->loftq_config, &l->loftq_bits, &l->loftq_iter, file, err);
    const bool is_4 = m->quantised == FIRN_NF4 || m->quantised == FIRN_NF4_DOUBLE;
    if (status == FIRN_OK && l->use_dora)
        return firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = file, .key = "use_dora", .expected = "false with loftq", .got = "true");
    if (status == FIRN_OK && (l->loftq_bits == 4 ? !is_4 : m->quantised != FIRN_INT8_ROWS))
        return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = "init_lora_weights: loftq",
                         .expected = l->loftq_bits == 4 ? "quantization: nf4 or nf4_double (loftq_bits 4)" : "quantization: int8 (loftq_bits 8)",
                         .got = firn_quantisation_word(m->quantised));
    return status;
}

/* PEFT's own limits. */
static firn_status check_settings(const struct lora *l, const char *file, struct firn_error *err)
{
    if (l->use_dora && l->lora_bias)
        return firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = file, .key = "lora_bias", .expected = "false with use_dora",
                         .got = "true");
    const bool is_plain = l->start == FIRN_START_TRUE || l->start == FIRN_START_FALSE;
    if (l->lora_bias && !is_plain)
        return firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = file, .key = "init_lora_weights",
                         .expected = "true or false with lora_bias", .got = json_string_value(l->init_lora_weights));
    return FIRN_OK;
}

static firn_status open_lora(void *settings, const struct firn_model *m, enum firn_task task, const char *file,
                             struct firn_error *err)
{
    struct lora *l = settings;
    firn_status status = firn_lora_start_read(l->init_lora_weights, &l->start, &l->n_iter, file, err);
    if (status == FIRN_OK)
        status = check_settings(l, file, err);
    if (status == FIRN_OK)
        status = check_loftq(l, m, file, err);
    if (status == FIRN_OK)
        status = firn_wrap_targets_of(&l->wrap, m, err);
    if (status == FIRN_OK)
        status = firn_wrap_open(&l->wrap, task, file, err);
    if (status == FIRN_OK)
        status = firn_numbers_open(&l->ranks, l->rank_pattern, true, file, "rank_pattern", err);
    if (status == FIRN_OK)
        status = firn_numbers_open(&l->alphas, l->alpha_pattern, false, file, "alpha_pattern", err);
    if (status == FIRN_OK)
        status = firn_tokens_open(&l->tokens, l->token_indices, m, file, err);
    return status;
}

static void close_lora(void *settings)
{
    struct lora *l = settings;
    firn_wrap_close(&l->wrap);
    firn_numbers_close(&l->ranks);
    firn_numbers_close(&l->alphas);
    firn_tokens_close(&l->tokens);
}

static bool copies(const void *settings, const struct firn_site *s)
{
    return firn_wrap_copies(&((const struct lora *) settings)->wrap, s);
}

static bool targets(const void *settings, const struct firn_site *s)
{
    return firn_wrap_targets(&((const struct lora *) settings)->wrap, s);
}

static const char *trains(const void *settings, const struct firn_site *s, const char *part, char *text, size_t size)
{
    return firn_wrap_trains(&((const struct lora *) settings)->wrap, s, part, text, size);
}

static int64_t rank_of(const struct lora *l, const char *path)
{
    return (int64_t) firn_numbers_find(&l->ranks, path, (double) l->r);
}

static double scale_of(const struct lora *l, const char *path)
{
    const double r = (double) rank_of(l, path), alpha = firn_numbers_find(&l->alphas, path, l->alpha);
    return alpha / (l->use_rslora ? sqrt(r) : r);
}

/* Frozen first values of a factor. */
static firn_val initial(struct firn_build *b, const char *path, const char *param, struct firn_shape shape)
{
    char name[600];
    return firn_graph_leaf(b->g, FIRN_LEAF_WEIGHT, FIRN_STR("%s.initial", firn_wrap_name(path, param, name, sizeof name)),
                           FIRN_F32, shape);
}

/* y + s (dropout(x) At) Bt (+ s bias) */
static firn_val linear(const void *settings, struct firn_build *b, const struct firn_site *s, firn_val x, firn_val y)
{
    const struct lora *l = settings;
    const int64_t r = rank_of(l, s->path);
    const double scale = scale_of(l, s->path), in = 1 / sqrt((double) s->n_in);
    char name[600];
    const firn_val A = firn_trained(b, firn_wrap_name(s->path, "lora_A.weight", name, sizeof name), firn_dims(r, s->n_in),
                                    l->start == FIRN_START_GAUSSIAN ? FIRN_INIT_NORMAL : FIRN_INIT_UNIFORM,
                                    l->start == FIRN_START_GAUSSIAN ? 1 / (double) r : in);
    const firn_val B = firn_trained(b, firn_wrap_name(s->path, "lora_B.weight", name, sizeof name), firn_dims(s->n_out, r),
                                    l->start == FIRN_START_FALSE ? FIRN_INIT_UNIFORM : FIRN_INIT_ZERO,
                                    1 / sqrt((double) r));
    struct firn_dora parts = { .A = A, .B = B, .scale = scale, .dropout = l->dropout };
    if (anchors(l)) { /* W itself stays, for other adapters too */
        parts.A0 = initial(b, s->path, "lora_A.weight", firn_dims(r, s->n_in));
        parts.B0 = initial(b, s->path, "lora_B.weight", firn_dims(s->n_out, r));
        y = firn_without_first(b, parts.A0, parts.B0, scale, x, y);
    }
    if (l->use_dora)
        return firn_dora_linear(b, s, &parts, x, y);
    const firn_val u = firn_matmul(b->g, firn_drop(b, x, l->dropout), A,
                                   firn_matmul_params(.trans_b = true, .alpha = (float) scale));
    y = firn_add(b->g, y, firn_matmul(b->g, u, B, firn_matmul_params(.trans_b = true)));
    if (!l->lora_bias)
        return y;
    const firn_val bias = firn_trained(b, firn_wrap_name(s->path, "lora_B.bias", name, sizeof name), firn_dims(s->n_out),
                                       FIRN_INIT_ZERO, 0);
    return firn_add_row(b->g, y, firn_scale(b->g, bias, (float) scale));
}

/* E[id] + s A[:, id]t Bt; A is kept as [V, r], so that a lookup reads rows. */
static firn_val embed(const void *settings, struct firn_build *b, const struct firn_site *s, firn_val ids, firn_val y)
{
    const struct lora *l = settings;
    const int64_t r = rank_of(l, s->path);
    char name[600];
    const firn_val A = firn_trained_transposed(b, firn_wrap_name(s->path, "lora_embedding_A", name, sizeof name),
                                               firn_dims(s->n_in, r),
                                               l->start == FIRN_START_FALSE ? FIRN_INIT_NORMAL : FIRN_INIT_ZERO, 1);
    const firn_val B = firn_trained(b, firn_wrap_name(s->path, "lora_embedding_B", name, sizeof name),
                                    firn_dims(s->n_out, r), FIRN_INIT_NORMAL, 1);
    const double scale = scale_of(l, s->path);
    const firn_val update = firn_matmul(b->g, firn_embed_padded(b->g, A, ids, s->padding), B,
                                        firn_matmul_params(.trans_b = true, .alpha = (float) scale));
    return l->use_dora ? firn_dora_embed(b, s, &(struct firn_dora){ .A = A, .B = B, .scale = scale }, y, update)
                       : firn_add(b->g, y, update);
}

static firn_val lookup(const void *settings, struct firn_build *b, const struct firn_site *s, firn_val ids)
{
    return firn_tokens_lookup(&((const struct lora *) settings)->tokens, b, s, ids);
}

static firn_val logits(const void *settings, struct firn_build *b, const struct firn_site *s, const char *tied, firn_val x)
{
    return firn_tokens_logits(&((const struct lora *) settings)->tokens, b, s, tied, x);
}

/* w[i, j] += sum over k of left[i, k] right[k, j], where right is read with the strides (of_k, of_j). */
static void add_product(float *w, int64_t rows, int64_t cols, int64_t r, float scale, const float *left,
                        const float *right, int64_t of_k, int64_t of_j)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t k = 0; k < r; k++)
            for (int64_t j = 0; j < cols; j++)
                w[i * cols + j] += scale * left[i * r + k] * right[k * of_k + j * of_j];
}

/* w [out, in] += s B A; of a table [V, d]: w += s (B A)t; of a bias: w += s b; DoRA's norm aside. */
static bool add_update(const void *settings, const struct firn_param_set *params, const float *flat, const char *path,
                  const char *part, const struct firn_shape *shape, float *w)
{
    const struct lora *l = settings;
    const bool is_weight = strcmp(part, "weight") == 0;
    const struct firn_param *A = firn_wrap_find(params, path, "lora_A.weight");
    const struct firn_param *B = firn_wrap_find(params, path, "lora_B.weight");
    const struct firn_param *table = firn_wrap_find(params, path, "lora_embedding_A");
    const struct firn_param *bias = firn_wrap_find(params, path, "lora_B.bias");
    const float scale = (float) scale_of(l, path);
    const int64_t r = rank_of(l, path), rows = shape->dim[0], cols = shape->rank > 1 ? shape->dim[1] : 1;
    if (table != NULL)
        B = firn_wrap_find(params, path, "lora_embedding_B");
    if (is_weight ? B == NULL : bias == NULL)
        return false;
    if (w == NULL)
        return true;
    if (!is_weight)
        for (int64_t i = 0; i < rows; i++)
            w[i] += scale * flat[bias->offset + i];
    else if (table != NULL)
        add_product(w, rows, cols, r, scale, flat + table->offset, flat + B->offset, 1, r);
    else
        add_product(w, rows, cols, r, scale, flat + B->offset, flat + A->offset, cols, 1);
    return true;
}

static bool merge(const void *settings, const struct firn_param_set *params, const float *flat, const char *path,
                  const char *part, const struct firn_shape *shape, float *w)
{
    const struct firn_param *m = firn_wrap_find(params, path, MAGNITUDE);
    const bool is_table = firn_wrap_find(params, path, "lora_embedding_A") != NULL;
    if (firn_tokens_merge(&((const struct lora *) settings)->tokens, params, flat, path, part, shape, w))
        return true;
    if (!add_update(settings, params, flat, path, part, shape, w))
        return false;
    if (w != NULL && m != NULL && strcmp(part, "weight") == 0)
        firn_dora_merge(flat + m->offset, shape->dim[0], shape->dim[1], is_table, w);
    return true;
}

/* m = ||W + s B A||: at the start nothing is scaled. */
static firn_status init_magnitude(const struct lora *l, const struct firn_model *m, const struct firn_param_set *params,
                                  const struct firn_param *p, const char *path, float *flat, struct firn_error *err)
{
    const struct firn_tensor *t;
    const firn_status status = firn_model_matrix(m, FIRN_STR("%s.weight", path), &t, err);
    float *w = status == FIRN_OK ? firn_wrap_matrix(m, path, t) : NULL;
    if (status)
        return status;
    if (w == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .key = path, .what = "out of memory for it");
    const bool is_table = firn_wrap_find(params, path, "lora_embedding_A") != NULL;
    const struct firn_shape shape = firn_wrap_matrix_shape(m, path, t);
    /* of what the graph computes with */
    const firn_status quantised =
        !is_table && firn_model_quantises(m, path) ? firn_quantise_values(m->quantised, &shape, w, err) : FIRN_OK;
    if (!anchors(l)) /* else the factors are a part of W already */
        add_update(l, params, flat, path, "weight", &shape, w);
    firn_dora_norms(w, shape.dim[0], shape.dim[1], is_table, flat + p->offset);
    free(w);
    return quantised;
}

static firn_status init_factors(const struct lora *l, const struct firn_model *m, const struct firn_param_set *params,
                                const struct firn_param *A, const char *path, uint64_t seed, float *flat,
                                struct firn_error *err)
{
    const struct firn_tensor *t;
    const struct firn_param *B = firn_wrap_find(params, path, "lora_B.weight");
    const firn_status status = firn_model_matrix(m, FIRN_STR("%s.weight", path), &t, err);
    float *w = status == FIRN_OK ? firn_wrap_matrix(m, path, t) : NULL;
    if (status)
        return status;
    if (w == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .key = path, .what = "out of memory for it");
    const bool is_loftq = l->start == FIRN_START_LOFTQ;
    const firn_status started = is_loftq
        ? firn_lora_start_loftq(m->quantised, (int) l->loftq_iter, w, B->shape.dim[0], A->shape.dim[1], A->shape.dim[0], path,
                                flat + A->offset, flat + B->offset, NULL, err)
        : firn_lora_start(l->start, l->n_iter, w, B->shape.dim[0], A->shape.dim[1], A->shape.dim[0], scale_of(l, path),
                        seed, path, flat + A->offset, flat + B->offset, err);
    free(w);
    return started;
}

static firn_status init(const void *settings, const struct firn_model *m, const struct firn_param_set *params,
                        uint64_t seed, float *flat, struct firn_error *err)
{
    const struct lora *l = settings;
    const bool is_loftq = l->start == FIRN_START_LOFTQ;
    const bool decomposes = anchors(l) || l->start == FIRN_START_ORTHOGONAL || is_loftq;
    firn_status status = firn_tokens_init(&l->tokens, m, params, flat, err);
    char path[600];
    for (size_t i = 0; i < params->count && status == FIRN_OK && decomposes; i++)
        if (firn_wrap_path(&params->list[i], "lora_A.weight", path, sizeof path) && (!is_loftq || firn_model_quantises(m, path)))
            status = init_factors(l, m, params, &params->list[i], path, seed, flat, err);
    for (size_t i = 0; i < params->count && status == FIRN_OK; i++)
        if (firn_wrap_path(&params->list[i], MAGNITUDE, path, sizeof path))
            status = init_magnitude(l, m, params, &params->list[i], path, flat, err);
    return status;
}

/* The codes of one layer after the last of several turns. */
static firn_status freeze_one(const struct lora *l, struct firn_model *m, const struct firn_param *A, const char *path,
                              struct firn_error *err)
{
    const struct firn_tensor *t;
    const char *name = FIRN_STR("%s.weight", path);
    const firn_status found = firn_model_matrix(m, name, &t, err);
    if (found)
        return found;
    const struct firn_shape shape = firn_wrap_matrix_shape(m, path, t);
    const int64_t r = A->shape.dim[0], n = firn_shape_count(&shape);
    float *w = firn_wrap_matrix(m, path, t), *base = malloc(sizeof *base * (size_t) (n + 1));
    float *factors = malloc(sizeof *factors * (size_t) (r * (shape.dim[0] + shape.dim[1]) + 1));
    void *codes = NULL;
    firn_status status = w != NULL && base != NULL && factors != NULL
                             ? FIRN_OK
                             : firn_fail(err, FIRN_ERR_MEMORY, .key = path, .what = "out of memory for it");
    if (status == FIRN_OK)
        status = firn_lora_start_loftq(m->quantised, (int) l->loftq_iter, w, shape.dim[0], shape.dim[1], r, path, factors,
                                       factors + r * shape.dim[1], base, err);
    if (status == FIRN_OK)
        status = firn_quantise_codes(m->quantised, &shape, base, &codes, err);
    if (status == FIRN_OK && firn_weights_keep(&m->weights, name, codes) != FIRN_OK) {
        free(codes);
        status = firn_fail(err, FIRN_ERR_MEMORY, .key = path, .what = "out of memory for it");
    }
    free(w);
    free(base);
    free(factors);
    return status;
}

/* LoftQ in several turns quantises not W but W - B A of the turn before: a base of its own, which files of the adapter
 * stand for by their settings. */
static firn_status freeze(const struct firn_adapter *a, struct firn_model *m, const struct firn_safetensors *file,
                          struct firn_error *err)
{
    const struct lora *l = a->settings;
    char path[600];
    (void) file;
    firn_status status = FIRN_OK;
    for (size_t i = 0; i < a->params.count && status == FIRN_OK && l->start == FIRN_START_LOFTQ && l->loftq_iter > 1; i++) {
        if (!firn_wrap_path(&a->params.list[i], "lora_A.weight", path, sizeof path) || !firn_model_quantises(m, path))
            continue;
        if (a->leaf[0] != '\0')
            status = firn_fail(err, FIRN_ERR_UNSUPPORTED, .key = "loftq_config.loftq_iter",
                               .expected = "one adapter on this base, or adapters of one turn", .got = "a second one");
        else if (firn_weights_copy(&m->weights, FIRN_STR("%s.weight", path)) == NULL)
            status = freeze_one(l, m, &a->params.list[i], path, err);
    }
    return status;
}

/* An adapter that counts from its start as one of twice the rank that does not: A' = [A; A0], B' = [B, -B0]. */
static firn_status double_factors(const struct firn_adapter *a, const struct firn_model *m, const char *path,
                                  struct firn_tensors *tensors, struct firn_error *err)
{
    static const char *const params[] = { "lora_A.weight", "lora_B.weight" };
    for (int k = 0; k < 2; k++) {
        char name[600];
        firn_wrap_name(path, params[k], name, sizeof name);
        const struct firn_named_tensor *now = firn_tensors_find(tensors, name);
        const float *first = firn_weights_copy(&m->weights, FIRN_STR("%s.initial", name)), *values = now->tensor.data;
        const int64_t rows = now->tensor.shape.dim[0], cols = now->tensor.shape.dim[1];
        float *both = firn_tensors_put(tensors, name, k == 0 ? firn_dims(2 * rows, cols) : firn_dims(rows, 2 * cols));
        if (both == NULL || first == NULL)
            return firn_fail(err, FIRN_ERR_MEMORY, .key = a->method->name, .what = "out of memory for factors");
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < cols; j++) {
                both[k == 0 ? i * cols + j : i * 2 * cols + j] = values[i * cols + j];
                both[k == 0 ? (rows + i) * cols + j : i * 2 * cols + cols + j] =
                    (k == 0 ? 1.0f : -1.0f) * first[i * cols + j];
            }
    }
    return FIRN_OK;
}

static void multiply(json_t *map, double by, bool whole)
{
    const char *key;
    json_t *v;
    json_object_foreach (map, key, v) {
        const double x = json_number_value(v) * by;
        json_object_set_new(map, key, whole ? json_integer((json_int_t) x) : firn_number_tree(x));
    }
}

/* The scale alpha / r (or alpha / sqrt(r)) must stay what it was. */
static firn_status store(const struct firn_adapter *a, struct firn_model *m, struct firn_tensors *tensors, json_t *config,
                         struct firn_error *err)
{
    const struct lora *l = a->settings;
    const double by = l->use_rslora ? sqrt(2) : 2;
    firn_status status = FIRN_OK;
    char path[600];
    if (!anchors(l))
        return FIRN_OK;
    for (size_t i = 0; i < a->params.count && status == FIRN_OK; i++)
        if (firn_wrap_path(&a->params.list[i], "lora_A.weight", path, sizeof path))
            status = double_factors(a, m, path, tensors, err);
    json_object_set_new(config, "init_lora_weights", json_true());
    json_object_set_new(config, "r", json_integer(2 * l->r));
    json_object_set_new(config, "lora_alpha", firn_number_tree(l->alpha * by));
    multiply(json_object_get(config, "rank_pattern"), 2, true);
    multiply(json_object_get(config, "alpha_pattern"), by, false);
    return status;
}

/* The first half of a tensor that `store` doubled: rows of A, columns of B. */
static firn_status read_half(const struct firn_param *p, const struct firn_tensor *t, const char *file, float *flat,
                             struct firn_error *err)
{
    const int64_t rows = p->shape.dim[0], cols = p->shape.dim[1], n = 2 * rows * cols;
    const bool is_a = t->shape.dim[0] != rows;
    float *both = malloc(sizeof *both * (size_t) (n + 1));
    if (both == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .file = file, .key = p->name, .what = "out of memory for it");
    firn_tensor_read_f32(t, 0, n, both);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++)
            flat[p->offset + i * cols + j] = both[is_a ? i * cols + j : i * 2 * cols + j];
    free(both);
    return FIRN_OK;
}

/* Factors that count from their start are only known with it. A file of another program holds them as they are, and the
 * start is found as it was found there; one of this run holds the doubled ones. */
static firn_status read(const struct firn_adapter *a, struct firn_model *m, const struct firn_safetensors *file,
                        float *flat, struct firn_error *err)
{
    const struct lora *l = a->settings;
    firn_status status = FIRN_OK;
    if (anchors(l) && a->is_loaded && l->n_iter >= 0)
        return firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = file->path, .key = "init_lora_weights",
                         .expected = "an adapter that PEFT saved with path_initial_model_for_weight_conversion",
                         .got = "factors of a random decomposition, which nobody can repeat");
    if (anchors(l) && a->is_loaded)
        status = firn_adapter_init(a, m, 0, flat, err);
    for (size_t i = 0; i < a->params.count && status == FIRN_OK; i++) {
        const struct firn_param *p = &a->params.list[i];
        const struct firn_tensor *t = firn_safetensors_find(file, p->name);
        char path[600];
        const bool is_a = firn_wrap_path(p, "lora_A.weight", path, sizeof path);
        const bool is_factor = anchors(l) && (is_a || firn_wrap_path(p, "lora_B.weight", path, sizeof path));
        const bool is_doubled = is_factor && t != NULL && t->shape.rank == 2 && firn_dtype_is_float(t->dtype) &&
                                t->shape.dim[is_a ? 0 : 1] == 2 * p->shape.dim[is_a ? 0 : 1] &&
                                t->shape.dim[is_a ? 1 : 0] == p->shape.dim[is_a ? 1 : 0];
        status = is_doubled ? read_half(p, t, file->path, flat, err) : firn_params_read_one(p, "", file, flat, err);
    }
    return status;
}

/* LoRA+ (Hayou et al. 2024) in PEFT's groups: factors of embeddings, second factors and vectors, and the rest. */
static double rate(const void *settings, const struct firn_param *p, bool *is_peak)
{
    const struct lora *l = settings;
    *is_peak = l->ratio > 0 && strstr(p->name, ".lora_embedding_") != NULL;
    const bool is_fast = strstr(p->name, "lora_B") != NULL || p->shape.rank == 1;
    return *is_peak ? l->embedding_rate : l->ratio > 0 && is_fast ? l->ratio : 1;
}

static firn_status check(const void *settings, const char *file, struct firn_error *err)
{
    return firn_wrap_check(&((const struct lora *) settings)->wrap, file, err);
}

static firn_status check_params(const void *settings, const struct firn_model *m, const struct firn_param_set *params,
                                const char *file, struct firn_error *err)
{
    (void) m;
    return firn_tokens_check(&((const struct lora *) settings)->tokens, params, file, err);
}

static void describe(const void *settings, const struct firn_param_set *params, json_t *config)
{
    const struct lora *l = settings;
    firn_wrap_describe(&l->wrap, params, ".lora_A.weight", config);
    json_object_set_new(config, "alpha_pattern", firn_copy_or_map(l->alpha_pattern));
    json_object_set_new(config, "bias", json_string(bias_words[l->wrap.bias]));
    json_object_set_new(config, "fan_in_fan_out", json_false());
    const bool is_plain = l->init_lora_weights == NULL || (l->start == FIRN_START_LOFTQ && l->loftq_iter == 1);
    json_object_set_new(config, "init_lora_weights", is_plain ? json_true() : json_deep_copy(l->init_lora_weights));
    if (l->start == FIRN_START_LOFTQ && !is_plain) /* the base is the one of that many turns */
        json_object_set_new(config, "loftq_config", firn_copy_or_map(l->loftq_config));
    json_object_set_new(config, "layers_pattern", firn_copy_or_null(l->wrap.layers_pattern));
    json_object_set_new(config, "layers_to_transform", firn_copy_or_null(l->wrap.layers_to_transform));
    json_object_set_new(config, "lora_alpha", firn_number_tree(l->alpha));
    json_object_set_new(config, "lora_bias", json_boolean(l->lora_bias));
    json_object_set_new(config, "lora_dropout", json_real(l->dropout));
    json_object_set_new(config, "r", json_integer(l->r));
    json_object_set_new(config, "rank_pattern", firn_copy_or_map(l->rank_pattern));
    json_object_set_new(config, "trainable_token_indices", firn_copy_or_null(l->token_indices));
    json_object_set_new(config, "use_dora", json_boolean(l->use_dora));
    json_object_set_new(config, "use_rslora", json_boolean(l->use_rslora));
}

const struct firn_method firn_method_lora = {
    .name = "lora",
    .peft_type = "LORA",
    .keys = keys,
    .settings_size = sizeof(struct lora),
    .refuses = refuses,
    .ignores = ignores,
    .open = open_lora,
    .close = close_lora,
    .targets = targets,
    .copies = copies,
    .trains = trains,
    .linear = linear,
    .embed = embed,
    .lookup = lookup,
    .logits = logits,
    .init = init,
    .anchors = anchors,
    .freeze = freeze,
    .store = store,
    .read = read,
    .rate = rate,
    .merge = merge,
    .add = add_update,
    .check = check,
    .check_params = check_params,
    .describe = describe,
};
