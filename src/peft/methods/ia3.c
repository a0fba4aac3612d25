/* SPDX-License-Identifier: Apache-2.0 */
/* (IA)^3 (Liu et al. 2022, sec. 3.3): the outputs of wrapped layers, or the inputs of those in feedforward_modules, are
 * multiplied by a trained vector. Names, defaults and selection of modules are PEFT's. */
#include "peft/keys.h"
#include "peft/wrap.h"

#include <string.h>

struct ia3 {
    struct firn_wrap wrap;
    json_t *feedforward_modules;
    bool init_ones;
    struct firn_pattern *feedforward; /* made by open, where feedforward_modules is an expression */
};

#define AT(field) offsetof(struct ia3, field)
// clang-format off
static const struct firn_option keys[] = {
    FIRN_WRAP_KEYS(struct ia3),
    { "feedforward_modules", .type = FIRN_OPTION_TREE, .offset = AT(feedforward_modules),
      .help = "wrapped modules whose input is scaled, not their output; unset: by model" },
    { "init_ia3_weights",    .type = FIRN_OPTION_BOOL, .offset = AT(init_ones), .fallback = "true",
      .help = "vectors start at one (false: normal, for tests)" },
    { NULL }
};
static const struct firn_default_targets target_table[] = {
    { "bert",        { "key", "value", "output.dense" } },
    { "roberta",     { "key", "value", "output.dense" } },
    { "gpt2",        { "c_attn", "mlp.c_proj" } },
    { "llama",       { "k_proj", "v_proj", "down_proj" } },
    { "mistral",     { "k_proj", "v_proj", "down_proj" } },
    { "qwen2",       { "q_proj", "v_proj", "down_proj" } },
    { "qwen3",       { "q_proj", "v_proj", "down_proj" } },
    { "gemma",       { "q_proj", "v_proj", "down_proj" } },
    { "gemma2",      { "q_proj", "v_proj", "down_proj" } },
    { "gemma3_text", { "q_proj", "v_proj", "down_proj" } },
    { "t5",          { "k", "v", "wo" } },
    { "mt5",         { "k", "v", "wi_1" } },
    { NULL }
}, feedforward_table[] = {
    { "bert",        { "output.dense" } },
    { "roberta",     { "output.dense" } },
    { "gpt2",        { "mlp.c_proj" } },
    { "llama",       { "down_proj" } },
    { "mistral",     { "down_proj" } },
    { "qwen2",       { "down_proj" } },
    { "qwen3",       { "down_proj" } },
    { "gemma",       { "down_proj" } },
    { "gemma2",      { "down_proj" } },
    { "gemma3_text", { "down_proj" } },
    { "t5",          { "wo" } },
    { "mt5",         { NULL } },
    { NULL }
};
// clang-format on
/* fan_in_fan_out follows from the layer, as in PEFT. */
static const char *const ignores[] = { "fan_in_fan_out", NULL };

static bool is_in(const json_t *list, const char *word)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (strcmp(json_string_value(json_array_get(list, i)), word) == 0)
            return true;
    return false;
}

/* A list must be part of target_modules where that is a list too. An empty list is a setting: all outputs. */
static firn_status open_feedforward(struct ia3 *a, const struct firn_model *m, const char *file, struct firn_error *err)
{
    static const char key[] = "feedforward_modules";
    const bool is_empty_list = json_is_array(a->feedforward_modules) && json_array_size(a->feedforward_modules) == 0;
    if (!is_empty_list) {
        const firn_status status = firn_default_names(&a->feedforward_modules, feedforward_table, m, file, key, err);
        if (status)
            return status;
    }
    if (json_is_string(a->feedforward_modules))
        return firn_pattern_open(&a->feedforward, "(?:", json_string_value(a->feedforward_modules), ")", true, file, key,
                                 err);
    struct firn_names names; /* only checks the list */
    const firn_status status = firn_names_open(&names, a->feedforward_modules, file, key, err);
    for (size_t i = 0; i < json_array_size(a->feedforward_modules) && status == FIRN_OK; i++) {
        const char *name = json_string_value(json_array_get(a->feedforward_modules, i));
        if (a->wrap.targets.list != NULL && !is_in(a->wrap.targets.list, name))
            return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = key, .expected = "names out of target_modules",
                             .got = name);
    }
    return status;
}

static firn_status open_ia3(void *settings, const struct firn_model *m, enum firn_task task, const char *file,
                            struct firn_error *err)
{
    struct ia3 *a = settings;
    firn_status status = firn_default_names(&a->wrap.target_modules, target_table, m, file, "target_modules", err);
    if (status == FIRN_OK)
        status = firn_wrap_open(&a->wrap, task, file, err);
    return status ? status : open_feedforward(a, m, file, err);
}

