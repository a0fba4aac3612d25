/* SPDX-License-Identifier: Apache-2.0 */
/* The random decisions of dropout, shared by every op that drops: element e of a stream is kept or
 * not as word e % 4 of Philox block e / 4 says. shaders/include/philox.glsl makes the same
 * decisions. */
#ifndef FIRN_OPS_DRAW_H
#define FIRN_OPS_DRAW_H

#include <stdbool.h>
#include <stdint.h>

struct firn_draw {
    uint64_t seed;
    uint64_t first_block; /* micro-batch * 2^40: a micro-batch draws fewer than 2^42 elements */
    uint32_t stream, step;
    uint32_t below; /* dropped when the word's upper 24 bits are below it */
    float factor;   /* of what is kept: 1 / (1 - p) */
};

/* rng: seed low, seed high, step, micro-batch. 0 <= p < 1. */
struct firn_draw firn_draw_start(const int32_t rng[4], uint32_t stream, float p);
/* ceil(p 2^24), so that the share of dropped words is p to within 2^-24. */
uint32_t firn_draw_below(float p);
bool firn_draw_keeps(const struct firn_draw *draw, uint64_t element);
/* factors[k] = kept ? draw->factor : 0 for the elements first .. first + n - 1. */
void firn_draw_factors(const struct firn_draw *draw, uint64_t first, int64_t n, float *factors);

#endif
