/* SPDX-License-Identifier: Apache-2.0 */
/* Bottleneck adapters: A(v) = s (act(v Wdt + bd) Wut + bu) at the end of sub-layers; Houlsby et al. 2019, Pfeiffer et al.
 * 2021, parallel (He et al. 2022). Settings, names and placement are those of adapter-hub's library `adapters`. */
#include "peft/keys.h"
#include "model/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define LN_EPS 1e-5f /* of PyTorch's LayerNorm */

enum init_rule { INIT_BERT, INIT_MAM, INIT_HOULSBY };

struct bottleneck {
    char *name, *non_linearity;
    bool mh_adapter, output_adapter, cross_adapter, ln_before, ln_after, is_parallel;
    bool original_ln_before, original_ln_after, adapter_residual_before_ln;
    double dropout;
    int init; /* enum init_rule */
    json_t *reduction_factor, *scaling, *leave_out, *residual_before_ln;
};

#define AT(field) offsetof(struct bottleneck, field)
static const char *const init_words[] = { "bert", "mam_adapter", "houlsby", NULL };
// clang-format off
static const struct firn_option keys[] = {
    { "name",               .type = FIRN_OPTION_TEXT, .offset = AT(name), .fallback = "default",
      .help = "of the adapter, a part of its tensors' names" },
    { "reduction_factor",   .type = FIRN_OPTION_TREE, .offset = AT(reduction_factor),
      .help = "width over bottleneck; a number, or a mapping from layers' numbers and `default`" },
    { "non_linearity",      .type = FIRN_OPTION_TEXT, .offset = AT(non_linearity), .fallback = "relu",
      .help = "relu, gelu, gelu_new, swish (silu), tanh, leakyrelu or linear" },
    { "mh_adapter",         .type = FIRN_OPTION_BOOL, .offset = AT(mh_adapter), .fallback = "false",
      .help = "one after attention" },
    { "output_adapter",     .type = FIRN_OPTION_BOOL, .offset = AT(output_adapter), .fallback = "true",
      .help = "one after the feed-forward part" },
    { "cross_adapter",      .type = FIRN_OPTION_BOOL, .offset = AT(cross_adapter), .fallback = "false",
      .help = "one after cross-attention" },
    { "is_parallel",        .type = FIRN_OPTION_BOOL, .offset = AT(is_parallel), .fallback = "false",
      .help = "beside the sub-layer, on its residual input" },
    { "scaling",            .type = FIRN_OPTION_TREE, .offset = AT(scaling),
      .help = "of the output: a number, learned or channel" },
    { "dropout",            .type = FIRN_OPTION_REAL, .offset = AT(dropout), .fallback = "0", .max = 0.99,
      .help = "of the output" },
    { "init_weights",       .type = FIRN_OPTION_WORD, .offset = AT(init), .fallback = "bert", .words = init_words,
      .help = "first values" },
    { "leave_out",          .type = FIRN_OPTION_TREE, .offset = AT(leave_out),
      .help = "numbers of layers without one" },
    { "ln_before",          .type = FIRN_OPTION_BOOL, .offset = AT(ln_before), .fallback = "false",
      .help = "a trained norm in front" },
    { "ln_after",           .type = FIRN_OPTION_BOOL, .offset = AT(ln_after), .fallback = "false",
      .help = "a trained norm behind" },
    { "original_ln_before", .type = FIRN_OPTION_BOOL, .offset = AT(original_ln_before), .fallback = "false",
      .help = "the base's residual and norm go before" },
    { "original_ln_after",  .type = FIRN_OPTION_BOOL, .offset = AT(original_ln_after), .fallback = "true",
      .help = "the base's residual and norm go behind" },
    { "residual_before_ln", .type = FIRN_OPTION_TREE, .offset = AT(residual_before_ln),
      .help = "the adapter's residual is taken before the base's norm; true, false or post_add" },
    { "adapter_residual_before_ln", .type = FIRN_OPTION_BOOL, .offset = AT(adapter_residual_before_ln), .fallback = "false",
      .help = "the adapter's residual is added before ln_after" },
    { NULL }
};

