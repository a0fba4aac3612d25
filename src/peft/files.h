/* SPDX-License-Identifier: Apache-2.0 */
/* Between peft.c and the files that write folders. */
#ifndef FIRN_PEFT_FILES_H
#define FIRN_PEFT_FILES_H

#include "peft/peft.h"

/* Tensors on their way to a file; names and data may be the caller's or owned here. */
struct firn_tensors {
    struct firn_named_tensor *list;
    size_t count;
    void **owned;
    size_t n_owned;
};
/* Appends a copy of the description; the data stay the caller's. */
firn_status firn_tensors_add(struct firn_tensors *t, const struct firn_named_tensor *tensor, struct firn_error *err);
/* Zeroed f32 space for the tensor `name`, in place of one of that name or after the others; NULL without memory. */
float *firn_tensors_put(struct firn_tensors *t, const char *name, struct firn_shape shape);
const struct firn_named_tensor *firn_tensors_find(const struct firn_tensors *t, const char *name);
void firn_tensors_free(struct firn_tensors *t);

/* A model folder of the task's class: base tensors, trained ones in their place, `merges`: the method's update added. */
firn_status firn_model_save(const struct firn_adapter *a, struct firn_model *m, const struct firn_build_params *p,
                            float *flat, bool merges, const char *directory, const struct firn_save_params *save,
                            struct firn_error *err);

/* adapter-hub's files: adapter_config.json, adapter.safetensors, head_config.json, model_head.safetensors. */
firn_status firn_hub_save(const struct firn_adapter *a, const struct firn_model *m, const struct firn_build_params *p,
                          float *flat, const char *directory, const struct firn_save_params *save,
                          struct firn_error *err);
firn_status firn_hub_read(const struct firn_adapter *a, const struct firn_model *m, const char *directory, float *flat,
                          struct firn_error *err);
/* The task and base that such an adapter_config.json names, and its head's labels. */
firn_status firn_hub_peek(struct firn_adapter_info *info, const json_t *config, const char *directory,
                          struct firn_error *err);

/* The files of a method with `saves_as`: as_lora.c. */
firn_status firn_lora_save(const struct firn_adapter *a, struct firn_model *m, const struct firn_build_params *p,
                           float *flat, const char *directory, const struct firn_save_params *save,
                           struct firn_error *err);
firn_status firn_lora_read(const struct firn_adapter *a, const struct firn_safetensors *file, float *flat,
                           struct firn_error *err);

/* Trained, but in no adapter file: the network behind a table. */
bool firn_is_behind_table(const struct firn_adapter *a, const char *name);

#endif
