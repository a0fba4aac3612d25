/* SPDX-License-Identifier: Apache-2.0 */
/* The tensors of a model directory: one safetensors file or the shards of an index, mapped, never copied but where
 * a type must change. */
#ifndef FIRN_MODEL_WEIGHTS_H
#define FIRN_MODEL_WEIGHTS_H

#include "model/safetensors.h"

struct firn_weights {
    struct firn_safetensors *files;
    size_t n_files;
    struct firn_copy { char *path; void *data; } *copies; /* f32 copies of norms and biases in 16-bit files; rotary tables */
    size_t n_copies;
    bool is_made; /* no files: tensors are made when they are asked for */
    enum firn_dtype made_dtype; /* of matrices; vectors are f32 */
    double made_range;
    struct firn_named_tensor **made;
    size_t n_made;
};

/* `directory` must hold model.safetensors or model.safetensors.index.json; a hub name or a pickle gets an error that
 * says how to get safetensors. */
firn_status firn_weights_open(struct firn_weights *w, const char *directory, struct firn_error *err);
void firn_weights_close(struct firn_weights *w);
/* Weights without files, for plans and measurements: every tensor is there, matrices of type `matrices`, uniform with the
 * standard deviation `range` from a seed of their name, norms one, biases zero. */
void firn_weights_open_made(struct firn_weights *w, enum firn_dtype matrices, double range);
/* The tensor `path` of such weights, without bytes; NULL without memory. */
const struct firn_tensor *firn_weights_make(struct firn_weights *w, const char *path, struct firn_shape shape);
const struct firn_tensor *firn_weights_find_made(const struct firn_weights *w, const char *path);
/* How the file holds the elements of a tensor that was found; NULL: as they are, at its data. */
const struct firn_packed *firn_weights_packed(const struct firn_tensor *t);
/* Makes the bytes of such a tensor, or of a packed one, if it has none; does nothing for others. */
firn_status firn_weights_fill(const struct firn_weights *w, const struct firn_tensor *t, struct firn_error *err);
/* Only whether the directory holds such files, with the same errors; reads nothing. */
firn_status firn_weights_check(const char *directory, struct firn_error *err);
/* Finds `path`, also without or with the class prefix ("bert."), and a norm's weight and bias as gamma and beta (old
 * BERT files); NULL when it is nowhere. `file` (may be NULL) gets the path of the file that holds it. */
const struct firn_tensor *firn_weights_find(const struct firn_weights *w, const char *prefix, const char *path,
                                            const char **file);
/* Host bytes that were made from tensors and live as long as the files: NULL when there are none under this name. */
const void *firn_weights_copy(const struct firn_weights *w, const char *path);
/* Keeps malloc'd bytes under a name; they are the caller's still when it fails. */
firn_status firn_weights_keep(struct firn_weights *w, const char *path, void *data);
/* Gives back what firn_weights_fill made of a packed tensor; nobody may use it still. */
void firn_weights_forget(const struct firn_tensor *t);
/* The tensor's bytes were copied elsewhere: pages of the mapping are given back. */
void firn_weights_drop(const struct firn_weights *w, const struct firn_tensor *t);
/* Space for n floats under a name: what is kept there already (of the same size), or new. NULL without memory. */
float *firn_weights_room(struct firn_weights *w, const char *path, int64_t n);
/* CRC32C and size of every file, folded into one text of 8 + 16 digits; reads them once. */
firn_status firn_weights_fingerprint(const struct firn_weights *w, char text[32], struct firn_error *err);

#endif
