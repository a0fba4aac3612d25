/* SPDX-License-Identifier: Apache-2.0 */
/* LoRA: y + s B A x of frozen layers, s = alpha / r (Hu et al. 2021, sec. 4.1) or alpha / sqrt(r) (rsLoRA, Kalajdzievski
 * 2023). Names, defaults and selection of modules are PEFT's. */
#include "peft/keys.h"
#include "peft/match.h"
#include "model/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum bias_rule { BIAS_NONE, BIAS_ALL, BIAS_LORA_ONLY };
enum init_rule { INIT_TRUE, INIT_GAUSSIAN, INIT_FALSE };

struct lora {
    int64_t r;
    double alpha, dropout;
    int bias; /* enum bias_rule */
    bool use_rslora, lora_bias;
    json_t *init_lora_weights, *target_modules, *exclude_modules, *layers_to_transform, *layers_pattern;
    json_t *rank_pattern, *alpha_pattern, *modules_to_save;
    /* made by open */
    enum init_rule init;
    bool all_linear;
    struct firn_names targets, excludes;
    struct firn_layers layers;
    struct firn_numbers ranks, alphas;
};

#define PREFIX "base_model.model."
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
    { "bias",         .type = FIRN_OPTION_WORD, .offset = AT(bias), .fallback = "none", .words = bias_words,
      .help = "which bias vectors of the base train" },
    { "use_rslora",   .type = FIRN_OPTION_BOOL, .offset = AT(use_rslora), .fallback = "false",
      .help = "scale by lora_alpha / sqrt(r)" },
    { "lora_bias",    .type = FIRN_OPTION_BOOL, .offset = AT(lora_bias), .fallback = "false",
      .help = "the second factor has a bias" },
    { "init_lora_weights",   .type = FIRN_OPTION_TREE, .offset = AT(init_lora_weights),
      .help = "true, false or gaussian" },
    { "target_modules",      .type = FIRN_OPTION_TREE, .offset = AT(target_modules),
      .help = "names of modules, an expression for whole paths, or all-linear; unset: by model" },
    { "exclude_modules",     .type = FIRN_OPTION_TREE, .offset = AT(exclude_modules),
      .help = "names or an expression: never wrapped" },
    { "layers_to_transform", .type = FIRN_OPTION_TREE, .offset = AT(layers_to_transform),
      .help = "numbers of the layers that are wrapped; unset: all" },
    { "layers_pattern",      .type = FIRN_OPTION_TREE, .offset = AT(layers_pattern),
      .help = "what stands before the layer's number in a path" },
    { "rank_pattern",        .type = FIRN_OPTION_TREE, .offset = AT(rank_pattern),
      .help = "other ranks, by end of path or expression" },
    { "alpha_pattern",       .type = FIRN_OPTION_TREE, .offset = AT(alpha_pattern),
      .help = "other alphas, by end of path or expression" },
    { "modules_to_save",     .type = FIRN_OPTION_TREE, .offset = AT(modules_to_save),
      .help = "modules that train whole and are saved with the adapter" },
    { NULL }
};
// clang-format on
static const char *const refuses[] = { "use_dora", "loftq_config", "layer_replication", "target_parameters",
                                       "trainable_token_indices", "ensure_weight_tying", "alora_invocation_tokens",
                                       "use_qalora", "use_bdlora", "megatron_config", "arrow_config", "kasa_config",
                                       "monteclora_config", "velora_config", "eva_config", "corda_config",
                                       "lora_ga_config", NULL };
/* fan_in_fan_out follows from the layer, as in PEFT; the others say nothing without a key that is refused. */
static const char *const ignores[] = { "fan_in_fan_out", "megatron_core", "qalora_group_size", "runtime_config", NULL };

static const char *const head_names[] = { "classifier", "score" };

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

