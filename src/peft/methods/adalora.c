/* SPDX-License-Identifier: Apache-2.0 */
/* AdaLoRA (Zhang et al. 2023): y + s B diag(E) A x, with A's rows and B's columns held near orthonormal, and the least
 * important triplets of the whole model set to zero as training goes on. Names, defaults and schedule are PEFT's. */
#include "peft/files.h"
#include "peft/keys.h"
#include "peft/wrap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { IMPORTANCE, UNCERTAINTY, KEPT, N_STATE }; /* KEPT at a triplet's E: 0 not known yet, 1 dropped, 2 kept */

struct adalora {
    int64_t init_r, target_r, tinit, tfinal, deltaT, total_step;
    double alpha, dropout, beta1, beta2, orth_reg_weight;
    bool init_lora_weights;
    json_t *rank_pattern;
    struct firn_wrap wrap;
};

#define AT(field) offsetof(struct adalora, field)
static const char *const bias_words[] = { "none", "all", "lora_only", NULL };
// clang-format off
static const struct firn_option keys[] = {
    { "init_r",       .type = FIRN_OPTION_INT,  .offset = AT(init_r), .fallback = "12", .min = 1, .max = 65536,
      .help = "rank of every update at the start" },
    { "target_r",     .type = FIRN_OPTION_INT,  .offset = AT(target_r), .fallback = "8", .min = 1, .max = 65536,
      .help = "mean rank at the end" },
    { "lora_alpha",   .also = { "alpha" }, .type = FIRN_OPTION_REAL, .offset = AT(alpha), .fallback = "8",
      .help = "the update is scaled by lora_alpha / init_r; 0: by 1" },
    { "lora_dropout", .also = { "dropout" }, .type = FIRN_OPTION_REAL, .offset = AT(dropout), .fallback = "0", .max = 0.99,
      .help = "dropout of the update's input" },
    { "tinit",        .type = FIRN_OPTION_INT,  .offset = AT(tinit), .fallback = "0", .max = 1000000000,
      .help = "steps before ranks shrink" },
    { "tfinal",       .type = FIRN_OPTION_INT,  .offset = AT(tfinal), .fallback = "0", .max = 1000000000,
      .help = "last steps, with ranks as they are then" },
    { "deltaT",       .type = FIRN_OPTION_INT,  .offset = AT(deltaT), .fallback = "1", .min = 1, .max = 1000000000,
      .help = "steps between two allocations" },
    { "beta1",        .type = FIRN_OPTION_REAL, .offset = AT(beta1), .fallback = "0.85", .max = 1,
      .help = "smoothing of the importance" },
    { "beta2",        .type = FIRN_OPTION_REAL, .offset = AT(beta2), .fallback = "0.85", .max = 1,
      .help = "smoothing of its uncertainty" },
    { "orth_reg_weight", .type = FIRN_OPTION_REAL, .offset = AT(orth_reg_weight), .fallback = "0.5", .max = 1e6,
      .help = "weight of the penalty on factors that are not orthonormal" },
    { "total_step",   .type = FIRN_OPTION_INT,  .offset = AT(total_step), .fallback = "0", .max = 1000000000,
      .help = "optimizer steps of the whole training" },
    { "init_lora_weights", .type = FIRN_OPTION_BOOL, .offset = AT(init_lora_weights), .fallback = "true",
      .help = "start so that nothing changes (false: for tests)" },
    { "rank_pattern", .type = FIRN_OPTION_TREE, .offset = AT(rank_pattern),
      .help = "which triplets of each module a finished adapter holds" },
    FIRN_WRAP_BIAS_KEY(struct adalora, bias_words),
    FIRN_WRAP_KEYS(struct adalora),
    FIRN_WRAP_LAYER_KEYS(struct adalora),
    { NULL }
};
static const struct firn_default_targets target_table[] = {
    { "bert",        { "query", "value" } },
    { "roberta",     { "query", "key", "value", "dense" } },
    { "gpt2",        { "c_attn" } },
    { "llama",       { "q_proj", "v_proj" } },
    { "qwen2",       { "q_proj", "v_proj" } },
    { "qwen3",       { "q_proj", "v_proj" } },
    { "gemma",       { "q_proj", "v_proj" } },
    { "gemma2",      { "q_proj", "v_proj" } },
    { "gemma3_text", { "q_proj", "v_proj" } },
    { "t5",          { "q", "k", "v", "o", "wi", "wo" } },
    { "mt5",         { "q", "k", "v", "o", "wi_0", "wi_1", "wo" } },
    { NULL }
};
// clang-format on
static const char *const refuses[] = { "use_dora", "use_rslora", "lora_bias", "alpha_pattern", "loftq_config",
                                       "layer_replication", "target_parameters", "trainable_token_indices",
                                       "ensure_weight_tying", "megatron_config", NULL };
