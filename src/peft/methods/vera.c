/* SPDX-License-Identifier: Apache-2.0 */
/* VeRA (Kopiczko et al. 2024, eq. 2): y + b (B (d (A x))) with trained vectors b and d; the matrices A and B are random,
 * frozen and shared by all layers, each of which takes the first columns of A and rows of B that it needs. */
#include "peft/files.h"
#include "peft/keys.h"
#include "peft/wrap.h"

#include "base/mt19937.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct vera {
    int64_t r, key;
    double dropout, d_initial;
    bool init_weights, save_projection;
    struct firn_wrap wrap;
    float *A, *B;               /* made by freeze: [r, max_in], [max_out, r] */
    int64_t max_in, max_out;
};

#define AT(field) offsetof(struct vera, field)
static const char *const bias_words[] = { "none", "all", "vera_only", NULL };
// clang-format off
static const struct firn_option keys[] = {
    { "r",            .type = FIRN_OPTION_INT,  .offset = AT(r), .fallback = "256", .min = 1, .max = 65536,
      .help = "rank of the shared matrices" },
    { "projection_prng_key", .type = FIRN_OPTION_INT, .offset = AT(key), .fallback = "0", .max = 4294967295,
      .help = "seed of the shared matrices" },
    { "save_projection", .type = FIRN_OPTION_BOOL, .offset = AT(save_projection), .fallback = "true",
      .help = "files hold the shared matrices (firn's always do)" },
    { "vera_dropout", .also = { "dropout" }, .type = FIRN_OPTION_REAL, .offset = AT(dropout), .fallback = "0", .max = 0.99,
      .help = "dropout of the update's input" },
    { "d_initial",    .type = FIRN_OPTION_REAL, .offset = AT(d_initial), .fallback = "0.1", .max = 1e6,
      .help = "first value of the vector between the matrices" },
    { "init_weights", .type = FIRN_OPTION_BOOL, .offset = AT(init_weights), .fallback = "true",
      .help = "vectors start so that nothing changes (false: for tests)" },
    FIRN_WRAP_BIAS_KEY(struct vera, bias_words),
    FIRN_WRAP_KEYS(struct vera),
    FIRN_WRAP_LAYER_KEYS(struct vera),
    { NULL }
};
// clang-format on
/* fan_in_fan_out follows from the layer, as in PEFT. */
static const char *const ignores[] = { "fan_in_fan_out", NULL };
static const char file_a[] = "base_model.vera_A", file_b[] = "base_model.vera_B";

static firn_status open_vera(void *settings, const struct firn_model *m, enum firn_task task, const char *file,
                             struct firn_error *err)
{
    struct vera *v = settings;
    const firn_status status = firn_wrap_targets_of(&v->wrap, m, err);
    return status ? status : firn_wrap_open(&v->wrap, task, file, err);
}

static void close_vera(void *settings)
{
    struct vera *v = settings;
    firn_wrap_close(&v->wrap);
    free(v->A);
    free(v->B);
}

static bool copies(const void *settings, const struct firn_site *s)
{
    return firn_wrap_copies(&((const struct vera *) settings)->wrap, s);
}

static bool targets(const void *settings, const struct firn_site *s)
{
    return firn_wrap_targets(&((const struct vera *) settings)->wrap, s);
}

static const char *trains(const void *settings, const struct firn_site *s, const char *part, char *text, size_t size)
{
    return firn_wrap_trains(&((const struct vera *) settings)->wrap, s, part, text, size);
}

/* The frozen leaf of the layers with n inputs ('A') or outputs ('B'). */
static const char *leaf_name(const struct vera *v, char which, int64_t n, char text[100])
{
    return firn_format(text, 100, "vera_%c.%lld.%lld.%lld", which, (long long) v->key, (long long) v->r, (long long) n);
}

static firn_val linear(const void *settings, struct firn_build *b, const struct firn_site *s, firn_val x, firn_val y)
{
    const struct vera *v = settings;
    char name[600], leaf[100];
    const firn_val lb = firn_trained(b, firn_wrap_name(s->path, "vera_lambda_b", name, sizeof name), firn_dims(s->n_out),
                                     v->init_weights ? FIRN_INIT_ZERO : FIRN_INIT_ONE, 0);
    const firn_val ld = firn_trained(b, firn_wrap_name(s->path, "vera_lambda_d", name, sizeof name), firn_dims(v->r),
                                     v->init_weights ? FIRN_INIT_CONSTANT : FIRN_INIT_NORMAL,
                                     v->init_weights ? v->d_initial : 1);
    const firn_val A = firn_graph_leaf(b->g, FIRN_LEAF_WEIGHT, leaf_name(v, 'A', s->n_in, leaf), FIRN_F32, firn_dims(v->r, s->n_in));
    const firn_val B = firn_graph_leaf(b->g, FIRN_LEAF_WEIGHT, leaf_name(v, 'B', s->n_out, leaf), FIRN_F32, firn_dims(s->n_out, v->r));
    const firn_val u = firn_matmul(b->g, firn_drop(b, x, v->dropout), A, firn_matmul_params(.trans_b = true));
    const firn_val h = firn_matmul(b->g, firn_mul_row(b->g, u, ld), B, firn_matmul_params(.trans_b = true));
    return firn_add(b->g, y, firn_mul_row(b->g, h, lb));
}