/* PEFT adds the usual names of heads for classification; what matches nothing is passed over. */
static firn_status read_saved(struct lora *l, enum firn_task task, const char *file, struct firn_error *err)
{
    json_t *list = json_array();
    const json_t *given = l->modules_to_save;
    bool failed = list == NULL;
    if (given != NULL && !json_is_null(given) && !json_is_array(given)) {
        json_decref(list);
        return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = "modules_to_save", .expected = "a list of names",
                         .got = "something else");
    }
    const size_t n_given = json_array_size(given), n_heads = task <= FIRN_TASK_TOKEN_CLS ? 2 : 0;
    for (size_t i = 0; i < n_given + n_heads; i++) {
        const json_t *v = json_array_get(given, i);
        const char *name = i < n_given ? json_string_value(v) : head_names[i - n_given];
        bool is_there = false;
        if (name == NULL) {
            json_decref(list);
            return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = "modules_to_save", .expected = "names",
                             .got = "something else in the list");
        }
        for (size_t k = 0; k < json_array_size(list); k++)
            is_there |= strcmp(json_string_value(json_array_get(list, k)), name) == 0;
        if (!is_there)
            failed |= json_array_append_new(list, json_string(name)) != 0;
    }
    json_decref(l->modules_to_save);
    l->modules_to_save = list;
    return failed ? firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for settings") : FIRN_OK;
}

static firn_status default_targets(struct lora *l, const struct firn_model *m, struct firn_error *err)
{
    if (!firn_is_unset(l->target_modules))
        return FIRN_OK;
    json_decref(l->target_modules);
    l->target_modules = json_array();
    bool failed = l->target_modules == NULL;
    for (const char *const *t = m->arch->targets; t != NULL && *t != NULL; t++)
        failed |= json_array_append_new(l->target_modules, json_string(*t)) != 0;
    return failed ? firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for settings") : FIRN_OK;
}

static firn_status open_lora(void *settings, const struct firn_model *m, enum firn_task task, const char *file,
                             struct firn_error *err)
{
    struct lora *l = settings;
    firn_status status = read_init(l, file, err);
    if (status == FIRN_OK)
        status = read_saved(l, task, file, err);
    if (status == FIRN_OK)
        status = default_targets(l, m, err);
    const char *word = json_string_value(l->target_modules);
    l->all_linear = word != NULL && strcasecmp(word, "all-linear") == 0;
    if (status == FIRN_OK && !l->all_linear)
        status = firn_names_open(&l->targets, l->target_modules, file, "target_modules", err);
    if (status == FIRN_OK)
        status = firn_names_open(&l->excludes, l->exclude_modules, file, "exclude_modules", err);
    if (status == FIRN_OK)
        status = firn_layers_open(&l->layers, l->layers_to_transform, l->layers_pattern, file, err);
    if (status == FIRN_OK)
        status = firn_numbers_open(&l->ranks, l->rank_pattern, true, file, "rank_pattern", err);
    if (status == FIRN_OK)
        status = firn_numbers_open(&l->alphas, l->alpha_pattern, false, file, "alpha_pattern", err);
    return status;
}

static void close_lora(void *settings)
{
    struct lora *l = settings;
    firn_names_close(&l->targets);
    firn_names_close(&l->excludes);
    firn_layers_close(&l->layers);
    firn_numbers_close(&l->ranks);
    firn_numbers_close(&l->alphas);
}

static bool copies(const void *settings, const struct firn_site *s)
{
    const struct lora *l = settings;
    for (size_t i = 0; i < json_array_size(l->modules_to_save); i++)
        if (firn_is_saved(s->path, json_string_value(json_array_get(l->modules_to_save, i))))
            return true;
    return false;
}

/* "all-linear": every linear layer but the output and, for sequences, the head. */
static bool is_plain_linear(const struct firn_site *s)
{
    if (s->kind != FIRN_SITE_LINEAR || s->is_output)
        return false;
    return s->task != FIRN_TASK_SEQ_CLS || (strcmp(s->path, head_names[0]) != 0 && strcmp(s->path, head_names[1]) != 0);
}

static bool targets(const void *settings, const struct firn_site *s)
{
    const struct lora *l = settings;
    if (s->kind == FIRN_SITE_OTHER || firn_names_match(&l->excludes, s->path) || copies(settings, s))
        return false;
    if (l->all_linear)
        return is_plain_linear(s) && firn_layers_match(&l->layers, s->path);
    /* PEFT looks at layers_to_transform only for lists */
    return firn_names_match(&l->targets, s->path) && (l->targets.list == NULL || firn_layers_match(&l->layers, s->path));
}

