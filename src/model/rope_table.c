/* SPDX-License-Identifier: Apache-2.0 */
/* The table of rotary angles: cos and sin of every position, in double on the host (a driver's own sin and cos
 * are not exact at large angles). Kinds and keys are those of transformers' modeling_rope_utils.py. */
#include "model/rope_table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double pi = 3.14159265358979323846;
static const char *const kinds[] = { "default", "linear", "dynamic", "llama3", "yarn" };
enum { N_KINDS = sizeof kinds / sizeof kinds[0] };

/* A value read from `tree`, remembered as wrong in `bad` when it is not in [low, high]. */
struct reader {
    const json_t *tree;
    const char *bad;
};

static double number(struct reader *r, const char *key, double fallback, double low, double high)
{
    const json_t *v = json_object_get(r->tree, key);
    const double x = v == NULL || json_is_null(v) ? fallback : json_is_number(v) ? json_number_value(v) : NAN;
    if (!(x >= low && x <= high) && r->bad == NULL)
        r->bad = key;
    return x;
}

static firn_status find_kind(const json_t *tree, enum firn_rope_kind *kind, const char *path, struct firn_error *err)
{
    const json_t *word = json_object_get(tree, "rope_type");
    if (word == NULL)
        word = json_object_get(tree, "type");
    if (word == NULL || json_is_null(word))
        return FIRN_OK;
    for (int i = 0; i < N_KINDS && json_is_string(word); i++)
        if (strcmp(kinds[i], json_string_value(word)) == 0) {
            *kind = (enum firn_rope_kind) i;
            return FIRN_OK;
        }
    return firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = path, .key = "rope_type",
                     .expected = "default, linear, dynamic, llama3 or yarn",
                     .got = json_is_string(word) ? json_string_value(word) : "something else");
}

/* Peng et al. 2023 (YaRN), eq. 22, and DeepSeek's two-sided form of it. */
static double yarn_gain(struct reader *r, double factor)
{
    const double mscale = number(r, "mscale", 0, -1e6, 1e6), all = number(r, "mscale_all_dim", 0, -1e6, 1e6);
    const double log_factor = factor > 1 ? log(factor) : 0;
    double gain = 0.1 * log_factor + 1;
    if (mscale != 0 && all != 0)
        gain = (0.1 * mscale * log_factor + 1) / (0.1 * all * log_factor + 1);
    return number(r, "attention_factor", gain, 1e-6, 1e6);
}

firn_status firn_rope_read(struct firn_rope *rope, double theta, const json_t *scaling, const json_t *parameters,
                           int64_t max_positions, const char *path, struct firn_error *err)
{
    const double most = (double) max_positions;
    /* as transformers: rope_scaling is asked first, unless it is empty */
    const bool is_old = json_object_size(scaling) > 0 || !json_is_object(parameters);
    struct reader r = { .tree = is_old ? scaling : parameters };
    *rope = (struct firn_rope){ .kind = FIRN_ROPE_DEFAULT };
    const firn_status status = find_kind(r.tree, &rope->kind, path, err);
    if (status)
        return status;
    const bool is_scaled = rope->kind != FIRN_ROPE_DEFAULT, is_llama3 = rope->kind == FIRN_ROPE_LLAMA3;
    rope->theta = number(&r, "rope_theta", theta, 1.000001, 1e15);
    rope->original = number(&r, "original_max_position_embeddings", most, 1, 1e9);
    if (rope->kind == FIRN_ROPE_DYNAMIC)
        rope->original = most;
    /* a scaling without its factor is an error, but yarn's may follow from the two lengths */
    rope->factor = number(&r, "factor", rope->kind == FIRN_ROPE_YARN ? most / rope->original : is_scaled ? NAN : 1,
                          is_scaled ? 1e-6 : -INFINITY, is_scaled ? 1e6 : INFINITY);
    rope->low_freq = number(&r, "low_freq_factor", is_llama3 ? NAN : 1, 1e-6, 1e6);
    rope->high_freq = number(&r, "high_freq_factor", is_llama3 ? NAN : 4, 1e-6, 1e6);
    rope->beta_fast = number(&r, "beta_fast", 32, 0, 1e6);
    rope->beta_slow = number(&r, "beta_slow", 1, 0, 1e6);
    if (rope->beta_fast == 0) /* stands for the default */
        rope->beta_fast = 32;
    if (rope->beta_slow == 0)
        rope->beta_slow = 1;
    rope->truncate = !json_is_false(json_object_get(r.tree, "truncate"));
    rope->gain = rope->kind == FIRN_ROPE_YARN ? yarn_gain(&r, rope->factor) : 1;
    number(&r, "partial_rotary_factor", 1, 1, 1);
    if (r.bad == NULL && is_llama3 && !(rope->high_freq > rope->low_freq))
        r.bad = "high_freq_factor";
    if (r.bad == NULL)
        return FIRN_OK;
    const json_t *value = json_object_get(r.tree, r.bad);
    char *got = value != NULL ? firn_json_dump(value, 0, false) : NULL;
    const firn_status wrong = firn_fail(err, FIRN_ERR_FORMAT, .file = path,
                                        .key = FIRN_STR("%s.%s", is_old ? "rope_scaling" : "rope_parameters", r.bad),
                                        .expected = FIRN_STR("a number that %s scaling can use", kinds[rope->kind]),
                                        .got = got != NULL ? got : "none");
    free(got);
    return wrong;
}

