/* SPDX-License-Identifier: Apache-2.0 */
/* LoRA: y + s B A x of frozen layers, s = alpha / r (Hu et al. 2021, sec. 4.1) or alpha / sqrt(r) (rsLoRA, Kalajdzievski
 * 2023). Names, defaults and selection of modules are PEFT's. */
#include "peft/dora.h"
#include "peft/keys.h"
#include "peft/wrap.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum init_rule { INIT_TRUE, INIT_GAUSSIAN, INIT_FALSE };

struct lora {
    int64_t r;
    double alpha, dropout;
    bool use_rslora, use_dora, lora_bias;
    json_t *init_lora_weights, *rank_pattern, *alpha_pattern;
    struct firn_wrap wrap;
    /* made by open */
    enum init_rule init;
    struct firn_numbers ranks, alphas;
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
      .help = "true, false or gaussian" },
    FIRN_WRAP_KEYS(struct lora),
    FIRN_WRAP_LAYER_KEYS(struct lora),
    { "rank_pattern",        .type = FIRN_OPTION_TREE, .offset = AT(rank_pattern),
      .help = "other ranks, by end of path or expression" },
    { "alpha_pattern",       .type = FIRN_OPTION_TREE, .offset = AT(alpha_pattern),
      .help = "other alphas, by end of path or expression" },
    { NULL }
};
// clang-format on
static const char *const refuses[] = { "loftq_config", "layer_replication", "target_parameters",
                                       "trainable_token_indices", "ensure_weight_tying", "alora_invocation_tokens",
                                       "use_qalora", "use_bdlora", "megatron_config", "arrow_config", "kasa_config",
                                       "monteclora_config", "velora_config", "eva_config", "corda_config",
                                       "lora_ga_config", NULL };
/* fan_in_fan_out follows from the layer, as in PEFT; the others say nothing without a key that is refused. */
static const char *const ignores[] = { "fan_in_fan_out", "megatron_core", "qalora_group_size", "runtime_config", NULL };

static firn_status read_init(struct lora *l, const char *file, struct firn_error *err)
{
    const json_t *v = l->init_lora_weights;
    if (v == NULL || json_is_true(v))
        l->init = INIT_TRUE;
    else if (json_is_false(v))
        l->init = INIT_FALSE;
    else if (json_is_string(v) && strcmp(json_string_value(v), "gaussian") == 0)
        l->init = INIT_GAUSSIAN;
    else
        return firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = file, .key = "init_lora_weights",
                         .expected = "true, false or \"gaussian\"",
                         .got = json_is_string(v) ? json_string_value(v) : "something else");
    return FIRN_OK;
}

static firn_status default_targets(struct firn_wrap *w, const struct firn_model *m, struct firn_error *err)
{
    if (!firn_is_unset(w->target_modules))
        return FIRN_OK;
    json_decref(w->target_modules);
    w->target_modules = json_array();
    bool failed = w->target_modules == NULL;
    for (const char *const *t = m->arch->targets; t != NULL && *t != NULL; t++)
        failed |= json_array_append_new(w->target_modules, json_string(*t)) != 0;
    return failed ? firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for settings") : FIRN_OK;
}

static firn_status open_lora(void *settings, const struct firn_model *m, enum firn_task task, const char *file,
                             struct firn_error *err)
{
    struct lora *l = settings;
    firn_status status = read_init(l, file, err);
    if (status == FIRN_OK && l->use_dora && l->lora_bias)
        status = firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = file, .key = "lora_bias", .expected = "false with use_dora",
                           .got = "true");
    if (status == FIRN_OK)
        status = default_targets(&l->wrap, m, err);
    if (status == FIRN_OK)
        status = firn_wrap_open(&l->wrap, task, file, err);
    if (status == FIRN_OK)
        status = firn_numbers_open(&l->ranks, l->rank_pattern, true, file, "rank_pattern", err);
    if (status == FIRN_OK)
        status = firn_numbers_open(&l->alphas, l->alpha_pattern, false, file, "alpha_pattern", err);
    return status;
}

