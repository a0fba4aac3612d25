/* SPDX-License-Identifier: Apache-2.0 */
/* Writing safetensors: the header as PEFT and transformers write it, then the tensors in its order. */
#include "base/json.h"
#include "base/str.h"
#include "model/safetensors.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const struct firn_safetensors_type *type_of(enum firn_dtype dtype)
{
    const struct firn_safetensors_type *known = firn_safetensors_types;
    while (known->name != NULL && known->dtype != dtype)
        known++;
    return known;
}

/* A tensor and its place in the caller's list. */
struct placed {
    const struct firn_named_tensor *tensor;
    size_t index;
};

/* The order of the reference writer: larger types first, then names. */
static int by_type_and_name(const void *a, const void *b)
{
    const struct firn_named_tensor *x = ((const struct placed *) a)->tensor, *y = ((const struct placed *) b)->tensor;
    const struct firn_safetensors_type *p = type_of(x->tensor.dtype), *q = type_of(y->tensor.dtype);
    if (p != q)
        return p < q ? -1 : 1;
    return strcmp(x->name, y->name);
}

static size_t size_of(const struct firn_tensor *t)
{
    return (size_t) firn_shape_count(&t->shape) * firn_dtype_size(t->dtype);
}

/* The header's bytes, length field included, padded to a multiple of 8. `sorted` gets the tensors in file order. */
static firn_status make_header(const struct firn_named_tensor *tensors, size_t count, struct firn_str *header,
                               struct placed **sorted, struct firn_error *err)
{
    json_t *root = json_object();
    size_t at = 0;
    bool failed = false;
    *sorted = calloc(count + 1, sizeof **sorted);
    if (root == NULL || *sorted == NULL) {
        json_decref(root);
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a file's header");
    }
    for (size_t i = 0; i < count; i++) {
        assert(type_of(tensors[i].tensor.dtype)->name != NULL && tensors[i].tensor.dtype != FIRN_NONE);
        (*sorted)[i] = (struct placed){ &tensors[i], i };
    }
    qsort(*sorted, count, sizeof **sorted, by_type_and_name);
    failed |= json_object_set_new(root, "__metadata__", json_pack("{s:s}", "format", "pt")) != 0;
    for (size_t i = 0; i < count; i++) {
        const struct firn_tensor *t = &(*sorted)[i].tensor->tensor;
        json_t *shape = json_array();
        for (int d = 0; d < t->shape.rank; d++)
            failed |= json_array_append_new(shape, json_integer(t->shape.dim[d])) != 0;
        failed |= json_object_set_new(root, (*sorted)[i].tensor->name,
                                      json_pack("{s:s,s:o,s:[I,I]}", "dtype", type_of(t->dtype)->name, "shape", shape,
                                                "data_offsets", (json_int_t) at, (json_int_t) (at + size_of(t)))) != 0;
        at += size_of(t);
    }
    char *text = failed ? NULL : json_dumps(root, JSON_COMPACT);
    json_decref(root);
    if (text != NULL) {
        const size_t size = (strlen(text) + 7) / 8 * 8;
        char length[8];
        for (int i = 0; i < 8; i++)
            length[i] = (char) (size >> (8 * i) & 0xff);
        firn_str_add_n(header, length, 8);
        firn_str_add(header, text);
        while (header->size % 8 != 0 && !header->failed)
            firn_str_add(header, " ");
    }
    free(text);
    return text != NULL && !header->failed
               ? FIRN_OK
               : firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for a file's header");
}

/* One tensor at a time in memory, where tensors are made as they are written. */
static firn_status put_made(struct firn_writer *writer, const struct placed *p,
                            firn_status (*fill)(void *user, size_t index, void *data, struct firn_error *err),
                            void *user, struct firn_error *err)
{
    const size_t size = size_of(&p->tensor->tensor);
    void *data = malloc(size + 1);
    if (data == NULL)
        return firn_fail(err, FIRN_ERR_MEMORY, .key = p->tensor->name, .what = "out of memory for it");
    firn_status status = fill(user, p->index, data, err);
    if (status == FIRN_OK)
        status = firn_writer_put(writer, data, size, err);
    free(data);
    return status;
}

firn_status firn_safetensors_stream(const char *path, const struct firn_named_tensor *tensors, size_t count,
                                    firn_status (*fill)(void *user, size_t index, void *data, struct firn_error *err),
                                    void *user, struct firn_error *err)
{
    struct firn_str header = { 0 };
    struct placed *sorted = NULL;
    struct firn_writer *writer = NULL;
    firn_status status = make_header(tensors, count, &header, &sorted, err);
    if (status == FIRN_OK)
        status = firn_writer_open(&writer, path, err);
    if (status == FIRN_OK)
        status = firn_writer_put(writer, header.data, header.size, err);
    for (size_t i = 0; i < count && status == FIRN_OK; i++) {
        const struct firn_tensor *t = &sorted[i].tensor->tensor;
        status = fill != NULL ? put_made(writer, &sorted[i], fill, user, err)
                              : firn_writer_put(writer, t->data, size_of(t), err);
    }
    if (status == FIRN_OK)
        status = firn_writer_commit(&writer, err);
    else
        firn_writer_abandon(&writer);
    free(sorted);
    firn_str_free(&header);
    return status;
}

firn_status firn_safetensors_save(const char *path, const struct firn_named_tensor *tensors, size_t count,
                                  struct firn_error *err)
{
    return firn_safetensors_stream(path, tensors, count, NULL, NULL, err);
}

firn_status firn_safetensors_dump(const struct firn_named_tensor *tensors, size_t count, char **data,
                                  size_t *size, struct firn_error *err)
{
    struct firn_str bytes = { 0 };
    struct placed *sorted = NULL;
    firn_status status = make_header(tensors, count, &bytes, &sorted, err);
    for (size_t i = 0; i < count && status == FIRN_OK; i++) {
        const struct firn_tensor *t = &sorted[i].tensor->tensor;
        firn_str_add_n(&bytes, t->data, size_of(t));
    }
    if (status == FIRN_OK && bytes.failed)
        status = firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for tensors");
    free(sorted);
    if (status) {
        firn_str_free(&bytes);
        return status;
    }
    *data = bytes.data;
    *size = bytes.size;
    return FIRN_OK;
}