/* What a name alone says. The first of each pair is the paper's, the second adapter-hub's. */
static const struct preset { const char *words[3], *json; } presets[] = {
    { { "houlsby", "double_seq_bn" },
      "{\"mh_adapter\":true,\"original_ln_before\":false,\"non_linearity\":\"swish\",\"reduction_factor\":16}" },
    { { "pfeiffer", "seq_bn" },
      "{\"mh_adapter\":false,\"original_ln_before\":true,\"non_linearity\":\"relu\",\"reduction_factor\":16}" },
    { { "parallel", "par_bn" },
      "{\"mh_adapter\":false,\"original_ln_before\":false,\"non_linearity\":\"relu\",\"reduction_factor\":2,"
      "\"is_parallel\":true,\"scaling\":4.0,\"init_weights\":\"mam_adapter\"}" },
    { { "scaled_parallel", "scaled_par_bn" },
      "{\"mh_adapter\":false,\"original_ln_before\":false,\"non_linearity\":\"relu\",\"reduction_factor\":2,"
      "\"is_parallel\":true,\"scaling\":\"learned\",\"init_weights\":\"mam_adapter\"}" },
};
// clang-format on
enum { N_PRESETS = sizeof presets / sizeof presets[0] };
static const char *const also[] = { "houlsby", "double_seq_bn", "pfeiffer", "seq_bn", "parallel", "par_bn",
                                    "scaled_parallel", "scaled_par_bn", "bottleneck", NULL };
static const char *const refuses[] = { "use_gating", "inv_adapter", "phm_layer", "stochastic_depth", "architecture", NULL };
/* Of parts that are refused above, and what says nothing about the mathematics. */
static const char *const ignores[] = { "inv_adapter_reduction_factor", "phm_dim", "factorized_phm_W", "factorized_phm_rule",
                                       "shared_W_phm", "shared_phm_rule", "phm_c_init", "phm_init_range", "learn_phm",
                                       "hypercomplex_nonlinearity", "phm_rank", "phm_bias", "init_weights_seed", NULL };
/* Of adapter_config.json, beside "config". */
static const char *const outer[] = { "config", "config_id", "type", "hidden_size", "model_class", "model_type", "model_name",
                                     "version", NULL };

static bool is_in(const char *const *list, const char *word)
{
    for (; *list != NULL; list++)
        if (strcmp(*list, word) == 0)
            return true;
    return false;
}

/* {"config": {...}, "model_class": ..., "model_type": ...} */
static bool owns(const json_t *config)
{
    return json_object_get(config, "config") != NULL && json_object_get(config, "model_type") != NULL;
}

static const struct preset *find_preset(const char *word)
{
    for (int i = 0; word != NULL && i < N_PRESETS; i++)
        if (is_in(presets[i].words, word))
            return &presets[i];
    return NULL;
}

/* Before adapter-hub numbered its files, gelu meant the approximation and gelu_orig the exact one. */
static void respell_old(json_t *nested)
{
    const char *word = json_string_value(json_object_get(nested, "non_linearity"));
    if (word != NULL && strcmp(word, "gelu") == 0)
        json_object_set_new(nested, "non_linearity", json_string("gelu_new"));
    else if (word != NULL && strcmp(word, "gelu_orig") == 0)
        json_object_set_new(nested, "non_linearity", json_string("gelu"));
}

/* A named preset, then what `config` holds, then the keys beside it, as one flat mapping. */
static firn_status spell(json_t *config, const char *file, const char *section, struct firn_error *err)
{
    json_t *nested = json_object_get(config, "config");
    const char *word = json_string_value(json_object_get(config, "type")), *named = json_string_value(nested);
    const struct preset *preset = find_preset(named != NULL ? named : word);
    if ((nested != NULL && !json_is_object(nested) && preset == NULL) || json_is_null(nested))
        return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = FIRN_STR("%sconfig", section),
                         .expected = "houlsby, pfeiffer, parallel, scaled_parallel or a mapping",
                         .got = named != NULL ? named : "something else");
    if (preset == NULL) /* the library's own default */
        preset = find_preset("pfeiffer");
    json_t *flat = json_loads(preset->json, 0, NULL);
    bool failed = flat == NULL;
    if (json_is_object(nested)) {
        if (owns(config) && json_object_get(config, "version") == NULL)
            respell_old(nested);
        failed |= json_object_update(flat, nested) != 0;
    }
    const char *key;
    json_t *value;
    json_object_foreach (config, key, value)
        if (!is_in(outer, key))
            failed |= json_object_set(flat, key, value) != 0;
    failed |= json_object_clear(config) != 0 || json_object_update(config, flat) != 0;
    json_decref(flat);
    /* off by zero, not by false */
    if (json_is_number(json_object_get(config, "stochastic_depth")) &&
        json_number_value(json_object_get(config, "stochastic_depth")) == 0)
        json_object_del(config, "stochastic_depth");
    return failed ? firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for settings") : FIRN_OK;
}

