/* SPDX-License-Identifier: Apache-2.0 */
/* GGUF files, versions 2 and 3 (ggml's docs/gguf.md): keys with values, tensors by name, read where the file is mapped; and
 * writing small ones. Every file is hostile until read. */
#ifndef FIRN_MODEL_GGUF_H
#define FIRN_MODEL_GGUF_H

#include "base/file.h"
#include "base/gguf.h"
#include "firn/tensor.h"

enum firn_gguf_type {
    FIRN_GGML_F32 = 0, FIRN_GGML_F16 = 1, FIRN_GGML_Q4_0 = 2, FIRN_GGML_Q8_0 = 8, FIRN_GGML_BF16 = 30
};

struct firn_gguf_tensor {
    char *name;
    uint32_t type;           /* one of enum firn_gguf_type, or another that firn does not decode */
    struct firn_shape shape; /* outermost first: the file's dimensions turned round */
    uint64_t offset;
    const uint8_t *data;
    size_t size_bytes;       /* 0 for types that are not decoded */
};

struct firn_gguf {
    char *path;
    struct firn_map map;
    bool is_borrowed;
    struct firn_gguf_keys keys;
    struct firn_gguf_tensor *tensors; /* sorted by name */
    size_t n_tensors;
    uint64_t alignment;
};

firn_status firn_gguf_open(struct firn_gguf *g, const char *path, struct firn_error *err);
/* The same over bytes that the caller keeps; `name` is for messages. */
firn_status firn_gguf_parse(struct firn_gguf *g, const char *name, const void *data, size_t size, struct firn_error *err);
void firn_gguf_close(struct firn_gguf *g);

const struct firn_gguf_key *firn_gguf_find(const struct firn_gguf *g, const char *key);
const struct firn_gguf_tensor *firn_gguf_tensor(const struct firn_gguf *g, const char *name);
/* Numbers of any width, and of an array with equal items; false: there is no such key, or it holds something else. */
bool firn_gguf_number(const struct firn_gguf *g, const char *key, double *value);
bool firn_gguf_is_text(const struct firn_gguf *g, const char *key, const char *text);
/* The text of a key, at most size - 1 bytes of it; "" when there is none. */
const char *firn_gguf_text(const struct firn_gguf *g, const char *key, char *text, size_t size);
const char *firn_gguf_type_name(uint32_t type); /* NULL: not decoded here */

/* Elements start .. start + n of stored bytes as floats. `cols` elements a row; with head_dim > 0 rows are those of
 * Hugging Face's order, in which the two halves of a head follow each other, while the file alternates them. */
struct firn_packed {
    const uint8_t *bytes;
    uint32_t type;
    int64_t cols, head_dim;
    float offset; /* added to each */
};
void firn_packed_read(const struct firn_packed *p, int64_t start, int64_t n, float *out);
int64_t firn_gguf_row(int64_t row, int64_t head_dim);

/* Writing: keys first, then tensors (f32), then finish, which writes the file whole or not at all. Errors are kept until
 * then. */
struct firn_gguf_writer;
struct firn_gguf_writer *firn_gguf_writer_create(void); /* NULL without memory: the calls below accept it */
void firn_gguf_put_text(struct firn_gguf_writer *w, const char *key, const char *text);
void firn_gguf_put_u32(struct firn_gguf_writer *w, const char *key, uint32_t value);
void firn_gguf_put_f32(struct firn_gguf_writer *w, const char *key, float value);
void firn_gguf_put_tensor(struct firn_gguf_writer *w, const char *name, const struct firn_shape *shape, const float *data);
void firn_gguf_writer_abandon(struct firn_gguf_writer **w);
firn_status firn_gguf_writer_finish(struct firn_gguf_writer **w, const char *path, struct firn_error *err);

#endif
