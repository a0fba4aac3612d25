/* SPDX-License-Identifier: Apache-2.0 */
/* Which examples make which batch, padded to what length: a pure function of lengths, seed and
 * epoch, so that a resumed run finds its place. */
#ifndef FIRN_DATA_BATCHES_H
#define FIRN_DATA_BATCHES_H

#include "firn/status.h"

#include <stdbool.h>
#include <stdint.h>

struct firn_batch {
    uint32_t first, count; /* into `order` */
    uint32_t length;       /* padded, in tokens */
    uint32_t target;       /* of the second lengths; 0 without them */
    uint32_t rows, packed; /* packing: rows of attention (count and more), and places for all tokens; else count and 0 */
};

struct firn_batches {
    uint32_t *order; /* examples */
    struct firn_batch *list;
    uint32_t count;
};

struct firn_batches_params {
    uint32_t batch_size, multiple,
        max_length; /* lengths are padded to the multiple, at most max_length */
    const uint32_t *targets; /* a second length of each example (encoder-decoders); NULL: none */
    uint32_t max_target;
    uint64_t seed;
    uint32_t epoch;
    bool shuffles; /* else examples are taken in order of length, longest first (evaluation) */
    bool groups;   /* batches of similar lengths: windows of 50 batches are sorted */
    /* Packing: a batch takes examples as long as their tokens are at most batch_size times max_length, and attention's rows,
     * padded to the longest, twice that. Which examples share a batch is the same in every epoch, so is the number of
     * batches; their order is not. */
    bool packs;
};

firn_status firn_batches_plan(struct firn_batches *plan, const uint32_t *lengths, uint32_t n,
                              const struct firn_batches_params *params, struct firn_error *err);
void firn_batches_free(struct firn_batches *plan);

#endif