static const struct { const char *word; int activation; } non_linearities[] = {
    { "relu", FIRN_RELU }, { "gelu", FIRN_GELU }, { "gelu_python", FIRN_GELU }, { "gelu_new", FIRN_GELU_TANH },
    { "gelu_pytorch_tanh", FIRN_GELU_TANH }, { "gelu_fast", FIRN_GELU_TANH }, { "swish", FIRN_SILU },
    { "silu", FIRN_SILU }, { "tanh", FIRN_TANH }, { "linear", -1 }, { "leakyrelu", -2 },
};
enum { N_NON_LINEARITIES = sizeof non_linearities / sizeof non_linearities[0] };

static bool find_activation(const char *word, int *activation)
{
    for (int i = 0; word != NULL && i < N_NON_LINEARITIES; i++)
        if (strcasecmp(non_linearities[i].word, word) == 0) {
            *activation = non_linearities[i].activation;
            return true;
        }
    return false;
}

static firn_status bad(const char *file, const char *key, const char *expected, const json_t *value, struct firn_error *err)
{
    char *text = firn_json_dump(value, 0, false);
    const firn_status status = firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = key, .expected = expected,
                                         .got = text != NULL ? text : "something else");
    free(text);
    return status;
}

static bool is_factor(const json_t *v)
{
    return json_is_number(v) && json_number_value(v) > 0 && json_number_value(v) < 1e9;
}

static firn_status check_factor(const struct bottleneck *a, const struct firn_model *m, const char *file,
                                struct firn_error *err)
{
    const char *key;
    json_t *value;
    const json_t *f = a->reduction_factor;
    bool good = json_is_object(f) || is_factor(f);
    json_object_foreach ((json_t *) f, key, value)
        good &= is_factor(value);
    if (!good)
        return bad(file, "reduction_factor", "a number above 0, or a mapping from layers to such numbers", f, err);
    for (int64_t i = 0; json_is_object(f) && i < m->config.n_layers + m->config.n_decoder_layers; i++)
        if (json_object_get(f, FIRN_STR("%lld", (long long) i)) == NULL && json_object_get(f, "default") == NULL)
            return bad(file, "reduction_factor", FIRN_STR("layer %lld or `default` in it", (long long) i), f, err);
    return FIRN_OK;
}

static firn_status open_bottleneck(void *settings, const struct firn_model *m, enum firn_task task, const char *file,
                                   struct firn_error *err)
{
    struct bottleneck *a = settings;
    int activation;
    (void) task;
    firn_status status = check_factor(a, m, file, err);
    if (status)
        return status;
    if (!find_activation(a->non_linearity, &activation)) {
        struct firn_str words = { 0 };
        for (int i = 0; i < N_NON_LINEARITIES; i++)
            firn_str_addf(&words, "%s%s", i > 0 ? ", " : "one of ", non_linearities[i].word);
        status = firn_fail(err, FIRN_ERR_UNSUPPORTED, .file = file, .key = "non_linearity", .expected = words.data,
                           .got = a->non_linearity);
        firn_str_free(&words);
        return status;
    }
    const char *scaling = json_string_value(a->scaling);
    if (a->scaling != NULL && !json_is_number(a->scaling) &&
        (scaling == NULL || (strcmp(scaling, "learned") != 0 && strcmp(scaling, "channel") != 0)))
        return bad(file, "scaling", "a number, \"learned\" or \"channel\"", a->scaling, err);
    if (a->leave_out != NULL && !json_is_array(a->leave_out))
        return bad(file, "leave_out", "a list of layers' numbers", a->leave_out, err);
    for (size_t i = 0; i < json_array_size(a->leave_out); i++)
        if (!json_is_integer(json_array_get(a->leave_out, i)))
            return bad(file, "leave_out", "whole numbers", json_array_get(a->leave_out, i), err);
    const char *residual = json_string_value(a->residual_before_ln);
    if (a->residual_before_ln != NULL && !json_is_boolean(a->residual_before_ln) &&
        (residual == NULL || strcmp(residual, "post_add") != 0))
        return bad(file, "residual_before_ln", "true, false or \"post_add\"", a->residual_before_ln, err);
    if (residual != NULL && !a->original_ln_before)
        return bad(file, "residual_before_ln", "true or false where original_ln_before is false", a->residual_before_ln, err);
    if (!a->original_ln_before && !a->original_ln_after)
        return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = "original_ln_before, original_ln_after",
                         .expected = "at least one true: the base's residual would be lost", .got = "false and false");
    if (strchr(a->name, '.') != NULL || a->name[0] == '\0')
        return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = "name", .expected = "a word without dots", .got = a->name);
    if (!a->mh_adapter && !a->output_adapter && !a->cross_adapter)
        return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = "mh_adapter, output_adapter, cross_adapter",
                         .expected = "at least one true", .got = "all false");
    return FIRN_OK;
}

