/* SPDX-License-Identifier: Apache-2.0 */
/* Mersenne Twister, period 2^19937 - 1. */
#include "base/mt19937.h"

enum { N = 624, M = 397 };

void firn_mt19937_seed(struct firn_mt19937 *mt, uint32_t seed)
{
    mt->state[0] = seed;
    for (uint32_t i = 1; i < N; i++)
        mt->state[i] = 1812433253u * (mt->state[i - 1] ^ (mt->state[i - 1] >> 30)) + i;
    mt->at = N;
}

static void refill(struct firn_mt19937 *mt)
{
    for (int i = 0; i < N; i++) {
        const uint32_t y = (mt->state[i] & 0x80000000u) | (mt->state[(i + 1) % N] & 0x7fffffffu);
        mt->state[i] = mt->state[(i + M) % N] ^ (y >> 1) ^ (y & 1 ? 0x9908b0dfu : 0);
    }
    mt->at = 0;
}

uint32_t firn_mt19937_next(struct firn_mt19937 *mt)
{
    if (mt->at >= N)
        refill(mt);
    uint32_t y = mt->state[mt->at++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}
