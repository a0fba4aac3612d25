/* SPDX-License-Identifier: Apache-2.0 */
/* First factors of LoRA from a decomposition. */
#include "peft/lora_start.h"

#include "base/hash.h"
#include "base/rng.h"
#include "peft/keys.h"
#include "tensor/linalg.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

firn_status firn_lora_start_read(const json_t *v, enum firn_lora_start *start, int *n_iter, const char *file,
                                 struct firn_error *err)
{
    static const char iterated[] = "pissa_niter_";
    static const struct { const char *word; enum firn_lora_start start; } words[] = {
        { "gaussian", FIRN_START_GAUSSIAN }, { "pissa", FIRN_START_PISSA }, { "olora", FIRN_START_OLORA },
        { "orthogonal", FIRN_START_ORTHOGONAL }, { "loftq", FIRN_START_LOFTQ } };
    const char *word = json_string_value(v);
    int64_t n = 0;
    *n_iter = -1;
    *start = json_is_false(v) ? FIRN_START_FALSE : FIRN_START_TRUE;
    if (v == NULL || json_is_null(v) || json_is_boolean(v))
        return FIRN_OK;
    for (size_t i = 0; word != NULL && i < sizeof words / sizeof words[0]; i++)
        if (strcmp(word, words[i].word) == 0) {
            *start = words[i].start;
            return FIRN_OK;
        }
    if (word != NULL && strncmp(word, iterated, sizeof iterated - 1) == 0 &&
        firn_int_parse(word + sizeof iterated - 1, &n) && n >= 0 && n <= 1000) {
        *start = FIRN_START_PISSA;
        *n_iter = (int) n;
        return FIRN_OK;
    }
    return firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = file, .key = "init_lora_weights",
                     .expected = "true, false, gaussian, orthogonal, olora, loftq, pissa or pissa_niter_K",
                     .got = word != NULL ? word : "something else");
}

static void fill_normal(float *x, int64_t n, uint64_t seed, uint32_t stream, uint32_t step)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = firn_normal(seed, stream, step, (uint64_t) i);
}

/* A = diag(sqrt(S / s)) Vt, B = U diag(sqrt(S / s)): s B A is the best approximation of rank r. */
static bool start_pissa(int n_iter, const float *w, int64_t n_out, int64_t n_in, int64_t r, double scale, uint64_t seed,
                        uint32_t stream, float *A, float *B)
{
    float *s = malloc(sizeof *s * (size_t) (r + 1));
    float *start = n_iter < 0 ? NULL : malloc(sizeof *start * (size_t) ((n_in < n_out ? n_in : n_out) * r + 1));
    bool done = s != NULL && (n_iter < 0 || start != NULL);
    if (done && n_iter < 0)
        done = firn_svd(w, n_out, n_in, r, B, s, A);
    if (done && n_iter >= 0) {
        fill_normal(start, (n_in < n_out ? n_in : n_out) * r, seed, stream, 0);
        done = firn_svd_random(w, n_out, n_in, r, n_iter, start, B, s, A);
    }
    for (int64_t k = 0; k < r && done; k++) {
        const float root = (float) sqrt((double) s[k] / scale);
        for (int64_t j = 0; j < n_in; j++)
            A[k * n_in + j] *= root;
        for (int64_t i = 0; i < n_out; i++)
            B[i * r + k] *= root;
    }
    free(s);
    free(start);
    return done;
}

/* Half of the rows of an orthogonal matrix mix A, the other half B, so that B A = 0 with neither zero. */
static bool start_orthogonal(int64_t n_out, int64_t n_in, int64_t r, uint64_t seed, uint32_t stream, float *A, float *B)
{
    const int64_t half = r / 2;
    float *x = malloc(sizeof *x * (size_t) (r * r + 1)), *q = malloc(sizeof *q * (size_t) (r * r + 1));
    float *R = malloc(sizeof *R * (size_t) (r * r + 1));
    bool done = x != NULL && q != NULL && R != NULL;
    if (done) {
        fill_normal(x, r * r, seed, stream, 0);
        done = firn_qr(x, r, r, r, q, R);
    }
    for (int64_t j = 0; j < n_in && done; j++)
        for (int64_t k = 0; k < r; k++) {
            double sum = 0;
            for (int64_t h = 0; h < half; h++)
                sum += (double) firn_normal(seed, stream, 1, (uint64_t) (j * half + h)) * (double) q[2 * h * r + k];
            A[k * n_in + j] = (float) (sum / 10);
        }
    for (int64_t i = 0; i < n_out && done; i++)
        for (int64_t k = 0; k < r; k++) {
            double sum = 0;
            for (int64_t h = 0; h < half; h++)
                sum += (double) firn_normal(seed, stream, 2, (uint64_t) (i * half + h)) * (double) q[(2 * h + 1) * r + k];
            B[i * r + k] = (float) (sum / 10);
        }
    free(x);
    free(q);
    free(R);
    return done;
}