static void close_ia3(void *settings)
{
    struct ia3 *a = settings;
    firn_wrap_close(&a->wrap);
    firn_pattern_close(&a->feedforward);
}

static bool copies(const void *settings, const struct firn_site *s)
{
    return firn_wrap_copies(&((const struct ia3 *) settings)->wrap, s);
}

static bool targets(const void *settings, const struct firn_site *s)
{
    return firn_wrap_targets(&((const struct ia3 *) settings)->wrap, s);
}

static const char *trains(const void *settings, const struct firn_site *s, const char *part, char *text, size_t size)
{
    return firn_wrap_trains(&((const struct ia3 *) settings)->wrap, s, part, text, size);
}

/* As in PEFT any end of the path will do, with no dot before it. */
static bool is_feedforward(const struct ia3 *a, const char *path)
{
    if (a->feedforward != NULL)
        return firn_pattern_matches(a->feedforward, path, NULL);
    const size_t n = strlen(path);
    for (size_t i = 0; i < json_array_size(a->feedforward_modules); i++) {
        const char *end = json_string_value(json_array_get(a->feedforward_modules, i));
        if (n >= strlen(end) && strcmp(path + n - strlen(end), end) == 0)
            return true;
    }
    return false;
}

static firn_val scaled(const struct ia3 *a, struct firn_build *b, const struct firn_site *s, firn_val x,
                       struct firn_shape shape)
{
    char name[600];
    return firn_mul_row(b->g, x, firn_trained(b, firn_wrap_name(s->path, "ia3_l", name, sizeof name), shape,
                                              a->init_ones ? FIRN_INIT_ONE : FIRN_INIT_NORMAL, 1));
}

static firn_val linear_input(const void *settings, struct firn_build *b, const struct firn_site *s, firn_val x)
{
    return is_feedforward(settings, s->path) ? scaled(settings, b, s, x, firn_dims(1, s->n_in)) : x;
}

/* The bias is scaled too. */
static firn_val linear(const void *settings, struct firn_build *b, const struct firn_site *s, firn_val x, firn_val y)
{
    (void) x;
    return is_feedforward(settings, s->path) ? y : scaled(settings, b, s, y, firn_dims(s->n_out, 1));
}

static firn_val embed(const void *settings, struct firn_build *b, const struct firn_site *s, firn_val ids, firn_val y)
{
    (void) settings;
    (void) ids;
    firn_graph_fail(b->g, "%s: is an embedding, which ia3 cannot wrap; leave it out of target_modules", s->path);
    return y;
}

/* Rows of W [out, in] and the bias times l, or columns of W. */
static bool merge(const void *settings, const struct firn_param_set *params, const float *flat, const char *path,
                  const char *part, const struct firn_shape *shape, float *w)
{
    const struct firn_param *l = firn_wrap_find(params, path, "ia3_l");
    const bool is_bias = strcmp(part, "bias") == 0, of_input = is_feedforward(settings, path);
    if (l == NULL || (!is_bias && strcmp(part, "weight") != 0) || (is_bias && of_input))
        return false;
    const int64_t cols = shape->rank > 1 ? shape->dim[1] : 1;
    for (int64_t i = 0; w != NULL && i < firn_shape_count(shape); i++)
        w[i] *= flat[l->offset + (of_input ? i % cols : i / cols)];
    return true;
}

static firn_status check(const void *settings, const char *file, struct firn_error *err)
{
    const struct ia3 *a = settings;
    const char *slow = firn_pattern_gave_up(a->feedforward);
    if (slow != NULL)
        return firn_fail(err, FIRN_ERR_USAGE, .file = file, .key = "feedforward_modules",
                         .expected = "an expression that is quick to match", .got = slow);
    return firn_wrap_check(&a->wrap, file, err);
}

static void describe(const void *settings, const struct firn_param_set *params, json_t *config)
{
    const struct ia3 *a = settings;
    firn_wrap_describe(&a->wrap, params, ".ia3_l", config);
    json_object_set_new(config, "fan_in_fan_out", json_false());
    json_object_set_new(config, "feedforward_modules", firn_sorted_names(a->feedforward_modules));
    json_object_set_new(config, "init_ia3_weights", json_boolean(a->init_ones));
}

const struct firn_method firn_method_ia3 = {
    .name = "ia3",
    .peft_type = "IA3",
    .keys = keys,
    .settings_size = sizeof(struct ia3),
    .ignores = ignores,
    .open = open_ia3,
    .close = close_ia3,
    .targets = targets,
    .copies = copies,
    .trains = trains,
    .linear_input = linear_input,
    .linear = linear,
    .embed = embed,
    .merge = merge,
    .check = check,
    .describe = describe,
};
