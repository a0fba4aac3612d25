/* SPDX-License-Identifier: Apache-2.0 */
/* The first part of GGUF files, versions 2 and 3 (ggml's docs/gguf.md): keys with values, read where the file lies. The
 * tensors behind them are model/gguf.h's. Every file is hostile until read: counts and lengths are compared with what is
 * left of the file before they are used. */
#ifndef FIRN_BASE_GGUF_H
#define FIRN_BASE_GGUF_H

#include "base/file.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Numbers of the format. */
enum firn_gguf_value {
    FIRN_GGUF_U8, FIRN_GGUF_I8, FIRN_GGUF_U16, FIRN_GGUF_I16, FIRN_GGUF_U32, FIRN_GGUF_I32, FIRN_GGUF_F32,
    FIRN_GGUF_BOOL, FIRN_GGUF_STRING, FIRN_GGUF_ARRAY, FIRN_GGUF_U64, FIRN_GGUF_I64, FIRN_GGUF_F64, FIRN_GGUF_N_VALUES
};

struct firn_gguf_key {
    const char *name;      /* in the file, without an end; */
    size_t length;
    uint32_t type, of;     /* enum firn_gguf_value; of an array: its items' */
    uint64_t count;        /* items of an array, bytes of a string */
    const uint8_t *data;   /* the value, or the first item */
};

/* What is left of a header; the path is for messages. */
struct firn_gguf_cursor {
    const char *path;
    const uint8_t *at, *end;
    struct firn_error *err;
};
firn_status firn_gguf_bad(const struct firn_gguf_cursor *c, const char *key, const char *expected, const char *got);
firn_status firn_gguf_take(struct firn_gguf_cursor *c, size_t n, uint64_t *out, const char *what); /* n bytes, at most 8 */
firn_status firn_gguf_take_text(struct firn_gguf_cursor *c, const char **text, size_t *length, size_t most, const char *what);

struct firn_gguf_keys {
    struct firn_gguf_key *list;
    size_t n;
    uint64_t n_tensors;    /* that follow */
};
/* Reads up to the first tensor, where the cursor is left; firn_gguf_keys_free() also when it fails. */
firn_status firn_gguf_keys_read(struct firn_gguf_keys *keys, struct firn_gguf_cursor *c);
void firn_gguf_keys_free(struct firn_gguf_keys *keys);

const struct firn_gguf_key *firn_gguf_key(const struct firn_gguf_keys *keys, const char *key);
/* Numbers of any width, and of an array with equal items; false: there is no such key, or it holds something else. */
bool firn_gguf_key_number(const struct firn_gguf_keys *keys, const char *key, double *value);
/* A whole number from 0 to INT32_MAX, or a boolean as 0 and 1; `missing` where the key is not there or something else. */
int32_t firn_gguf_key_whole(const struct firn_gguf_keys *keys, const char *key, int32_t missing);
bool firn_gguf_key_is_text(const struct firn_gguf_keys *keys, const char *key, const char *text);
/* The text of a key, at most size - 1 bytes of it; "" when there is none. */
const char *firn_gguf_key_text(const struct firn_gguf_keys *keys, const char *key, char *text, size_t size);
/* Item i of an array of numbers. */
double firn_gguf_item(const struct firn_gguf_key *key, uint64_t i);
/* The text at *at of an array of texts; *at moves behind it. */
const char *firn_gguf_next_text(const uint8_t **at, size_t *length);

/* The GGUF file that `path` is, or that the directory `path` has when it holds no safetensors; *file NULL: neither. free()
 * it. Several files in a directory are an error, but for the parts of one model: then it is the first. */
firn_status firn_gguf_locate(const char *path, char **file, struct firn_error *err);
/* True for names like model-00001-of-00003.gguf; *stem are the bytes before the first number's dash. */
bool firn_gguf_split_of(const char *path, int *index, int *count, size_t *stem);
/* Maps a file and reads its keys; free and close both. */
firn_status firn_gguf_keys_open(struct firn_gguf_keys *keys, struct firn_map *map, const char *path, struct firn_error *err);

#endif