static firn_val embed(const void *settings, struct firn_build *b, const struct firn_site *s, firn_val ids, firn_val y)
{
    (void) settings;
    (void) ids;
    firn_graph_fail(b->g, "%s: is an embedding, which vera cannot wrap; leave it out of target_modules", s->path);
    return y;
}

/* Kaiming uniform with gain sqrt 2, as PyTorch draws it: 24 bits of each word, and one rounding of u (hi - lo) + lo. */
static void draw(struct firn_mt19937 *mt, float *x, int64_t n, int64_t fan_in)
{
    const float high = (float) (sqrt(3.0) * (sqrt(2.0) / sqrt((double) fan_in))), low = -high;
    for (int64_t i = 0; i < n; i++)
        x[i] = fmaf((float) (firn_mt19937_next(mt) & 0xffffff) * 0x1p-24f, high - low, low);
}

/* Inputs and outputs of a wrapped layer. */
static firn_status sizes_of(const struct firn_model *m, const char *path, int64_t *n_in, int64_t *n_out,
                            struct firn_error *err)
{
    const struct firn_tensor *t = firn_model_tensor(m, FIRN_STR("%s.weight", path));
    if (t == NULL || t->shape.rank != 2)
        return firn_fail(err, FIRN_ERR_FORMAT, .file = m->directory, .key = path, .what = "no such matrix");
    const struct firn_shape shape = firn_wrap_matrix_shape(m, path, t);
    *n_out = shape.dim[0];
    *n_in = shape.dim[1];
    return FIRN_OK;
}

/* `t` is at least [rows, cols]; its first rows and columns. */
static firn_status take(const struct firn_tensor *t, int64_t rows, int64_t cols, bool whole_rows, const char *file,
                        const char *name, float *x, struct firn_error *err)
{
    const bool fits = t->shape.rank == 2 && t->shape.dim[0] >= rows && t->shape.dim[1] >= cols &&
                      (whole_rows ? t->shape.dim[1] == cols : t->shape.dim[0] == rows) && firn_dtype_is_float(t->dtype);
    if (!fits)
        return firn_fail(err, FIRN_ERR_SHAPE, .file = file, .key = name, .expected = FIRN_STR("at least [%lld, %lld]",
                         (long long) rows, (long long) cols), .got = FIRN_SHAPE_STR(&t->shape));
    for (int64_t i = 0; i < rows; i++)
        firn_tensor_read_f32(t, i * t->shape.dim[1], cols, x + i * cols);
    return FIRN_OK;
}

static firn_status make_matrices(struct vera *v, const struct firn_safetensors *file, struct firn_error *err)
{
    const struct firn_tensor *a = file != NULL ? firn_safetensors_find(file, file_a) : NULL;
    const struct firn_tensor *b = file != NULL ? firn_safetensors_find(file, file_b) : NULL;
    free(v->A);
    free(v->B);
    v->A = malloc(sizeof *v->A * (size_t) (v->r * v->max_in + 1));
    v->B = malloc(sizeof *v->B * (size_t) (v->r * v->max_out + 1));
    if (v->A == NULL || v->B == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .key = "vera", .what = "out of memory for the shared matrices");
    if ((a == NULL) != (b == NULL))
        return firn_fail(err, FIRN_ERR_FORMAT, .file = file->path, .key = a != NULL ? file_b : file_a,
                         .expected = "both shared matrices or none", .got = "one of them");
    if (a != NULL) {
        const firn_status status = take(a, v->r, v->max_in, false, file->path, file_a, v->A, err);
        return status ? status : take(b, v->max_out, v->r, true, file->path, file_b, v->B, err);
    }
    struct firn_mt19937 mt;
    firn_mt19937_seed(&mt, (uint32_t) v->key);
    draw(&mt, v->A, v->r * v->max_in, v->max_in);
    draw(&mt, v->B, v->max_out * v->r, v->r);
    return FIRN_OK;
}

/* Gives the layers with n_in inputs and n_out outputs their parts of the shared matrices. */
static firn_status keep_parts(const struct vera *v, struct firn_model *m, int64_t n_in, int64_t n_out, bool is_second,
                              struct firn_error *err)
{
    char leaf[100];
    const float *other = is_second ? firn_weights_copy(&m->weights, leaf_name(v, 'B', n_out, leaf)) : NULL;
    if (other != NULL && memcmp(other, v->B, sizeof *other * (size_t) (n_out * v->r)) != 0)
        return firn_fail(err, FIRN_ERR_UNSUPPORTED, .key = file_b,
                         .expected = "the shared matrices of the VeRA adapter that is on this base already", .got = "others");
    float *a = firn_weights_room(&m->weights, leaf_name(v, 'A', n_in, leaf), v->r * n_in);
    float *b = firn_weights_room(&m->weights, leaf_name(v, 'B', n_out, leaf), n_out * v->r);
    if (a == NULL || b == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .key = "vera", .what = "out of memory for the shared matrices");
    for (int64_t k = 0; k < v->r; k++)
        memcpy(a + k * n_in, v->A + k * v->max_in, sizeof *a * (size_t) n_in);
    memcpy(b, v->B, sizeof *b * (size_t) (n_out * v->r));
    return FIRN_OK;
}

