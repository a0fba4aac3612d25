/* SPDX-License-Identifier: Apache-2.0 */
/* LoRA adapters in llama.cpp's layout (GGUF, general.type adapter) from and to PEFT's. Of the base only config.json is
 * asked: its architecture, and the heads whose rows llama.cpp keeps in another order. */
#ifndef FIRN_PEFT_GGUF_LORA_H
#define FIRN_PEFT_GGUF_LORA_H

#include "model/model.h"

/* From an adapter directory (adapter_config.json, adapter_model.safetensors) to the file `path`, in f32. What the format
 * has no place for is an error: DoRA, trained biases, saved modules. A scale that is not lora_alpha / r (rsLoRA, patterns)
 * goes into B. */
firn_status firn_gguf_write_lora(const struct firn_model *m, const char *adapter, const char *path,
                                 struct firn_error *err);
/* From a GGUF adapter to PEFT's two files in `directory`, which is made; `base` is base_model_name_or_path. */
firn_status firn_gguf_read_lora(const struct firn_model *m, const char *path, const char *base, const char *directory,
                                struct firn_error *err);

#endif
