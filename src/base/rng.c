/* SPDX-License-Identifier: Apache-2.0 */
/* Philox 4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", 2011)
 * and what is drawn from it. Shaders compute the same words. */
#include "base/rng.h"

#include <math.h>

void firn_philox(uint64_t seed, uint32_t stream, uint32_t step, uint64_t block, uint32_t out[4])
{
    uint32_t k0 = (uint32_t) seed, k1 = (uint32_t) (seed >> 32);
    uint32_t c0 = (uint32_t) block, c1 = (uint32_t) (block >> 32), c2 = step, c3 = stream;
    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = (uint64_t) 0xd2511f53u * c0, p1 = (uint64_t) 0xcd9e8d57u * c2;
        c0 = (uint32_t) (p1 >> 32) ^ c1 ^ k0;
        c2 = (uint32_t) (p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t) p1;
        c3 = (uint32_t) p0;
        k0 += 0x9e3779b9u;
        k1 += 0xbb67ae85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

float firn_uniform(uint64_t seed, uint32_t stream, uint32_t step, uint64_t element)
{
    uint32_t words[4];
    firn_philox(seed, stream, step, element / 4, words);
    return (float) (words[element % 4] >> 8) * 0x1p-24f;
}

float firn_normal(uint64_t seed, uint32_t stream, uint32_t step, uint64_t element)
{
    const double two_pi = 6.283185307179586476925;
    uint32_t words[4];
    firn_philox(seed, stream, step, element / 4, words);
    const uint32_t *pair = words + (element % 4 & ~(uint64_t) 1);
    const double u = ((double) pair[0] + 1.0) * 0x1p-32; /* in (0, 1]: its logarithm is finite */
    const double angle = two_pi * ((double) pair[1] * 0x1p-32);
    const double radius = sqrt(-2.0 * log(u));
    return (float) (radius * (element % 2 == 0 ? cos(angle) : sin(angle)));
}

void firn_shuffle(uint64_t seed, uint32_t stream, uint32_t step, uint32_t *order, size_t n)
{
    uint32_t words[4];
    for (size_t i = 0; i < n; i++)
        order[i] = (uint32_t) i;
    for (size_t draw = 0; draw + 1 < n; draw++) {
        if (draw % 2 == 0)
            firn_philox(seed, stream, step, draw / 2, words);
        const uint32_t *pair = words + draw % 2 * 2;
        const uint64_t number = (uint64_t) pair[1] << 32 | pair[0];
        const size_t last = n - 1 - draw;
        const size_t chosen = (size_t) (number % (last + 1)); /* bias below n / 2^64 */
        const uint32_t kept = order[chosen];
        order[chosen] = order[last];
        order[last] = kept;
    }
}