/* fan_in_fan_out follows from the layer; PEFT does not read r. */
static const char *const ignores[] = { "fan_in_fan_out", "r", "megatron_core", "qalora_group_size", "runtime_config", NULL };

static firn_status open_adalora(void *settings, const struct firn_model *m, enum firn_task task, const char *file,
                                struct firn_error *err)
{
    struct adalora *a = settings;
    if (a->total_step <= 0)
        return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = "total_step",
                         .expected = "the number of optimizer steps of the whole training", .got = "none");
    if (a->tinit >= a->total_step - a->tfinal)
        return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = "tinit",
                         .expected = FIRN_STR("less than total_step - tfinal, %lld", (long long) (a->total_step - a->tfinal)),
                         .got = FIRN_STR("%lld", (long long) a->tinit));
    if (a->target_r > a->init_r)
        return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = "target_r",
                         .expected = FIRN_STR("at most init_r, %lld", (long long) a->init_r),
                         .got = FIRN_STR("%lld", (long long) a->target_r));
    if (!firn_is_unset(a->rank_pattern) && !json_is_object(a->rank_pattern))
        return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = "rank_pattern",
                         .expected = "a mapping of tensors to lists", .got = "something else");
    const firn_status status = firn_default_names(&a->wrap.target_modules, target_table, m, file, "target_modules", err);
    return status ? status : firn_wrap_open(&a->wrap, task, file, err);
}

static void close_adalora(void *settings)
{
    firn_wrap_close(&((struct adalora *) settings)->wrap);
}

static bool copies(const void *settings, const struct firn_site *s)
{
    return firn_wrap_copies(&((const struct adalora *) settings)->wrap, s);
}

static bool targets(const void *settings, const struct firn_site *s)
{
    return firn_wrap_targets(&((const struct adalora *) settings)->wrap, s);
}

static const char *trains(const void *settings, const struct firn_site *s, const char *part, char *text, size_t size)
{
    return firn_wrap_trains(&((const struct adalora *) settings)->wrap, s, part, text, size);
}

/* What a finished adapter holds of a module: files drop the rest. */
static int64_t rank_of(const struct adalora *a, const char *path)
{
    const json_t *list = json_object_get(a->rank_pattern, FIRN_STR("%s.lora_E", path));
    int64_t n = 0;
    for (size_t i = 0; i < json_array_size(list); i++)
        n += json_is_true(json_array_get(list, i));
    return list != NULL ? n : a->init_r;
}

/* PEFT's: of the rank at the start, also after some of it is gone. */
static double scale_of(const struct adalora *a)
{
    const double r = (double) a->init_r;
    return (a->alpha > 0 ? a->alpha : r) / (r + 1e-5);
}

static firn_val linear(const void *settings, struct firn_build *b, const struct firn_site *s, firn_val x, firn_val y)
{
    const struct adalora *a = settings;
    const int64_t r = rank_of(a, s->path);
    const enum firn_init init = FIRN_INIT_NORMAL;
    const double deviation = a->init_lora_weights ? 0.02 : 1;
    char name[600];
    b->counts.base++; /* PEFT's ranknum, a number that does not train */
    if (r == 0)
        return y;
    const firn_val A = firn_trained(b, firn_wrap_name(s->path, "lora_A", name, sizeof name), firn_dims(r, s->n_in), init,
                                    deviation);
    const firn_val B = firn_trained(b, firn_wrap_name(s->path, "lora_B", name, sizeof name), firn_dims(s->n_out, r), init,
                                    deviation);
    const firn_val E = firn_trained(b, firn_wrap_name(s->path, "lora_E", name, sizeof name), firn_dims(r, 1),
                                    a->init_lora_weights ? FIRN_INIT_ZERO : init, 1);
    const firn_val u = firn_matmul(b->g, firn_drop(b, x, a->dropout), A,
                                   firn_matmul_params(.trans_b = true, .alpha = (float) scale_of(a)));
    return firn_add(b->g, y, firn_matmul(b->g, firn_mul_row(b->g, u, E), B, firn_matmul_params(.trans_b = true)));
}

