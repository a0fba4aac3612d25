/* SPDX-License-Identifier: Apache-2.0 */
/* A seeded shuffle, grouped by length inside windows, cut into batches whose order is shuffled
 * again. */
#include "data/batches.h"

#include "base/rng.h"

#include <stdlib.h>
#include <string.h>

enum { WINDOW = 50, STREAM_EXAMPLES = 0x65786d70, STREAM_BATCHES = 0x62617463 };

/* Longest first; equal lengths stay in their order (insertion by merging halves). */
static void sort_by_length(uint32_t *order, uint32_t n, const uint32_t *lengths, uint32_t *spare)
{
    if (n < 2)
        return;
    const uint32_t half = n / 2;
    sort_by_length(order, half, lengths, spare);
    sort_by_length(order + half, n - half, lengths, spare);
    memcpy(spare, order, sizeof *order * n);
    uint32_t i = 0, k = half;
    for (uint32_t at = 0; at < n; at++)
        order[at] = k == n || (i < half && lengths[spare[i]] >= lengths[spare[k]]) ? spare[i++]
                                                                                   : spare[k++];
}

static uint32_t padded(const struct firn_batches_params *p, uint32_t length, uint32_t most)
{
    const uint64_t up = ((uint64_t) length + p->multiple - 1) / p->multiple * p->multiple;
    const uint64_t capped = up < most ? up : most;
    return capped > 0 ? (uint32_t) capped : 1;
}

static void shuffle_batches(struct firn_batches *plan, const struct firn_batches_params *p,
                            uint32_t *places, struct firn_batch *spare)
{
    for (uint32_t i = 0; i < plan->count; i++)
        places[i] = i;
    firn_shuffle(p->seed, STREAM_BATCHES, p->epoch, places, plan->count);
    memcpy(spare, plan->list, sizeof *spare * plan->count);
    for (uint32_t i = 0; i < plan->count; i++)
        plan->list[i] = spare[places[i]];
}

/* A number with three bits behind its first, not below n: few numbers, so that few plans are made. */
static uint32_t rounded(uint64_t n)
{
    uint64_t step = 1;
    while (step * 16 <= n)
        step *= 2;
    const uint64_t up = (n + step - 1) / step * step;
    return up < UINT32_MAX ? (uint32_t) up : UINT32_MAX;
}

/* Counts examples into the batch that starts at `first`, whose longest may not be the first. */
static void fill(struct firn_batch *batch, const uint32_t *order, const uint32_t *lengths, uint32_t n,
                 const struct firn_batches_params *p)
{
    const uint64_t most = (uint64_t) p->batch_size * p->max_length;
    uint64_t tokens = 0;
    while (batch->first + batch->count < n) {
        const uint32_t length = lengths[order[batch->first + batch->count]];
        const uint32_t at_least = rounded(padded(p, length > batch->length ? length : batch->length, p->max_length));
        const uint32_t longest = at_least < p->max_length ? at_least : p->max_length;
        const uint64_t rows = rounded((uint64_t) batch->count + 1);
        if (batch->count > 0 && (tokens + length > most || rows * longest > 2 * most))
            break;
        tokens += length;
        batch->length = longest;
        batch->count++;
    }
    batch->rows = rounded(batch->count);
    batch->packed = rounded(tokens > 0 ? tokens : 1);
    batch->packed = batch->packed > most && tokens <= most ? (uint32_t) most : batch->packed;
}

static uint32_t fill_all(struct firn_batches *plan, const uint32_t *lengths, uint32_t n, const struct firn_batches_params *p)
{
    uint32_t count = 0;
    for (uint32_t at = 0; at < n; at += plan->list[count++].count) {
        plan->list[count] = (struct firn_batch){ .first = at };
        fill(&plan->list[count], plan->order, lengths, n, p);
    }
    return count;
}

firn_status firn_batches_plan(struct firn_batches *plan, const uint32_t *lengths, uint32_t n,
                              const struct firn_batches_params *p, struct firn_error *err)
{
    memset(plan, 0, sizeof *plan);
    if (p->batch_size == 0 || p->multiple == 0 || p->max_length == 0)
        return firn_fail(err, FIRN_ERR_USAGE, .key = "batch size, multiple and largest length",
                         .expected = "at least 1", .got = "0");
    const uint32_t count = p->packs ? n : n / p->batch_size + (n % p->batch_size != 0);
    uint32_t *spare = calloc((size_t) n + 1, sizeof *spare);
    struct firn_batch *spare_list = calloc((size_t) count + 1, sizeof *spare_list);
    plan->order = calloc((size_t) n + 1, sizeof *plan->order);
    plan->list = calloc((size_t) count + 1, sizeof *plan->list);
    if (spare == NULL || spare_list == NULL || plan->order == NULL || plan->list == NULL) {
        free(spare);
        free(spare_list);
        firn_batches_free(plan);
        return firn_fail(err, FIRN_ERR_MEMORY, .what = "out of memory for batches");
    }
    plan->count = count;
    for (uint32_t i = 0; i < n; i++)
        plan->order[i] = i;
    if (p->shuffles)
        firn_shuffle(p->seed, STREAM_EXAMPLES, p->packs ? 0 : p->epoch, plan->order, n);
    const uint64_t window = !p->shuffles ? n : p->groups ? (uint64_t) WINDOW * p->batch_size : 0;
    for (uint64_t at = 0; at < n && window > 0; at += window)
        sort_by_length(plan->order + at, n - at < window ? n - (uint32_t) at : (uint32_t) window,
                       lengths, spare);
    if (p->packs)
        plan->count = fill_all(plan, lengths, n, p);
    for (uint32_t b = 0; b < count && !p->packs; b++) {
        struct firn_batch *batch = &plan->list[b];
        batch->first = b * p->batch_size;
        batch->count = n - batch->first < p->batch_size ? n - batch->first : p->batch_size;
        for (uint32_t i = 0; i < batch->count; i++) {
            const uint32_t length = lengths[plan->order[batch->first + i]];
            const uint32_t target = p->targets != NULL ? p->targets[plan->order[batch->first + i]] : 0;
            batch->length = length > batch->length ? length : batch->length;
            batch->target = target > batch->target ? target : batch->target;
        }
        batch->length = padded(p, batch->length, p->max_length);
        batch->target = p->targets != NULL ? padded(p, batch->target, p->max_target) : 0;
        batch->rows = batch->count;
    }
    if (p->shuffles && (p->groups || p->packs))
        shuffle_batches(plan, p, spare, spare_list);
    free(spare);
    free(spare_list);
    return FIRN_OK;
}

void firn_batches_free(struct firn_batches *plan)
{
    free(plan->order);
    free(plan->list);
    memset(plan, 0, sizeof *plan);
}
