/* SPDX-License-Identifier: Apache-2.0 */
/* Which elements dropout keeps: Philox one element at a time for references, and in batches of
 * blocks whose rounds vectorise. */
#include "ops/draw.h"

#include "base/rng.h"
#include "base/simd.h"

#include <math.h>
#include <string.h>

uint32_t firn_draw_below(float p)
{
    return (uint32_t) ceil((double) p * 0x1p24);
}

struct firn_draw firn_draw_start(const int32_t rng[4], uint32_t stream, float p)
{
    return (struct firn_draw){
        .seed = (uint64_t) (uint32_t) rng[1] << 32 | (uint32_t) rng[0],
        .first_block = (uint64_t) (uint32_t) rng[3] << 40,
        .stream = stream,
        .step = (uint32_t) rng[2],
        .below = firn_draw_below(p),
        .factor = (float) (1.0 / (1.0 - (double) p)),
    };
}

bool firn_draw_keeps(const struct firn_draw *draw, uint64_t element)
{
    uint32_t words[4];
    firn_philox(draw->seed, draw->stream, draw->step, draw->first_block + element / 4, words);
    return words[element % 4] >> 8 >= draw->below;
}

enum { BATCH = 16 }; /* blocks */

/* firn_philox for BATCH blocks in a row, a block a lane; the factors of lane l go to out[4 l .. 4 l
 * + 3]. The rounds are straight code inside the loop over lanes, with the halves of a product
 * apart: so it vectorises. */
FIRN_SIMD static void batch(const struct firn_draw *draw, uint64_t block, float *restrict out)
{
    const uint32_t low = (uint32_t) block, high = (uint32_t) (block >> 32);
    const uint32_t key0 = (uint32_t) draw->seed, key1 = (uint32_t) (draw->seed >> 32);
    const uint32_t step = draw->step, stream = draw->stream, below = draw->below;
    const float factor = draw->factor;
    for (uint32_t l = 0; l < BATCH; l++) {
        uint32_t c0 = low + l, c1 = high + (low + l < low), c2 = step, c3 = stream;
#pragma GCC unroll 10
        for (uint32_t round = 0; round < 10; round++) {
            const uint32_t high0 = (uint32_t) ((uint64_t) 0xd2511f53u * c0 >> 32),
                           low0 = 0xd2511f53u * c0;
            const uint32_t high1 = (uint32_t) ((uint64_t) 0xcd9e8d57u * c2 >> 32),
                           low1 = 0xcd9e8d57u * c2;
            c0 = high1 ^ c1 ^ (key0 + round * 0x9e3779b9u);
            c2 = high0 ^ c3 ^ (key1 + round * 0xbb67ae85u);
            c1 = low1;
            c3 = low0;
        }
        out[4 * l] = c0 >> 8 >= below ? factor : 0.0f;
        out[4 * l + 1] = c1 >> 8 >= below ? factor : 0.0f;
        out[4 * l + 2] = c2 >> 8 >= below ? factor : 0.0f;
        out[4 * l + 3] = c3 >> 8 >= below ? factor : 0.0f;
    }
}

void firn_draw_factors(const struct firn_draw *draw, uint64_t first, int64_t n, float *factors)
{
    float out[4 * BATCH];
    int64_t done = 0;
    while (done < n) {
        const uint64_t element = first + (uint64_t) done;
        if (n - done <= 4) { /* not worth a batch */
            for (; done < n; done++)
                factors[done] =
                    firn_draw_keeps(draw, first + (uint64_t) done) ? draw->factor : 0.0f;
            break;
        }
        const int64_t skip = (int64_t) (element % 4);
        const int64_t take = n - done < 4 * BATCH - skip ? n - done : 4 * BATCH - skip;
        batch(draw, draw->first_block + element / 4, out);
        memcpy(factors + done, out + skip, sizeof *factors * (size_t) take);
        done += take;
    }
}