static firn_val embed(const void *settings, struct firn_build *b, const struct firn_site *s, firn_val ids, firn_val y)
{
    (void) settings;
    (void) ids;
    firn_graph_fail(b->g, "%s: is an embedding, which adalora cannot wrap; leave it out of target_modules", s->path);
    return y;
}

static const char *identity_name(int64_t r, char *text, size_t size)
{
    return firn_format(text, size, "minus_identity.%lld", (long long) r);
}

static firn_status freeze(const struct firn_adapter *a, struct firn_model *m, const struct firn_safetensors *file,
                          struct firn_error *err)
{
    (void) file;
    for (size_t i = 0; i < a->params.count; i++) {
        char path[600];
        const struct firn_param *p = &a->params.list[i];
        if (!firn_wrap_path(p, "lora_E", path, sizeof path))
            continue;
        const int64_t r = p->shape.dim[0];
        float *x = firn_weights_room(&m->weights, identity_name(r, path, sizeof path), r * r);
        if (x == NULL)
            return firn_fail(err, FIRN_ERR_MEMORY, .key = p->name, .what = "out of memory for it");
        for (int64_t k = 0; k < r * r; k++)
            x[k] = k % (r + 1) == 0 ? -1 : 0;
    }
    return FIRN_OK;
}

/* w mean over all factors of ||A At - I|| and ||Bt B - I||, Frobenius norms (eq. 4, not squared as PEFT has it) */
static firn_val penalty(const void *settings, struct firn_build *b)
{
    const struct adalora *a = settings;
    const struct firn_param_set *set = &b->adapter->params;
    firn_val sum = { 0 };
    int64_t n = 0;
    for (size_t i = 0; i < set->count && a->orth_reg_weight > 0; i++) {
        const struct firn_param *p = &set->list[i];
        char path[600];
        const bool is_a = firn_wrap_path(p, "lora_A", path, sizeof path);
        if (!is_a && !firn_wrap_path(p, "lora_B", path, sizeof path))
            continue;
        const int64_t r = p->shape.dim[is_a ? 0 : 1];
        const firn_val x = firn_param_view(b, p);
        const firn_val identity = firn_graph_leaf(b->g, FIRN_LEAF_WEIGHT, identity_name(r, path, sizeof path), FIRN_F32, firn_dims(r, r));
        const firn_val norm = firn_norm2(b->g, firn_matmul(b->g, x, x, firn_matmul_params(.trans_a = !is_a, .trans_b = is_a,
                                                                                          .residual = identity)));
        sum = n++ > 0 ? firn_add(b->g, sum, norm) : norm;
    }
    return n > 0 ? firn_scale(b->g, sum, (float) (a->orth_reg_weight / (double) n)) : sum;
}

struct triplet {
    double score;
    int64_t at; /* of its E in the flat run */
};

static int by_score(const void *a, const void *b)
{
    const struct triplet *x = a, *y = b;
    return x->score < y->score ? -1 : x->score > y->score;
}

/* importance times uncertainty (eq. 7 to 9) */
static double score_at(const struct firn_adapter *a, int64_t i)
{
    return (double) a->state[IMPORTANCE][i] * (double) a->state[UNCERTAINTY][i];
}

/* Its value's score, and the means of its two vectors'. */
static double score_of(const struct firn_adapter *a, const struct firn_param *A, const struct firn_param *B,
                       const struct firn_param *E, int64_t k)
{
    const int64_t r = E->shape.dim[0], n_in = A->shape.dim[1], n_out = B->shape.dim[0];
    double of_a = 0, of_b = 0;
    for (int64_t j = 0; j < n_in; j++)
        of_a += score_at(a, A->offset + k * n_in + j);
    for (int64_t i = 0; i < n_out; i++)
        of_b += score_at(a, B->offset + i * r + k);
    return score_at(a, E->offset + k) + of_a / (double) n_in + of_b / (double) n_out;
}