/* Heads of classification train whole, under their own names. */
static const char *trains(const void *settings, const struct firn_site *s, const char *part, char *text, size_t size)
{
    static const char *const heads[] = { "classifier", "score", "pre_classifier", NULL };
    char first[32];
    (void) settings;
    snprintf(first, sizeof first, "%.*s", (int) strcspn(s->path, "."), s->path);
    if (s->task > FIRN_TASK_TOKEN_CLS || !is_in(heads, first))
        return NULL;
    snprintf(text, size, "%s.%s", s->path, part);
    return text;
}

static bool sits_at(const struct bottleneck *a, const struct firn_sublayer *s)
{
    for (size_t i = 0; i < json_array_size(a->leave_out); i++)
        if (json_integer_value(json_array_get(a->leave_out, i)) == s->layer)
            return false;
    switch (s->kind) {
    case FIRN_SUBLAYER_ATTENTION:
        return a->mh_adapter;
    case FIRN_SUBLAYER_FEED_FORWARD:
        return a->output_adapter;
    case FIRN_SUBLAYER_CROSS_ATTENTION:
        return a->cross_adapter;
    }
    return false;
}

/* max(1, floor(width / reduction_factor)) */
static int64_t bottleneck_of(const struct bottleneck *a, int64_t layer, int64_t width)
{
    const json_t *f = a->reduction_factor, *own = json_object_get(f, FIRN_STR("%lld", (long long) layer));
    if (json_is_object(f))
        f = own != NULL ? own : json_object_get(f, "default");
    const double m = floor((double) width / (is_factor(f) ? json_number_value(f) : 1));
    return m < 1 ? 1 : m > 1e8 ? (int64_t) 1e8 : (int64_t) m;
}

struct place {
    struct firn_build *b;
    const struct firn_sublayer *s;
    const char *name; /* of the adapter */
};

/* The trained tensor `part` of the adapter at this place. */
static firn_val part(const struct place *at, const char *name, struct firn_shape shape, enum firn_init init, double scale)
{
    static const char *const between[] = { [FIRN_SUBLAYER_ATTENTION] = "attention_adapters.", [FIRN_SUBLAYER_FEED_FORWARD] = "output_adapters.",
                                           [FIRN_SUBLAYER_CROSS_ATTENTION] = "cross_attention_adapters." };
    char text[600];
    snprintf(text, sizeof text, "%s.%sadapters.%s.%s", at->s->path, at->s->is_module ? "" : between[at->s->kind], at->name,
             name);
    return firn_trained(at->b, text, shape, init, scale);
}

/* A trained norm; like all norms it has no decay, whatever its name. */
static firn_val norm(const struct place *at, const char *name, firn_val x)
{
    struct firn_param_set *set = &at->b->adapter->params;
    const struct firn_shape width = firn_dims(firn_val_shape(at->b->g, x).dim[1]);
    const size_t before = set->count;
    const firn_val w = part(at, FIRN_STR("%s.weight", name), width, FIRN_INIT_ONE, 0);
    const firn_val b = part(at, FIRN_STR("%s.bias", name), width, FIRN_INIT_ZERO, 0);
    for (size_t i = before; i < set->count; i++)
        set->list[i].decays = set->decays_all;
    return firn_layer_norm(at->b->g, x, w, b, LN_EPS);
}

