/* SPDX-License-Identifier: Apache-2.0 */
/* safetensors files: tensors by name, read where the file is mapped; and writing them. Every file is hostile until
 * read: sizes, offsets, overlaps and names are checked before anything is used. */
#ifndef FIRN_MODEL_SAFETENSORS_H
#define FIRN_MODEL_SAFETENSORS_H

#include "base/file.h"
#include "firn/tensor.h"

/* The format's words for element types, in the order in which files of several types hold them; ends with name NULL.
 * Types that firn does not compute with have FIRN_NONE: a file may hold them, nobody may ask for them. */
extern const struct firn_safetensors_type {
    const char *name;
    enum firn_dtype dtype;
    int bits;
} firn_safetensors_types[];

struct firn_named_tensor {
    char *name;
    struct firn_tensor tensor; /* data points into the file's mapping */
    size_t size_bytes;         /* set by the reader */
    bool is_copied;            /* data is the reader's own: the file holds it at an odd address */
    struct firn_packed *packed; /* owned: the file holds it in a form that must be decoded, data is NULL until then */
};

struct firn_safetensors {
    char *path;
    struct firn_map map;
    bool is_borrowed; /* the bytes are the caller's */
    struct firn_named_tensor *tensors; /* sorted by name */
    size_t count;
};

firn_status firn_safetensors_open(struct firn_safetensors *file, const char *path,
                                  struct firn_error *err);
/* The same over bytes that the caller keeps; `name` is for messages. */
firn_status firn_safetensors_parse(struct firn_safetensors *file, const char *name, const void *data,
                                   size_t size, struct firn_error *err);
void firn_safetensors_close(struct firn_safetensors *file);
/* NULL when it is not there. */
const struct firn_tensor *firn_safetensors_find(const struct firn_safetensors *file, const char *name);

/* Writes tensors (sorted by name in the file, metadata format pt, header padded to 8 bytes) under the promise of
 * firn_writer: the whole file or none. Types: all of enum firn_dtype but FIRN_NONE. */
firn_status firn_safetensors_save(const char *path, const struct firn_named_tensor *tensors, size_t count,
                                  struct firn_error *err);
/* The same for tensors that are made as they are written (`data` of all is ignored): fill() gets the index into
 * `tensors` and room for the whole tensor. */
firn_status firn_safetensors_stream(const char *path, const struct firn_named_tensor *tensors, size_t count,
                                    firn_status (*fill)(void *user, size_t index, void *data, struct firn_error *err),
                                    void *user, struct firn_error *err);
/* The same bytes in memory; free(*data). */
firn_status firn_safetensors_dump(const struct firn_named_tensor *tensors, size_t count, char **data,
                                  size_t *size, struct firn_error *err);

#endif
