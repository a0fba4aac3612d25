/* SPDX-License-Identifier: Apache-2.0 */
/* Methods by name, opening them for a model, and the files of adapters. struct firn_adapter is model/model.h's: what is
 * trained, with the places of its tensors in one flat run.
 *
 *     firn_model_open(&m, "models/bert", err);
 *     firn_adapter_open(&a, &m, task, config, "recipe.yaml", "method.", err);   (or firn_adapter_load)
 *     a.params.decays_all = ...;                                               (before collecting)
 *     firn_model_collect(&m, &a, &build_params, &counts, err);                 (params.flat is known now)
 *     flat = calloc(a.params.flat, sizeof *flat);
 *     firn_adapter_init(&a, &m, seed, flat, err);
 *     firn_adapter_read(&a, &m, "runs/x/adapter", flat, err);                  (instead, or after, to start from a file)
 *     firn_adapter_save(&a, &m, &build_params, flat, "runs/x/adapter", &save, err);
 */
#ifndef FIRN_PEFT_PEFT_H
#define FIRN_PEFT_PEFT_H

#include "model/model.h"

extern const struct firn_method *const firn_methods[]; /* NULL at the end */
/* By a recipe's word ("lora") or a file's ("LORA"); NULL when there is none. */
const struct firn_method *firn_method_find(const char *word);
/* By the settings themselves: peft_type, type, or the layout of another library's adapter_config.json. */
const struct firn_method *firn_method_of(const json_t *config);

/* `config` is a recipe's `method:` (type: lora) or an adapter_config.json (peft_type: LORA). `file` and `section` are for
 * messages. The adapter must be closed also when this fails. */
firn_status firn_adapter_open(struct firn_adapter *a, const struct firn_model *m, enum firn_task task,
                              const json_t *config, const char *file, const char *section, struct firn_error *err);
/* The same from DIRECTORY/adapter_config.json; a directory with a config.json instead is what `full` leaves. */
firn_status firn_adapter_load(struct firn_adapter *a, const struct firn_model *m, enum firn_task task,
                              const char *directory, struct firn_error *err);
void firn_adapter_close(struct firn_adapter *a);

/* True when a network trains whose output is all that adapter files hold (see struct firn_method's `table`). */
bool firn_adapter_has_network(const struct firn_adapter *a);

/* A method's computed table (struct firn_method's `table`), on cpu:exact: its bytes depend on no device. *values is
 * NULL where files hold what is trained; free() it. */
firn_status firn_adapter_table(const struct firn_adapter *a, struct firn_model *m, const float *flat, float **values,
                               struct firn_shape *shape, struct firn_error *err);

/* Initial values of all trained tensors: by seed and name, or the base's own. Padding between tensors is left alone. */
firn_status firn_adapter_init(const struct firn_adapter *a, struct firn_model *m, uint64_t seed, float *flat,
                              struct firn_error *err);
/* A method whose update counts from its first values (struct firn_method's `anchors`) gets those of `flat`. Init does it;
 * a recorded case, which starts elsewhere, does it again. Before the first plan that has the adapter. */
firn_status firn_adapter_anchor(const struct firn_adapter *a, struct firn_model *m, const float *flat,
                                struct firn_error *err);
/* All trained tensors from an adapter directory (or, for `full`, a model directory). One that is missing, misshapen or
 * not the method's is an error; what PEFT writes besides (classifier.original_module...) is passed over. */
firn_status firn_adapter_read(const struct firn_adapter *a, struct firn_model *m, const char *directory,
                              float *flat, struct firn_error *err);

/* What a directory says about its adapter, without opening a model. */
struct firn_adapter_info {
    char method[32], peft_type[32]; /* method empty: peft_type is none of firn's */
    char base[512];                 /* base_model_name_or_path; may be empty */
    bool has_task;
    enum firn_task task;
    int64_t n_labels;               /* of its classification head; 0: it has none */
};
firn_status firn_adapter_peek(struct firn_adapter_info *info, const char *directory, struct firn_error *err);

/* What merging changed, in float32. */
struct firn_merge_report {
    int64_t n_changed;              /* tensors */
    double largest;                 /* difference of an element from the base's ... */
    char name[256];                 /* ... in this tensor */
    bool unties;                    /* the output layer got a table of its own */
};

struct firn_save_params {
    const char *base_name;          /* base_model_name_or_path, as the recipe spells it; NULL: the model's directory */
    const char *const *labels;      /* full, merge: n_labels names for config.json; NULL: LABEL_0, ... */
    bool with_state;                /* also what PEFT's files leave out, for training to go on (state.safetensors) */
    enum firn_dtype dtype;          /* full, merge: type of trained tensors; FIRN_NONE: f32 for full, the base's for merge */
    bool undoes;                    /* merge: takes the adapter out of a model that it was merged into, to rounding */
    struct firn_merge_report *report; /* merge: filled; may be NULL */
};
/* Writes what `firn train` leaves in adapter/: PEFT's two files; for `full` a model folder (config.json, weights, tokenizer
 * files). The directory is made. Each file appears whole or not at all. */
firn_status firn_adapter_save(const struct firn_adapter *a, struct firn_model *m, const struct firn_build_params *p,
                              float *flat, const char *directory, const struct firn_save_params *save,
                              struct firn_error *err);
/* Writes a model folder of the task's class with the adapter computed into the weights (in float32, rounded once to
 * each tensor's type), in as many files as the base. Where the adapter changes one of two tied tables, the folder has
 * both. A method that is no change of weights is an error that names it. */
firn_status firn_adapter_merge(const struct firn_adapter *a, struct firn_model *m, const struct firn_build_params *p,
                               float *flat, const char *directory, const struct firn_save_params *save,
                               struct firn_error *err);
/* adapter_config.json as a tree; json_decref() it. NULL without memory. */
json_t *firn_adapter_config(const struct firn_adapter *a, const struct firn_model *m, enum firn_task task,
                            const char *base_name);

#endif
