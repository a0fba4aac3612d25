/* SPDX-License-Identifier: Apache-2.0 */
/* Writing GGUF version 3: header, keys and descriptions are gathered, then everything is written in order. */
#include "model/gguf.h"

#include "base/str.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 32 };

struct firn_gguf_writer {
    struct firn_str keys, infos;
    uint64_t n_keys, n_tensors, offset;
    struct part { const float *data; size_t size; } *parts; /* the caller's, until finish */
    bool failed;
};

struct firn_gguf_writer *firn_gguf_writer_create(void)
{
    return calloc(1, sizeof(struct firn_gguf_writer));
}

static void put(struct firn_str *s, uint64_t value, size_t n)
{
    char bytes[8];
    for (size_t i = 0; i < n; i++)
        bytes[i] = (char) (value >> (8 * i));
    firn_str_add_n(s, bytes, n);
}

static void put_text(struct firn_str *s, const char *text)
{
    put(s, strlen(text), 8);
    firn_str_add(s, text);
}

static void put_key(struct firn_gguf_writer *w, const char *key, enum firn_gguf_value type)
{
    put_text(&w->keys, key);
    put(&w->keys, type, 4);
    w->n_keys++;
}

void firn_gguf_put_text(struct firn_gguf_writer *w, const char *key, const char *text)
{
    if (w == NULL)
        return;
    put_key(w, key, FIRN_GGUF_STRING);
    put_text(&w->keys, text);
}

void firn_gguf_put_u32(struct firn_gguf_writer *w, const char *key, uint32_t value)
{
    if (w == NULL)
        return;
    put_key(w, key, FIRN_GGUF_U32);
    put(&w->keys, value, 4);
}

void firn_gguf_put_f32(struct firn_gguf_writer *w, const char *key, float value)
{
    uint32_t bits;
    if (w == NULL)
        return;
    memcpy(&bits, &value, sizeof bits);
    put_key(w, key, FIRN_GGUF_F32);
    put(&w->keys, bits, 4);
}

void firn_gguf_put_tensor(struct firn_gguf_writer *w, const char *name, const struct firn_shape *shape, const float *data)
{
    if (w == NULL)
        return;
    struct part *parts = realloc(w->parts, sizeof *parts * (w->n_tensors + 1));
    if (parts == NULL) {
        w->failed = true;
        return;
    }
    w->parts = parts;
    const size_t size = sizeof(float) * (size_t) firn_shape_count(shape);
    w->parts[w->n_tensors++] = (struct part){ data, size };
    put_text(&w->infos, name);
    put(&w->infos, (uint64_t) shape->rank, 4);
    for (int i = shape->rank; i-- > 0;)
        put(&w->infos, (uint64_t) shape->dim[i], 8);
    put(&w->infos, FIRN_GGML_F32, 4);
    put(&w->infos, w->offset, 8);
    w->offset += (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static firn_status write_all(const struct firn_gguf_writer *w, const struct firn_str *head, const char *path,
                             struct firn_error *err)
{
    static const char zeros[ALIGNMENT];
    struct firn_writer *file = NULL;
    firn_status status = firn_writer_open(&file, path, err);
    if (status == FIRN_OK)
        status = firn_writer_put(file, head->data, head->size, err);
    if (status == FIRN_OK)
        status = firn_writer_put(file, zeros, (ALIGNMENT - head->size % ALIGNMENT) % ALIGNMENT, err);
    for (uint64_t i = 0; i < w->n_tensors && status == FIRN_OK; i++) {
        const size_t size = w->parts[i].size;
        status = firn_writer_put(file, w->parts[i].data, size, err);
        if (status == FIRN_OK)
            status = firn_writer_put(file, zeros, (ALIGNMENT - size % ALIGNMENT) % ALIGNMENT, err);
    }
    if (status == FIRN_OK)
        return firn_writer_commit(&file, err);
    firn_writer_abandon(&file);
    return status;
}

void firn_gguf_writer_abandon(struct firn_gguf_writer **w)
{
    if (*w != NULL) {
        firn_str_free(&(*w)->keys);
        firn_str_free(&(*w)->infos);
        free((*w)->parts);
        free(*w);
    }
    *w = NULL;
}

firn_status firn_gguf_writer_finish(struct firn_gguf_writer **out, const char *path, struct firn_error *err)
{
    struct firn_gguf_writer *w = *out;
    struct firn_str head = { 0 };
    bool failed = w == NULL || w->failed || w->keys.failed || w->infos.failed;
    firn_str_add_n(&head, "GGUF\3\0\0\0", 8);
    if (!failed) {
        put(&head, w->n_tensors, 8);
        put(&head, w->n_keys, 8);
        if (w->keys.size > 0)
            firn_str_add_n(&head, w->keys.data, w->keys.size);
        if (w->infos.size > 0)
            firn_str_add_n(&head, w->infos.data, w->infos.size);
    }
    failed |= head.failed;
    const firn_status status = failed ? firn_fail(err, FIRN_ERR_MEMORY, .file = path, .what = "out of memory to write it")
                                      : write_all(w, &head, path, err);
    firn_str_free(&head);
    firn_gguf_writer_abandon(out);
    return status;
}
