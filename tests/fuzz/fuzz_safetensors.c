/* SPDX-License-Identifier: Apache-2.0 */
/* A safetensors file of any bytes: read, and every value of it; what was read is written and reads back the same. */
#include "model/safetensors.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static double sum_of(const struct firn_safetensors *file)
{
    double sum = 0;
    for (size_t i = 0; i < file->count; i++) {
        const struct firn_tensor *t = &file->tensors[i].tensor;
        const int64_t n = t->dtype != FIRN_NONE ? firn_shape_count(&t->shape) : 0;
        for (int64_t k = 0; k < n; k++) {
            double x;
            firn_tensor_read_f64(t, k, 1, &x);
            sum += x;
        }
    }
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct firn_safetensors file, again;
    struct firn_error err = { 0 };
    char *copy = NULL;
    size_t n = 0;
    if (firn_safetensors_parse(&file, "fuzz", data, size, &err) != FIRN_OK) {
        if (err.text[0] == '\0')
            abort(); /* every refusal has a reason */
        return 0;
    }
    volatile double sum = sum_of(&file);
    (void) sum;
    bool writes = true;
    for (size_t i = 0; i < file.count; i++)
        writes = writes && file.tensors[i].tensor.dtype != FIRN_NONE;
    if (writes && firn_safetensors_dump(file.tensors, file.count, &copy, &n, &err) == FIRN_OK) {
        if (firn_safetensors_parse(&again, "again", copy, n, &err) != FIRN_OK || again.count != file.count)
            abort();
        for (size_t i = 0; i < file.count; i++) {
            const struct firn_tensor *t = &file.tensors[i].tensor;
            const struct firn_tensor *u = firn_safetensors_find(&again, file.tensors[i].name);
            const size_t bytes = (size_t) firn_shape_count(&t->shape) * firn_dtype_size(t->dtype);
            if (u == NULL || u->dtype != t->dtype || !firn_shape_eq(&t->shape, &u->shape) ||
                (bytes > 0 && memcmp(t->data, u->data, bytes) != 0))
                abort();
        }
        firn_safetensors_close(&again);
        free(copy);
    }
    firn_safetensors_close(&file);
    return 0;
}
