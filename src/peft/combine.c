/* SPDX-License-Identifier: Apache-2.0 */
/* A sum of low-rank updates is one of the sum of their ranks: B1 A1 w1 s1 + B2 A2 w2 s2 = [B1 B2] [w1 s1 A1; w2 s2 A2]. */
#include "peft/combine.h"

#include "peft/files.h"
#include "peft/keys.h"
#include "peft/wrap.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct part {
    const char *directory;
    double weight;
    char *config_path;
    json_t *config;
    struct firn_numbers alphas;
    struct firn_safetensors file;
};

static const struct { const char *a, *b; } factor_names[] = { { ".lora_A.weight", ".lora_B.weight" },
                                                              { ".lora_embedding_A", ".lora_embedding_B" } };

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static firn_status refuse(const struct part *p, const char *key, const char *expected, struct firn_error *err)
{
    char *got = firn_json_dump(json_object_get(p->config, key), 0, false);
    const firn_status status = firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = p->config_path, .key = key, .expected = expected,
                                         .got = got != NULL ? got : "?");
    free(got);
    return status;
}

static firn_status open_part(struct part *p, struct firn_error *err)
{
    char *path = firn_path_join(p->directory, "adapter_model.safetensors");
    p->config_path = firn_path_join(p->directory, "adapter_config.json");
    firn_status status = path != NULL && p->config_path != NULL
                             ? firn_json_load(p->config_path, &p->config, err)
                             : firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a path");
    const char *type = json_string_value(json_object_get(p->config, "peft_type"));
    const char *bias = json_string_value(json_object_get(p->config, "bias"));
    const json_t *start = json_object_get(p->config, "init_lora_weights");
    if (status == FIRN_OK && (type == NULL || strcmp(type, "LORA") != 0))
        status = refuse(p, "peft_type", "LORA", err);
    if (status == FIRN_OK && json_is_true(json_object_get(p->config, "use_dora")))
        status = refuse(p, "use_dora", "false: sums of normalised weights are no such weights", err);
    if (status == FIRN_OK && json_is_true(json_object_get(p->config, "lora_bias")))
        status = refuse(p, "lora_bias", "false", err);
    if (status == FIRN_OK && bias != NULL && strcmp(bias, "none") != 0)
        status = refuse(p, "bias", "none", err);
    if (status == FIRN_OK && json_is_string(start) &&
        (strncmp(json_string_value(start), "pissa", 5) == 0 || strcmp(json_string_value(start), "olora") == 0))
        status = refuse(p, "init_lora_weights", "a plain adapter (firn's and PEFT's conversion saves one)", err);
    if (status == FIRN_OK)
        status = firn_numbers_open(&p->alphas, json_object_get(p->config, "alpha_pattern"), false, p->config_path,
                                   "alpha_pattern", err);
    if (status == FIRN_OK)
        status = firn_safetensors_open(&p->file, path, err);
    free(path);
    return status;
}

static void close_part(struct part *p)
{
    firn_safetensors_close(&p->file);
    firn_numbers_close(&p->alphas);
    json_decref(p->config);
    free(p->config_path);
}

static double scale_of(const struct part *p, const char *path, int64_t r)
{
    const json_t *alpha = json_object_get(p->config, "lora_alpha");
    const double own = firn_numbers_find(&p->alphas, path, json_is_number(alpha) ? json_number_value(alpha) : 8);
    return own / (json_is_true(json_object_get(p->config, "use_rslora")) ? sqrt((double) r) : (double) r);
}

/* The pair of a part, or false: it has none for this module. */
static bool find_pair(const struct part *p, const char *module, int kind, const struct firn_tensor **A,
                      const struct firn_tensor **B)
{
    *A = firn_safetensors_find(&p->file, FIRN_STR("%s%s", module, factor_names[kind].a));
    *B = firn_safetensors_find(&p->file, FIRN_STR("%s%s", module, factor_names[kind].b));
    return *A != NULL && *B != NULL;
}