static void close_lora(void *settings)
{
    struct lora *l = settings;
    firn_wrap_close(&l->wrap);
    firn_numbers_close(&l->ranks);
    firn_numbers_close(&l->alphas);
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

/* y + s (dropout(x) At) Bt (+ s bias) */
static firn_val linear(const void *settings, struct firn_build *b, const struct firn_site *s, firn_val x, firn_val y)
{
    const struct lora *l = settings;
    const int64_t r = rank_of(l, s->path);
    const double scale = scale_of(l, s->path), in = 1 / sqrt((double) s->n_in);
    char name[600];
    const firn_val A = firn_trained(b, firn_wrap_name(s->path, "lora_A.weight", name, sizeof name), firn_dims(r, s->n_in),
                                    l->init == INIT_GAUSSIAN ? FIRN_INIT_NORMAL : FIRN_INIT_UNIFORM,
                                    l->init == INIT_GAUSSIAN ? 1 / (double) r : in);
    const firn_val B = firn_trained(b, firn_wrap_name(s->path, "lora_B.weight", name, sizeof name), firn_dims(s->n_out, r),
                                    l->init == INIT_FALSE ? FIRN_INIT_UNIFORM : FIRN_INIT_ZERO,
                                    1 / sqrt((double) r));
    if (l->use_dora)
        return firn_dora_linear(b, s, &(struct firn_dora){ A, B, scale, l->dropout }, x, y);
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
                                               l->init == INIT_FALSE ? FIRN_INIT_NORMAL : FIRN_INIT_ZERO, 1);
    const firn_val B = firn_trained(b, firn_wrap_name(s->path, "lora_embedding_B", name, sizeof name),
                                    firn_dims(s->n_out, r), FIRN_INIT_NORMAL, 1);
    const double scale = scale_of(l, s->path);
    const firn_val update = firn_matmul(b->g, firn_embed(b->g, A, ids), B,
                                        firn_matmul_params(.trans_b = true, .alpha = (float) scale));
    return l->use_dora ? firn_dora_embed(b, s, &(struct firn_dora){ A, B, scale, 0 }, y, update)
                       : firn_add(b->g, y, update);
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
    add_update(l, params, flat, path, "weight", &shape, w);
    firn_dora_norms(w, shape.dim[0], shape.dim[1], is_table, flat + p->offset);
    free(w);
    return FIRN_OK;
}

static firn_status init(const void *settings, const struct firn_model *m, const struct firn_param_set *params,
                        uint64_t seed, float *flat, struct firn_error *err)
{
    firn_status status = FIRN_OK;
    (void) seed;
    for (size_t i = 0; i < params->count && status == FIRN_OK; i++) {
        char path[600];
        if (firn_wrap_path(&params->list[i], MAGNITUDE, path, sizeof path))
            status = init_magnitude(settings, m, params, &params->list[i], path, flat, err);
    }
    return status;
}

static firn_status check(const void *settings, const char *file, struct firn_error *err)
{
    return firn_wrap_check(&((const struct lora *) settings)->wrap, file, err);
}

static void describe(const void *settings, const struct firn_param_set *params, json_t *config)
{
    const struct lora *l = settings;
    firn_wrap_describe(&l->wrap, params, ".lora_A.weight", config);
    json_object_set_new(config, "alpha_pattern", firn_copy_or_map(l->alpha_pattern));
    json_object_set_new(config, "bias", json_string(bias_words[l->wrap.bias]));
    json_object_set_new(config, "fan_in_fan_out", json_false());
    json_object_set_new(config, "init_lora_weights",
                        l->init_lora_weights != NULL ? json_deep_copy(l->init_lora_weights) : json_true());
    json_object_set_new(config, "layers_pattern", firn_copy_or_null(l->wrap.layers_pattern));
    json_object_set_new(config, "layers_to_transform", firn_copy_or_null(l->wrap.layers_to_transform));
    json_object_set_new(config, "lora_alpha", firn_number_tree(l->alpha));
    json_object_set_new(config, "lora_bias", json_boolean(l->lora_bias));
    json_object_set_new(config, "lora_dropout", json_real(l->dropout));
    json_object_set_new(config, "r", json_integer(l->r));
    json_object_set_new(config, "rank_pattern", firn_copy_or_map(l->rank_pattern));
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
    .init = init,
    .merge = merge,
    .check = check,
    .describe = describe,
};