/* Keeps the `budget` most important triplets of all modules together. */
static firn_status allocate(const struct firn_adapter *a, int64_t budget, int64_t n, struct firn_error *err)
{
    struct triplet *all = calloc((size_t) n + 1, sizeof *all);
    int64_t count = 0;
    if (all == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .key = "adalora", .what = "out of memory for scores");
    for (size_t i = 0; i < a->params.count; i++) {
        char path[600];
        const struct firn_param *E = &a->params.list[i];
        if (!firn_wrap_path(E, "lora_E", path, sizeof path))
            continue;
        const struct firn_param *A = firn_wrap_find(&a->params, path, "lora_A");
        const struct firn_param *B = firn_wrap_find(&a->params, path, "lora_B");
        for (int64_t k = 0; k < E->shape.dim[0]; k++)
            all[count++] = (struct triplet){ score_of(a, A, B, E, k), E->offset + k };
    }
    qsort(all, (size_t) count, sizeof *all, by_score);
    const int64_t n_dropped = count - budget; /* and whatever scores no more than the last of them */
    for (int64_t i = 0; i < count; i++)
        a->state[KEPT][all[i].at] = n_dropped > 0 && all[i].score <= all[n_dropped - 1].score ? 1 : 2;
    free(all);
    return FIRN_OK;
}

static void smooth(const struct adalora *s, const struct firn_adapter *a, const struct firn_param *p, const float *flat,
                   const float *grads)
{
    const float b1 = (float) s->beta1, b2 = (float) s->beta2;
    float *importance = a->state[IMPORTANCE] + p->offset, *uncertainty = a->state[UNCERTAINTY] + p->offset;
    for (int64_t i = 0; i < firn_shape_count(&p->shape); i++) {
        const float now = fabsf(flat[p->offset + i] * grads[p->offset + i]);
        importance[i] = b1 * importance[i] + (1 - b1) * now;
        uncertainty[i] = b2 * uncertainty[i] + (1 - b2) * fabsf(now - importance[i]);
    }
}

static bool is_factor(const struct firn_param *p)
{
    char path[600];
    return firn_wrap_path(p, "lora_A", path, sizeof path) || firn_wrap_path(p, "lora_B", path, sizeof path) ||
           firn_wrap_path(p, "lora_E", path, sizeof path);
}

/* After the update of step `step`: statistics, the cubic schedule of the budget (eq. 12), dropped values to zero. */
static firn_status after_step(const struct firn_adapter *a, int64_t step, float *flat, const float *grads,
                              struct firn_error *err)
{
    const struct adalora *s = a->settings;
    const int64_t end = s->total_step - s->tfinal;
    int64_t n = 0, n_modules = 0;
    firn_status status = FIRN_OK;
    for (size_t i = 0; i < a->params.count; i++) {
        const struct firn_param *p = &a->params.list[i];
        char path[600];
        if (is_factor(p) && step < end)
            smooth(s, a, p, flat, grads);
        if (firn_wrap_path(p, "lora_E", path, sizeof path)) {
            n += p->shape.dim[0];
            n_modules++;
        }
    }
    const double left = 1 - (double) (step - s->tinit) / (double) (end - s->tinit);
    const double least = (double) (s->target_r * n_modules);
    const int64_t budget = (int64_t) (((double) n - least) * left * left * left + least);
    const bool is_due = step > s->tinit && step <= end && (step % s->deltaT == 0 || step == end);
    if (is_due)
        status = allocate(a, budget, n, err);
    for (size_t i = 0; i < a->params.count && (is_due || step > end); i++) {
        const struct firn_param *p = &a->params.list[i];
        char path[600];
        for (int64_t k = 0; firn_wrap_path(p, "lora_E", path, sizeof path) && k < p->shape.dim[0]; k++)
            if (a->state[KEPT][p->offset + k] < 1.5f && a->state[KEPT][p->offset + k] > 0.5f)
                flat[p->offset + k] = 0;
    }
    return status;
}