static const char *trains(const void *settings, const struct firn_site *s, const char *part, char *text, size_t size)
{
    const struct lora *l = settings;
    if (copies(settings, s)) {
        snprintf(text, size, PREFIX "%s.%s", s->path, part);
        return text;
    }
    if (strcmp(part, "bias") != 0 || l->bias == BIAS_NONE)
        return NULL;
    const bool is_wrapped = targets(settings, s);
    if (l->bias == BIAS_LORA_ONLY && !is_wrapped)
        return NULL;
    snprintf(text, size, PREFIX "%s.%s%s", s->path, is_wrapped ? "base_layer." : "", part);
    return text;
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

static const char *param_name(const char *path, const char *param, char *text, size_t size)
{
    snprintf(text, size, PREFIX "%s.%s", path, param);
    return text;
}

/* y + s (dropout(x) At) Bt (+ s bias) */
static firn_val linear(const void *settings, struct firn_build *b, const struct firn_site *s, firn_val x, firn_val y)
{
    const struct lora *l = settings;
    const int64_t r = rank_of(l, s->path);
    const double scale = scale_of(l, s->path), in = 1 / sqrt((double) s->n_in);
    char name[600];
    const firn_val A = firn_trained(b, param_name(s->path, "lora_A.weight", name, sizeof name), firn_dims(r, s->n_in),
                                    l->init == INIT_GAUSSIAN ? FIRN_INIT_NORMAL : FIRN_INIT_UNIFORM,
                                    l->init == INIT_GAUSSIAN ? 1 / (double) r : in);
    const firn_val B = firn_trained(b, param_name(s->path, "lora_B.weight", name, sizeof name), firn_dims(s->n_out, r),
                                    l->init == INIT_FALSE ? FIRN_INIT_UNIFORM : FIRN_INIT_ZERO,
                                    1 / sqrt((double) r));
    const firn_val u = firn_matmul(b->g, firn_drop(b, x, l->dropout), A,
                                   firn_matmul_params(.trans_b = true, .alpha = (float) scale));
    y = firn_add(b->g, y, firn_matmul(b->g, u, B, firn_matmul_params(.trans_b = true)));
    if (!l->lora_bias)
        return y;
    const firn_val bias = firn_trained(b, param_name(s->path, "lora_B.bias", name, sizeof name), firn_dims(s->n_out),
                                       FIRN_INIT_ZERO, 0);
    return firn_add_row(b->g, y, firn_scale(b->g, bias, (float) scale));
}

/* E[id] + s A[:, id]t Bt; A is kept as [V, r], so that a lookup reads rows. */
static firn_val embed(const void *settings, struct firn_build *b, const struct firn_site *s, firn_val ids, firn_val y)
{
    const struct lora *l = settings;
    const int64_t r = rank_of(l, s->path);
    char name[600];
    const firn_val A = firn_trained_transposed(b, param_name(s->path, "lora_embedding_A", name, sizeof name),
                                               firn_dims(s->n_in, r),
                                               l->init == INIT_FALSE ? FIRN_INIT_NORMAL : FIRN_INIT_ZERO, 1);
    const firn_val B = firn_trained(b, param_name(s->path, "lora_embedding_B", name, sizeof name),
                                    firn_dims(s->n_out, r), FIRN_INIT_NORMAL, 1);
    const firn_val u = firn_embed(b->g, A, ids);
    return firn_add(b->g, y, firn_matmul(b->g, u, B, firn_matmul_params(.trans_b = true,
                                                                        .alpha = (float) scale_of(l, s->path))));
}

static const struct firn_param *find(const struct firn_param_set *params, const char *path, const char *param)
{
    char name[600];
    return firn_params_find(params, param_name(path, param, name, sizeof name));
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

/* w [out, in] += s B A; of a table [V, d]: w += s (B A)t; of a bias: w += s b */
static bool merge(const void *settings, const struct firn_param_set *params, const float *flat, const char *path,
                  const char *part, const struct firn_shape *shape, float *w)
{
    const struct lora *l = settings;
    const bool is_weight = strcmp(part, "weight") == 0;
    const struct firn_param *A = find(params, path, "lora_A.weight"), *B = find(params, path, "lora_B.weight");
    const struct firn_param *table = find(params, path, "lora_embedding_A"), *bias = find(params, path, "lora_B.bias");
    const float scale = (float) scale_of(l, path);
    const int64_t r = rank_of(l, path), rows = shape->dim[0], cols = shape->rank > 1 ? shape->dim[1] : 1;
    if (table != NULL)
        B = find(params, path, "lora_embedding_B");
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

static firn_status check(const void *settings, const char *file, struct firn_error *err)
{
    const struct lora *l = settings;
    const struct { const char *key, *pattern; } all[] = {
        { "target_modules", firn_pattern_gave_up(l->targets.pattern) },
        { "exclude_modules", firn_pattern_gave_up(l->excludes.pattern) },
        { "layers_pattern", l->layers.n_patterns > 0 ? firn_pattern_gave_up(l->layers.patterns[0]) : NULL },
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (all[i].pattern != NULL)
            return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = all[i].key,
                             .expected = "an expression that is quick to match", .got = all[i].pattern);
    return FIRN_OK;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *) a, *(const char *const *) b);
}

static json_t *sorted_list(const char **names, size_t n)
{
    json_t *list = json_array();
    qsort(names, n, sizeof *names, by_text);
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_string(names[i]));
    return list;
}

