/* SPDX-License-Identifier: Apache-2.0 */
/* Shapes: counts, equality, text. */
#include "firn/tensor.h"

#include <stdio.h>

int64_t firn_shape_count(const struct firn_shape *shape)
{
    int64_t count = 1;
    for (int i = 0; i < shape->rank; i++)
        count *= shape->dim[i];
    return count;
}

bool firn_shape_eq(const struct firn_shape *a, const struct firn_shape *b)
{
    if (a->rank != b->rank)
        return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i])
            return false;
    return true;
}

const char *firn_shape_format(char *buffer, size_t size, const struct firn_shape *shape)
{
    size_t used = 0;
    for (int i = 0; i <= shape->rank && used < size; i++) {
        int n = i == shape->rank ? snprintf(buffer + used, size - used, i == 0 ? "[]" : "]")
                                 : snprintf(buffer + used, size - used, i == 0 ? "[%lld" : ", %lld",
                                            (long long) shape->dim[i]);
        if (n < 0)
            break;
        used += (size_t) n;
    }
    return buffer;
}