/* Rows (of B: columns) of a factor that stay. */
static firn_status shrink(const char *path, const char *param, const float *kept, int64_t r, int64_t n_kept,
                          struct firn_tensors *tensors, struct firn_error *err)
{
    char name[600];
    firn_wrap_name(path, param, name, sizeof name);
    const struct firn_named_tensor *t = firn_tensors_find(tensors, name);
    const float *from = t->tensor.data;
    const bool is_b = strcmp(param, "lora_B") == 0;
    const int64_t rows = t->tensor.shape.dim[0], cols = t->tensor.shape.dim[1];
    float *to = firn_tensors_put(tensors, name, is_b ? firn_dims(rows, n_kept) : firn_dims(n_kept, cols));
    if (to == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .key = name, .what = "out of memory for it");
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++)
            if (kept[is_b ? j : i] > 1.5f)
                *to++ = from[i * cols + j];
    (void) r;
    return FIRN_OK;
}

/* Once ranks were allocated, files hold what stayed, and the configuration says what that is. */
static firn_status store(const struct firn_adapter *a, struct firn_model *m, struct firn_tensors *tensors, json_t *config,
                         struct firn_error *err)
{
    json_t *pattern = json_object();
    firn_status status = FIRN_OK;
    (void) m;
    for (size_t i = 0; i < a->params.count && status == FIRN_OK && a->state[KEPT] != NULL; i++) {
        static const char *const params[] = { "lora_A", "lora_B", "lora_E" };
        const struct firn_param *p = &a->params.list[i];
        const float *kept = a->state[KEPT] + p->offset;
        char path[600];
        if (!firn_wrap_path(p, "lora_E", path, sizeof path) || kept[0] < 0.5f)
            continue;
        const int64_t r = p->shape.dim[0];
        int64_t n_kept = 0;
        json_t *list = json_array();
        for (int64_t k = 0; k < r; k++) {
            n_kept += kept[k] > 1.5f;
            json_array_append_new(list, json_boolean(kept[k] > 1.5f));
        }
        json_object_set_new(pattern, FIRN_STR("%s.lora_E", path), list);
        for (int k = 0; k < 3 && status == FIRN_OK; k++)
            status = shrink(path, params[k], kept, r, n_kept, tensors, err);
    }
    if (json_object_size(pattern) > 0)
        json_object_set(config, "rank_pattern", pattern);
    json_decref(pattern);
    return status;
}

/* A tensor of a file into the triplets that stayed: of the same run. */
static firn_status read_kept(const struct firn_adapter *a, const struct firn_param *p, const struct firn_tensor *t,
                             const struct firn_param *E, const char *file, float *flat, struct firn_error *err)
{
    const int64_t n = firn_shape_count(&t->shape), rows = p->shape.dim[0], cols = p->shape.dim[1];
    const bool is_b = rows != E->shape.dim[0] || (p != E && strcmp(p->name + strlen(p->name) - 6, "lora_B") == 0);
    float *values = malloc(sizeof *values * (size_t) (n + 1)), *from = values;
    if (values == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .file = file, .key = p->name, .what = "out of memory for it");
    firn_tensor_read_f32(t, 0, n, values);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++) {
            const bool stays = a->state[KEPT][E->offset + (is_b ? j : i)] > 1.5f;
            flat[p->offset + i * cols + j] = stays && from < values + n ? *from++ : 0;
        }
    free(values);
    return FIRN_OK;
}

static firn_status read(const struct firn_adapter *a, struct firn_model *m, const struct firn_safetensors *file,
                        float *flat, struct firn_error *err)
{
    firn_status status = FIRN_OK;
    (void) m;
    for (size_t i = 0; i < a->params.count && status == FIRN_OK; i++) {
        const struct firn_param *p = &a->params.list[i];
        const struct firn_tensor *t = firn_safetensors_find(file, p->name);
        const char *dot = strrchr(p->name, '.');
        const struct firn_param *E = firn_params_find(&a->params, FIRN_STR("%.*s.lora_E", (int) (dot - p->name), p->name));
        const bool is_shrunk = E != NULL && t != NULL && is_factor(p) && a->state[KEPT] != NULL &&
                               a->state[KEPT][E->offset] > 0.5f && firn_dtype_is_float(t->dtype) &&
                               !firn_shape_eq(&t->shape, &p->shape);
        status = is_shrunk ? read_kept(a, p, t, E, file->path, flat, err) : firn_params_read_one(p, "", file, flat, err);
    }
    return status;
}