/* As PEFT writes them: sorted, and "all-linear" as the modules that it stood for. */
static json_t *names_tree(const struct lora *l, const struct firn_param_set *params)
{
    static const char end[] = ".lora_A.weight";
    const size_t n = l->all_linear ? params->count : json_array_size(l->target_modules);
    const char **names = calloc(n + 1, sizeof *names);
    size_t count = 0;
    if (names == NULL || (!l->all_linear && !json_is_array(l->target_modules))) {
        free(names);
        return json_deep_copy(l->target_modules);
    }
    json_t *owner = json_array(); /* keeps the shortened names alive */
    for (size_t i = 0; i < n; i++) {
        if (!l->all_linear) {
            names[count++] = json_string_value(json_array_get(l->target_modules, i));
            continue;
        }
        const char *name = params->list[i].name;
        const size_t length = strlen(name), cut = sizeof PREFIX - 1 + sizeof end - 1;
        if (length <= cut || strcmp(name + length - (sizeof end - 1), end) != 0)
            continue;
        json_array_append_new(owner, json_stringn(name + sizeof PREFIX - 1, length - cut));
        names[count++] = json_string_value(json_array_get(owner, json_array_size(owner) - 1));
    }
    json_t *list = sorted_list(names, count);
    json_decref(owner);
    free(names);
    return list;
}

/* A whole number stays one in the file. */
static json_t *number(double x)
{
    return x == floor(x) && fabs(x) < 9e15 ? json_integer((json_int_t) x) : json_real(x);
}

static json_t *copy_or_null(const json_t *v)
{
    return v != NULL ? json_deep_copy(v) : json_null();
}

static json_t *map_or_empty(const json_t *v)
{
    return v != NULL ? json_deep_copy(v) : json_object();
}

static void describe(const void *settings, const struct firn_param_set *params, json_t *config)
{
    const struct lora *l = settings;
    const bool saves = json_array_size(l->modules_to_save) > 0;
    json_object_set_new(config, "alpha_pattern", map_or_empty(l->alpha_pattern));
    json_object_set_new(config, "bias", json_string(bias_words[l->bias]));
    json_object_set_new(config, "exclude_modules", copy_or_null(l->exclude_modules));
    json_object_set_new(config, "fan_in_fan_out", json_false());
    json_object_set_new(config, "init_lora_weights",
                        l->init_lora_weights != NULL ? json_deep_copy(l->init_lora_weights) : json_true());
    json_object_set_new(config, "layers_pattern", copy_or_null(l->layers_pattern));
    json_object_set_new(config, "layers_to_transform", copy_or_null(l->layers_to_transform));
    json_object_set_new(config, "lora_alpha", number(l->alpha));
    json_object_set_new(config, "lora_bias", json_boolean(l->lora_bias));
    json_object_set_new(config, "lora_dropout", json_real(l->dropout));
    json_object_set_new(config, "modules_to_save", saves ? json_deep_copy(l->modules_to_save) : json_null());
    json_object_set_new(config, "r", json_integer(l->r));
    json_object_set_new(config, "rank_pattern", map_or_empty(l->rank_pattern));
    json_object_set_new(config, "target_modules", names_tree(l, params));
    json_object_set_new(config, "use_dora", json_false());
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
    .merge = merge,
    .check = check,
    .describe = describe,
};