int64_t firn_rope_limit(const struct firn_rope *rope, int64_t max_positions)
{
    /* max_position_embeddings is in some files the length before the scaling, in others the one after it */
    double most = (double) max_positions;
    if (rope->kind == FIRN_ROPE_DYNAMIC || rope->kind == FIRN_ROPE_LINEAR)
        most *= fmax(rope->factor, 1);
    else if (rope->kind != FIRN_ROPE_DEFAULT)
        most = fmax(most, rope->original * rope->factor);
    return most < 1e9 ? (int64_t) most : 1000000000;
}

/* Llama 3.1: long waves are slowed by `factor`, short ones kept, a smooth passage between. */
static double llama3(const struct firn_rope *rope, double frequency)
{
    const double wave = 2 * pi / frequency;
    if (wave > rope->original / rope->low_freq)
        return frequency / rope->factor;
    if (wave < rope->original / rope->high_freq)
        return frequency;
    const double smooth = (rope->original / wave - rope->low_freq) / (rope->high_freq - rope->low_freq);
    return (1 - smooth) * frequency / rope->factor + smooth * frequency;
}

/* YaRN: interpolate slow dimensions, extrapolate fast ones, a ramp between the two. */
static double yarn(const struct firn_rope *rope, int64_t i, int64_t dim, double frequency)
{
    const double d = (double) dim, base = 2 * log(rope->theta);
    double from = d * log(rope->original / (rope->beta_fast * 2 * pi)) / base;
    double to = d * log(rope->original / (rope->beta_slow * 2 * pi)) / base;
    if (rope->truncate) {
        from = floor(from);
        to = ceil(to);
    }
    from = fmax(from, 0);
    to = fmin(to, d - 1);
    if (from == to)
        to += 0.001;
    const double ramp = fmin(1, fmax(0, ((double) i - from) / (to - from)));
    return frequency / rope->factor * ramp + frequency * (1 - ramp);
}

/* Dynamic NTK: the base grows once a sequence is longer than the model was trained for. */
static double dynamic_theta(const struct firn_rope *rope, int64_t dim, double length)
{
    const double d = (double) dim;
    if (length <= rope->original || dim <= 2)
        return rope->theta;
    return rope->theta * pow(rope->factor * length / rope->original - (rope->factor - 1), d / (d - 2));
}

/* Rows from .. to of the table, in a sequence of `length` tokens. */
static void fill_rows(float *table, int64_t from, int64_t to, int64_t length, int64_t dim, const struct firn_rope *rope)
{
    const int64_t half = dim / 2;
    const double theta = rope->kind == FIRN_ROPE_DYNAMIC ? dynamic_theta(rope, dim, (double) length) : rope->theta;
    for (int64_t i = 0; i < half; i++) {
        double frequency = pow(theta, -2.0 * (double) i / (double) dim);
        if (rope->kind == FIRN_ROPE_LINEAR)
            frequency /= rope->factor;
        else if (rope->kind == FIRN_ROPE_LLAMA3)
            frequency = llama3(rope, frequency);
        else if (rope->kind == FIRN_ROPE_YARN)
            frequency = yarn(rope, i, dim, frequency);
        if (i < rope->n_factors)
            frequency /= (double) rope->factors[i];
        for (int64_t p = from; p < to; p++) {
            table[p * dim + i] = (float) (rope->gain * cos((double) p * frequency));
            table[p * dim + half + i] = (float) (rope->gain * sin((double) p * frequency));
        }
    }
}

void firn_rope_fill(float *table, int64_t positions, int64_t dim, const struct firn_rope *rope)
{
    fill_rows(table, 0, positions, positions, dim, rope);
}

void firn_rope_fill_growing(float *table, int64_t positions, int64_t dim, const struct firn_rope *rope)
{
    for (int64_t p = 0; p < positions; p++)
        fill_rows(table, p, p + 1, p + 1, dim, rope);
}
