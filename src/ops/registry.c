/* SPDX-License-Identifier: Apache-2.0 */
/* All operation records, sorted by name, from the families that the build lists. */
#include "ops/ops.h"

#include <stdlib.h>
#include <string.h>

#define FIRN_OP_FAMILY(name) firn_family_##name,
static const struct firn_op *const *const families[] = {
#include "ops/families.inc"
};
#undef FIRN_OP_FAMILY

enum { MAX_OPS = 128 };
static const struct firn_op *sorted[MAX_OPS + 1];

static int by_name(const void *a, const void *b)
{
    const struct firn_op *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

/* Before main, so that the list is constant for every thread. */
__attribute__((constructor)) static void collect(void)
{
    int n = 0;
    for (size_t f = 0; f < sizeof families / sizeof families[0]; f++)
        for (const struct firn_op *const *op = families[f]; *op != NULL && n < MAX_OPS; op++)
            sorted[n++] = *op;
    qsort(sorted, (size_t) n, sizeof sorted[0], by_name);
}

const struct firn_op *const *firn_op_list(void)
{
    return sorted;
}

const struct firn_op *firn_op_find(const char *name)
{
    for (const struct firn_op *const *op = sorted; *op != NULL; op++)
        if (strcmp((*op)->name, name) == 0)
            return *op;
    return NULL;
}