/* Writes a part's factors into rows (columns of B) from `at` on. */
static firn_status put_pair(const struct part *p, const char *path, const struct firn_tensor *A, const struct firn_tensor *B,
                            int64_t at, int64_t all, float *to_a, float *to_b, struct firn_error *err)
{
    const int64_t r = A->shape.dim[0], n_in = A->shape.dim[1], n_out = B->shape.dim[0];
    const float scale = (float) (p->weight * scale_of(p, path, r));
    float *b = malloc(sizeof *b * (size_t) (n_out * r + 1));
    if (b == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .key = path, .what = "out of memory for factors");
    firn_tensor_read_f32(A, 0, r * n_in, to_a + at * n_in);
    for (int64_t i = 0; i < r * n_in; i++)
        to_a[at * n_in + i] *= scale;
    firn_tensor_read_f32(B, 0, n_out * r, b);
    for (int64_t i = 0; i < n_out; i++)
        memcpy(to_b + i * all + at, b + i * r, sizeof *b * (size_t) r);
    free(b);
    return FIRN_OK;
}

/* All parts' factors of one module side by side; *rank: of them together. */
static firn_status join_module(const struct part *parts, size_t n, const char *module, int kind, struct firn_tensors *out,
                               int64_t *rank, struct firn_error *err)
{
    const struct firn_tensor *A, *B, *first_a = NULL, *first_b = NULL;
    int64_t all = 0, at = 0;
    firn_status status = FIRN_OK;
    for (size_t i = 0; i < n; i++) {
        if (!find_pair(&parts[i], module, kind, &A, &B))
            continue;
        first_a = first_a != NULL ? first_a : A;
        first_b = first_b != NULL ? first_b : B;
        const bool fits = A->shape.rank == 2 && B->shape.rank == 2 && A->shape.dim[0] == B->shape.dim[1] &&
                          A->shape.dim[1] == first_a->shape.dim[1] && B->shape.dim[0] == first_b->shape.dim[0] &&
                          firn_dtype_is_float(A->dtype) && firn_dtype_is_float(B->dtype);
        if (!fits)
            return firn_fail(err, FIRN_ERR_SHAPE, .file = parts[i].file.path, .key = module,
                             .expected = "factors of the same layer as the other adapters have",
                             .got = FIRN_STR("%s and %s", FIRN_SHAPE_STR(&A->shape), FIRN_SHAPE_STR(&B->shape)));
        all += A->shape.dim[0];
    }
    float *to_a = firn_tensors_put(out, FIRN_STR("%s%s", module, factor_names[kind].a), firn_dims(all, first_a->shape.dim[1]));
    float *to_b = firn_tensors_put(out, FIRN_STR("%s%s", module, factor_names[kind].b), firn_dims(first_b->shape.dim[0], all));
    if (to_a == NULL || to_b == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .key = module, .what = "out of memory for factors");
    for (size_t i = 0; i < n && status == FIRN_OK; i++) {
        if (!find_pair(&parts[i], module, kind, &A, &B))
            continue;
        status = put_pair(&parts[i], module + sizeof FIRN_PREFIX - 1, A, B, at, all, to_a, to_b, err);
        at += A->shape.dim[0];
    }
    *rank = all;
    return status;
}

/* Every tensor of every part: factors are joined once, what is no factor may come from one part only. */
static firn_status join_all(const struct part *parts, size_t n, struct firn_tensors *out, json_t *ranks, struct firn_error *err)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < parts[i].file.count; k++) {
            const struct firn_named_tensor *t = &parts[i].file.tensors[k];
            int kind = -1;
            bool is_second = false;
            for (int f = 0; f < 2; f++) {
                kind = ends_with(t->name, factor_names[f].a) ? f : kind;
                is_second |= ends_with(t->name, factor_names[f].b);
            }
            const bool is_known = firn_tensors_find(out, t->name) != NULL;
            const bool is_prefixed = strncmp(t->name, FIRN_PREFIX, sizeof FIRN_PREFIX - 1) == 0;
            firn_status status = FIRN_OK;
            if (kind >= 0 && is_prefixed && !is_known) {
                const char *module = FIRN_STR("%.*s", (int) (strlen(t->name) - strlen(factor_names[kind].a)), t->name);
                char *copy = firn_strdup(module);
                int64_t rank = 0;
                status = copy != NULL ? join_module(parts, n, copy, kind, out, &rank, err)
                                      : firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a name");
                if (status == FIRN_OK)
                    json_object_set_new(ranks, copy + sizeof FIRN_PREFIX - 1, json_integer(rank));
                free(copy);
            } else if (kind < 0 && !is_second && is_known) {
                status = firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = parts[i].file.path, .key = t->name,
                                   .expected = "a module that one adapter trains whole", .got = "several");
            } else if (kind < 0 && !is_second) {
                status = firn_tensors_add(out, t, err);
            }
            if (status)
                return status;
        }
    return FIRN_OK;
}