static firn_status freeze(const struct firn_adapter *a, struct firn_model *m, const struct firn_safetensors *file,
                          struct firn_error *err)
{
    struct vera *v = a->settings;
    firn_status status = FIRN_OK;
    char path[600];
    v->max_in = v->max_out = 0;
    for (int pass = 0; pass < 2 && status == FIRN_OK; pass++) {
        for (size_t i = 0; i < a->params.count && status == FIRN_OK; i++) {
            int64_t n_in = 0, n_out = 0;
            if (!firn_wrap_path(&a->params.list[i], "vera_lambda_b", path, sizeof path))
                continue;
            status = sizes_of(m, path, &n_in, &n_out, err);
            if (status == FIRN_OK && pass == 1)
                status = keep_parts(v, m, n_in, n_out, a->leaf[0] != '\0', err);
            v->max_in = n_in > v->max_in ? n_in : v->max_in;
            v->max_out = n_out > v->max_out ? n_out : v->max_out;
        }
        if (pass == 0 && status == FIRN_OK)
            status = make_matrices(v, file, err);
    }
    return status;
}

static bool reads(const void *settings, const char *name)
{
    (void) settings;
    return strcmp(name, file_a) == 0 || strcmp(name, file_b) == 0;
}

static firn_status store(const struct firn_adapter *a, struct firn_model *m, struct firn_tensors *tensors, json_t *config,
                         struct firn_error *err)
{
    const struct vera *v = a->settings;
    (void) m;
    (void) config;
    float *A = v->A != NULL ? firn_tensors_put(tensors, file_a, firn_dims(v->r, v->max_in)) : NULL;
    float *B = v->B != NULL ? firn_tensors_put(tensors, file_b, firn_dims(v->max_out, v->r)) : NULL;
    if (A == NULL || B == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .key = "vera", .what = "out of memory for the shared matrices");
    memcpy(A, v->A, sizeof *A * (size_t) (v->r * v->max_in));
    memcpy(B, v->B, sizeof *B * (size_t) (v->r * v->max_out));
    return FIRN_OK;
}

/* w [out, in] += diag(b) B diag(d) A */
static bool merge(const void *settings, const struct firn_param_set *params, const float *flat, const char *path,
                  const char *part, const struct firn_shape *shape, float *w)
{
    const struct vera *v = settings;
    const struct firn_param *lb = firn_wrap_find(params, path, "vera_lambda_b");
    const struct firn_param *ld = firn_wrap_find(params, path, "vera_lambda_d");
    if (lb == NULL || ld == NULL || v->A == NULL || strcmp(part, "weight") != 0)
        return false;
    for (int64_t i = 0; w != NULL && i < shape->dim[0]; i++)
        for (int64_t k = 0; k < v->r; k++) {
            const float x = flat[lb->offset + i] * v->B[i * v->r + k] * flat[ld->offset + k];
            for (int64_t j = 0; j < shape->dim[1]; j++)
                w[i * shape->dim[1] + j] += x * v->A[k * v->max_in + j];
        }
    return true;
}

static firn_status check(const void *settings, const char *file, struct firn_error *err)
{
    return firn_wrap_check(&((const struct vera *) settings)->wrap, file, err);
}

static void describe(const void *settings, const struct firn_param_set *params, json_t *config)
{
    const struct vera *v = settings;
    firn_wrap_describe(&v->wrap, params, ".vera_lambda_b", config);
    json_object_set_new(config, "bias", json_string(bias_words[v->wrap.bias]));
    json_object_set_new(config, "d_initial", firn_number_tree(v->d_initial));
    json_object_set_new(config, "fan_in_fan_out", json_false());
    json_object_set_new(config, "init_weights", json_boolean(v->init_weights));
    json_object_set_new(config, "layers_pattern", firn_copy_or_null(v->wrap.layers_pattern));
    json_object_set_new(config, "layers_to_transform", firn_copy_or_null(v->wrap.layers_to_transform));
    json_object_set_new(config, "projection_prng_key", json_integer(v->key));
    json_object_set_new(config, "r", json_integer(v->r));
    json_object_set_new(config, "save_projection", json_true());
    json_object_set_new(config, "vera_dropout", json_real(v->dropout));
    json_object_del(config, "exclude_modules"); /* PEFT's VeRA has none */
}

const struct firn_method firn_method_vera = {
    .name = "vera",
    .peft_type = "VERA",
    .keys = keys,
    .settings_size = sizeof(struct vera),
    .ignores = ignores,
    .open = open_vera,
    .close = close_vera,
    .targets = targets,
    .copies = copies,
    .trains = trains,
    .linear = linear,
    .embed = embed,
    .freeze = freeze,
    .reads = reads,
    .store = store,
    .merge = merge,
    .check = check,
    .describe = describe,
};
