/* SPDX-License-Identifier: Apache-2.0 */
/* The list of accesses since the last barrier. It is short: most steps use what the one before made. */
#include "device/vulkan/hazard.h"

#include <stdlib.h>
#include <string.h>

/* Steps that never meet would make the search quadratic; a barrier now and then costs less. */
enum { MAX_ACCESSES = 2048 };

bool firn_vk_hazards_meet(const struct firn_vk_hazards *h, const struct firn_vk_access *list, int n)
{
    if (h->n + n > MAX_ACCESSES)
        return true;
    for (int i = 0; i < h->n; i++)
        for (int j = 0; j < n; j++)
            if (h->list[i].buffer == list[j].buffer && h->list[i].from < list[j].to &&
                list[j].from < h->list[i].to && (h->list[i].is_write || list[j].is_write))
                return true;
    return false;
}

bool firn_vk_hazards_add(struct firn_vk_hazards *h, const struct firn_vk_access *list, int n)
{
    if (h->n + n > h->capacity) {
        const int capacity = 2 * (h->n + n);
        struct firn_vk_access *grown = realloc(h->list, (size_t) capacity * sizeof *grown);
        if (grown == NULL)
            return false;
        h->list = grown;
        h->capacity = capacity;
    }
    if (n > 0)
        memcpy(h->list + h->n, list, (size_t) n * sizeof *list);
    h->n += n;
    return true;
}

void firn_vk_hazards_clear(struct firn_vk_hazards *h)
{
    h->n = 0;
}

void firn_vk_hazards_free(struct firn_vk_hazards *h)
{
    free(h->list);
    *h = (struct firn_vk_hazards){ 0 };
}
