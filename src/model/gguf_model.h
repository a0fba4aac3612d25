/* SPDX-License-Identifier: Apache-2.0 */
/* Models in GGUF files as if they were directories: a config.json from the keys, tensors under Hugging Face's names. */
#ifndef FIRN_MODEL_GGUF_MODEL_H
#define FIRN_MODEL_GGUF_MODEL_H

#include "base/json.h"
#include "model/gguf.h"
#include "model/rope_table.h"
#include "model/weights.h"

/* Reads the file: *config is what config.json would hold (json_decref() it), `files` gets one file, whose tensors are
 * decoded when they are asked for. *factors (free() it; NULL: none) divides the rotary frequencies, *n of them. */
firn_status firn_gguf_model_open(const char *path, json_t **config, struct firn_weights *w, float **factors, int64_t *n,
                                 struct firn_error *err);
/* llama.cpp's name of the tensor `path` ("model.layers.3.self_attn.q_proj.weight"), or of the module without its part;
 * false: it has none. And back: "" for names that are no weights of a decoder. */
bool firn_gguf_name(const char *path, char *name, size_t size);
bool firn_gguf_path(const char *name, char *path, size_t size);
/* Whether rows of q and k alternate: files of general.architecture llama. */
const char *firn_gguf_architecture(const char *model_type); /* NULL: there is none for it here */

#endif
