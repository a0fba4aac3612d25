/* SPDX-License-Identifier: Apache-2.0 */
/* Mersenne Twister MT19937 (Matsumoto & Nishimura 1998): only for files whose numbers another program drew with it. */
#ifndef FIRN_BASE_MT19937_H
#define FIRN_BASE_MT19937_H

#include <stdint.h>

struct firn_mt19937 {
    uint32_t state[624];
    int at;
};
void firn_mt19937_seed(struct firn_mt19937 *mt, uint32_t seed);
uint32_t firn_mt19937_next(struct firn_mt19937 *mt);

#endif