/* Modules of which nothing stayed have tensors without elements. */
static bool reads(const void *settings, const char *name)
{
    static const char *const ends[] = { ".lora_A", ".lora_B", ".lora_E" };
    const size_t n = strlen(name), before = sizeof FIRN_PREFIX - 1;
    for (int i = 0; i < 3; i++)
        if (n > before + 7 && strcmp(name + n - 7, ends[i]) == 0)
            return rank_of(settings, FIRN_STR("%.*s", (int) (n - before - 7), name + before)) == 0;
    return false;
}

/* w [out, in] += s B diag(E) A */
static bool merge(const void *settings, const struct firn_param_set *params, const float *flat, const char *path,
                  const char *part, const struct firn_shape *shape, float *w)
{
    const struct firn_param *A = firn_wrap_find(params, path, "lora_A"), *B = firn_wrap_find(params, path, "lora_B");
    const struct firn_param *E = firn_wrap_find(params, path, "lora_E");
    if (A == NULL || B == NULL || E == NULL || strcmp(part, "weight") != 0)
        return false;
    const int64_t r = E->shape.dim[0], cols = shape->dim[1];
    const float scale = (float) scale_of(settings);
    for (int64_t i = 0; w != NULL && i < shape->dim[0]; i++)
        for (int64_t k = 0; k < r; k++) {
            const float x = scale * flat[B->offset + i * r + k] * flat[E->offset + k];
            for (int64_t j = 0; j < cols; j++)
                w[i * cols + j] += x * flat[A->offset + k * cols + j];
        }
    return true;
}

static firn_status check(const void *settings, const char *file, struct firn_error *err)
{
    return firn_wrap_check(&((const struct adalora *) settings)->wrap, file, err);
}

static void describe(const void *settings, const struct firn_param_set *params, json_t *config)
{
    const struct adalora *a = settings;
    firn_wrap_describe(&a->wrap, params, ".lora_A", config);
    json_object_set_new(config, "beta1", json_real(a->beta1));
    json_object_set_new(config, "beta2", json_real(a->beta2));
    json_object_set_new(config, "bias", json_string(bias_words[a->wrap.bias]));
    json_object_set_new(config, "deltaT", json_integer(a->deltaT));
    json_object_set_new(config, "fan_in_fan_out", json_false());
    json_object_set_new(config, "init_lora_weights", json_boolean(a->init_lora_weights));
    json_object_set_new(config, "init_r", json_integer(a->init_r));
    json_object_set_new(config, "layers_pattern", firn_copy_or_null(a->wrap.layers_pattern));
    json_object_set_new(config, "layers_to_transform", firn_copy_or_null(a->wrap.layers_to_transform));
    json_object_set_new(config, "lora_alpha", firn_number_tree(a->alpha));
    json_object_set_new(config, "lora_dropout", json_real(a->dropout));
    json_object_set_new(config, "orth_reg_weight", json_real(a->orth_reg_weight));
    json_object_set_new(config, "rank_pattern", firn_is_unset(a->rank_pattern) ? json_null() : json_deep_copy(a->rank_pattern));
    json_object_set_new(config, "target_r", json_integer(a->target_r));
    json_object_set_new(config, "tfinal", json_integer(a->tfinal));
    json_object_set_new(config, "tinit", json_integer(a->tinit));
    json_object_set_new(config, "total_step", json_integer(a->total_step));
}

const struct firn_method firn_method_adalora = {
    .name = "adalora",
    .peft_type = "ADALORA",
    .keys = keys,
    .settings_size = sizeof(struct adalora),
    .refuses = refuses,
    .ignores = ignores,
    .open = open_adalora,
    .close = close_adalora,
    .targets = targets,
    .copies = copies,
    .trains = trains,
    .linear = linear,
    .embed = embed,
    .freeze = freeze,
    .penalty = penalty,
    .n_state = N_STATE,
    .after_step = after_step,
    .store = store,
    .read = read,
    .reads = reads,
    .merge = merge,
    .check = check,
    .describe = describe,
};