firn_status firn_lora_start(enum firn_lora_start start, int n_iter, const float *w, int64_t n_out, int64_t n_in,
                            int64_t r, double scale, uint64_t seed, const char *path, float *A, float *B,
                            struct firn_error *err)
{
    const uint32_t stream = (uint32_t) firn_fnv1a(FIRN_FNV_START, path, strlen(path));
    const int64_t most = n_out < n_in ? n_out : n_in;
    bool done;
    if (start == FIRN_START_ORTHOGONAL) {
        if (r % 2 != 0)
            return firn_fail(err, FIRN_ERR_USAGE, .key = FIRN_STR("r of %s", path),
                             .expected = "an even rank for init_lora_weights: orthogonal",
                             .got = FIRN_STR("%lld", (long long) r));
        done = start_orthogonal(n_out, n_in, r, seed, stream, A, B);
    } else {
        if (r > most)
            return firn_fail(err, FIRN_ERR_USAGE, .key = FIRN_STR("r of %s", path),
                             .expected = FIRN_STR("at most %lld, the rank of its weight", (long long) most),
                             .got = FIRN_STR("%lld", (long long) r));
        done = start == FIRN_START_PISSA ? start_pissa(n_iter, w, n_out, n_in, r, scale, seed, stream, A, B)
                                         : firn_qr(w, n_out, n_in, r, B, A);
    }
    return done ? FIRN_OK
                : firn_fail(err, FIRN_ERR_FORMAT, .key = path,
                            .what = "its weight cannot be decomposed: it has values that are not finite, or there is no memory");
}

firn_status firn_lora_start_loftq(enum firn_dtype dtype, int n_iter, const float *w, int64_t n_out, int64_t n_in, int64_t r,
                                  const char *path, float *A, float *B, float *base, struct firn_error *err)
{
    const struct firn_shape shape = firn_dims(n_out, n_in);
    const size_t n = (size_t) (n_out * n_in);
    float *rest = malloc(sizeof *rest * (n + 1)), *q = malloc(sizeof *q * (n + 1)), *s = malloc(sizeof *s * (size_t) (r + 1));
    firn_status status = rest != NULL && q != NULL && s != NULL
                             ? FIRN_OK
                             : firn_fail(err, FIRN_ERR_MEMORY, .key = path, .what = "out of memory for it");
    if (status == FIRN_OK && r > (n_out < n_in ? n_out : n_in))
        status = firn_fail(err, FIRN_ERR_USAGE, .key = FIRN_STR("r of %s", path),
                           .expected = FIRN_STR("at most %lld, the rank of its weight", (long long) (n_out < n_in ? n_out : n_in)),
                           .got = FIRN_STR("%lld", (long long) r));
    for (int turn = 0; turn < n_iter && status == FIRN_OK; turn++) {
        for (int64_t i = 0; i < n_out; i++)
            for (int64_t j = 0; j < n_in; j++) {
                double sum = 0;
                for (int64_t k = 0; k < r && turn > 0; k++)
                    sum += (double) B[i * r + k] * (double) A[k * n_in + j];
                rest[i * n_in + j] = (float) ((double) w[i * n_in + j] - sum);
            }
        memcpy(q, rest, sizeof *q * n);
        status = firn_quantise_values(dtype, &shape, q, err);
        for (size_t i = 0; i < n && status == FIRN_OK; i++)
            q[i] = w[i] - q[i];
        if (status == FIRN_OK && !firn_svd(q, n_out, n_in, r, B, s, A))
            status = firn_fail(err, FIRN_ERR_FORMAT, .key = path,
                               .what = "its weight cannot be decomposed: it has values that are not finite, or there is no memory");
        for (int64_t k = 0; k < r && status == FIRN_OK; k++) {
            const float root = (float) sqrt((double) s[k]);
            for (int64_t j = 0; j < n_in; j++)
                A[k * n_in + j] *= root;
            for (int64_t i = 0; i < n_out; i++)
                B[i * r + k] *= root;
        }
    }
    if (status == FIRN_OK && base != NULL)
        memcpy(base, rest, sizeof *base * n);
    free(rest);
    free(q);
    free(s);
    return status;
}

firn_status firn_loftq_config_read(const json_t *config, int64_t *bits, int64_t *n_iter, const char *file,
                                   struct firn_error *err)
{
    const char *key;
    json_t *v;
    *bits = 4;
    *n_iter = 1;
    if (!firn_is_unset(config) && !json_is_object(config))
        return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = "loftq_config", .expected = "loftq_bits and loftq_iter",
                         .got = "something else");
    json_object_foreach ((json_t *) config, key, v) {
        const bool is_bits = strcmp(key, "loftq_bits") == 0;
        const json_int_t x = json_integer_value(v);
        if (!is_bits && strcmp(key, "loftq_iter") != 0)
            return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = FIRN_STR("loftq_config.%s", key), .what = "unknown key");
        if (!json_is_integer(v) || (is_bits ? x != 4 && x != 8 : x < 1 || x > 100))
            return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = FIRN_STR("loftq_config.%s", key),
                             .expected = is_bits ? "4 or 8" : "1 to 100",
                             .got = json_is_integer(v) ? FIRN_STR("%lld", (long long) x) : "something else");
        *(is_bits ? bits : n_iter) = (int64_t) x;
    }
    return FIRN_OK;
}

firn_status firn_lora_check_ranks(const struct firn_param_set *params, const char *file, struct firn_error *err)
{
    char path[600];
    for (size_t i = 0; i < params->count; i++) {
        const struct firn_param *A = &params->list[i];
        const struct firn_param *B = firn_wrap_path(A, "lora_A.weight", path, sizeof path)
                                         ? firn_wrap_find(params, path, "lora_B.weight") : NULL;
        const int64_t most = B == NULL ? 0 : B->shape.dim[0] < A->shape.dim[1] ? B->shape.dim[0] : A->shape.dim[1];
        if (B != NULL && A->shape.dim[0] > most)
            return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = FIRN_STR("method.r (of %s)", path),
                             .expected = FIRN_STR("at most %lld, the rank of its weight (rank_pattern sets others)", (long long) most),
                             .got = FIRN_STR("%lld", (long long) A->shape.dim[0]));
    }
    return FIRN_OK;
}
