/* SPDX-License-Identifier: Apache-2.0 */
/* Counter-based random numbers: Philox 4x32-10 (Salmon et al. 2011). A value depends on
 * (seed, stream, step, element) and on nothing else, so any device and any order gives it. */
#ifndef FIRN_BASE_RNG_H
#define FIRN_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

/* Four words of block `block` of (seed, stream, step): key = the low and high half of the seed,
 * counter = low and high half of the block, step, stream. */
void firn_philox(uint64_t seed, uint32_t stream, uint32_t step, uint64_t block, uint32_t out[4]);
/* Uniform in [0, 1), 24 bits; element i is word i % 4 of block i / 4. */
float firn_uniform(uint64_t seed, uint32_t stream, uint32_t step, uint64_t element);
/* Standard normal (Box-Muller over words 2k, 2k+1 of the same sequence; computed in float64). */
float firn_normal(uint64_t seed, uint32_t stream, uint32_t step, uint64_t element);
/* Writes a permutation of 0..n-1 to `order`: Fisher-Yates from the end with 64-bit draws. */
void firn_shuffle(uint64_t seed, uint32_t stream, uint32_t step, uint32_t *order, size_t n);

#endif
