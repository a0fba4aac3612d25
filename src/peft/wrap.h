/* SPDX-License-Identifier: Apache-2.0 */
/* What every method that wraps modules shares: which modules it wraps, which train whole beside it, which biases of the
 * base train (PEFT's BaseTuner). */
#ifndef FIRN_PEFT_WRAP_H
#define FIRN_PEFT_WRAP_H

#include "model/model.h"
#include "peft/match.h"

#define FIRN_PREFIX "base_model.model."

enum firn_bias_rule { FIRN_BIAS_NONE, FIRN_BIAS_ALL, FIRN_BIAS_WRAPPED };

struct firn_wrap {
    json_t *target_modules, *exclude_modules, *layers_to_transform, *layers_pattern, *modules_to_save;
    int bias; /* enum firn_bias_rule */
    /* made by open */
    bool all_linear;
    struct firn_names targets, excludes;
    struct firn_layers layers;
};

/* Rows for a method's table of keys; `settings` is its struct, whose field `wrap` is a struct firn_wrap. */
// clang-format off
#define FIRN_WRAP_AT(settings, field) (offsetof(settings, wrap) + offsetof(struct firn_wrap, field))
#define FIRN_WRAP_KEYS(settings) \
    { "target_modules",      .type = FIRN_OPTION_TREE, .offset = FIRN_WRAP_AT(settings, target_modules), \
      .help = "names of modules, an expression for whole paths, or all-linear; unset: by model" }, \
    { "exclude_modules",     .type = FIRN_OPTION_TREE, .offset = FIRN_WRAP_AT(settings, exclude_modules), \
      .help = "names or an expression: never wrapped" }, \
    { "modules_to_save",     .type = FIRN_OPTION_TREE, .offset = FIRN_WRAP_AT(settings, modules_to_save), \
      .help = "modules that train whole and are saved with the adapter" }
#define FIRN_WRAP_LAYER_KEYS(settings) \
    { "layers_to_transform", .type = FIRN_OPTION_TREE, .offset = FIRN_WRAP_AT(settings, layers_to_transform), \
      .help = "numbers of the layers that are wrapped; unset: all" }, \
    { "layers_pattern",      .type = FIRN_OPTION_TREE, .offset = FIRN_WRAP_AT(settings, layers_pattern), \
      .help = "what stands before the layer's number in a path" }
#define FIRN_WRAP_BIAS_KEY(settings, spelt) \
    { "bias",                .type = FIRN_OPTION_WORD, .offset = FIRN_WRAP_AT(settings, bias), .fallback = "none", \
      .words = spelt, .help = "which bias vectors of the base train" }
// clang-format on

/* What a method wraps, by config.json's model_type, where the settings name nothing; model_type NULL at the end. */
struct firn_default_targets {
    const char *model_type;
    const char *names[8]; /* NULL at the end */
};
/* The row of a model type, or NULL. */
const struct firn_default_targets *firn_default_targets(const struct firn_default_targets *table, const char *type);
/* `tree` becomes the list of a row's names where it is unset; no row: an error that asks for `key`. */
firn_status firn_default_names(json_t **tree, const struct firn_default_targets *table, const struct firn_model *m,
                               const char *file, const char *key, struct firn_error *err);

/* target_modules becomes the architecture's (LoRA's defaults) where it is unset. */
firn_status firn_wrap_targets_of(struct firn_wrap *w, const struct firn_model *m, struct firn_error *err);
/* target_modules must be set already or have been filled by firn_default_names. */
firn_status firn_wrap_open(struct firn_wrap *w, enum firn_task task, const char *file, struct firn_error *err);
/* Of it only modules_to_save, for methods that wrap nothing. */
firn_status firn_wrap_open_saved(struct firn_wrap *w, enum firn_task task, const char *file, struct firn_error *err);
void firn_wrap_close(struct firn_wrap *w);
bool firn_wrap_targets(const struct firn_wrap *w, const struct firn_site *s);
bool firn_wrap_copies(const struct firn_wrap *w, const struct firn_site *s);
const char *firn_wrap_trains(const struct firn_wrap *w, const struct firn_site *s, const char *part, char *text,
                             size_t size);
/* Reports expressions that were too slow to match. */
firn_status firn_wrap_check(const struct firn_wrap *w, const char *file, struct firn_error *err);
/* target_modules, exclude_modules and modules_to_save of adapter_config.json. `end` (".lora_A.weight") ends the names of
 * the tensors whose modules "all-linear" stood for. */
void firn_wrap_describe(const struct firn_wrap *w, const struct firn_param_set *params, const char *end,
                        json_t *config);
/* A list of names, sorted as PEFT writes it; anything else as it is. */
json_t *firn_sorted_names(const json_t *names);
/* A whole number stays one in the file. */
json_t *firn_number_tree(double x);
json_t *firn_copy_or_null(const json_t *v);
json_t *firn_copy_or_map(const json_t *v);

/* The trained tensor PATH.PARAM. */
const char *firn_wrap_name(const char *path, const char *param, char *text, size_t size);
const struct firn_param *firn_wrap_find(const struct firn_param_set *params, const char *path, const char *param);

/* True when the tensor is some module's `param`: its path. */
bool firn_wrap_path(const struct firn_param *p, const char *param, char *path, size_t size);
/* The matrix `t` of the module `path` as f32, [out, in] however files hold it (tables: as they are); free() it. NULL:
 * out of memory. */
float *firn_wrap_matrix(const struct firn_model *m, const char *path, const struct firn_tensor *t);
struct firn_shape firn_wrap_matrix_shape(const struct firn_model *m, const char *path, const struct firn_tensor *t);

#endif