static firn_val activate(struct firn_graph *g, const char *word, firn_val x)
{
    int activation = -1;
    find_activation(word, &activation);
    if (activation == -1)
        return x;
    if (activation >= 0)
        return firn_activate(g, (enum firn_activation) activation, x);
    /* leaky: relu(x) - 0.01 relu(-x) */
    return firn_add(g, firn_activate(g, FIRN_RELU, x),
                    firn_scale(g, firn_activate(g, FIRN_RELU, firn_scale(g, x, -1)), -0.01f));
}

/* dropout(s (act(norm(v) Wdt + bd) Wut + bu)) */
static firn_val block(const struct bottleneck *a, const struct place *at, firn_val v)
{
    struct firn_graph *g = at->b->g;
    const int64_t width = firn_val_shape(g, v).dim[1], m = bottleneck_of(a, at->s->layer, width);
    const double mam = 1 / sqrt((double) (width > 0 ? width : 1));
    const enum firn_init down_init = a->init == INIT_MAM    ? FIRN_INIT_UNIFORM
                                     : a->init == INIT_BERT ? FIRN_INIT_NORMAL
                                                            : FIRN_INIT_TRUNCATED;
    const enum firn_init up_init = a->init == INIT_MAM ? FIRN_INIT_ZERO : down_init;
    const double up_scale = a->init == INIT_BERT ? 0.02 : 0.01, down_scale = a->init == INIT_MAM ? mam : up_scale;
    const char *down = a->ln_before ? "adapter_down.1" : "adapter_down.0";
    if (a->ln_before)
        v = norm(at, "adapter_down.0", v);
    const firn_val Wd = part(at, FIRN_STR("%s.weight", down), firn_dims(m, width), down_init, down_scale);
    const firn_val bd = part(at, FIRN_STR("%s.bias", down), firn_dims(m), FIRN_INIT_ZERO, 0);
    const firn_val Wu = part(at, "adapter_up.weight", firn_dims(width, m), up_init, up_scale);
    const firn_val bu = part(at, "adapter_up.bias", firn_dims(width), FIRN_INIT_ZERO, 0);
    firn_val y = activate(g, a->non_linearity, firn_matmul(g, v, Wd, firn_matmul_params(.trans_b = true, .bias = bd)));
    y = firn_matmul(g, y, Wu, firn_matmul_params(.trans_b = true, .bias = bu));
    if (json_is_string(a->scaling)) {
        const bool is_one = strcmp(json_string_value(a->scaling), "learned") == 0;
        y = firn_mul_row(g, y, part(at, "scaling", firn_dims(is_one ? 1 : width), FIRN_INIT_ONE, 0));
    } else if (a->scaling != NULL && json_number_value(a->scaling) != 1) {
        y = firn_scale(g, y, (float) json_number_value(a->scaling));
    }
    return firn_drop(at->b, y, a->dropout);
}

/* A(v) with the adapter's own residual. */
static firn_val sequential(const struct bottleneck *a, const struct place *at, firn_val v, firn_val residual)
{
    struct firn_graph *g = at->b->g;
    firn_val y = block(a, at, v);
    if (a->adapter_residual_before_ln)
        y = firn_add(g, y, residual);
    if (a->ln_after)
        y = norm(at, "adapter_norm_after", y);
    return a->adapter_residual_before_ln ? y : firn_add(g, y, residual);
}

/* The base's norm; used twice its tensors still count once. */
static firn_val base_norm(struct firn_build *b, const struct firn_sublayer *s, firn_val x, bool is_second)
{
    const struct firn_counts before = b->counts;
    if (s->norm == NULL)
        return x;
    x = firn_layer_norm_at(b, s->norm, x);
    if (is_second)
        b->counts = before;
    return x;
}

/* With f the sub-layer's output, x its residual input and LN the base's norm (none in pre-LN models):
 *     houlsby   LN(f + A(f) + x)
 *     pfeiffer  LN(A(LN(f + x)) + f + x)
 *     parallel  LN(f + A(x) + x) */