/* alpha = r everywhere: the scales are in the factors. */
static json_t *describe(const struct part *first, const json_t *ranks)
{
    json_t *config = json_deep_copy(first->config), *pattern = json_object(), *targets = json_array();
    const char *path;
    json_t *rank;
    json_int_t most = 1;
    json_object_foreach ((json_t *) ranks, path, rank) {
        most = json_integer_value(rank) > most ? json_integer_value(rank) : most;
        json_array_append_new(targets, json_string(path));
    }
    json_object_foreach ((json_t *) ranks, path, rank) {
        if (json_integer_value(rank) != most)
            json_object_set(pattern, path, rank);
    }
    json_object_set_new(config, "r", json_integer(most));
    json_object_set_new(config, "lora_alpha", json_integer(most));
    json_object_set_new(config, "use_rslora", json_false());
    json_object_set_new(config, "init_lora_weights", json_true());
    json_object_set_new(config, "alpha_pattern", json_deep_copy(pattern));
    json_object_set_new(config, "rank_pattern", pattern);
    json_object_set_new(config, "target_modules", firn_sorted_names(targets));
    json_object_set_new(config, "exclude_modules", json_null());
    json_object_set_new(config, "layers_pattern", json_null());
    json_object_set_new(config, "layers_to_transform", json_null());
    json_decref(targets);
    return config;
}

static firn_status write_all(const struct part *first, const struct firn_tensors *tensors, const json_t *ranks,
                             const char *out, struct firn_error *err)
{
    char *path = firn_path_join(out, "adapter_model.safetensors"), *config_path = firn_path_join(out, "adapter_config.json");
    char *facts = firn_path_join(out, "firn.json"), *from = firn_path_join(first->directory, "firn.json"), *data = NULL;
    json_t *config = describe(first, ranks);
    size_t size = 0;
    firn_status status = path != NULL && config_path != NULL && facts != NULL && from != NULL && config != NULL
                             ? firn_dir_create(out, err)
                             : firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for an adapter's files");
    if (status == FIRN_OK)
        status = firn_safetensors_save(path, tensors->list, tensors->count, err);
    if (status == FIRN_OK)
        status = firn_json_save(config_path, config, true, err);
    if (status == FIRN_OK && firn_path_exists(from)) {
        status = firn_file_read(from, 1 << 24, &data, &size, err);
        if (status == FIRN_OK)
            status = firn_file_write(facts, data, size, err);
    }
    json_decref(config);
    free(data);
    free(path);
    free(config_path);
    free(facts);
    free(from);
    return status;
}

firn_status firn_adapters_combine(const char *const *directories, const double *weights, size_t n, const char *out,
                                  struct firn_error *err)
{
    struct part *parts = calloc(n + 1, sizeof *parts);
    struct firn_tensors tensors = { 0 };
    json_t *ranks = json_object();
    firn_status status = parts != NULL && ranks != NULL ? FIRN_OK
                                                        : firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for adapters");
    for (size_t i = 0; i < n && status == FIRN_OK; i++) {
        parts[i].directory = directories[i];
        parts[i].weight = weights[i];
        status = open_part(&parts[i], err);
    }
    if (status == FIRN_OK)
        status = join_all(parts, n, &tensors, ranks, err);
    if (status == FIRN_OK)
        status = write_all(&parts[0], &tensors, ranks, out, err);
    firn_tensors_free(&tensors);
    json_decref(ranks);
    for (size_t i = 0; i < n && parts != NULL; i++)
        close_part(&parts[i]);
    free(parts);
    return status;
}