static firn_val sublayer(const void *settings, struct firn_build *b, const struct firn_sublayer *s)
{
    const struct bottleneck *a = settings;
    const struct place at = { b, s, a->name };
    struct firn_graph *g = b->g;
    if (!sits_at(a, s))
        return firn_join_plain(b, s);
    firn_val h;
    const bool normed = a->original_ln_before && !a->is_parallel;
    if (a->is_parallel) {
        h = block(a, &at, s->x);
        if (a->ln_after)
            h = norm(&at, "adapter_norm_after", h);
        h = firn_add(g, h, s->f);
    } else {
        const firn_val sum = normed ? firn_add(g, s->f, s->x) : s->f, v = normed ? base_norm(b, s, sum, false) : s->f;
        const bool is_before = a->residual_before_ln == NULL || json_is_true(a->residual_before_ln);
        h = sequential(a, &at, v, is_before ? s->f : json_is_string(a->residual_before_ln) ? sum : v);
    }
    return a->original_ln_after ? base_norm(b, s, firn_add(g, h, s->x), normed) : h;
}

/* Whole numbers stay so, but where the library tells a float by its type. */
static json_t *real_or(const json_t *v, double fallback)
{
    return v == NULL              ? json_real(fallback)
           : json_is_number(v) ? json_real(json_number_value(v))
                               : json_deep_copy(v);
}

/* The inner mapping of adapter_config.json, and the name beside it. */
static void describe(const void *settings, const struct firn_param_set *params, json_t *config)
{
    const struct bottleneck *a = settings;
    (void) params;
    json_t *absent = json_pack("{s:n,s:n,s:n,s:b,s:b,s:f}", "inv_adapter", "inv_adapter_reduction_factor", "init_weights_seed",
                               "phm_layer", 0, "use_gating", 0, "stochastic_depth", 0.0);
    json_t *unused = json_pack("{s:i,s:b,s:b,s:b,s:b,s:s,s:f,s:b,s:s,s:i,s:b}", "phm_dim", 4, "factorized_phm_W", 1,
                               "factorized_phm_rule", 0, "shared_W_phm", 0, "shared_phm_rule", 1, "phm_c_init", "normal",
                               "phm_init_range", 0.0001, "learn_phm", 1, "hypercomplex_nonlinearity", "glorot-uniform",
                               "phm_rank", 1, "phm_bias", 1);
    json_object_update(config, absent);
    json_object_update(config, unused);
    json_decref(absent);
    json_decref(unused);
    json_object_set_new(config, "name", json_string(a->name));
    json_object_set_new(config, "mh_adapter", json_boolean(a->mh_adapter));
    json_object_set_new(config, "output_adapter", json_boolean(a->output_adapter));
    json_object_set_new(config, "cross_adapter", json_boolean(a->cross_adapter));
    json_object_set_new(config, "is_parallel", json_boolean(a->is_parallel));
    json_object_set_new(config, "ln_before", json_boolean(a->ln_before));
    json_object_set_new(config, "ln_after", json_boolean(a->ln_after));
    json_object_set_new(config, "original_ln_before", json_boolean(a->original_ln_before));
    json_object_set_new(config, "original_ln_after", json_boolean(a->original_ln_after));
    json_object_set_new(config, "adapter_residual_before_ln", json_boolean(a->adapter_residual_before_ln));
    json_object_set_new(config, "residual_before_ln",
                        a->residual_before_ln != NULL ? json_deep_copy(a->residual_before_ln) : json_true());
    json_object_set_new(config, "non_linearity", json_string(a->non_linearity));
    json_object_set_new(config, "reduction_factor", json_deep_copy(a->reduction_factor));
    json_object_set_new(config, "scaling", real_or(a->scaling, 1));
    json_object_set_new(config, "dropout", json_real(a->dropout));
    json_object_set_new(config, "init_weights", json_string(init_words[a->init]));
    json_object_set_new(config, "leave_out", a->leave_out != NULL ? json_deep_copy(a->leave_out) : json_array());
}

const struct firn_method firn_method_bottleneck = {
    .name = "adapter",
    .peft_type = "BOTTLENECK",
    .also = also,
    .has_hub_files = true,
    .keys = keys,
    .settings_size = sizeof(struct bottleneck),
    .refuses = refuses,
    .ignores = ignores,
    .owns = owns,
    .spell = spell,
    .open = open_bottleneck,
    .trains = trains,
    .sublayer = sublayer,
    .describe = describe,
};
